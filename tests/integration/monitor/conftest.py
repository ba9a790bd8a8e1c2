"""Real PostgreSQL 18 with monitor's schema, a database for each test, and pools and pipelines on it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from monitor_serving import Monitor, serving
from postgres_servers import PostgresServer
from souk_common.postgres import Pool, PoolOptions
from souk_monitor.adapters import schema
from souk_monitor.adapters.project_table import ProjectRows
from souk_monitor.projects import Project

_numbers = itertools.count(1)
ROLE = "souk_monitor"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server that no test stops, with the schema in the template of its databases."""
    server = asyncio.run(PostgresServer.new(18))
    asyncio.run(_prepare(server))
    yield server
    asyncio.run(server.remove())


async def _prepare(server: PostgresServer) -> None:
    connection = await asyncpg.connect(server.dsn())
    await connection.execute("CREATE DATABASE monitor_template")
    await connection.close()
    connection = await asyncpg.connect(server.dsn("monitor_template"))
    await schema.migrate(connection)
    await connection.close()


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[str]:
    """The name of a database with the schema."""
    name = f"test_{next(_numbers)}"
    owner = await asyncpg.connect(postgres.dsn())
    try:
        await owner.execute(f"CREATE DATABASE {name} TEMPLATE monitor_template")
        yield name
        await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await owner.close()


@pytest.fixture
def dsn(postgres: PostgresServer, database: str) -> str:
    """As the role of the service."""
    return postgres.dsn(database, ROLE)


@pytest.fixture
async def owner(postgres: PostgresServer, database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection as its owner."""
    connection = await asyncpg.connect(postgres.dsn(database))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    async with Pool(dsn, PoolOptions(size=6, reconnect_delay=0.02, max_reconnect_delay=0.1)) as pool:
        yield pool


@pytest.fixture
async def project(pool: Pool) -> Project:
    """The only one."""
    (made,) = await ProjectRows(pool, "shop").all()
    return made


@pytest.fixture
async def monitor(dsn: str) -> AsyncIterator[Monitor]:
    """A node, with the settings that there are by default."""
    async with serving(dsn) as node:
        yield node
