"""Behind a real PgBouncer that pools transactions: found by itself, no prepared statements, settings within the transaction."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pgbouncers import PROGRAM, pgbouncer
from pools import SLEEP, MakePool, settled, wait_until_active
from postgres_servers import PostgresServer
from processes import until
from souk_common.postgres import StatementTimeoutError, UniqueError

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed (apt-get install pgbouncer)")
IGNORING = {"ignore_startup_parameters": "work_mem,statement_timeout,jit"}


@pytest.fixture(params=["refuses", "ignores"])
async def pooled(request: pytest.FixtureRequest, dsn: str, shared: PostgresServer) -> AsyncIterator[str]:
    """A DSN through PgBouncer, which refuses session settings in the parameters of a connection, or ignores them."""
    async with pgbouncer(shared, **(IGNORING if request.param == "ignores" else {})) as port:
        yield dsn.replace(f":{shared.port}/", f":{port}/")


async def test_it_is_found_and_its_statements_have_no_names(pooled: str, pools: MakePool) -> None:
    pool = await pools(pooled, size=8, server_settings={"work_mem": "7MB", "application_name": "souk"})
    assert pool.status().behind_pooler
    sql = "SELECT $1::int + 1 FROM pg_sleep(0.001)"
    assert await asyncio.gather(*(pool.fetchval("add", sql, (n,)) for n in range(100))) == list(range(1, 101))
    assert await pool.fetchval("names", "SELECT count(*) FROM pg_prepared_statements") == 0
    assert pool.status().open == 8


async def test_settings_hold_for_each_statement_and_stay_in_it(pooled: str, pools: MakePool) -> None:
    pool = await pools(pooled, size=4, server_settings={"work_mem": "7MB", "statement_timeout": "500ms"})
    shown = "SELECT current_setting('work_mem') FROM pg_sleep(0.001)"
    assert set(await asyncio.gather(*(pool.fetchval("shown", shown) for _ in range(20)))) == {"7MB"}
    async with pool.transaction() as session:
        assert (await session.fetch("shown", shown))[0][0] == "7MB"
    with pytest.raises(StatementTimeoutError):
        await pool.fetch("sleep", SLEEP)
    plain = await pools(pooled, size=4)
    assert set(await asyncio.gather(*(plain.fetchval("shown", shown) for _ in range(20)))) == {"4MB"}


async def test_settings_of_a_transaction_are_above_those_of_the_pool(pooled: str, pools: MakePool) -> None:
    pool = await pools(pooled, size=1, server_settings={"work_mem": "7MB", "statement_timeout": "50s"})
    async with pool.transaction(settings={"statement_timeout": "20s"}) as session:
        shown = await session.fetch("shown", "SELECT current_setting('statement_timeout'), current_setting('work_mem')")
    assert tuple(shown[0]) == ("20s", "7MB")


async def test_writes_commit_and_failed_ones_leave_nothing(pooled: str, pools: MakePool, other: object) -> None:
    pool = await pools(pooled, size=2, server_settings={"work_mem": "7MB"})
    await pool.fetch("create", "CREATE TABLE item (id int PRIMARY KEY)")
    await pool.fetch("insert", "INSERT INTO item VALUES ($1)", (1,))
    with pytest.raises(UniqueError):
        await pool.fetch("insert", "INSERT INTO item VALUES ($1)", (1,))
    assert await pool.fetchval("count", "SELECT count(*) FROM item") == 1
    await until(lambda: settled(pool))
    assert pool.status().free == pool.status().open


async def test_a_canceled_statement_stops_in_the_server(pooled: str, pools: MakePool, other: object) -> None:
    pool = await pools(pooled, size=1, server_settings={"work_mem": "7MB"})
    task = asyncio.create_task(pool.fetch("sleep", SLEEP))
    await wait_until_active(other)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pool.fetchval("one", "SELECT 1") == 1
    assert pool.status().replaced == 0


async def test_rows_can_be_read_through_a_cursor(pooled: str, pools: MakePool) -> None:
    pool = await pools(pooled, size=2)
    async with pool.transaction(read_only=True) as session:
        statement = await session.statement("series", "SELECT n FROM generate_series(1, $1) n")
        assert [row["n"] async for row in statement.cursor(100, prefetch=10)] == list(range(1, 101))


async def test_without_it_no_pooler_is_found(dsn: str, pools: MakePool) -> None:
    assert not (await pools(dsn)).status().behind_pooler
