"""Views are counted, and popularity is what they make it, whoever sells and buys meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from integration.dbopt.shop import client_of, dbopt
from postgres_servers import PostgresServer
from souk.client import DbClient

pytestmark = pytest.mark.shop
Connection = asyncpg.Connection
TODAY = "(now() AT TIME ZONE 'UTC')::date"
BEFORE = "SELECT product_id, popularity, version, updated_at FROM shop.products ORDER BY product_id"


@pytest.fixture
async def shop(postgres: PostgresServer, owner: Connection, database: str) -> str:
    await owner.execute("DELETE FROM souk.outbox")
    return postgres.dsn(database, "souk_service")


@pytest.fixture
async def db(shop: str) -> AsyncIterator[DbClient]:
    async with dbopt(shop, popularity_interval=0) as server, client_of(server, timeout=30.0) as client:
        yield client


async def one(db: DbClient, query: str, **arguments: Any) -> dict[str, Any]:
    (row,) = (await db.write(query, arguments)).rows()
    return dict(row)


async def views(owner: Connection) -> dict[int, int]:
    rows = await owner.fetch("SELECT product_id, sum(views)::int AS views FROM shop.product_views GROUP BY product_id")
    return {row["product_id"]: row["views"] for row in rows}


async def test_views_of_a_day_add_up_and_unknown_products_are_told(db: DbClient, owner: Connection):
    assert await one(db, "product.record_views", product_ids=[7, 3, 7], views=[1, 5, 2]) == {"recorded": 2, "unknown_products": 0}
    told = await one(db, "product.record_views", product_ids=[3, 999_999, 4], views=[1, 1, 0])
    assert told == {"recorded": 1, "unknown_products": 1}
    assert await views(owner) == {3: 6, 7: 3}
    assert await owner.fetchval(f"SELECT bool_and(day = {TODAY}) FROM shop.product_views")


async def test_a_repeat_of_a_request_counts_its_views_once(db: DbClient, owner: Connection):
    arguments = {"product_ids": [5], "views": [2]}
    for _ in range(3):
        await db.write("product.record_views", arguments, request_id="page-1")
    assert await views(owner) == {5: 2}


async def test_popularity_is_the_views_of_thirty_days(db: DbClient, owner: Connection):
    before = await owner.fetch(BEFORE)
    await owner.execute(f"INSERT INTO shop.product_views SELECT 9, {TODAY} - n, 10 FROM generate_series(-3, 40) n")
    found = await one(db, "product.refresh_popularity", limit=50)
    assert (found["last_id"], found["products"]) == (50, 50)
    after = await owner.fetch(BEFORE)
    assert [row["popularity"] for row in after[:50]] == [300 if row["product_id"] == 9 else 0 for row in after[:50]]
    assert after[50:] == before[50:]
    assert [(r["version"], r["updated_at"]) for r in after] == [(r["version"], r["updated_at"]) for r in before]
    assert await owner.fetchval("SELECT count(*) FROM souk.outbox") == 0  # nothing in the cache goes for it
    assert (await one(db, "product.refresh_popularity", limit=50))["changed"] == 0
    for views, popularity in ((29, 300), (30, 330)):  # what is a tenth is written
        await owner.execute(f"UPDATE shop.product_views SET views = 10 + {views} WHERE product_id = 9 AND day = {TODAY}")
        await one(db, "product.refresh_popularity", limit=50)
        assert await owner.fetchval("SELECT popularity FROM shop.products WHERE product_id = 9") == popularity


async def test_a_shop_that_counts_no_views_keeps_the_popularity_it_has(db: DbClient, owner: Connection):
    before = await owner.fetch(BEFORE)
    await owner.execute(f"INSERT INTO shop.product_views VALUES (9, {TODAY} - 30, 10)")
    assert await one(db, "product.refresh_popularity") == {"last_id": 120, "products": 120, "changed": 0}
    assert await owner.fetch(BEFORE) == before
    assert await one(db, "product.refresh_popularity", after_id=120) == {"last_id": None, "products": 0, "changed": 0}


async def test_buyers_and_the_refresh_never_wait_for_each_other_in_a_circle(db: DbClient, owner: Connection):
    await owner.execute("UPDATE shop.products SET stock = 1000")

    async def buy(buyer: int) -> None:
        for number in range(6):
            lines = dict.fromkeys(range(120 - buyer - number, 0, -7), 1)
            cart = {"product_ids": list(lines), "quantities": list(lines.values())}
            placed = await one(db, "order.place", buyer_id=buyer, request_id=f"{number}", **cart)
            assert placed["outcome"] == "placed"

    async def refresh() -> None:
        for number in range(12):
            await one(db, "product.record_views", product_ids=list(range(120, 0, -1)), views=[1 + number % 3] * 120)
            await one(db, "product.refresh_popularity")

    await asyncio.gather(*(buy(buyer) for buyer in range(1, 5)), refresh(), refresh())
    assert {row["views"] for row in await owner.fetch("SELECT views FROM shop.product_views")} == {48}
    assert await owner.fetchval("SELECT min(popularity) FROM shop.products") > 43
    assert await owner.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0


async def test_the_service_refreshes_all_products_by_itself_and_goes_on_after_a_failure(shop: str, owner: Connection):
    wanted = "SELECT count(*) FROM shop.products WHERE popularity = 2"
    async with dbopt(shop, popularity_interval=0.1) as server:
        await owner.execute("REVOKE UPDATE ON shop.products FROM souk_service")
        await owner.execute(f"INSERT INTO shop.product_views SELECT product_id, {TODAY}, 2 FROM shop.products")
        await server.log.wait_for(lambda line: line["event"] == "popularity is not refreshed")
        assert await owner.fetchval(wanted) < 60
        await owner.execute("GRANT UPDATE ON shop.products TO souk_service")
        async with asyncio.timeout(30):
            while await owner.fetchval(wanted) < 120:
                await asyncio.sleep(0.05)
