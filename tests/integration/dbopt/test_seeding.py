"""A seeding on real PostgreSQL: what it leaves is counted by SQL, and whoever is killed is followed by a run that goes on."""

import asyncio
import itertools
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import pytest
from postgres_servers import PostgresServer
from souk_dbopt import seeding
from souk_dbopt.adapters import schema
from souk_dbopt.seeding import Seeded, TableProgress

Connection = asyncpg.Connection
END = date(2026, 11, 26)
TABLES = (
    "categories",
    "users",
    "sellers",
    "products",
    "images",
    "product_views",
    "orders",
    "order_items",
    "reviews",
    "seller_stats",
)
STATS = """
SELECT seller_id, coalesce(sold, 0), coalesce(ratings, 0), coalesce(stars, 0)
FROM (SELECT seller_id, sum(quantity) AS sold FROM shop.order_items WHERE NOT is_cancelled GROUP BY 1) AS sales
FULL JOIN (
    SELECT seller_id, count(*) AS ratings, sum(rating) AS stars FROM shop.reviews JOIN shop.products USING (product_id) GROUP BY 1
) AS reviewed USING (seller_id) ORDER BY 1
"""
END_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
SCRIPT = """
import asyncio, sys, datetime, asyncpg
from souk_dbopt import seeding
async def main():
    dsn, products, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    connect = lambda: asyncpg.connect(dsn)
    await seeding.seed(await connect(), connect, products, 1, end=datetime.date(2026, 11, 26), batch=batch)
asyncio.run(main())
"""
Make = Callable[[], Awaitable[str]]
_numbers = itertools.count(1)


@pytest.fixture
async def make(postgres: PostgresServer) -> AsyncIterator[Make]:
    """Makes databases with the tables, and gives their DSNs."""
    names: list[str] = []
    admin = await asyncpg.connect(postgres.dsn())

    async def one() -> str:
        names.append(f"seeding_{next(_numbers)}")
        await admin.execute(f"CREATE DATABASE {names[-1]}")
        owner = await asyncpg.connect(postgres.dsn(names[-1]))
        await schema.migrate(owner)
        await owner.close()
        return postgres.dsn(names[-1])

    yield one
    for name in names:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def seed(dsn: str, products: int = 300, number: int = 1, **more: Any) -> Seeded:
    chosen = {"end": END, "batch": 100, **more}
    connection = await asyncpg.connect(dsn)
    try:
        return await seeding.seed(connection, lambda: asyncpg.connect(dsn), products, number, **chosen)
    finally:
        await connection.close()


async def ask(dsn: str, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query, *arguments)]
    finally:
        await connection.close()


async def count(dsn: str, table: str) -> int:
    ((rows,),) = await ask(dsn, f"SELECT count(*) FROM shop.{table}")
    return int(rows)


async def digests(dsn: str) -> dict[str, tuple[Any, ...]]:
    """(rows, MD5 of all of their columns) by table."""
    query = "SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM shop.{} AS t"
    return {table: (await ask(dsn, query.format(table)))[0] for table in TABLES}


async def test_everything_is_there_and_what_is_counted_beside_it_agrees(make: Make):
    dsn = await make()
    told: list[tuple[str, int, int]] = []

    def report(table: TableProgress) -> None:
        told.append((table.table, table.done, table.batches))

    seeded = await seed(dsn, 500, report=report)
    assert not seeded.was_complete
    for table in TABLES:
        counted = await count(dsn, table)
        assert (seeded.rows[table], counted) == (counted, counted)
        assert counted > 0
        (batches,) = {batches for name, _, batches in told if name == table}
        assert [done for name, done, _ in told if name == table] == list(range(batches + 1))
    assert seeded.new_rows == sum(seeded.rows.values())
    assert (seeded.rows["products"], seeded.rows["reviews"], seeded.rows["orders"]) == (500, 500, 250)
    assert seeded.database_bytes > 5_000_000
    assert await ask(dsn, "SELECT * FROM shop.seller_stats ORDER BY seller_id") == await ask(dsn, STATS)
    wrong = """
        SELECT product_id FROM shop.products AS p
        WHERE rating_count <> (SELECT count(*) FROM shop.reviews AS r WHERE r.product_id = p.product_id)
           OR rating_sum <> (SELECT coalesce(sum(rating), 0) FROM shop.reviews AS r WHERE r.product_id = p.product_id)
           OR popularity <> (SELECT coalesce(sum(views), 0) FROM shop.product_views AS v WHERE v.product_id = p.product_id)
    """
    assert await ask(dsn, wrong) == []


async def test_the_planner_knows_the_tables_in_the_end(make: Make):
    dsn = await make()
    await seed(dsn)
    known = dict(await ask(dsn, "SELECT relname, reltuples::bigint FROM pg_class WHERE relnamespace = 'shop'::regnamespace"))
    for table in TABLES:
        assert known[table] == await count(dsn, table)
    connection = await asyncpg.connect(dsn, server_settings={"enable_seqscan": "off", "enable_bitmapscan": "off"})
    for key, table in (("product_id", "product_views"), ("placed_at", "orders"), ("product_id", "order_items")):
        query = f"EXPLAIN (ANALYZE) SELECT {key} FROM shop.{table} ORDER BY 1"
        plan = "\n".join(row[0] for row in await connection.fetch(query))
        assert "Index Only Scan" in plan
        assert re.search(r"Heap Fetches: 0$", plan, re.MULTILINE), plan
    options = await connection.fetchval("SELECT reloptions FROM pg_class WHERE oid = 'shop.products_search'::regclass")
    assert options == ["fastupdate=off"]  # while it filled, words waited to be put into it
    await connection.close()


async def test_the_service_goes_on_with_the_next_ids_and_its_triggers_count(make: Make, postgres: PostgresServer):
    dsn = await make()
    await seed(dsn)
    service = dsn.replace("postgres@", "souk_service@")
    last = {table: await count(dsn, table) for table in ("users", "orders", "reviews")}
    user = await ask(
        service, "INSERT INTO shop.users (wallet, display_name) VALUES ('0x' || repeat('0', 40), 'New') RETURNING user_id"
    )
    assert user == [(last["users"] + 1,)]
    before = (await ask(dsn, "SELECT seller_id, rating_count, rating_sum FROM shop.products WHERE product_id = 1"))[0]
    stats = "SELECT rating_count, items_sold FROM shop.seller_stats WHERE seller_id = $1"
    (ratings, sold), *_ = [*await ask(dsn, stats, before[0]), (0, 0)]
    review = "INSERT INTO shop.reviews (product_id, user_id, rating, body) VALUES (1, $1, 5, '') RETURNING review_id"
    assert await ask(service, review, user[0][0]) == [(last["reviews"] + 1,)]
    order = "INSERT INTO shop.orders (buyer_id, request_id, total_cents, currency) VALUES (1, 'mine', 1, 'USD') RETURNING order_id"
    ((order_id,),) = await ask(service, order)
    assert order_id == last["orders"] + 1
    await ask(service, "INSERT INTO shop.order_items VALUES ($1, 1, 1, $2, 3, 100, 'USD', now())", order_id, before[0])
    after = await ask(dsn, "SELECT seller_id, rating_count, rating_sum FROM shop.products WHERE product_id = 1")
    assert after == [(before[0], before[1] + 1, before[2] + 5)]
    assert await ask(dsn, stats, before[0]) == [(ratings + 1, sold + 3)]


async def test_whoever_is_killed_is_followed_by_a_run_that_makes_the_same_rows(make: Make):
    killed, undisturbed = await make(), await make()
    await seed(undisturbed, 1500, batch=50)
    watching = await asyncpg.connect(killed)
    try:
        for batches in (10, 50, 75, 110):  # of 160: users, products, then orders, views and reviews
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", SCRIPT, killed, "1500", "50")
            async with asyncio.timeout(60):
                while process.returncode is None and await watching.fetchval("SELECT count(*) FROM shop.seeded_batches") < batches:
                    await asyncio.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            assert await process.wait() == -signal.SIGKILL
            assert await watching.fetchval("SELECT finished_at FROM shop.seeding") is None
    finally:
        await watching.close()
    seeded = await seed(killed, 1500, batch=50)
    assert 0 < seeded.new_rows < sum(seeded.rows.values())
    assert await digests(killed) == await digests(undisturbed)
    assert seeded.rows == {table: await count(killed, table) for table in TABLES}  # none was made a second time


async def test_two_runs_at_once_share_the_work(make: Make):
    shared, alone = await make(), await make()
    first, second = await asyncio.gather(seed(shared, 800, batch=50), seed(shared, 800, batch=50))
    await seed(alone, 800, batch=50)
    assert await digests(shared) == await digests(alone)
    assert first.rows == second.rows == {table: rows for table, (rows, _) in (await digests(alone)).items()}
    assert min(first.new_rows, second.new_rows) > 0


async def test_a_connection_that_breaks_is_told_and_the_next_run_goes_on(make: Make):
    dsn, undisturbed = await make(), await make()
    admin = await asyncpg.connect(dsn)
    broken: list[int] = []

    def breaks(table: TableProgress) -> None:
        if table.table == "products" and table.done == 3 and not broken:
            broken.append(table.rows)
            tasks.append(asyncio.ensure_future(admin.execute(END_ALL)))

    tasks: list[asyncio.Future[str]] = []
    with pytest.raises(seeding.InterruptedSeedingError, match="connection") as caught:
        await seed(dsn, 1000, batch=50, report=breaks)
    assert "same command" in caught.value.hint
    await tasks[0]
    await admin.close()
    await seed(dsn, 1000, batch=50)
    await seed(undisturbed, 1000, batch=50)
    assert await digests(dsn) == await digests(undisturbed)


async def test_a_second_time_nothing_is_changed(make: Make):
    dsn = await make()
    first = await seed(dsn)
    finished = "SELECT xmin::text, finished_at FROM shop.seeding"
    before = await digests(dsn), await ask(dsn, finished)
    again = await seed(dsn, end=None)
    assert (again.was_complete, again.new_rows, again.rows, again.plan) == (True, 0, first.rows, first.plan)
    assert (await digests(dsn), await ask(dsn, finished)) == before


async def test_another_plan_is_refused_with_the_one_that_was_made(make: Make):
    dsn = await make()
    await seed(dsn)
    before = await digests(dsn)
    for other in ({"products": 301}, {"number": 2}, {"end": date(2026, 11, 25)}):
        with pytest.raises(seeding.OtherSeedingError, match="was seeded with --products 300 --seed 1 --end 2026-11-26") as caught:
            await seed(dsn, **other)
        assert "createdb" in caught.value.hint
    assert await digests(dsn) == before


async def test_rows_of_others_are_left_alone(make: Make):
    dsn = await make()
    await ask(dsn, "INSERT INTO shop.users (wallet, display_name) VALUES ('0x' || repeat('a', 40), 'Somebody')")
    with pytest.raises(seeding.OtherDataError, match=r"shop\.users has rows"):
        await seed(dsn)
    assert await ask(dsn, "SELECT count(*) FROM shop.products") == [(0,)]
    assert await ask(dsn, "SELECT user_id, display_name FROM shop.users") == [(1, "Somebody")]


async def test_without_the_tables_it_says_how_to_make_them(postgres: PostgresServer, database: str):
    with pytest.raises(seeding.SchemaMissingError) as caught:
        await seed(postgres.dsn(database))
    assert "souk db migrate" in caught.value.hint


async def test_only_the_owner_seeds(make: Make):
    dsn = await make()
    with pytest.raises(seeding.NotOwnerError) as caught:
        await seed(dsn.replace("postgres@", "souk_service@"))
    assert "owner" in caught.value.hint
    assert await ask(dsn, "SELECT count(*) FROM shop.seeding") == [(0,)]


async def test_an_owner_who_is_no_superuser_is_enough(make: Make):
    dsn = await make()
    await ask(dsn, "DROP ROLE IF EXISTS plain_owner")
    await ask(dsn, "CREATE ROLE plain_owner LOGIN")
    name = dsn.rpartition("/")[2]
    await ask(dsn, f"ALTER DATABASE {name} OWNER TO plain_owner")
    await ask(dsn, "ALTER SCHEMA shop OWNER TO plain_owner")
    for (table,) in await ask(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'shop'"):
        await ask(dsn, f"ALTER TABLE shop.{table} OWNER TO plain_owner")
    for (function,) in await ask(
        dsn, "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'shop'::regnamespace AND NOT prosecdef"
    ):
        await ask(dsn, f"ALTER FUNCTION {function} OWNER TO plain_owner")
    seeded = await seed(dsn.replace("postgres@", "plain_owner@"))
    assert seeded.rows["products"] == 300
    await ask(dsn, "REASSIGN OWNED BY plain_owner TO postgres")
    await ask(dsn, "DROP OWNED BY plain_owner")
    await ask(dsn, "DROP ROLE plain_owner")


async def test_a_run_that_goes_on_keeps_the_day_of_the_first(make: Make):
    dsn = await make()
    await seed(dsn, 10, end=date(2026, 1, 31))
    assert (await seed(dsn, 10, end=None)).plan.end == date(2026, 1, 31)
    today = await make()
    before = datetime.now(UTC).date()
    assert before <= (await seed(today, 10, end=None)).plan.end <= datetime.now(UTC).date()
