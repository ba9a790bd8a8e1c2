"""A PostgreSQL server for each process of tests, and a database of its own for each test that wants one.

`pytestmark = pytest.mark.shop`: the databases have dbopt's schema and the small shop of shop.py.
"""

import asyncio
import functools
import itertools
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from integration.dbopt.shop import fill
from postgres_servers import PostgresServer, programs
from souk_dbopt.adapters import query_file, schema

VERSIONS = (18, 15)
_numbers = itertools.count(1)
SHOP = "shop_template"


@pytest.fixture(scope="session", autouse=True)
def texts_of_queries() -> Iterator[None]:
    """They are the same each time that a service starts, and read once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(query_file, "read", functools.cache(query_file.read))
        yield


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


async def _make_shop(server: PostgresServer, owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Once, on each server."""
    if await owner.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", SHOP) is None:
        await owner.execute(f"CREATE DATABASE {SHOP}")
        connection = await asyncpg.connect(server.dsn(SHOP))
        await schema.migrate(connection)
        await fill(connection)
        await connection.close()


@pytest.fixture
async def database(request: pytest.FixtureRequest, postgres: PostgresServer) -> AsyncIterator[str]:
    """The name of a database: an empty one, or a shop."""
    name = f"test_{next(_numbers)}"
    template = SHOP if request.node.get_closest_marker("shop") else "template1"
    owner = await asyncpg.connect(postgres.dsn())
    try:
        if template == SHOP:
            await _make_shop(postgres, owner)
        await owner.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
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
