"""What callers of MarketplaceService are promised, on real PostgreSQL."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from integration.dbopt.shop import PRODUCTS, client_of, dbopt
from postgres_servers import PostgresServer
from souk.client import DbClient, InvalidArgumentError
from souk.dbopt.v1 import marketplace_pb2 as pb

pytestmark = pytest.mark.shop
Connection = asyncpg.Connection
ORDERS = {
    pb.PRODUCT_ORDER_NEWEST: "created_at DESC, product_id DESC",
    pb.PRODUCT_ORDER_CHEAPEST: "price_cents, product_id",
    pb.PRODUCT_ORDER_DEAREST: "price_cents DESC, product_id DESC",
    pb.PRODUCT_ORDER_POPULAR: "popularity DESC, product_id DESC",
}
FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "true"),
    ({"category_id": 2}, "category_id = 2"),
    ({"seller_id": 3}, "seller_id = 3"),
    ({"min_price_cents": 3000, "max_price_cents": 7000}, "price_cents BETWEEN 3000 AND 7000"),
    ({"attributes": {"colour": "red"}}, 'attributes @> \'{"colour": "red"}\''),
    ({"category_id": 2, "seller_id": 1, "in_stock": True}, "category_id = 2 AND seller_id = 1 AND stock > 0"),
]


@pytest.fixture
async def db(postgres: PostgresServer, database: str, owner: Connection) -> AsyncIterator[DbClient]:
    async with dbopt(postgres.dsn(database, "souk_service")) as server, client_of(server, attempts=1) as client:
        yield client


async def test_pages_bring_each_product_once_in_order(db: DbClient, owner: Connection):
    for order, (wanted, condition) in itertools.product(ORDERS, FILTERS):
        sql = f"SELECT product_id FROM shop.products WHERE {condition} ORDER BY {ORDERS[order]}"
        expected = [row[0] for row in await owner.fetch(sql)]
        found: list[int] = []
        token = ""
        while True:
            page = await db.list_products(order, page_size=7, page_token=token, **wanted)
            found += [product.product_id for product in page.products]
            token = page.next_page_token
            if not token:
                break
            assert len(page.products) == 7
        assert found == expected, (pb.ProductOrder.Name(order), wanted)


async def test_a_product_of_a_list_has_what_a_list_shows(db: DbClient, owner: Connection):
    page = await db.list_products(pb.PRODUCT_ORDER_CHEAPEST, page_size=50)
    for product in page.products:
        row = await owner.fetchrow(
            """SELECT title, price_cents, stock, coalesce(avg(rating), 0)::float8 AS rating, count(rating) AS count, s.name,
                      (SELECT image_id FROM shop.images i WHERE i.product_id = p.product_id ORDER BY position LIMIT 1) AS image
               FROM shop.products p JOIN shop.sellers s USING (seller_id) LEFT JOIN shop.reviews USING (product_id)
               WHERE product_id = $1 GROUP BY p.product_id, s.seller_id""",
            product.product_id,
        )
        assert (product.title, product.price_cents, product.stock) == (row["title"], row["price_cents"], row["stock"])
        assert (product.rating, product.rating_count) == (pytest.approx(row["rating"], abs=0.005), row["count"])
        assert (product.seller.name, product.image_id) == (row["name"], row["image"] or "")
        assert product.create_time.seconds > 0


async def test_a_search_finds_what_has_the_words_the_best_match_first(db: DbClient, owner: Connection):
    page = await db.search_products("red leather", page_size=50)
    assert {product.title.split()[0] for product in page.products} == {"Red"}
    assert len(page.products) == PRODUCTS // 3
    assert (await db.search_products("leather -red", page_size=50)).products[0].title.split()[0] != "Red"
    assert not (await db.search_products("unheard")).products
    seen: list[int] = []
    token = ""
    while True:
        part = await db.search_products("leather", page_size=50, page_token=token, category_id=3)
        seen += [product.product_id for product in part.products]
        token = part.next_page_token
        if not token:
            break
    assert len(seen) == len(set(seen)) == PRODUCTS // 2


async def test_a_product_page_has_everything_and_what_is_not_there_is_an_answer(db: DbClient):
    product = await db.get_product(7)
    assert product is not None
    assert (product.summary.product_id, product.summary.title, product.for_sale) == (7, "Green shoe 7", True)
    assert list(product.image_ids) == ["image-7-0", "image-7-1"]
    assert dict(product.attributes) == {"colour": "green"}
    assert (len(product.reviews), sum(product.rating_histogram), product.summary.rating_count) == (5, 7, 7)
    assert (product.category_id, product.summary.seller.name) == (3, "Seller 4")
    assert await db.get_product(0) is None


async def test_an_order_takes_from_the_stock_and_is_placed_once(db: DbClient, owner: Connection):
    first = await db.place_order(1, {7: 2, 8: 1}, request_id="a")
    assert (first.HasField("order"), first.repeated) == (True, False)
    again = await db.place_order(1, {7: 2, 8: 1}, request_id="a")
    assert (again.order.order_id, again.repeated) == (first.order.order_id, True)
    stock = await owner.fetch("SELECT stock FROM shop.products WHERE product_id IN (7, 8) ORDER BY product_id")
    assert [row[0] for row in stock] == [8, 9]
    (order,) = (await db.list_orders(1)).orders
    assert order.order_id == first.order.order_id
    assert {item.product_id: item.quantity for item in order.items} == {7: 2, 8: 1}
    assert order.total_cents == first.order.total_cents == sum(item.quantity * item.price_cents for item in order.items)


async def test_a_request_id_of_an_order_is_not_taken_for_another_cart(db: DbClient, owner: Connection):
    await db.place_order(1, {7: 2, 8: 1}, request_id="a")
    with pytest.raises(InvalidArgumentError) as refused:
        await db.place_order(1, {7: 2}, request_id="a")
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert await owner.fetchval("SELECT count(*) FROM shop.orders") == 1


async def test_an_order_that_cannot_be_is_refused_whole_with_all_that_is_in_the_way(db: DbClient, owner: Connection):
    short = await db.place_order(1, {7: 11, 8: 1, 9: 12})
    assert [(each.product_id, each.stock, each.not_for_sale) for each in short.refused.products] == [(7, 10, False), (9, 10, False)]
    unknown = (await db.place_order(1, {7: 11, 900: 1, 901: 1})).refused.products
    assert [(each.product_id, each.not_for_sale) for each in unknown] == [(7, False), (900, True), (901, True)]
    await owner.execute("UPDATE shop.products SET currency = 'EUR' WHERE product_id = 7")
    assert (await db.place_order(1, {7: 1, 8: 1})).refused.currencies_mixed
    assert (await db.place_order(999, {7: 1})).refused.buyer_unknown
    assert await owner.fetchval("SELECT count(*) FROM shop.orders") == 0
    assert await owner.fetchval("SELECT min(stock) FROM shop.products") == 10


async def test_sixty_four_buyers_at_once_are_sold_no_more_than_there_is(db: DbClient, owner: Connection):
    chance = random.Random(7)
    carts = [dict.fromkeys(chance.sample(range(1, 6), 3), chance.randint(1, 2)) for _ in range(64)]
    outcomes = await asyncio.gather(*(db.place_order(1 + n % 20, cart, request_id=str(n)) for n, cart in enumerate(carts)))
    sold = dict.fromkeys(range(1, 6), 0)
    for cart, outcome in zip(carts, outcomes, strict=True):
        for product, quantity in cart.items() if outcome.HasField("order") else ():
            sold[product] += quantity
    left = {row[0]: row[1] for row in await owner.fetch("SELECT product_id, stock FROM shop.products WHERE product_id <= 5")}
    assert all(left[product] >= 0 and sold[product] + left[product] == 10 for product in sold)
    assert any(outcome.HasField("refused") for outcome in outcomes)
    written = await owner.fetch("SELECT product_id, sum(quantity) FROM shop.order_items GROUP BY product_id")
    assert {row[0]: row[1] for row in written} == {product: count for product, count in sold.items() if count}


async def test_a_sellers_dashboard_adds_up(db: DbClient, owner: Connection):
    for number in range(12):
        await db.place_order(1, {1 + number: 1 + number % 3}, request_id=str(number))
    await owner.execute("UPDATE shop.products SET stock = 2 WHERE product_id = 4")
    for seller in range(1, 5):
        dashboard = await db.get_seller_dashboard(seller)
        assert dashboard is not None
        sold = await owner.fetchrow(
            "SELECT sum(quantity), sum(quantity * price_cents) FROM shop.order_items WHERE seller_id = $1", seller
        )
        (revenue,) = dashboard.revenue
        assert (dashboard.items_sold, revenue.cents, revenue.currency) == (*sold, "USD")
        assert len(dashboard.days) == 30
        by_day = [amount.cents for day in dashboard.days for amount in day.revenue]
        assert (sum(day.items_sold for day in dashboard.days), sum(by_day)) == tuple(sold)
        assert sum(each.items_sold for each in dashboard.best_sellers) == sold[0]
    first = await db.get_seller_dashboard(1)
    assert first is not None
    assert [low.product_id for low in first.low_stock] == [4]
    assert first.products_for_sale == PRODUCTS // 4
    assert await db.get_seller_dashboard(99) is None


async def test_bad_input_is_named_all_at_once(db: DbClient):
    with pytest.raises(InvalidArgumentError) as refused:
        await db.list_products(page_size=201, min_price_cents=9, max_price_cents=3, attributes={"x" * 101: "y"})
    assert {each.field for each in refused.value.field_violations} == {"page_size", "filter.min_price_cents", "filter.attributes"}
    with pytest.raises(InvalidArgumentError) as refused:
        await db.session("x").list_products(page_size=201, page_token="x", min_price_cents=-1)
    assert {each.field for each in refused.value.field_violations} == {
        "page_size",
        "filter.min_price_cents",
        "page_token",
        "consistency_token",
    }
    with pytest.raises(InvalidArgumentError) as refused:
        await db.place_order(1, {7: 0, 8: 10_001}, request_id="with space")
    fields = {each.field for each in refused.value.field_violations}
    assert fields == {"request_id", "lines[0].quantity", "lines[1].quantity"}
    for text in ("", " ", "x" * 201):
        with pytest.raises(InvalidArgumentError):
            await db.search_products(text)


async def test_a_page_token_is_good_for_its_own_list_only(db: DbClient):
    token = (await db.list_products(page_size=5, category_id=2)).next_page_token
    for other in ({"category_id": 3}, {}, {"category_id": 2, "seller_id": 1}):
        with pytest.raises(InvalidArgumentError) as refused:
            await db.list_products(page_size=5, page_token=token, **other)
        assert refused.value.reason == "INVALID_PAGE_TOKEN"
    with pytest.raises(InvalidArgumentError):
        await db.list_products(pb.PRODUCT_ORDER_CHEAPEST, page_size=5, category_id=2, page_token=token)
    with pytest.raises(InvalidArgumentError):
        await db.list_products(page_token="nonsense")
