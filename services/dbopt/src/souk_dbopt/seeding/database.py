"""The database of a seeding: what it has already, and how a batch gets in."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

import asyncpg

from souk_dbopt.seeding.exceptions import (
    InterruptedSeedingError,
    NotOwnerError,
    OtherDataError,
    OtherSeedingError,
    SchemaMissingError,
    SeedingError,
)
from souk_dbopt.seeding.parts import TABLES
from souk_dbopt.seeding.plan import BATCH, Plan
from souk_dbopt.seeding.rows import Rows

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
CHUNK = 256 * 1024
SETTINGS = (
    "SET synchronous_commit = off",  # a crash loses whole batches, and with them their progress
    "SET statement_timeout = 0",
    "SET lock_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    "SET search_path = pg_catalog, pg_temp",
)
_IDS = {"users": "user_id", "sellers": "seller_id", "products": "product_id", "orders": "order_id", "reviews": "review_id"}
_AGAIN = "Nothing is lost: the same command goes on where this one ended."
_MIGRATE = "`souk db migrate` makes the tables."

DRIVER_ERRORS: tuple[type[Exception], ...] = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

_KEPT = "SELECT table_name, array_agg(batch) AS batches, sum(row_count)::bigint AS n FROM shop.seeded_batches GROUP BY table_name"
_CLAIM = """
INSERT INTO shop.seeded_batches (table_name, batch, row_count)
SELECT table_name, $2, row_count FROM unnest($1::text[], $3::bigint[]) AS batches (table_name, row_count)
ON CONFLICT DO NOTHING RETURNING table_name
"""
_COUNT = """
INSERT INTO shop.seller_stats (seller_id, items_sold, rating_count, rating_sum)
SELECT seller_id, coalesce(items_sold, 0), coalesce(rating_count, 0), coalesce(rating_sum, 0)
FROM (
    SELECT seller_id, sum(quantity) AS items_sold
    FROM shop.order_items WHERE NOT is_cancelled GROUP BY seller_id
) AS sales
FULL JOIN (
    SELECT products.seller_id, count(*) AS rating_count, sum(reviews.rating) AS rating_sum
    FROM shop.reviews JOIN shop.products USING (product_id) GROUP BY products.seller_id
) AS ratings USING (seller_id)
ORDER BY seller_id
ON CONFLICT (seller_id) DO UPDATE SET items_sold = excluded.items_sold, rating_count = excluded.rating_count,
                                      rating_sum = excluded.rating_sum
"""
_WAITING = "ALTER INDEX IF EXISTS shop.products_search SET (fastupdate = %s)"
"""Whether words wait before they are put into the index of searches, many at once. With searches at the same time they must not."""
_COUNTED = """
INSERT INTO shop.seeded_batches (table_name, batch, row_count) SELECT 'seller_stats', 0, count(*) FROM shop.seller_stats
ON CONFLICT (table_name, batch) DO UPDATE SET row_count = excluded.row_count RETURNING row_count
"""


async def settle(connection: Connection) -> None:
    """Give a connection the settings for writing much."""
    for setting in SETTINGS:
        await connection.execute(setting)


@dataclass(frozen=True, slots=True)
class Begun:
    """A seeding that has its place in the database."""

    plan: Plan
    finished: bool
    batches: Mapping[str, frozenset[int]]
    """By table: those that are there."""
    rows: Mapping[str, int]
    """By table: how many that came to."""


async def begin(connection: Connection, products: int, seed: int, end: date, *, fixed_end: bool, batch: int = BATCH) -> Begun:
    """Find what there is of a seeding, or give it its place.

    fixed_end: the end is asked for; else a seeding that was begun keeps its own.

    Raises:
        SchemaMissingError, OtherDataError, OtherSeedingError, NotOwnerError: see there.
    """
    asked = Plan(products, seed, end, batch)
    async with connection.transaction():
        if await connection.fetchval("SELECT to_regclass('shop.seeding')") is None:
            raise SchemaMissingError("The tables of the marketplace are not there.", _MIGRATE)
        await connection.execute("LOCK TABLE shop.seeding IN SHARE ROW EXCLUSIVE MODE")
        row = await connection.fetchrow("SELECT products, seed, end_day, batch, finished_at FROM shop.seeding")
        if row is None:
            await _make_room(connection, asked)
            return Begun(asked, finished=False, batches={}, rows={})
        plan = Plan(row["products"], row["seed"], row["end_day"], row["batch"])
        if (plan.products, plan.seed) != (products, seed) or (fixed_end and plan.end != end):
            made = f"--products {plan.products} --seed {plan.seed} --end {plan.end}"
            state = "was seeded" if row["finished_at"] else "is being seeded"
            raise OtherSeedingError(
                f"This database {state} with {made}.",
                "Give the same to go on, or seed a database of its own: `createdb`, `souk db migrate`.",
            )
        kept = await connection.fetch(_KEPT)
        batches = {each["table_name"]: frozenset(each["batches"]) for each in kept}
        return Begun(plan, row["finished_at"] is not None, batches, {each["table_name"]: each["n"] for each in kept})


async def _make_room(connection: Connection, plan: Plan) -> None:
    """Note the plan in a database without rows, and have what is inserted by others from now on begin after its ids."""
    for table in TABLES:
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM shop.{table})"):  # noqa: S608 (names of ours)
            raise OtherDataError(
                f"shop.{table} has rows that `souk db seed` did not make.",
                "Seed a database of its own: `createdb`, `souk db migrate`.",
            )
    await connection.execute(
        "INSERT INTO shop.seeding (products, seed, end_day, batch) VALUES ($1, $2, $3, $4)",
        plan.products,
        plan.seed,
        plan.end,
        plan.batch,
    )
    await connection.execute(_WAITING % "on")
    for table, column in _IDS.items():
        await connection.execute("SELECT setval(pg_get_serial_sequence($1, $2), $3)", f"shop.{table}", column, getattr(plan, table))


async def commit(connection: Connection, batch: int, rows: Sequence[Rows], set_aside: tuple[str, str] | None = None) -> bool:
    """Write a batch and note that it is there, both or neither. False: somebody else has written it meanwhile.

    Who else writes the same batch is waited for, so that a run that was killed, and whose last COMMIT is on its way, does no harm.
    """
    async with connection.transaction():
        sizes = [len(each.lines) for each in rows]
        claimed = await connection.fetch(_CLAIM, [each.table for each in rows], batch, sizes)
        if not claimed:
            return False
        if set_aside:
            await connection.execute(f"ALTER TABLE shop.{set_aside[0]} DISABLE TRIGGER {set_aside[1]}")
        for each in rows:
            await connection.copy_to_table(
                each.table, schema_name="shop", columns=each.columns, source=_chunks(each), format="text"
            )
        if set_aside:
            await connection.execute(f"ALTER TABLE shop.{set_aside[0]} ENABLE TRIGGER {set_aside[1]}")
    return True


async def _chunks(rows: Rows) -> AsyncIterator[bytes]:
    data = memoryview(rows.encoded())
    for start in range(0, len(data), CHUNK):
        yield bytes(data[start : start + CHUNK])


async def count_stats(connection: Connection) -> int:
    """Fill seller_stats with what its triggers would have counted; how many rows that makes. Everything is on disk after it."""
    await connection.execute("SET synchronous_commit = on")  # VACUUM takes no row for visible whose commit is not on disk
    async with connection.transaction():
        await connection.execute("LOCK TABLE shop.order_items, shop.reviews IN SHARE ROW EXCLUSIVE MODE")
        await connection.execute(_COUNT)
        written: int = await connection.fetchval(_COUNTED)
    return written


async def finish(connection: Connection) -> None:
    """Gather statistics and visibility for the planner, and note that the seeding is complete."""
    await connection.execute(_WAITING % "off")
    await connection.execute("VACUUM (ANALYZE) " + ", ".join(f"shop.{table}" for table in TABLES))
    await connection.execute("UPDATE shop.seeding SET finished_at = now() WHERE finished_at IS NULL")


def told(error: Exception) -> SeedingError:
    """An error of the driver as one of ours."""
    if isinstance(error, SeedingError):
        return error
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return NotOwnerError(str(error), "Seed as the owner of the tables: the role that `souk db migrate` ran as.")
    if isinstance(error, (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InvalidSchemaNameError)):
        return SchemaMissingError(str(error), _MIGRATE)
    if isinstance(error, asyncpg.UniqueViolationError):
        return OtherDataError(
            f"A row is in the way: {error}", "Somebody wrote rows with ids of the seeding. Seed a database of its own."
        )
    if isinstance(
        error,
        (
            OSError,
            asyncio.IncompleteReadError,
            asyncpg.PostgresConnectionError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ),
    ):
        return InterruptedSeedingError(f"The connection to PostgreSQL broke: {error}", _AGAIN)
    return InterruptedSeedingError(f"PostgreSQL says: {error}", _AGAIN)
