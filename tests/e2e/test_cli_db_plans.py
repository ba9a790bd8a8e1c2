"""`souk db findings` and `souk db changes`, as a user types them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import processes
import pytest
from postgres_servers import PostgresServer, postgres_server
from processes import ServiceProcess
from souk.client import DbClient
from souk_command import souk
from souk_dbopt.adapters import schema

Connection = asyncpg.Connection
FIND = """-- name: own.find
-- version: 1
-- description: Finds few of many.
-- class: listing
-- parameters:
--   code: {type: int, description: Which.}
SELECT id FROM public.things WHERE code = :code
"""
THINGS = """
CREATE TABLE public.things AS SELECT n AS id, n % 5000 AS code FROM generate_series(1, 50000) n;
GRANT SELECT ON public.things TO souk_service, souk_explain;
ANALYZE public.things;
"""


@pytest.fixture
async def server() -> AsyncIterator[PostgresServer]:
    async with postgres_server() as made:
        yield made


@pytest.fixture
async def owner(server: PostgresServer) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(server.dsn())
    await schema.migrate(connection, components=[schema.SOUK])
    await connection.execute(THINGS)
    yield connection
    await connection.close()


@pytest.fixture
async def service(tmp_path: Path, server: PostgresServer, owner: Connection) -> AsyncIterator[ServiceProcess]:
    queries = tmp_path / "queries"
    queries.mkdir()
    (queries / "own.find.sql").write_text(FIND)
    started = await processes.start_service(
        "dbopt",
        tmp_path,
        dsn=server.dsn(user="souk_service"),
        explain_dsn=server.dsn(user="souk_explain"),
        queries_dir=queries,
        shipped_queries="false",
        plan_interval=1,
        plan_budget=1,
        name="one",
    )
    yield started
    await processes.stop(started)


async def test_what_is_wrong_and_what_changed_is_shown_as_text_as_json_and_with_both_plans(
    service: ServiceProcess, owner: Connection
):
    where = ("--address", service.grpc)
    assert "Nothing was found" in (await souk("db", "findings", *where)).out
    assert "No plan has changed" in (await souk("db", "changes", *where)).out
    async with DbClient(service.grpc) as db, asyncio.timeout(90):
        while not [each async for each in db.plan_findings(rule="SEQ_SCAN_DISCARDS_ROWS")]:
            await db.execute("own.find", {"code": 7})
        await owner.execute("CREATE INDEX things_code ON public.things (code)")
        while not [each async for each in db.plan_changes()]:
            await db.execute("own.find", {"code": 7})
        while [each async for each in db.plan_findings(rule="SEQ_SCAN_DISCARDS_ROWS")]:
            await db.execute("own.find", {"code": 7})

    closed = await souk("db", "findings", "--closed", "--severity", "high", *where)
    assert closed.status == 0
    assert all(text in closed.out for text in ("own.find@1", "SEQ_SCAN_DISCARDS_ROWS", "closed", "CREATE INDEX CONCURRENTLY"))
    listed = (await souk("db", "findings", "own.find@1", "--closed", "--json", *where)).json()
    assert "SEQ_SCAN_DISCARDS_ROWS" in [finding["rule"] for finding in listed]

    table = await souk("db", "changes", *where)
    assert (table.status, "own.find@1" in table.out, "Seq Scan" in table.out) == (0, True, True)
    both = await souk("db", "changes", "own.find@1", "--plans", *where)
    assert "The index things_code of public.things is new." in both.out
    assert all(text in both.out for text in ("Before", "Now", "- ", "+ ", "things_code"))
    (change,) = (await souk("db", "changes", "--json", "--since", "1h", *where)).json()
    assert (change["kinds"][0], change["causes"][0]) == ("PLAN_CHANGE_KIND_SCAN_METHOD", "PLAN_CHANGE_CAUSE_INDEX_ADDED")
    assert (await souk("db", "changes", "--regressions", "--json", *where)).json() == []
    assert (await souk("db", "findings", "--since", "tomorrow", *where)).status == 2
