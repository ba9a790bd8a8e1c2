"""What each change of the shop leaves in the outbox, whoever makes it: the tags that it touches, and nothing else."""

import asyncio
import random

import asyncpg
import pytest
from postgres_servers import PostgresServer

pytestmark = pytest.mark.shop
Connection = asyncpg.Connection
ORDER = """
INSERT INTO shop.orders (buyer_id, request_id, total_cents, currency) VALUES (1, 'a', 300, 'USD'), (2, 'b', 100, 'USD');
INSERT INTO shop.order_items (order_id, line, product_id, seller_id, quantity, price_cents, currency)
    VALUES (1, 1, 1, 2, 1, 100, 'USD'), (1, 2, 2, 3, 2, 100, 'USD'), (2, 1, 1, 2, 1, 100, 'USD');
INSERT INTO shop.product_views VALUES (1, '2026-11-01', 5);
INSERT INTO shop.images VALUES (5, 0, 'image', '');
"""
NEW_USER = "INSERT INTO shop.users (wallet, display_name, ens_name) VALUES ('0x' || repeat('a', 40), 'Anna', 'anna.eth')"
ANNA = {"user:25", f"wallet:0x{40 * 'a'}", "ens:anna.eth"}
NEW_PRODUCT = """INSERT INTO shop.products (seller_id, category_id, title, description, price_cents, stock)
                 SELECT 4, 3, 'Clog', '', 100, 1"""
FIRST, SECOND = {"product:1", "shown:1", "seller_products:2"}, {"product:2", "shown:2", "seller_products:3"}
IMAGE = {"product:1", "shown:1"}
CHANGES: dict[str, tuple[str, set[str]]] = {
    "a new product": (NEW_PRODUCT, {"product:121", "shown:121", "seller_products:4", "category_products:3"}),
    "a price": ("UPDATE shop.products SET price_cents = 1 WHERE product_id = 1", FIRST),
    "stock": ("UPDATE shop.products SET stock = 1 WHERE product_id IN (1, 2)", FIRST | SECOND),
    "a status": ("UPDATE shop.products SET status = 'removed' WHERE product_id = 1", {*FIRST, "category_products:3"}),
    "another category": (
        "UPDATE shop.products SET category_id = 2 WHERE product_id = 1",
        {*FIRST, "category_products:2", "category_products:3"},
    ),
    "another seller": (
        "UPDATE shop.products SET seller_id = 4 WHERE product_id = 1",
        {*FIRST, "seller_products:4", "category_products:3"},
    ),
    "a title, which orders show, too": (
        "UPDATE shop.products SET title = 'Red boot' WHERE product_id = 1",
        {*FIRST, "titled:1"},
    ),
    "popularity": ("UPDATE shop.products SET popularity = popularity + 1", set()),
    "nothing": ("UPDATE shop.products SET stock = stock", set()),
    "no product": ("UPDATE shop.products SET stock = 0 WHERE product_id = 0", set()),
    "a product that goes, with all that is its own": (
        "DELETE FROM shop.products WHERE product_id = 6",
        {"product:6", "shown:6", "seller_products:3", "category_products:2"},
    ),
    "a seller's name, which lists show, too": (
        "UPDATE shop.sellers SET name = 'Three' WHERE seller_id = 3",
        {"seller:3", "slug:seller-3", "user:23", "seller_names"},
    ),
    "a seller's address": (
        "UPDATE shop.sellers SET country = 'FR', user_id = 1 WHERE seller_id = 3",
        {"seller:3", "slug:seller-3", "user:23", "user:1"},
    ),
    "a new seller": (
        "INSERT INTO shop.sellers (user_id, name, slug, country) VALUES (1, 'New', 'new', 'DE')",
        {"seller:5", "slug:new", "user:1"},
    ),
    "a seller's figures": ("UPDATE shop.seller_stats SET items_sold = 9 WHERE seller_id = 3", {"seller:3"}),
    "a category's name": ("UPDATE shop.categories SET name = 'Boot' WHERE category_id = 2", {"categories", "category:2"}),
    "a new category": ("INSERT INTO shop.categories VALUES (4, 1, 'clogs', 'Clogs')", {"categories", "category:4"}),
    "a category that goes": (
        "INSERT INTO shop.categories VALUES (4, 1, 'clogs', 'Clogs'); DELETE FROM shop.categories WHERE category_id = 4",
        {"categories", "category:4"},
    ),
    "an image": ("INSERT INTO shop.images VALUES (1, 7, 'new', '')", IMAGE),
    "an image that moves": (
        "UPDATE shop.images SET product_id = 2, position = 9 WHERE product_id = 1 AND position = 0",
        IMAGE | {"product:2", "shown:2"},
    ),
    "an image that goes": ("DELETE FROM shop.images WHERE product_id = 1 AND position = 0", IMAGE),
    "a new user": (NEW_USER, ANNA),
    "an ENS name": (
        "UPDATE shop.users SET ens_name = 'anna.eth' WHERE user_id = 20",
        {"user:20", f"wallet:0x{20:040}", "ens:user-20.eth", "ens:anna.eth"},
    ),
    "a user's name, which reviews show": (
        "UPDATE shop.users SET display_name = 'Anna' WHERE user_id = 7",
        {"user:7", f"wallet:0x{7:040}", "ens:user-7.eth", "named:7"},
    ),
    "a user who goes": ("DELETE FROM shop.users WHERE user_id = 20", {"user:20", f"wallet:0x{20:040}", "ens:user-20.eth"}),
    "a review, which is counted": (
        "INSERT INTO shop.reviews (product_id, user_id, rating, body) VALUES (1, 9, 5, '')",
        {*FIRST, "seller:2"},
    ),
    "stars": ("UPDATE shop.reviews SET rating = 6 - rating WHERE product_id = 1 AND user_id = 1", {*FIRST, "seller:2"}),
    "a review that goes": (
        "DELETE FROM shop.reviews WHERE product_id IN (1, 2) AND user_id = 1",
        FIRST | SECOND | {"seller:2", "seller:3"},
    ),
    "an order's status": ("UPDATE shop.orders SET status = 'paid' WHERE order_id = 1", {"order:1", "user:1", "figures:sales"}),
    "an order that is cancelled": (
        "UPDATE shop.orders SET status = 'cancelled' WHERE order_id = 2",
        {"order:2", "user:2", "figures:sales", "seller_products:2", "figures:product:1", "seller:2"},
    ),
    "an order of another": (
        "UPDATE shop.orders SET buyer_id = 3 WHERE order_id = 1",
        {"order:1", "user:1", "user:3", "figures:sales"},
    ),
    "an item": (
        "UPDATE shop.order_items SET quantity = 5 WHERE order_id = 1 AND line = 1",
        {"order:1", "seller_products:2", "figures:product:1", "seller:2"},
    ),
    "an order that goes, with its items": (
        "DELETE FROM shop.orders WHERE order_id = 2",
        {"order:2", "user:2", "figures:sales", "seller_products:2", "figures:product:1", "seller:2"},
    ),
    "views": ("INSERT INTO shop.product_views VALUES (1, '2026-11-02', 5)", set()),
    "no images any more": ("TRUNCATE shop.images", {"product:*", "shown:*"}),
    "no orders any more": (
        "TRUNCATE shop.orders CASCADE",
        {"order:*", "user:*", "figures:sales", "figures:*", "seller_products:*"},
    ),
    "very many products": (
        f"{NEW_PRODUCT} FROM generate_series(1, 600)",
        {"product:*", "shown:*", "seller_products:*", "category_products:*", "titled:*"},
    ),
    "very many users": (
        "INSERT INTO shop.users (wallet, display_name) SELECT '0x' || lpad(n::text, 40, 'a'), 'x' FROM generate_series(1, 1001) n",
        {"user:*", "wallet:*", "ens:*", "named:*"},
    ),
}


@pytest.fixture
async def shop(owner: Connection) -> Connection:
    """A shop with orders, whose outbox is empty."""
    await owner.execute(ORDER)
    await owner.execute("DELETE FROM souk.outbox")
    return owner


async def tags(connection: Connection) -> set[str]:
    return {tag for row in await connection.fetch("SELECT tags FROM souk.outbox") for tag in row["tags"]}


async def test_each_change_tells_what_it_touches_and_nothing_else(shop: Connection):
    wrong = {}
    for name, (statement, expected) in CHANGES.items():
        change = shop.transaction()
        await change.start()
        await shop.execute(statement)
        found = await tags(shop)
        await change.rollback()
        if found != expected:
            wrong[name] = f"missing {sorted(expected - found)[:9]}, too much {sorted(found - expected)[:9]}"
    assert wrong == {}
    assert await tags(shop) == set()  # what is rolled back tells nothing


async def test_a_statement_of_a_thousand_tags_names_them_and_one_of_more_their_kinds(shop: Connection):
    for count in (999, 1000):
        change = shop.transaction()
        await change.start()
        await shop.execute(f"INSERT INTO shop.categories SELECT 100 + n, 1, 'c' || n, 'x' FROM generate_series(1, {count}) n")
        found = await tags(shop)
        await change.rollback()
        assert found == (
            {"categories", *(f"category:{100 + n}" for n in range(1, 1000))} if count == 999 else {"categories", "category:*"}
        )


async def test_a_row_is_there_when_its_write_is_and_not_before(shop: Connection, postgres: PostgresServer, database: str):
    other = await asyncpg.connect(postgres.dsn(database))
    try:
        async with shop.transaction():
            await shop.execute("UPDATE shop.products SET stock = 1 WHERE product_id = 1")
            assert await tags(other) == set()
        assert await tags(other) == FIRST
    finally:
        await other.close()


async def test_the_service_reads_and_removes_what_is_told_and_writes_nothing_into_it(
    shop: Connection, postgres: PostgresServer, database: str
):
    await shop.execute("UPDATE shop.products SET stock = 1 WHERE product_id = 1")
    service = await asyncpg.connect(postgres.dsn(database, "souk_service"))
    try:
        for forbidden in (
            "INSERT INTO souk.outbox (tags) VALUES ('{user:1}')",
            "UPDATE souk.outbox SET tags = '{user:1}'",
            "TRUNCATE souk.outbox",
            "SELECT souk.tell('{user:1}', '{}')",
            "SELECT shop.tell_products()",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(forbidden)
        assert await service.fetchval("SELECT count(*) FROM (SELECT FROM souk.outbox FOR UPDATE SKIP LOCKED) taken") == 1
        assert await service.execute("DELETE FROM souk.outbox") == "DELETE 1"
    finally:
        await service.close()


async def test_writers_of_the_same_rows_never_wait_for_each_other_in_a_circle(
    shop: Connection, postgres: PostgresServer, database: str
):
    """Each changes one table after the other in one transaction; those that their own rows do not stop end."""

    async def write(seed: int) -> None:
        chance = random.Random(seed)
        connection = await asyncpg.connect(postgres.dsn(database))
        try:
            for _ in range(10):
                product = chance.randint(11, 120)
                await connection.execute(
                    f"INSERT INTO shop.reviews (product_id, user_id, rating, body) VALUES ({product}, {seed + 1}, 5, '') "
                    "ON CONFLICT DO NOTHING"
                )
                await connection.execute(f"UPDATE shop.sellers SET name = name || '.' WHERE seller_id = {1 + product % 4}")
        finally:
            await connection.close()

    await asyncio.gather(*map(write, range(16)))
    assert await shop.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0
