"""The pool on real servers: what callers get, what they leave behind, and what it costs the next."""

import asyncio
from typing import Any

import pytest
from pools import PID, SLEEP, MakePool, is_active, settled, wait_until_active
from processes import until
from souk_common.postgres import (
    AcquireTimeoutError,
    Pool,
    PoolClosedError,
    PoolFullError,
    QueryCanceledError,
    SchemaChangedError,
    StatementTimeoutError,
    TransactionStateError,
    UnavailableError,
    UndefinedError,
    UniqueError,
)


async def running(pool: Pool, sql: str = SLEEP) -> "asyncio.Task[Any]":
    """A call whose statement the server has begun."""
    task = asyncio.create_task(pool.fetch(sql, sql))
    await until(lambda: pool.status().in_use == 1 and pool.status().prepared > 0)
    return task


async def test_rows_and_values_come_by_a_prepared_statement(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)
    assert await pool.fetchval("add", "SELECT $1::int + 1", (41,)) == 42
    assert await pool.fetchval("add", "SELECT $1::int + 1", (1,)) == 2
    assert [row["n"] for row in await pool.fetch("series", "SELECT n FROM generate_series(1, $1) n", (3,))] == [1, 2, 3]
    assert await pool.fetchrow("none", "SELECT 1 WHERE false") is None
    assert await pool.fetchval("none", "SELECT 1 WHERE false") is None
    assert pool.status().prepared == 3


async def test_another_text_under_the_same_key_is_another_statement(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)
    assert await pool.fetchval("key", "SELECT 1") == 1
    assert await pool.fetchval("key", "SELECT 2") == 2


async def test_session_settings_are_those_of_the_class(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, server_settings={"work_mem": "7MB", "application_name": 'souk\'s "own"', "statement_timeout": "500ms"})
    assert await pool.fetchval("a", "SELECT current_setting('work_mem')") == "7MB"
    assert await pool.fetchval("b", "SELECT current_setting('application_name')") == 'souk\'s "own"'
    with pytest.raises(StatementTimeoutError):
        await pool.fetch("c", SLEEP)
    assert settled(pool), "the server said it itself, and nothing is left to clean"


async def test_a_time_out_of_the_class_is_none_of_connecting(dsn: str, pools: MakePool, other: Any) -> None:
    asked = "SELECT query_start FROM pg_stat_activity WHERE query = $1 AND wait_event_type = 'Lock'"
    attempts = set()
    async with other.transaction():
        await other.execute("LOCK TABLE pg_proc IN ACCESS EXCLUSIVE MODE")  # no function is found, by nobody
        opening = asyncio.create_task(pools(dsn, size=1, server_settings={"statement_timeout": "50ms"}))
        async with asyncio.timeout(30):
            while len(attempts) < 2 and not opening.done():
                await asyncio.sleep(0.01)
                await other.execute("SELECT pg_stat_clear_snapshot()")
                attempts.update(await other.fetch(asked, PID))
    pool = await opening
    assert await pool.fetchval("one", "SELECT 1") == 1
    assert (pool.status().connects, pool.status().failed_connects) == (1, 0)


async def test_giving_back_costs_no_round_trip(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)
    async with pool.acquire() as session:
        await session.fetch("one", "SELECT 1")
    assert (pool.status().free, pool.status().in_care) == (1, 0)


async def test_connections_are_opened_as_callers_need_them(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=4)
    assert pool.status().open == 1
    for _ in range(3):
        await pool.fetch("one", "SELECT 1")
    assert pool.status().open == 1
    assert await asyncio.gather(*(pool.fetchval("w", "SELECT 1 FROM pg_sleep(0.05)") for _ in range(20))) == [1] * 20
    assert pool.status().open == 4


async def test_a_canceled_statement_stops_in_the_server_and_its_connection_serves_on(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn, size=1)
    backend = await pool.fetchval("pid", PID)
    task = await running(pool)
    await wait_until_active(other)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pool.fetchval("pid", PID) == backend
    assert not await is_active(other)
    assert (pool.status().interrupted, pool.status().replaced) == (1, 0)


async def test_a_caller_that_waits_no_longer_has_its_statement_canceled(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn, size=1)
    backend = await pool.fetchval("pid", PID)
    with pytest.raises(StatementTimeoutError):
        await pool.fetch("sleep", SLEEP, timeout=0.05)
    assert await pool.fetchval("pid", PID) == backend
    assert not await is_active(other)


async def test_many_cancellations_at_any_moment_leave_every_connection_usable(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=3)
    for number in range(60):
        tasks = [asyncio.create_task(pool.fetchval("n", "SELECT $1::int FROM pg_sleep(0.001)", (number,))) for _ in range(6)]
        for _ in range(number):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert done[1::2] == [number] * 3
    await until(lambda: settled(pool))
    assert pool.status().free == pool.status().open


async def test_a_hundred_callers_on_ten_connections_are_served_in_turn(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=10, min_open=10, max_waiting=100, acquire_timeout=60.0)
    await until(lambda: pool.status().open == 10)
    served = [0] * 100

    async def work(number: int) -> None:
        while sum(served) < 2000:
            await pool.fetch("one", "SELECT 1")
            served[number] += 1

    await asyncio.gather(*(work(number) for number in range(100)))
    assert max(served) <= 1.5 * min(served)
    assert pool.status().waits.count > 1500


async def test_many_who_come_at_once_get_connections_that_are_opened_two_by_two(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=8, max_connecting=2, acquire_timeout=60.0)
    all_there = asyncio.Barrier(9)

    async def hold() -> None:
        async with pool.acquire():
            await all_there.wait()

    holding = [asyncio.create_task(hold()) for _ in range(8)]
    most = 0
    while pool.status().in_use < 8:
        most = max(most, pool.status().connecting)
        await asyncio.sleep(0)
    await all_there.wait()
    await asyncio.gather(*holding)
    assert (most, pool.status().open) == (2, 8)


async def test_a_caller_canceled_with_a_connection_in_hand_keeps_it_from_nobody(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)
    async with pool.acquire():
        task = asyncio.create_task(pool.fetch("one", "SELECT 1"))
        await until(lambda: pool.status().waiting == 1)
    assert (pool.status().waiting, pool.status().in_use) == (0, 1), "it has it, and has not run yet"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (pool.status().free, await pool.fetchval("one", "SELECT 1")) == (1, 1)


async def test_a_full_queue_refuses_at_once(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1, max_waiting=2)
    async with pool.acquire():
        waiting = [asyncio.create_task(pool.fetchval("one", "SELECT 1")) for _ in range(2)]
        await until(lambda: pool.status().waiting == 2)
        with pytest.raises(PoolFullError) as caught:
            pool.fetch("one", "SELECT 1").send(None)  # the first step ends it: there is no I/O, and no turn of the loop
        assert caught.value.retry_delay > 0
        assert caught.value.is_safe_to_repeat(read=False)
    assert await asyncio.gather(*waiting) == [1, 1]
    assert pool.status().refused == 1


async def test_a_caller_does_not_wait_without_end(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1, acquire_timeout=0.05)
    async with pool.acquire():
        with pytest.raises(AcquireTimeoutError) as caught:
            await pool.fetch("one", "SELECT 1")
    assert caught.value.is_safe_to_repeat(read=False)
    assert await pool.fetchval("one", "SELECT 1") == 1
    assert pool.status().timeouts == 1


async def test_an_open_transaction_is_rolled_back_before_the_next_caller(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn, size=1)
    await other.execute("CREATE TABLE item (id int)")
    backend = await pool.fetchval("pid", PID)
    async with pool.acquire() as session:
        await session.connection.execute("BEGIN")
        await session.connection.execute("INSERT INTO item VALUES (1)")
    assert await pool.fetchval("count", "SELECT count(*) FROM item") == 0
    assert await pool.fetchval("pid", PID) == backend
    assert not await pool.fetchval("x", "SELECT pg_current_xact_id_if_assigned() IS NOT NULL")


async def test_a_transaction_of_the_driver_that_is_left_open_costs_the_connection(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)
    backend = await pool.fetchval("pid", PID)
    async with pool.acquire() as session:
        await session.connection.transaction().start()
    assert await pool.fetchval("pid", PID) != backend
    assert pool.status().replaced == 1


async def test_a_listener_that_is_left_costs_the_connection(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)
    backend = await pool.fetchval("pid", PID)
    async with pool.acquire() as session:
        await session.connection.add_listener("news", lambda *_: None)
    assert await pool.fetchval("pid", PID) != backend


async def test_a_spoiled_session_is_reset_before_the_next_caller(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1, server_settings={"work_mem": "5MB"})
    backend = await pool.fetchval("pid", PID)
    async with pool.acquire() as session:
        await session.connection.execute("SET work_mem = '9MB'; SELECT pg_advisory_lock(1)")
        session.spoil()
    assert await pool.fetchval("a", "SELECT current_setting('work_mem')") == "5MB"
    assert await pool.fetchval("b", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    assert await pool.fetchval("pid", PID) == backend


async def test_a_body_that_is_canceled_in_mid_transaction_commits_nothing(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn, size=1)
    await other.execute("CREATE TABLE item (id int)")

    async def body() -> None:
        async with pool.transaction() as session:
            await session.fetch("insert", "INSERT INTO item VALUES (1)")
            await session.fetch("sleep", SLEEP)

    task = asyncio.create_task(body())
    await wait_until_active(other)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pool.fetchval("count", "SELECT count(*) FROM item") == 0
    assert pool.status().replaced == 0


async def test_a_transaction_commits_as_a_whole_or_not_at_all(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn)
    await other.execute("CREATE TABLE item (id int PRIMARY KEY)")
    async with pool.transaction() as session:
        await session.fetch("insert", "INSERT INTO item VALUES ($1)", (1,))

    async def insert(*ids: int) -> None:
        async with pool.transaction() as session:
            for each in ids:
                await session.fetch("insert", "INSERT INTO item VALUES ($1)", (each,))

    with pytest.raises(UniqueError) as caught:
        await insert(2, 1)
    assert (caught.value.constraint, caught.value.table) == ("item_pkey", "item")
    assert await pool.fetchval("count", "SELECT count(*) FROM item") == 1


async def test_a_transaction_whose_error_was_swallowed_does_not_pass_for_committed(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)

    async def swallow() -> None:
        async with pool.transaction() as session:
            with pytest.raises(UndefinedError):
                await session.fetch("bad", "SELECT * FROM nowhere")

    with pytest.raises(TransactionStateError):
        await swallow()
    assert await pool.fetchval("one", "SELECT 1") == 1


async def test_a_transaction_has_settings_of_its_own(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)
    async with pool.transaction(isolation="SERIALIZABLE", read_only=True, settings={"work_mem": "3MB"}) as session:
        for name, value in (("work_mem", "3MB"), ("transaction_isolation", "serializable"), ("transaction_read_only", "on")):
            assert (await session.fetch("setting", "SELECT current_setting($1)", (name,)))[0][0] == value
    assert await pool.fetchval("work_mem", "SELECT current_setting('work_mem')") == "4MB"


async def test_a_setting_cannot_carry_a_statement(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)
    with pytest.raises(ValueError, match="is no name"):
        pool.transaction(settings={"work_mem = '1MB'; DROP TABLE item; --": "1"})
    with pytest.raises(Exception, match="invalid value"):
        async with pool.transaction(settings={"work_mem": "1MB'; SELECT 1; --"}):
            raise AssertionError
    assert await pool.fetchval("one", "SELECT 1") == 1


async def test_errors_of_the_driver_itself_are_ours_when_they_leave_a_body(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)
    with pytest.raises(UndefinedError):
        async with pool.acquire() as session:
            await session.connection.fetch("SELECT * FROM nowhere")
    assert pool.status().free == 1


async def test_a_statement_is_prepared_again_when_its_table_has_changed(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn, size=1)
    await other.execute("CREATE TABLE item (id int); INSERT INTO item VALUES (7)")
    assert tuple(await pool.fetchrow("all", "SELECT * FROM item")) == (7,)
    await other.execute("ALTER TABLE item ADD COLUMN name text DEFAULT 'seven'")
    assert tuple(await pool.fetchrow("all", "SELECT * FROM item")) == (7, "seven")
    assert (pool.status().prepared_again, pool.status().free) == (1, 1)
    await other.execute("ALTER TABLE item ALTER COLUMN id TYPE bigint")
    assert tuple(await pool.fetchrow("all", "SELECT * FROM item")) == (7, "seven")


async def test_a_write_whose_result_has_changed_is_done_once(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn, size=1)
    await other.execute("CREATE TABLE item (id serial)")
    await pool.fetch("insert", "INSERT INTO item DEFAULT VALUES RETURNING *")
    await other.execute("ALTER TABLE item ADD COLUMN name text")
    await pool.fetch("insert", "INSERT INTO item DEFAULT VALUES RETURNING *")
    assert await other.fetchval("SELECT count(*) FROM item") == 2


async def test_inside_a_transaction_a_changed_table_ends_it(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn, size=1)
    await other.execute("CREATE TABLE item (id int)")
    await pool.fetch("all", "SELECT * FROM item")
    await other.execute("ALTER TABLE item ADD COLUMN name text")
    with pytest.raises(SchemaChangedError):
        async with pool.transaction() as session:
            await session.fetch("all", "SELECT * FROM item")
    async with pool.transaction() as session:
        assert await session.fetch("all", "SELECT * FROM item") == []


async def test_a_statement_that_the_server_has_forgotten_is_prepared_again(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)
    await pool.fetchval("one", "SELECT 1")
    async with pool.acquire() as session:
        await session.connection.execute("DEALLOCATE ALL")
    assert await pool.fetchval("one", "SELECT 1") == 1


async def test_a_connection_keeps_a_bounded_number_of_statements(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1, max_statements=3)
    for number in range(20):
        await pool.fetchval("kept", "SELECT 0")
        await pool.fetchval(f"s{number}", f"SELECT {number}")
    assert pool.status().prepared == 21, "the least recently used one goes, not the oldest"
    assert await pool.fetchval("count", "SELECT count(*) FROM pg_prepared_statements") <= 4


async def test_rows_can_be_read_through_a_cursor(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)
    async with pool.transaction(read_only=True) as session:
        statement = await session.statement("series", "SELECT n FROM generate_series(1, $1) n")
        assert [row["n"] async for row in statement.cursor(100, prefetch=10)] == list(range(1, 101))


async def test_a_backend_that_is_terminated_is_replaced(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn, size=2, min_open=2)
    await until(lambda: pool.status().free == 2)
    async with pool.acquire() as session:
        backend = session.connection.get_server_pid()
    await other.fetchval("SELECT pg_terminate_backend($1)", backend)
    await until(lambda: pool.status().lost == 1 and pool.status().free == 2)
    assert pool.status().reconnects == 1
    assert await pool.fetchval("one", "SELECT 1") == 1


async def test_a_backend_terminated_in_mid_statement_is_an_outage_for_its_caller_alone(
    dsn: str, pools: MakePool, other: Any
) -> None:
    pool = await pools(dsn, size=1)
    await pool.fetchval("one", "SELECT 1")
    task = await running(pool)
    await wait_until_active(other)
    await other.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1", SLEEP)
    with pytest.raises(UnavailableError) as caught:
        await task
    assert caught.value.sent
    assert not caught.value.is_safe_to_repeat(read=False)
    assert await pool.fetchval("one", "SELECT 1") == 1


async def test_a_statement_that_an_administrator_cancels_is_said_to_be(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn, size=1)
    task = await running(pool)
    await wait_until_active(other)
    await other.fetch("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query = $1", SLEEP)
    with pytest.raises(QueryCanceledError) as caught:
        await task
    assert not isinstance(caught.value, StatementTimeoutError)


async def test_an_idle_connection_that_is_to_be_kept_is_pinged_and_stays(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn, size=1, min_open=1, keep_alive=0.02, idle_timeout=0.02)
    backend = await pool.fetchval("pid", PID)
    last = "SELECT query FROM pg_stat_activity WHERE pid = $1"
    async with asyncio.timeout(30):
        while await other.fetchval(last, backend) != "SELECT 1":
            await asyncio.sleep(0.01)
    assert await pool.fetchval("pid", PID) == backend


async def test_idle_connections_are_closed_down_to_the_least(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=5, min_open=2, idle_timeout=0.05)
    await asyncio.gather(*(pool.fetch("w", "SELECT pg_sleep(0.05)") for _ in range(5)))
    await until(lambda: pool.status().open == pool.status().free == 2)
    assert pool.status().lost == pool.status().replaced == 0


async def test_an_old_connection_is_replaced(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1, max_age=0.1)
    backend = await pool.fetchval("pid", PID)
    await until(lambda: pool.status().connects > 1)
    assert await pool.fetchval("pid", PID) != backend


async def test_a_connection_that_grows_old_in_use_is_replaced_when_it_comes_back(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1, max_age=0.1)
    async with pool.acquire() as session:
        backend = session.connection.get_server_pid()
        await until(lambda: session.suspect)
        assert await session.fetch("one", "SELECT 1")
    assert await pool.fetchval("pid", PID) != backend


async def test_closing_waits_for_who_has_a_connection_and_sends_away_who_waits(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn, size=1)
    at_work = asyncio.create_task(pool.fetchval("work", "SELECT 5 FROM pg_sleep(0.2)"))
    await until(lambda: pool.status().in_use == 1)
    waiting = asyncio.create_task(pool.fetchval("one", "SELECT 1"))
    await until(lambda: pool.status().waiting == 1)
    await pool.close()
    assert await at_work == 5
    with pytest.raises(PoolClosedError):
        await waiting
    with pytest.raises(PoolClosedError):
        await pool.fetch("one", "SELECT 1")
    assert pool.status().open == 0
    left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    async with asyncio.timeout(30):
        while await other.fetchval(left):
            await asyncio.sleep(0.01)


async def test_closing_cuts_off_who_does_not_come_back(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)
    task = await running(pool)
    await pool.close(grace=0.05)
    with pytest.raises(UnavailableError):
        await task
    assert pool.status().open == 0
