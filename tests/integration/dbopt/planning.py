"""Plans that a real server makes, and tables on which it makes bad ones."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import asyncpg
from postgres_servers import PostgresServer
from souk_common.postgres import Pool, PoolOptions
from souk_dbopt.adapters.explain_catalog import ExplainCatalog
from souk_dbopt.plan_reading import read
from souk_dbopt.plan_rules import Finding, findings
from souk_dbopt.plans import Plan

ITEMS = 50_000
TABLES = f"""
CREATE SCHEMA bad;
CREATE TABLE bad.items AS
SELECT n AS id, n % 20 AS kind, n % 20 AS twin, n * 7919 % 5003 AS code, n / 5000 AS part, md5(n::text) AS name,
       CASE WHEN n % 10 < 9 THEN 0 ELSE n END AS skewed, 1 + n * 31 % {ITEMS} AS other, repeat('x', 400) AS padding
FROM generate_series(1, {ITEMS}) n;
ALTER TABLE bad.items ADD PRIMARY KEY (id);
CREATE INDEX items_kind ON bad.items (kind);
CREATE INDEX items_skewed ON bad.items (skewed);
CREATE TABLE bad.unvacuumed AS SELECT n AS id FROM generate_series(1, 20000) n;
CREATE INDEX unvacuumed_id ON bad.unvacuumed (id);
CREATE TABLE bad.stale AS SELECT n AS id, 0 AS state FROM generate_series(1, 20000) n;
CREATE TABLE bad.parents AS SELECT n AS id FROM generate_series(1, 300) n;
ALTER TABLE bad.parents ADD PRIMARY KEY (id);
CREATE TABLE bad.children AS SELECT n AS id, 1000 AS parent_id FROM generate_series(1, 20000) n;
INSERT INTO bad.parents VALUES (1000);
ALTER TABLE bad.children ADD CONSTRAINT children_parent FOREIGN KEY (parent_id) REFERENCES bad.parents;
"""
STATISTICS = """
VACUUM (ANALYZE) bad.items;
ANALYZE bad.unvacuumed, bad.stale, bad.parents, bad.children;
UPDATE bad.stale SET state = 1;
INSERT INTO bad.stale SELECT n, 1 FROM generate_series(20001, 40000) n;
"""


@dataclass(frozen=True)
class Bench:
    """One connection of the owner."""

    server: PostgresServer
    database: str
    connection: asyncpg.Connection

    async def plan(
        self,
        sql: str,
        *values: str,
        settings: Mapping[str, str] | None = None,
        analyze: bool = True,
        before: Sequence[str] = (),
    ) -> Plan:
        """EXPLAIN by plain SQL, and taken back. values: as SQL writes them; then it is a generic plan for these."""
        options = "FORMAT JSON, VERBOSE, SETTINGS" + (", ANALYZE, BUFFERS" if analyze else "")
        transaction = self.connection.transaction()
        await transaction.start()
        try:
            for statement in before:
                await self.connection.execute(statement)
            for name, value in (settings or {}).items():
                await self.connection.execute(f"SET LOCAL {name} = '{value}'")
            if not values:
                return read(await self.connection.fetchval(f"EXPLAIN ({options}) {sql}"))
            await self.connection.execute(f"SET LOCAL plan_cache_mode = force_generic_plan; PREPARE bench AS {sql}")
            try:
                return read(await self.connection.fetchval(f"EXPLAIN ({options}) EXECUTE bench({', '.join(values)})"))
            finally:
                await self.connection.execute("DEALLOCATE bench")
        finally:
            await transaction.rollback()

    async def findings(self, plan: Plan) -> list[Finding]:
        """With what the server knows of its tables."""
        async with Pool(self.server.dsn(self.database), PoolOptions(size=1)) as pool, pool.acquire() as session:
            return findings(plan, await ExplainCatalog().facts(session, plan))


@contextlib.asynccontextmanager
async def bench(server: PostgresServer, database: str) -> AsyncIterator[Bench]:
    """A bench in a database, while the body runs."""
    connection = await asyncpg.connect(server.dsn(database))
    try:
        yield Bench(server, database, connection)
    finally:
        await connection.close()


async def make(server: PostgresServer, database: str) -> None:
    """A database with these tables."""
    owner = await asyncpg.connect(server.dsn())
    try:
        await owner.execute(f"CREATE DATABASE {database}")
    finally:
        await owner.close()
    for text in (TABLES, STATISTICS):  # by two connections, so that the server has counted what the first wrote
        async with bench(server, database) as made:
            for statement in filter(str.strip, text.split(";\n")):
                await made.connection.execute(statement)


async def drop(server: PostgresServer, database: str) -> None:
    """Remove it."""
    owner = await asyncpg.connect(server.dsn())
    try:
        await owner.execute(f"DROP DATABASE {database} WITH (FORCE)")
    finally:
        await owner.close()
