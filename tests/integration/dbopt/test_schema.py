"""The schema of a real database, brought up to date by numbered migrations."""

import asyncio
from typing import Any

import asyncpg
import pytest
from postgres_servers import PostgresServer
from souk_common.migrations import Migration, MigrationError, migrate, pending
from souk_dbopt.adapters import schema

Connection = asyncpg.Connection
ROLES = {"service": "souk_service", "explain": "souk_explain"}


def step(number: int, text: str, component: str = "shop") -> Migration:
    return Migration(component, number, "made", text)


async def tables(connection: Connection) -> set[str]:
    rows = await connection.fetch(
        "SELECT schemaname || '.' || tablename AS name FROM pg_tables WHERE schemaname IN ('shop', 'souk')"
    )
    return {row["name"] for row in rows}


async def test_an_empty_database_gets_everything_and_a_second_time_nothing(owner: Connection):
    told: list[Migration] = []
    applied = await schema.migrate(owner, on_step=told.append)
    assert applied == told == schema.all_migrations()
    assert {"shop.products", "shop.orders", "souk.migrations"} <= await tables(owner)
    assert await schema.migrate(owner) == []
    assert await pending(owner, schema.all_migrations()) == []


async def test_a_shop_with_tables_of_its_own_gets_only_what_dbopt_needs(owner: Connection):
    await schema.migrate(owner, components=[schema.SOUK])
    assert not {name for name in await tables(owner) if name.startswith("shop.")}


async def test_several_who_migrate_at_once_apply_each_once(postgres: PostgresServer, database: str):
    async def run() -> list[Migration]:
        connection = await asyncpg.connect(postgres.dsn(database))
        try:
            return await schema.migrate(connection)
        finally:
            await connection.close()

    applied = await asyncio.gather(*(run() for _ in range(8)))
    assert sorted(map(len, applied)) == [0] * 7 + [len(schema.all_migrations())]


async def test_one_that_fails_leaves_nothing_behind_and_those_before_it_stay(owner: Connection):
    steps = [step(1, "CREATE SCHEMA shop; CREATE TABLE shop.first ()"), step(2, "CREATE TABLE shop.second (); SELECT 1/0")]
    with pytest.raises(MigrationError, match="shop 0002 made: division by zero"):
        await migrate(owner, steps, variables={})
    assert await tables(owner) == {"shop.first", "souk.migrations"}
    assert await migrate(owner, [steps[0], step(2, "CREATE TABLE shop.second ()")], variables={}) == [
        step(2, "CREATE TABLE shop.second ()")
    ]


async def test_a_migration_that_was_changed_after_it_was_applied_is_refused(owner: Connection):
    await migrate(owner, [step(1, "SELECT 1")], variables={})
    with pytest.raises(MigrationError, match="another text than they have now: shop 0001 made"):
        await migrate(owner, [step(1, "SELECT 2")], variables={})


async def test_a_database_that_is_newer_is_left_alone(owner: Connection):
    await migrate(owner, [step(1, "SELECT 1"), step(2, "SELECT 2"), step(1, "SELECT 3", "other")], variables={})
    with pytest.raises(MigrationError, match="newer than this release: it has shop 0002"):
        await migrate(owner, [step(1, "SELECT 1")], variables={})


async def test_who_may_not_is_told_so_and_nothing_is_changed(postgres: PostgresServer, database: str, owner: Connection):
    await owner.execute("DROP ROLE IF EXISTS nobody_special; CREATE ROLE nobody_special LOGIN")
    guest = await asyncpg.connect(postgres.dsn(database, "nobody_special"))
    try:
        with pytest.raises(MigrationError, match=r"there is no role made_by_nobody.*CREATE ROLE"):
            await schema.migrate(guest, roles=schema.Roles("made_by_nobody", "made_by_nobody_too"))
        with pytest.raises(MigrationError, match="must own the database"):
            await migrate(guest, [step(1, "SELECT 1")], variables={})
    finally:
        await guest.close()
    assert await tables(owner) == set()


async def test_a_lock_that_others_hold_is_waited_for_no_longer_than_said(
    postgres: PostgresServer, database: str, owner: Connection
):
    await migrate(owner, [step(1, "CREATE SCHEMA shop; CREATE TABLE shop.held (id int)")], variables={})
    other = await asyncpg.connect(postgres.dsn(database))
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE shop.held")
            steps = [step(1, "CREATE SCHEMA shop; CREATE TABLE shop.held (id int)"), step(2, "ALTER TABLE shop.held ADD name text")]
            with pytest.raises(MigrationError, match="a table is in use by others"):
                await migrate(owner, steps, variables={}, lock_timeout=0.05)
    finally:
        await other.close()


def test_a_variable_that_is_not_given_is_named():
    async def run() -> Any:
        return await migrate(None, [step(1, 'GRANT SELECT ON x TO :"reader"')], variables=ROLES)  # type: ignore[arg-type]

    with pytest.raises(MigrationError, match='nothing is given for :"reader"'):
        asyncio.run(run())


@pytest.fixture
async def migrated(owner: Connection) -> Connection:
    await schema.migrate(owner)
    return owner


async def as_role(postgres: PostgresServer, database: str, role: str, *statements: str) -> None:
    connection = await asyncpg.connect(postgres.dsn(database, role))
    try:
        for statement in statements:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_the_service_changes_rows_and_no_schema(postgres: PostgresServer, database: str, migrated: Connection):
    forbidden = (
        "CREATE TABLE shop.mine ()",
        "CREATE SCHEMA mine",
        "CREATE TABLE public.mine ()",
        "ALTER TABLE shop.products ADD mine int",
        "TRUNCATE shop.products",
        "DROP TABLE shop.products",
        "INSERT INTO shop.seller_stats VALUES (1)",
        "DELETE FROM souk.migrations",
        "CREATE ROLE mine",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY shop.products TO PROGRAM 'cat'",
    )
    await as_role(postgres, database, "souk_service", *forbidden)
    service = await asyncpg.connect(postgres.dsn(database, "souk_service"))
    try:
        await service.execute("INSERT INTO shop.users (wallet, display_name) VALUES ($1, 'Anna')", "0x" + 40 * "a")
        assert await service.fetchval("SELECT count(*) FROM souk.migrations") == len(schema.all_migrations())
    finally:
        await service.close()


async def test_who_explains_may_only_read(postgres: PostgresServer, database: str, migrated: Connection):
    forbidden = (
        "INSERT INTO shop.categories (category_id, slug, name) VALUES (1, 'a', 'A')",
        "UPDATE shop.products SET stock = 0",
        "DELETE FROM shop.orders",
        "SELECT * FROM shop.products FOR UPDATE",
        "SELECT nextval('shop.orders_order_id_seq')",
        "SELECT * FROM souk.migrations",
        "CREATE TABLE shop.mine ()",
    )
    await as_role(postgres, database, "souk_explain", *forbidden)


async def test_sales_and_reviews_are_counted_whoever_writes_them(migrated: Connection):
    await migrated.execute("""
        INSERT INTO shop.users (wallet, display_name)
            SELECT '0x' || lpad(n::text, 40, '0'), 'user ' || n FROM generate_series(1, 6) n;
        INSERT INTO shop.sellers (user_id, name, slug, country) VALUES (1, 'One', 'one', 'DE'), (2, 'Two', 'two', 'FR');
        INSERT INTO shop.categories VALUES (1, NULL, 'shoes', 'Shoes');
        INSERT INTO shop.products (seller_id, category_id, title, description, price_cents, stock)
            SELECT 1 + n % 2, 1, 'Shoe ' || n, '', 100 * n, 10 FROM generate_series(1, 4) n;
        INSERT INTO shop.orders (buyer_id, request_id, total_cents, currency) VALUES
            (3, 'a', 0, 'USD'), (4, 'b', 0, 'USD'), (4, 'c', 0, 'EUR'), (4, 'd', 0, 'EUR');
        INSERT INTO shop.order_items (order_id, line, product_id, seller_id, quantity, price_cents, currency)
            VALUES (1, 1, 2, 1, 3, 200, 'USD'), (1, 2, 1, 2, 1, 100, 'USD'), (2, 1, 4, 1, 1, 400, 'USD'),
                   (3, 1, 4, 1, 7, 400, 'EUR'), (4, 1, 4, 1, 9, 400, 'EUR');
        INSERT INTO shop.reviews (product_id, user_id, rating, body)
            SELECT p, u, 1 + (p + u) % 5, '' FROM generate_series(1, 4) p, generate_series(3, 6) u;
        UPDATE shop.reviews SET rating = 5 WHERE user_id = 3;
        UPDATE shop.order_items SET quantity = 2 WHERE order_id = 2;
        DELETE FROM shop.reviews WHERE user_id = 4;
        DELETE FROM shop.order_items WHERE line = 2;
        UPDATE shop.orders SET status = 'cancelled' WHERE order_id > 2;
        UPDATE shop.orders SET status = 'paid' WHERE order_id < 4;
    """)
    counted = await migrated.fetch("""
        SELECT seller_id, coalesce(items, 0)::bigint, coalesce(ratings, 0), coalesce(stars, 0)
        FROM shop.sellers
        LEFT JOIN (SELECT seller_id, sum(quantity) AS items FROM shop.order_items JOIN shop.orders USING (order_id)
                   WHERE status <> 'cancelled' GROUP BY seller_id) AS sold USING (seller_id)
        LEFT JOIN (SELECT seller_id, count(*) AS ratings, sum(rating) AS stars
                   FROM shop.reviews JOIN shop.products USING (product_id) GROUP BY seller_id) AS rated USING (seller_id)
        ORDER BY seller_id""")
    kept = await migrated.fetch("SELECT * FROM shop.seller_stats ORDER BY seller_id")
    assert [tuple(row) for row in kept] == [tuple(row) for row in counted]
    wrong = await migrated.fetchval("""
        SELECT count(*) FROM shop.products LEFT JOIN (
            SELECT product_id, count(*) AS ratings, sum(rating) AS stars FROM shop.reviews GROUP BY product_id
        ) AS rated USING (product_id)
        WHERE (rating_count, rating_sum) IS DISTINCT FROM (coalesce(ratings, 0), coalesce(stars, 0))""")
    assert wrong == 0


async def test_every_index_says_what_it_is_for(migrated: Connection):
    silent = await migrated.fetch("""
        SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'shop' AND NOT i.indisprimary AND obj_description(c.oid) IS NULL""")
    assert [row[0] for row in silent] == []
    described = await migrated.fetchval("""
        SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'shop' AND obj_description(c.oid) LIKE 'serves%'""")
    assert described >= 15
