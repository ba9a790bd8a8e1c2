"""The server killed, frozen, gone, full: callers are told at once, no connection is held for ever, and it heals by itself."""

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from pools import SLEEP, MakePool, settled, wait_until_active
from postgres_servers import PostgresServer
from processes import until
from souk_common.postgres import Pool, PoolOptions, TooManyConnectionsError, UnavailableError


@contextlib.asynccontextmanager
async def relay(server: PostgresServer, silent: set[int]) -> AsyncIterator[str]:
    """A DSN of the server through a relay that keeps the connections of these numbers, and never answers them."""
    numbers = itertools.count()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(numbers) in silent:
            await reader.read()
            writer.close()
            return
        from_server, to_server = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pass_on(reader, to_server), pass_on(from_server, writer))

    relaying = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.dsn().replace(f":{server.port}/", f":{relaying.sockets[0].getsockname()[1]}/")
    finally:
        relaying.close()


async def recovered(pool: Pool) -> None:
    await until(lambda: pool.status().down is None and pool.status().free > 0)
    assert await pool.fetchval("one", "SELECT 1") == 1


async def test_a_killed_server_is_an_outage_at_once_and_the_pool_heals_by_itself(server: PostgresServer, pools: MakePool) -> None:
    pool = await pools(server.dsn(), size=3, min_open=2, acquire_timeout=60.0)
    await until(lambda: pool.status().free == 2)
    task = asyncio.create_task(pool.fetch("sleep", SLEEP))
    await until(lambda: pool.status().in_use == 1)
    await server.kill()
    with pytest.raises(UnavailableError):
        await task
    await until(lambda: pool.status().down is not None)
    with pytest.raises(UnavailableError) as caught:
        pool.fetch("one", "SELECT 1").send(None)
    assert caught.value.is_safe_to_repeat(read=False)
    assert caught.value.retry_delay > 0
    await server.start()
    await recovered(pool)
    assert pool.status().reconnects >= 1
    await until(lambda: pool.status().open >= 2)


async def test_who_waits_when_the_server_goes_is_told_at_once(server: PostgresServer, pools: MakePool) -> None:
    pool = await pools(server.dsn(), size=1, acquire_timeout=3600.0)
    other = await asyncpg.connect(server.dsn())
    tasks = [asyncio.create_task(pool.fetch("sleep", SLEEP)) for _ in range(20)]
    await wait_until_active(other)
    await server.kill()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(error) for error in done} == {UnavailableError}
    assert [error.sent for error in done] == [True] + [False] * 19
    await other.close()


async def test_connections_that_never_come_keep_no_others_from_coming(server: PostgresServer, pools: MakePool) -> None:
    async with relay(server, silent={1, 2}) as dsn:
        limits = {"slow_connect": 0.02, "connect_timeout": 3600.0, "acquire_timeout": 60.0}
        pool = await pools(dsn, size=4, max_connecting=2, **limits)
        async with pool.acquire():
            assert await pool.fetchval("one", "SELECT 1") == 1
            assert (pool.status().connecting, pool.status().open) == (2, 2)


async def test_a_server_that_comes_late_is_found(server: PostgresServer, pools: MakePool) -> None:
    await server.kill()
    pool = await pools(server.dsn())
    with pytest.raises(UnavailableError):
        await pool.fetch("one", "SELECT 1")
    assert pool.status().failed_connects > 0
    await server.start()
    await recovered(pool)


async def test_attempts_to_connect_come_slower_and_slower(server: PostgresServer, pools: MakePool) -> None:
    await server.kill()
    pool = await pools(server.dsn(), reconnect_delay=0.01, max_reconnect_delay=3600.0)
    delays = []
    for attempt in range(1, 5):
        await until(lambda attempt=attempt: pool.status().failed_connects == attempt)
        with pytest.raises(UnavailableError) as caught:
            await pool.fetch("one", "SELECT 1")
        delays.append(caught.value.retry_delay)
    assert delays[3] > 3 * delays[1]


async def test_a_frozen_server_holds_no_connection_and_no_caller_for_ever(server: PostgresServer, pools: MakePool) -> None:
    pool = await pools(server.dsn(), size=2, min_open=2, check_timeout=0.1, connect_timeout=0.2, acquire_timeout=3600.0)
    other = await asyncpg.connect(server.dsn())
    task = asyncio.create_task(pool.fetch("sleep", SLEEP))
    await wait_until_active(other)
    server.signal(signal.SIGSTOP)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: pool.status().replaced == 1)
    waiting = [asyncio.create_task(pool.fetch("one", "SELECT 1", timeout=0.1)) for _ in range(10)]
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(error, Exception) for error in done)
    await until(lambda: pool.status().down is not None)
    server.signal(signal.SIGCONT)
    await recovered(pool)
    await until(lambda: settled(pool))
    await other.close()


async def test_a_cancellation_that_only_the_postmaster_does_not_take_ends_with_the_connection(
    server: PostgresServer, pools: MakePool
) -> None:
    pool = await pools(server.dsn(), size=2, min_open=2, check_timeout=0.1, connect_timeout=0.2)
    other = await asyncpg.connect(server.dsn())
    task = asyncio.create_task(pool.fetch("sleep", SLEEP))
    await wait_until_active(other)
    os.kill(server.process.pid, signal.SIGSTOP)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: pool.status().replaced == 1)
    assert await pool.fetchval("one", "SELECT 1") == 1, "the other connection serves on"
    os.kill(server.process.pid, signal.SIGCONT)
    await until(lambda: pool.status().open == 2)
    await other.close()


async def test_a_transaction_canceled_on_a_frozen_server_does_not_hold_its_caller(server: PostgresServer, pools: MakePool) -> None:
    pool = await pools(server.dsn(), size=1, check_timeout=0.1, connect_timeout=0.2)
    other = await asyncpg.connect(server.dsn())

    async def body() -> None:
        async with pool.transaction() as session:
            await session.fetch("sleep", SLEEP)

    task = asyncio.create_task(body())
    await wait_until_active(other)
    server.signal(signal.SIGSTOP)
    task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert task.cancelled()
    server.signal(signal.SIGCONT)
    await recovered(pool)
    await other.close()


async def test_a_full_server_is_no_outage_while_there_is_a_connection(shared: PostgresServer, pools: MakePool, other: Any) -> None:
    await other.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 2")
    pool = await pools(shared.dsn(user="few"), size=10)
    done = await asyncio.gather(*(pool.fetchval("w", "SELECT 1 FROM pg_sleep(0.02)") for _ in range(30)))
    assert done == [1] * 30
    assert pool.status().open == 2
    assert pool.status().failed_connects > 0
    late = await pools(shared.dsn(user="few"))
    with pytest.raises(TooManyConnectionsError) as caught:
        await late.fetch("one", "SELECT 1")
    assert caught.value.sqlstate == "53300"


async def test_a_login_that_is_refused_is_said(shared: PostgresServer, pools: MakePool) -> None:
    pool = await pools(shared.dsn("no_such_database"))
    with pytest.raises(UnavailableError, match="no_such_database") as caught:
        await pool.fetch("one", "SELECT 1")
    assert caught.value.sqlstate == "3D000"


async def test_a_connection_that_dies_unused_is_not_replaced_in_a_tight_loop(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn, size=1, reconnect_delay=3600.0, max_reconnect_delay=3600.0)
    ours = "datname = current_database() AND pid <> pg_backend_pid()"
    await other.fetch(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
    await until(lambda: pool.status().lost == 1)
    assert pool.status().connecting == 0
    with pytest.raises(UnavailableError):
        await pool.fetch("one", "SELECT 1")


async def test_opening_can_be_given_up(server: PostgresServer) -> None:
    server.signal(signal.SIGSTOP)
    pool = Pool(server.dsn(), PoolOptions())
    opening = asyncio.create_task(pool.open())
    await until(lambda: pool.status().connecting > 0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert pool.status().connecting == 0
    server.signal(signal.SIGCONT)
