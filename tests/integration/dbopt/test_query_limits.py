"""How long a query may take, and how large what it returns may be, on real PostgreSQL."""

import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from integration.dbopt.shop import client_of, dbopt
from postgres_servers import PostgresServer
from souk.client import AbortedError, DbClient, DeadlineExceededError, ResourceExhaustedError
from souk_dbopt.adapters import schema

Connection = asyncpg.Connection
MIB = 2**20
HEADER = "-- name: own.{name}\n-- version: 1\n-- description: A query that is too much.\n"
OWN_FILES = {
    "read": """-- class: analytics
-- timeout: 300ms
-- parameters:
--   seconds: {type: float, description: How long each row takes.}
--   count: {type: int, description: How many rows.}
SELECT n, pg_sleep(:seconds::float8)::text FROM generate_series(1, :count::int) AS n
""",
    "rows": """-- class: analytics
-- parameters:
--   count: {type: int, description: How many rows.}
--   width: {type: int, description: How many characters the last has; those before have at most `other`.}
--   other: {type: int, nullable: true, description: As many as the last where it is not given.}
SELECT n, repeat('x', CASE WHEN n = :count THEN :width::int ELSE coalesce(:other::int, :width::int) END) AS text
FROM generate_series(1, :count::int) AS n
""",
    "large_write": """-- class: write
-- write: true
-- parameters:
--   width: {type: int, description: How many characters it has.}
INSERT INTO notes (text) VALUES (repeat('x', :width::int)) RETURNING text
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


@pytest.mark.parametrize(("count", "width", "most"), [(500, 10_000, 104), (12, 400_000, 2), (4, 2 * MIB, 1), (700, 10, 300)])
async def test_a_response_of_a_stream_has_a_mebibyte_or_one_row(db: DbClient, count: int, width: int, most: int):
    batches = [batch async for batch in db.stream("own.rows", {"count": count, "width": width}, batch_size=300)]
    assert [row["n"] for batch in batches for row in batch] == list(range(1, count + 1))
    assert max(map(len, batches)) == most


async def test_a_row_that_is_too_large_for_an_answer_ends_a_stream_by_saying_so(db: DbClient):
    with pytest.raises(ResourceExhaustedError) as refused:
        await _taken(db, {"count": 10, "width": 3 * MIB, "other": 5}, "own.rows")
    assert (refused.value.reason, refused.value.metadata["limit_bytes"]) == ("RESULT_TOO_LARGE", str(3 * MIB))


async def test_memory_is_bounded_however_large_rows_are(db: DbClient):
    tracemalloc.start()
    try:
        async for batch in db.stream("own.rows", {"count": 100, "width": MIB}):
            assert len(batch) == 1
        streamed = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        with pytest.raises(ResourceExhaustedError):
            await db.execute("own.rows", {"count": 100, "width": MIB})
        executed = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert streamed < 50 * MIB
    assert executed < 10 * MIB


async def test_an_answer_may_have_as_many_bytes_as_the_limit_says_and_none_more(db: DbClient):
    around = len('[{"n":1,"text":""}]')
    found = await db.execute("own.rows", {"count": 1, "width": 3 * MIB - around})
    assert len(found.json) == 3 * MIB
    with pytest.raises(ResourceExhaustedError) as refused:
        await db.execute("own.rows", {"count": 1, "width": 3 * MIB - around + 1})
    assert refused.value.reason == "RESULT_TOO_LARGE"


async def test_a_write_whose_rows_are_too_large_is_not_made(db: DbClient, owner: Connection):
    with pytest.raises(ResourceExhaustedError) as refused:
        await db.write("own.large_write", {"width": 3 * MIB}, request_id="one")
    assert refused.value.reason == "RESULT_TOO_LARGE"
    assert await owner.fetchval("SELECT count(*) FROM notes") == 0


async def _taken(db: DbClient, parameters: dict[str, float], query: str = "own.read", **options: int) -> int:
    return sum([len(batch) async for batch in db.stream(query, parameters, **options)])
