"""How long a query may take, and how large what it returns may be, on real PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from integration.dbopt.shop import client_of, dbopt
from postgres_servers import PostgresServer
from souk.client import AbortedError, DbClient, DeadlineExceededError
from souk_dbopt.adapters import schema

Connection = asyncpg.Connection
HEADER = "-- name: own.{name}\n-- version: 1\n-- description: A query that is too much.\n"
OWN_FILES = {
    "read": """-- class: analytics
-- timeout: 300ms
-- parameters:
--   seconds: {type: float, description: How long each row takes.}
--   count: {type: int, description: How many rows.}
SELECT n, pg_sleep(:seconds::float8)::text FROM generate_series(1, :count::int) AS n
""",
    "write": """-- class: write
-- write: true
-- timeout: 300ms
-- parameters:
--   seconds: {type: float, description: How long it takes.}
INSERT INTO notes (text) SELECT 'written' FROM pg_sleep(:seconds::float8) RETURNING text
""",
}


@pytest.fixture
async def db(postgres: PostgresServer, database: str, owner: Connection, tmp_path: Path) -> AsyncIterator[DbClient]:
    """A client of dbopt with queries of its own, on a database with the table `notes`."""
    await schema.migrate(owner)
    await owner.execute("CREATE TABLE notes (text text NOT NULL); GRANT ALL ON notes TO souk_service")
    for name, text in OWN_FILES.items():
        (tmp_path / f"{name}.sql").write_text(HEADER.format(name=name) + text)
    dsn = postgres.dsn(database, "souk_service")
    async with dbopt(dsn, queries_dir=tmp_path, shipped_queries=False) as server, client_of(server, attempts=1) as client:
        yield client


async def test_the_time_out_of_a_query_ends_reads_and_writes_and_streams(db: DbClient, owner: Connection):
    calls = (
        db.execute("own.read", {"seconds": 5, "count": 1}),
        db.write("own.write", {"seconds": 5}, request_id="one"),
        _taken(db, {"seconds": 5, "count": 1}),
    )
    for call in calls:
        with pytest.raises(DeadlineExceededError) as ended:
            await call
        assert (ended.value.reason, ended.value.metadata["timeout"]) == ("QUERY_TIMED_OUT", "0.3")
    assert await owner.fetchval("SELECT count(*) FROM notes") == 0


async def test_a_write_that_timed_out_leaves_its_request_id_free(db: DbClient):
    with pytest.raises(DeadlineExceededError):
        await db.write("own.write", {"seconds": 5}, request_id="one")
    assert not (await db.write("own.write", {"seconds": 0}, request_id="one")).repeated


async def test_the_time_out_of_a_stream_is_of_all_its_rows_together(db: DbClient):
    with pytest.raises(DeadlineExceededError) as ended:
        await _taken(db, {"seconds": 0.02, "count": 100}, batch_size=1)
    assert ended.value.reason == "QUERY_TIMED_OUT"


async def test_a_write_that_waits_for_one_of_the_same_request_id_is_told_so_not_that_it_took_too_long(
    db: DbClient, owner: Connection
):
    async with owner.transaction():
        await owner.execute("INSERT INTO souk.requests (principal, request_id, fingerprint) VALUES ('', 'one', '')")
        with pytest.raises(AbortedError) as refused:
            await db.write("own.write", {"seconds": 0}, request_id="one")
    assert refused.value.reason == "REQUEST_IN_PROGRESS"


async def _taken(db: DbClient, parameters: dict[str, float], **options: int) -> int:
    return sum([len(batch) async for batch in db.stream("own.read", parameters, **options)])
