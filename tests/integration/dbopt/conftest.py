"""A PostgreSQL server for each process of tests, and a database of its own for each test that wants one."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from postgres_servers import PostgresServer, programs

VERSIONS = (18, 15)
_numbers = itertools.count(1)


def _server(version: int) -> Iterator[PostgresServer]:
    if not (programs(version) / "postgres").exists():
        pytest.skip(f"PostgreSQL {version} is not installed: apt-get install postgresql-{version}")
    server = asyncio.run(PostgresServer.new(version))
    yield server
    asyncio.run(server.remove())


@pytest.fixture(scope="session")
def postgres18() -> Iterator[PostgresServer]:
    yield from _server(18)


@pytest.fixture(scope="session")
def postgres15() -> Iterator[PostgresServer]:
    yield from _server(15)


@pytest.fixture(params=VERSIONS)
def postgres(request: pytest.FixtureRequest) -> PostgresServer:
    """Each of the versions that count."""
    server: PostgresServer = request.getfixturevalue(f"postgres{request.param}")
    return server


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[str]:
    """The name of an empty database."""
    name = f"test_{next(_numbers)}"
    owner = await asyncpg.connect(postgres.dsn())
    try:
        await owner.execute(f"CREATE DATABASE {name}")
        yield name
        await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await owner.close()


@pytest.fixture
async def owner(postgres: PostgresServer, database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to it as its owner."""
    connection = await asyncpg.connect(postgres.dsn(database))
    try:
        yield connection
    finally:
        await connection.close()
