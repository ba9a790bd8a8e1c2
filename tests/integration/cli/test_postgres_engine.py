"""The PostgreSQL that `souk up` starts: its data stays, and nothing else does."""

import os
import signal
from pathlib import Path

import asyncpg
import pytest
from processes import until
from souk_cli.databases import DATABASES
from souk_cli.engines import EngineError
from souk_cli.postgres_engine import PostgresEngine


async def test_its_databases_have_up_to_date_schemas_and_keep_their_data(tmp_path: Path):
    folder, log = tmp_path / "state" / "postgres", tmp_path / "postgres.log"
    for expected in (0, 1):
        engine = await PostgresEngine.start(folder, log, *DATABASES.values())
        try:
            service = await asyncpg.connect(engine.environment["SOUK_DBOPT_DSN"])
            assert await service.fetchval("SELECT count(*) FROM shop.users") == expected
            await service.execute("INSERT INTO shop.users (wallet, display_name) VALUES ($1, 'Anna')", f"0x{expected:040x}")
            await service.close()
            explain = await asyncpg.connect(engine.environment["SOUK_DBOPT_EXPLAIN_DSN"])
            assert await explain.fetchval("SELECT count(*) FROM shop.users") == expected + 1
            await explain.close()
            monitor = await asyncpg.connect(engine.environment["SOUK_MONITOR_DSN"])
            assert await monitor.fetchval("SELECT count(*) FROM monitor.projects") == 0
            await monitor.close()
        finally:
            await engine.stop()
        assert engine.process.returncode == 0
        assert not engine.socket.exists()


async def test_one_that_outlived_its_parent_is_ended_and_its_data_taken_over(tmp_path: Path):
    left = await PostgresEngine.start(tmp_path / "postgres", tmp_path / "one.log")
    try:
        engine = await PostgresEngine.start(tmp_path / "postgres", tmp_path / "two.log")
        await until(lambda: left.process.returncode is not None)
        await engine.stop()
    finally:
        await left.stop()


async def test_data_of_another_version_is_left_alone(tmp_path: Path):
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("12\n")
    with pytest.raises(EngineError, match="was made by PostgreSQL 12, and this is 18"):
        await PostgresEngine.start(tmp_path / "postgres", tmp_path / "log")
    assert [file.name for file in data.iterdir()] == ["PG_VERSION"]


async def test_files_that_were_being_made_when_it_was_killed_are_made_anew(tmp_path: Path):
    unfinished = tmp_path / "postgres" / "data.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    engine = await PostgresEngine.start(tmp_path / "postgres", tmp_path / "log")
    await engine.stop()
    assert not unfinished.exists()


async def test_a_folder_that_its_user_may_not_enter_is_named(tmp_path: Path):
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    if os.geteuid() != 0:  # it runs as we do
        await (await PostgresEngine.start(hidden / "postgres", tmp_path / "log")).stop()
        return
    with pytest.raises(EngineError, match=f"may not enter {hidden}: let others enter it"):
        await PostgresEngine.start(hidden / "postgres", tmp_path / "log")


async def test_one_that_does_not_start_says_where_its_log_is(tmp_path: Path):
    engine = await PostgresEngine.start(tmp_path / "postgres", tmp_path / "log")
    await engine.stop()
    (tmp_path / "postgres" / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(EngineError, match=rf"postgres ended with 1; its log is {tmp_path / 'log'}"):
        await PostgresEngine.start(tmp_path / "postgres", tmp_path / "log")
    assert "no_such_setting" in (tmp_path / "log").read_text()


async def test_a_signal_to_our_group_does_not_end_it_before_those_who_stand_on_it(tmp_path: Path):
    engine = await PostgresEngine.start(tmp_path / "postgres", tmp_path / "log")
    try:
        assert os.getpgid(engine.process.pid) != os.getpgid(0)
        engine.process.send_signal(signal.SIGHUP)  # it reads its configuration again
        connection = await asyncpg.connect(engine.dsn())
        await connection.close()
    finally:
        await engine.stop()
