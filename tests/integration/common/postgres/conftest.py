"""Real PostgreSQL 18 and 15, a database for each test, and pools on them."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from pools import MakePool
from postgres_servers import PostgresServer, postgres_server, programs
from souk_common.postgres import Pool, PoolOptions

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module", params=[18, 15])
def shared(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server that no test stops."""
    if not (programs(request.param) / "postgres").exists():
        pytest.skip(f"PostgreSQL {request.param} is not installed")
    server = asyncio.run(PostgresServer.new(request.param))
    yield server
    asyncio.run(server.remove())


@pytest.fixture
async def dsn(shared: PostgresServer) -> str:
    """A database of the test's own."""
    name = f"test_{next(NUMBERS)}"
    connection = await asyncpg.connect(shared.dsn())
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return shared.dsn(name)


@pytest.fixture
async def other(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Somebody else's connection to the test's database."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def server() -> AsyncIterator[PostgresServer]:
    """A server to kill and to freeze."""
    async with postgres_server(18) as server:
        yield server


@pytest.fixture
async def pools() -> AsyncIterator[MakePool]:
    """Opens pools, and closes them. Delays have no chance in them."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(dsn: str, **options: Any) -> Pool:
            chosen = {"size": 2, "min_open": 1, "reconnect_delay": 0.02, "max_reconnect_delay": 0.05, **options}
            pool = Pool(dsn, PoolOptions(**chosen), random=lambda: 0.5)
            stack.push_async_callback(pool.close, grace=0.0)
            await pool.open()
            return pool

        yield make
