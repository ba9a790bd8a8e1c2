"""`souk db slow` and `souk db stats`, as a user types them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import processes
import pytest
from postgres_servers import postgres_server
from processes import ServiceProcess
from souk.client import DbClient
from souk_command import souk, terminal
from souk_dbopt.adapters import schema

SLEEP = """-- name: own.sleep
-- version: 1
-- description: Takes its time.
-- class: lookup
-- parameters:
--   seconds: {type: float, description: How long.}
SELECT 1 AS slept FROM pg_sleep(:seconds::float8)
"""


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    queries = tmp_path / "queries"
    queries.mkdir()
    (queries / "own.sleep.sql").write_text(SLEEP)
    async with postgres_server() as server:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        await owner.close()
        started = await processes.start_service(
            "dbopt", tmp_path, dsn=server.dsn(user="souk_service"), queries_dir=queries, name="one"
        )
        yield started
        await processes.stop(started)


async def test_what_is_slow_is_shown_as_a_table_as_json_by_itself_and_as_it_happens(service: ServiceProcess):
    where = ("--address", service.grpc)
    nothing = await souk("db", "slow", *where)
    assert (nothing.status, "No query has run" in nothing.out) == (0, True)
    async with DbClient(service.grpc) as db, terminal("db", "slow", "--watch", "--threshold", "150", *where) as watching:
        calls = asyncio.create_task(_keep_calling(db))
        await watching.says("own.sleep@1")
        await watching.says('"seconds": 0.2')
        calls.cancel()
        await asyncio.gather(calls, return_exceptions=True)
        for _ in range(20):  # the first may take long
            await db.execute("product.get", {"product_id": 1})

    table = await souk("db", "slow", "--order", "mean", "--since", "2h", *where)
    lines = [line.split() for line in table.out.splitlines()]
    assert (table.status, lines[0][0], [line[0] for line in lines[1:]]) == (0, "Query", ["own.sleep@1", "product.get@1"])
    assert "█" in table.out
    listed = (await souk("db", "slow", "--json", "-n", "1", *where)).json()
    assert [query["fingerprint"] for query in listed] == ["own.sleep@1"]

    one = await souk("db", "stats", "own.sleep@1", "--window", "1m", *where)
    assert one.status == 0
    assert all(text in one.out for text in ("select ? as slept from pg_sleep(?)", "calls  ", "p99    ", "█", '"seconds": 0.2'))
    assert (await souk("db", "stats", "own.sleep@1", "--json", *where)).json()["total"]["fingerprint"] == "own.sleep@1"
    assert (await souk("db", "stats", "own.sleep", "--json", *where)).json()["total"]["fingerprint"] == "own.sleep@1"
    unknown = await souk("db", "stats", "no.such@1", *where)
    assert (unknown.status, "souk db slow" in unknown.err) == (1, True)
    for wrong in (("slow", "--since", "tomorrow"), ("stats", "own.sleep@1", "--window", "3x")):
        assert (await souk("db", *wrong, *where)).status == 2


async def _keep_calling(db: DbClient) -> None:
    while True:
        await db.execute("own.sleep", {"seconds": 0.01})
        await db.execute("own.sleep", {"seconds": 0.2})
