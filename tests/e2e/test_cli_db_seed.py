"""`souk db seed`, as who wants a marketplace to try on runs it."""

import os
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from postgres_servers import PostgresServer, postgres_server
from souk_command import souk, terminal

SMALL = ("--products", "100", "--seed", "7", "--end", "2026-11-26")


@pytest.fixture
async def server() -> AsyncIterator[PostgresServer]:
    async with postgres_server() as started:
        yield started


@pytest.fixture
async def dsn(server: PostgresServer) -> str:
    migrated = await souk("db", "migrate", "--dsn", server.dsn())
    assert migrated.status == 0, migrated.err
    return server.dsn()


async def value(dsn: str, query: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_a_marketplace_is_made_and_a_second_time_nothing_is_changed(dsn: str):
    made = await souk("db", "seed", *SMALL, SOUK_DB_OWNER_DSN=dsn)
    assert made.status == 0, made.err
    rows = [line.split() for line in made.out.splitlines()]
    assert ["products", "100"] in rows
    assert ["users", "125"] in rows
    assert "100 products, seed 7, until 2026-11-26" in made.out
    assert "rows/s" in made.out
    assert ["products", "100", "%", "100", "rows"] in [line.split() for line in made.err.splitlines()]
    assert "\x1b" not in made.out + made.err
    assert await value(dsn, "SELECT count(*) FROM shop.products") == 100

    again = await souk("db", "seed", "--dsn", dsn, *SMALL, "--json")
    told = again.json()
    assert (again.status, again.err) == (0, "")
    assert (told["was_complete"], told["new_rows"], told["rows"]["products"], told["end"]) == (True, 0, 100, "2026-11-26")
    assert told["database_bytes"] > 5_000_000
    shown = await souk("db", "seed", "--dsn", dsn, *SMALL)
    assert (shown.status, "nothing was changed" in shown.out) == (0, True)


async def test_ctrl_c_ends_it_and_the_same_command_goes_on(dsn: str):
    command = ("db", "seed", "--dsn", dsn, "--products", "20000")
    async with terminal(*command) as screen:
        await screen.says("products")
        await screen.says("rows/s")
        os.kill(screen.process.pid, signal.SIGINT)
        assert await screen.ends() == 130
        assert "the same command goes on" in screen.text
        assert "Traceback" not in screen.text
    assert await value(dsn, "SELECT finished_at FROM shop.seeding") is None
    async with terminal(*command) as screen:
        assert await screen.ends(120) == 0
        assert "20,000 products, seed 1" in screen.text
    assert await value(dsn, "SELECT count(*) FROM shop.products") == 20_000
    assert await value(dsn, "SELECT finished_at FROM shop.seeding") is not None


async def test_what_is_in_the_way_is_said_with_what_to_do(server: PostgresServer):
    bare = await souk("db", "seed", "--dsn", server.dsn(), *SMALL)
    assert (bare.status, "souk db migrate" in bare.err) == (1, True)
    assert (await souk("db", "migrate", "--dsn", server.dsn())).status == 0
    service = await souk("db", "seed", "--dsn", server.dsn(user="souk_service"), *SMALL, "--json")
    assert (service.status, service.json()["error"]["reason"]) == (1, "NotOwnerError")
    assert "owner" in service.json()["error"]["hint"]
    assert (await souk("db", "seed", "--dsn", server.dsn(), *SMALL)).status == 0
    other = await souk("db", "seed", "--dsn", server.dsn(), "--products", "200")
    assert (other.status, "--products 100 --seed 7 --end 2026-11-26" in other.err, "createdb" in other.err) == (1, True, True)


async def test_without_a_server_it_says_so_and_keeps_the_password():
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{port.getsockname()[1]}"
        refused = await souk("db", "seed", "--dsn", f"postgresql://owner:secret@{address}/shop")
    assert (refused.status, address.rpartition(":")[2] in refused.err, "secret" in refused.err) == (1, True, False)


@pytest.mark.parametrize(
    "wrong", [("--products", "9"), ("--products", "10000001"), ("--seed", "-1"), ("--end", "soon"), ("--end", "1979-12-31")]
)
async def test_numbers_that_make_no_sense_are_usage_errors(wrong: tuple[str, str]):
    refused = await souk("db", "seed", "--dsn", "postgresql://owner@127.0.0.1:1/shop", *wrong)
    assert (refused.status, wrong[0].removeprefix("--") in refused.err) == (2, True)
