"""Databases whose plans are flipped, and an oracle of what that does to their queries, which uses nothing but EXPLAIN ANALYZE."""

import asyncio
import contextlib
import json
import random
import statistics
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from postgres_servers import PostgresServer

ITEMS = 60_000
TABLES = f"""
CREATE SCHEMA flip;
CREATE TABLE flip.items AS SELECT n AS id, (n * 7919) % 6007 AS code, (n::bigint * 104729 % {ITEMS})::int AS rank, n % 40 AS shop,
    repeat('x', 120) AS padding FROM generate_series(1, {ITEMS}) n;
CREATE INDEX items_code ON flip.items (code);
CREATE INDEX items_rank ON flip.items (rank);
CREATE TABLE flip.orders AS SELECT n AS id, 1 + (n * 31) % {ITEMS} AS item_id, n % 500 AS amount FROM generate_series(1, {ITEMS}) n;
CREATE INDEX orders_item ON flip.orders (item_id);
CREATE TABLE flip.pairs AS SELECT n AS id, n % 10 AS kind, n % 10 AS was, (n * 733) % 301 AS code FROM generate_series(1, 3000) n;
CREATE TABLE flip.quiet AS SELECT n AS id, n % 97 AS part, n * 13 % 1000 AS value FROM generate_series(1, 5000) n;
CREATE TABLE flip.calm AS SELECT n AS id, n % 89 AS part, n * 17 % 1000 AS value FROM generate_series(1, 5000) n;
CREATE TABLE flip.still AS SELECT n AS id, n % 83 AS part, n * 19 % 1000 AS value FROM generate_series(1, 5000) n;
GRANT USAGE ON SCHEMA flip TO souk_service;
GRANT SELECT ON ALL TABLES IN SCHEMA flip TO souk_service
"""
HEAD = """-- name: flip.{name}
-- version: 1
-- description: One that may flip.
-- class: {query_class}
-- parameters:
--   value: {{type: int, description: What is looked for.}}
{text}
"""


@dataclass(frozen=True)
class Flip:
    """One query, its values, and its text with one parameter."""

    name: str
    text: str
    values: range
    query_class: str = "listing"

    @property
    def key(self) -> str:
        return f"flip.{self.name}@1"


QUERIES = (
    Flip("by_code", "SELECT id, shop FROM flip.items WHERE code = {}", range(6007), "lookup"),
    Flip("top", "SELECT id, rank FROM flip.items WHERE rank > {} ORDER BY rank LIMIT 20", range(ITEMS // 2)),
    Flip("bought", "SELECT sum(amount) AS amount FROM flip.orders WHERE item_id BETWEEN {} AND {} + 20", range(1, ITEMS - 30)),
    Flip(
        "twins",
        "SELECT count(*) AS twins FROM flip.pairs a JOIN flip.pairs b ON a.code = b.code WHERE a.kind = {} AND b.kind = {}",
        range(3, 5),
    ),
    Flip("quiet", "SELECT part, sum(value) AS value FROM flip.quiet WHERE part <> {} GROUP BY part", range(90)),
    Flip("calm", "SELECT part, sum(value) AS value FROM flip.calm WHERE part <> {} GROUP BY part", range(80)),
    Flip("still", "SELECT count(*) AS n, max(value) AS most FROM flip.still WHERE part <> {}", range(80)),
)


def write_queries(folder: Path) -> None:
    """As files of a catalogue."""
    for query in QUERIES:
        text = query.text.replace("{}", ":value::int")
        (folder / f"{query.name}.sql").write_text(HEAD.format(name=query.name, query_class=query.query_class, text=text))


@dataclass(frozen=True)
class Injection:
    """Something that goes wrong in a database, and what must be said of it."""

    cause: str
    statements: Sequence[str] = ()
    settings: Sequence[str] = ()
    """Of the planner, that are switched off for the whole server."""


STALE = (
    "UPDATE flip.pairs SET kind = 99 WHERE was IN (3, 4)",
    "ANALYZE flip.pairs",
    "UPDATE flip.pairs SET kind = was WHERE kind = 99",
)
INDEXES = ("items_code", "items_rank", "orders_item")
SCANS = ("enable_indexscan", "enable_bitmapscan", "enable_indexonlyscan")
JOINS = ("enable_hashjoin", "enable_mergejoin")


def injection(seed: int) -> Injection:
    """One of the three causes after the other; which indexes, and which settings, the seed says."""
    chance = random.Random(seed)
    match seed % 3:
        case 0:
            dropped = chance.sample(INDEXES, chance.randint(1, 3))
            return Injection("index_dropped", tuple(f"DROP INDEX flip.{name}" for name in dropped))
        case 1:
            return Injection("setting_changed", settings=chance.choice((SCANS, JOINS, SCANS + JOINS)))
    return Injection("statistics_stale", STALE)


NOTHING = Injection("")


async def make_template(server: PostgresServer, name: str) -> None:
    """A database with the tables and their statistics, to be copied."""
    async with connection(server, name) as owner:
        for statement in TABLES.split(";\n"):
            await owner.execute(statement)


@contextlib.asynccontextmanager
async def connection(server: PostgresServer, database: str = "postgres") -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """As the owner, while the body runs."""
    made = await asyncpg.connect(server.dsn(database))
    try:
        yield made
    finally:
        await made.close()


async def inject(server: PostgresServer, database: str, injection: Injection) -> None:
    """Do it, and return when the server has counted it."""
    async with connection(server, database) as owner:
        for statement in injection.statements:
            await owner.execute(statement)
        for setting in injection.settings:
            await owner.execute(f"ALTER SYSTEM SET {setting} = off")
        await owner.execute("SELECT pg_reload_conf()")
    async with connection(server, database) as owner:
        for setting in injection.settings:
            await _until(owner, f"SELECT current_setting('{setting}') = 'off'")
        if injection.statements == STALE:
            await _until(owner, "SELECT n_mod_since_analyze >= 600 FROM pg_stat_all_tables WHERE relid = 'flip.pairs'::regclass")


async def _until(owner: "asyncpg.Connection[asyncpg.Record]", question: str) -> None:
    async with asyncio.timeout(30):
        while not await owner.fetchval(question):
            await asyncio.sleep(0.01)


async def take_back(server: PostgresServer, injection: Injection) -> None:
    """What is of the whole server; the database goes anyway."""
    async with connection(server) as owner:
        for setting in injection.settings:
            await owner.execute(f"ALTER SYSTEM RESET {setting}")
        await owner.execute("SELECT pg_reload_conf()")
        for setting in injection.settings:
            await _until(owner, f"SELECT current_setting('{setting}') = 'on'")


@dataclass
class Measured:
    """What EXPLAIN ANALYZE says of each query: the median of milliseconds, and its steps."""

    milliseconds: dict[str, float] = field(default_factory=dict)
    steps: dict[str, list[str]] = field(default_factory=dict)


async def measure(server: PostgresServer, database: str, seed: int, settings: Mapping[str, str], runs: int = 7) -> Measured:
    """With values that the seed chooses, each on its own."""
    found, chance = Measured(), random.Random(seed)
    async with connection(server, database) as owner:
        for name, value in settings.items():
            await owner.execute(f"SET {name} = '{value}'")
        for query in QUERIES:
            took = []
            for _ in range(runs):
                text = query.text.replace("{}", str(chance.choice(query.values)))
                plan = json.loads(await owner.fetchval(f"EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) {text}"))[0]
                took.append(plan["Execution Time"])
            found.milliseconds[query.key] = statistics.median(took)
            found.steps[query.key] = list(_steps(plan["Plan"]))
    return found


def _steps(node: dict) -> list[str]:
    below = [step for child in node.get("Plans", ()) for step in _steps(child)]
    return [f"{node['Node Type']} {node.get('Index Name', '')}", *below]
