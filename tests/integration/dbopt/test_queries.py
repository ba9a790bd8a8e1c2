"""The shipped queries on real servers: they return what naive SQL does, by the indexes that say so, and writes hold under load."""

import asyncio
import contextlib
import itertools
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import marketplace
import pytest
from postgres_servers import PostgresServer
from souk_dbopt.adapters.query_check import check
from souk_dbopt.adapters.query_file import load
from souk_dbopt.catalogue import Catalogue, Column, Query
from souk_dbopt.exceptions import CatalogueError

CATALOGUE = load()
WHOLE = {"since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}


@dataclass
class Shop:
    """A database with the rows of marketplace.py."""

    server: PostgresServer
    database: str
    kept: dict[tuple[Any, ...], list[asyncpg.Connection]] = field(default_factory=dict)
    """Connections by user and settings that nobody has, as those of a service. They keep no statements."""

    @contextlib.asynccontextmanager
    async def connected(self, user: str = "postgres", **settings: str) -> AsyncIterator[asyncpg.Connection]:
        kept = self.kept.setdefault((user, *settings.items()), [])
        connection = kept.pop() if kept else await self._connect(user, settings)
        try:
            yield connection
        except BaseException:
            await connection.close()
            raise
        kept.append(connection)

    async def _connect(self, user: str, settings: dict[str, str]) -> asyncpg.Connection:
        return await asyncpg.connect(self.server.dsn(self.database, user), server_settings=settings, statement_cache_size=0)

    async def aclose(self) -> None:
        for each in itertools.chain(*self.kept.values()):
            await each.close()

    async def run(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        """The rows of a query, on a connection of its class and role, as the service does it."""
        found = CATALOGUE.get(query)
        async with self.connected("souk_service", **found.query_class.settings()) as connection:
            return json.loads(await connection.fetchval(found.json_text, *found.arguments(arguments)))

    async def one(self, query: str, **arguments: Any) -> dict[str, Any]:
        (row,) = await self.run(query, **arguments)
        return row

    async def pages(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        """The rows of all pages, one after the other."""
        found, rows, after = CATALOGUE.get(query), [], {}
        while after is not None:
            page = await self.run(query, **arguments, **after)
            rows += page
            after = found.next_page(page, arguments["page_size"])
        return rows

    async def plan(self, query: str, **arguments: Any) -> dict[str, Any]:
        return await self._explained("FORMAT JSON", query, arguments)

    async def plan_as_it_ran(self, query: str, **arguments: Any) -> dict[str, Any]:
        return await self._explained("ANALYZE, BUFFERS, FORMAT JSON", query, arguments)

    async def _explained(self, options: str, query: str, arguments: dict[str, Any]) -> dict[str, Any]:
        found = CATALOGUE.get(query)
        async with self.connected("souk_service", **found.query_class.settings()) as connection:
            text = await connection.fetchval(f"EXPLAIN ({options}) {found.json_text}", *found.arguments(arguments))
        return json.loads(text)[0]["Plan"]

    async def sql(self, text: str, *arguments: Any) -> list[dict[str, Any]]:
        """What the owner of the database reads and writes, in UTC."""
        async with self.connected(TimeZone="UTC") as connection:
            return [dict(row) for row in await connection.fetch(text, *arguments)]

    async def value(self, text: str, *arguments: Any) -> Any:
        return next(iter((await self.sql(text, *arguments))[0].values()))


@pytest.fixture(scope="module", params=[18, 15], ids=["PostgreSQL 18", "PostgreSQL 15"])
def filled(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server with the database `shop`."""
    server: PostgresServer = request.getfixturevalue(f"postgres{request.param}")
    asyncio.run(_create(server))
    yield server
    asyncio.run(_execute(server, "DROP DATABASE shop WITH (FORCE)"))


@pytest.fixture
async def shop(filled: PostgresServer) -> AsyncIterator[Shop]:
    """For tests that only read."""
    async with contextlib.aclosing(Shop(filled, "shop")) as shop:
        yield shop


async def _create(server: PostgresServer) -> None:
    await _execute(server, "CREATE DATABASE shop")
    async with marketplace.connected(server, "shop") as connection:
        await marketplace.create(connection)


async def _execute(server: PostgresServer, statement: str) -> None:
    async with marketplace.connected(server, "postgres") as connection:
        await connection.execute(statement)


@pytest.fixture
async def own(filled: PostgresServer) -> AsyncIterator[Shop]:
    """For tests that write: a copy."""
    await _execute(filled, "CREATE DATABASE own TEMPLATE shop")
    async with contextlib.aclosing(Shop(filled, "own")) as own:
        yield own
    await _execute(filled, "DROP DATABASE own WITH (FORCE)")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


def indexes(plan: dict[str, Any]) -> set[str]:
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


async def test_every_shipped_query_prepares_for_the_service_with_the_parameters_and_columns_it_declares(shop: Shop):
    async with marketplace.connected(shop.server, shop.database, "souk_service") as connection:
        relations = await check(connection, CATALOGUE)
    assert relations.keys() == {query.name for query in CATALOGUE}
    assert relations["product.search"] == {"shop.products", "shop.sellers", "shop.seller_stats", "shop.images"}
    assert relations["order.place"] == {"shop.users", "shop.products", "shop.orders", "shop.order_items"}
    assert all(query.columns for query in CATALOGUE)


async def test_all_that_is_wrong_with_all_queries_is_told_at_once(shop: Shop):
    get, listing = CATALOGUE.get("product.get"), CATALOGUE.get("product.list_newest")
    wrong = [
        replace(get, source="a.sql", parameters=(replace(get.parameters[0], type="int"),)),
        replace(listing, source="b.sql", columns=(*listing.columns[:-1], Column("colour", "text"), Column("title", "bigint"))),
        replace(get, name="x.gone", source="c.sql", text="SELECT 1 FROM shop.gone"),
        replace(get, name="x.json", source="d.sql", json_text="SELECT nothing"),
    ]
    async with marketplace.connected(shop.server, shop.database) as connection:
        with pytest.raises(CatalogueError) as refused:
            await check(connection, Catalogue(wrong))
        assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name = 'souk_check'") == 0
    told = refused.value.problems
    assert "a.sql: product.get: parameter product_id is declared as int, and the statement takes bigint" in told
    assert any(
        re.match(r"b\.sql: product\.list_newest: column colour is declared, and not among those .* product_id, ", each)
        for each in told
    )
    assert "b.sql: product.list_newest: column title is declared as bigint, and is text" in told
    assert "b.sql: product.list_newest: column image_alt is not declared" in told
    assert 'c.sql: x.gone: relation "shop.gone" does not exist' in told
    assert 'd.sql: x.json: column "nothing" does not exist' in told
    assert len(told) == 6


LISTINGS = {
    "product.list_newest": ("created_at DESC, product_id DESC", {"after_created_at": "2026-10-20T00:00:00Z", "after_id": 5000}),
    "product.list_cheapest": ("price_cents, product_id", {"after_price_cents": 2000, "after_id": 5000}),
    "product.list_dearest": ("price_cents DESC, product_id DESC", {"after_price_cents": 3000, "after_id": 5000}),
    "product.list_popular": ("popularity DESC, product_id DESC", {"after_popularity": 300, "after_id": 5000}),
}
FILTERS: dict[str, tuple[dict[str, Any], str]] = {
    "category": ({"category_id": 15}, "category_id = 15"),
    "seller": ({"seller_id": 50}, "seller_id = 50"),
    "price": ({"min_price_cents": 1000, "max_price_cents": 4000}, "price_cents BETWEEN 1000 AND 4000"),
    "attributes": ({"attributes": {"colour": "red"}}, "attributes->>'colour' = 'red'"),
    "stock": ({"in_stock": True}, "stock > 0"),
}
COMBINATIONS = [names for count in range(len(FILTERS) + 1) for names in itertools.combinations(FILTERS, count)]


@pytest.mark.parametrize("query", LISTINGS)
async def test_listings_return_for_every_combination_of_filters_what_naive_sql_returns(shop: Shop, query: str):
    order, _ = LISTINGS[query]
    for names in COMBINATIONS:
        arguments = {name: value for each in names for name, value in FILTERS[each][0].items()}
        where = " AND ".join(["status = 'active'", *(FILTERS[each][1] for each in names)])
        expected = await shop.sql(f"SELECT product_id FROM shop.products WHERE {where} ORDER BY {order} LIMIT 130")
        first = await shop.run(query, **arguments, page_size=60)
        after = CATALOGUE.get(query).next_page(first, 60)
        second = await shop.run(query, **arguments, page_size=60, **after) if after else []
        assert [row["product_id"] for row in first + second] == [row["product_id"] for row in expected][:120], names


@pytest.mark.parametrize("query", LISTINGS)
async def test_the_pages_of_a_listing_hold_every_product_once_in_order(shop: Shop, query: str):
    order, _ = LISTINGS[query]
    expected = await shop.sql(f"SELECT product_id FROM shop.products WHERE status = 'active' AND category_id = 15 ORDER BY {order}")
    rows = await shop.pages(query, category_id=15, page_size=25)
    assert [row["product_id"] for row in rows] == [row["product_id"] for row in expected]
    assert len(rows) > 400


async def test_a_listing_shows_each_product_with_its_sellers_figures_and_its_first_image(shop: Shop):
    rows = await shop.run("product.list_popular", page_size=60)
    assert any(row["image_id"] is None for row in rows)
    for row in rows:
        (product,) = await shop.sql("SELECT * FROM shop.products WHERE product_id = $1", row["product_id"])
        (seller,) = await shop.sql(
            "SELECT *, rating_sum / nullif(rating_count, 0)::float AS rating"
            " FROM shop.sellers JOIN shop.seller_stats USING (seller_id) WHERE seller_id = $1",
            product["seller_id"],
        )
        image = f"image-{row['product_id']}-0" if row["product_id"] % 7 else None
        assert (row["image_id"], row["image_alt"]) == (image, image and "Picture 0")
        for name in ("name", "slug", "items_sold", "rating_count"):
            assert row[f"seller_{name}"] == seller[name]
        assert row["seller_rating"] == (seller["rating"] and pytest.approx(seller["rating"], abs=0.0051))
        assert (row["rating"] is None) == (product["rating_count"] == 0)
        assert {
            name: row[name] for name in ("title", "price_cents", "currency", "stock", "rating_count", "popularity", "category_id")
        } == {
            name: product[name]
            for name in ("title", "price_cents", "currency", "stock", "rating_count", "popularity", "category_id")
        }
        assert datetime.fromisoformat(row["created_at"]) == product["created_at"]
        assert row["created_at"].endswith("+00:00")


async def test_pages_hold_what_was_there_once_while_products_are_added(own: Shop):
    before = await own.sql(
        "SELECT product_id FROM shop.products WHERE status = 'active' AND category_id = 20"
        " ORDER BY created_at DESC, product_id DESC"
    )
    seen, after, added = [], {}, 0
    while after is not None:
        page = await own.run("product.list_newest", category_id=20, page_size=25, **after)
        seen += [row["product_id"] for row in page]
        after = CATALOGUE.get("product.list_newest").next_page(page, 25)
        for created in (page[-1]["created_at"], "2026-11-20T00:00:00+00:00"):  # at the edge of the page, and before all of them
            added += 1
            await own.sql(
                "INSERT INTO shop.products (seller_id, category_id, title, description, price_cents, stock, created_at)"
                " VALUES (1, 20, 'Late', '', 1, 1, $1)",
                datetime.fromisoformat(created),
            )
    old = [each for each in seen if each <= marketplace.PRODUCTS]
    assert old == [row["product_id"] for row in before]
    assert len(set(seen)) == len(seen)
    assert added > 30


def expected_index(query: str, names: tuple[str, ...]) -> str:
    order = {"newest": "newest", "cheapest": "by_price", "dearest": "by_price", "popular": "popular"}[
        query.removeprefix("product.list_")
    ]
    return f"products_category_{order}" if "category" in names else f"products_{order}"


@pytest.mark.parametrize("query", LISTINGS)
async def test_a_listing_reads_one_index_in_its_order_whatever_is_filtered(shop: Shop, query: str):
    for names in COMBINATIONS:
        if "seller" in names and (query != "product.list_newest" or {"category", "attributes"} & set(names)):
            continue  # a seller's own products are few: they are sorted
        arguments = {name: value for each in names for name, value in FILTERS[each][0].items()}
        for after in ({}, LISTINGS[query][1]):
            plan = await shop.plan(query, **arguments, **after, page_size=20)
            (limit,) = (node for node in nodes(plan) if node["Node Type"] == "Limit" and node["Parent Relationship"] != "Inner")
            assert not [node for node in nodes(limit) if "Sort" in node["Node Type"]], (names, after)
            index = "products_seller_newest" if "seller" in names else expected_index(query, names)
            assert indexes(limit) == {index}, (names, after)
            sorts = [node for node in nodes(plan) if "Sort" in node["Node Type"]]
            assert all(node["Plan Rows"] <= 20 for node in sorts), (names, after)


NARROWED: list[dict[str, Any]] = [{}, {"category_id": 15}, {"seller_id": 50}, {"in_stock": True}]
SERVED: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "products_newest": [("product.list_newest", {})],
    "products_by_price": [("product.list_cheapest", {}), ("product.list_dearest", {})],
    "products_popular": [("product.list_popular", {}), ("product.search", {"words": "vintage"})],
    "products_category_newest": [("product.list_newest", {"category_id": 15})],
    "products_category_by_price": [("product.list_cheapest", {"category_id": 15}), ("product.list_dearest", {"category_id": 15})],
    "products_category_popular": [("product.list_popular", {"category_id": 15})],
    "products_seller_newest": [("product.list_newest", {"seller_id": 50}), ("seller.dashboard", {"seller_id": 50})],
    "products_search": [
        ("product.search", {"words": words, **narrowed}) for words in ("vintage", "handmade") for narrowed in NARROWED
    ],
    "products_attributes": [(query, {"attributes": {"batch": 17}}) for query in LISTINGS],
    "users_wallet": [("user.by_wallet", {"wallet": "0x" + "a" * 40})],
    "users_ens_name": [("user.by_ens_name", {"ens_name": "user3.eth"})],
    "sellers_user": [("user.get", {"user_id": 3})],
    "sellers_slug": [("seller.by_slug", {"slug": "seller-3"})],
    "orders_request": [("order.place", {"buyer_id": 1, "request_id": "x", "product_ids": [1], "quantities": [1]})],
    "orders_buyer_newest": [("order.list", {"buyer_id": 3})],
    "orders_placed": [("analytics.sales", {"bucket": "day", **WHOLE})],
    "order_items_seller": [("seller.dashboard", {"seller_id": 50})],
    "order_items_product": [("product.sales", {"product_id": 3, **WHOLE})],
    "reviews_product_newest": [("product.get", {"product_id": 3}), ("review.list", {"product_id": 3})],
    "product_views_day": [("analytics.trending", {"since": "2026-11-05", "until": "2026-11-12"})],
}
"""Index -> the queries that its comment names, and arguments with which they need it."""


async def test_what_the_comment_of_an_index_says_of_its_queries_is_true(shop: Shop):
    comments = await shop.sql(
        "SELECT c.relname, d.description FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
        " LEFT JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = 0"
        " WHERE c.relnamespace = 'shop'::regnamespace AND NOT i.indisprimary"
    )
    assert len(comments) >= 15
    named = {}
    for row in comments:
        assert row["description"], f"{row['relname']} has no comment"
        served = re.search(r"serves ([^;]*)", row["description"])
        assert served or "guards" in row["description"]
        if served:
            named[row["relname"]] = set(re.findall(r"\w+\.\w+", served[1]))
    assert named == {index: {query for query, _ in uses} for index, uses in SERVED.items()}
    for index, uses in SERVED.items():
        for query, arguments in uses:
            plan = await shop.plan(query, **arguments)
            if index == "orders_request":  # ON CONFLICT's arbiter is no node of its own
                assert any(index in node.get("Conflict Arbiter Indexes", ()) for node in nodes(plan))
            assert index in indexes(plan), (query, arguments)


@pytest.mark.parametrize(
    ("words", "filters"),
    [
        ("vintage", ()),
        ("vintage shoe", ("price",)),
        ('"vintage piece" -red', ()),
        ("shoe or lamp", ("seller", "stock")),
        ("vintage or piece", ("category",)),
        ("red", ("category", "attributes")),
        ("-new -red", ("category",)),
        ("of the", ()),
        ("of the", ("category", "seller")),
    ],
)
async def test_search_returns_what_naive_sql_returns_the_best_match_first(shop: Shop, words: str, filters: tuple[str, ...]):
    where = " AND ".join(["status = 'active'", *(FILTERS[each][1] for each in filters)])
    expected = await shop.sql(
        f"SELECT product_id FROM shop.products, websearch_to_tsquery('english', $1) q WHERE search @@ q AND {where}"
        " ORDER BY ts_rank_cd(search, q) DESC, product_id DESC",
        words,
    )
    arguments = {name: value for each in filters for name, value in FILTERS[each][0].items()}
    rows = await shop.pages("product.search", words=words, **arguments, page_size=9)
    assert [row["product_id"] for row in rows] == [row["product_id"] for row in expected]
    assert bool(rows) == (words != "of the")


@pytest.mark.parametrize("words", ["-red", "vintage or -red"])
async def test_words_that_the_index_cannot_look_up_find_what_a_filter_leaves(shop: Shop, words: str):
    cheap = "SELECT price_cents FROM shop.products WHERE status = 'active' ORDER BY price_cents OFFSET 300 LIMIT 1"
    price = (await shop.sql(cheap))[0]["price_cents"]
    expected = await shop.sql(
        "SELECT product_id FROM shop.products, websearch_to_tsquery('english', $1) q"
        " WHERE search @@ q AND status = 'active' AND price_cents <= $2 ORDER BY ts_rank_cd(search, q) DESC, product_id DESC",
        words,
        price,
    )
    rows = await shop.pages("product.search", words=words, max_price_cents=price, page_size=50)
    assert [row["product_id"] for row in rows] == [row["product_id"] for row in expected]
    assert len(rows) > 100
    plan = await shop.plan_as_it_ran("product.search", words=words, max_price_cents=price)
    index = (await shop.sql("SELECT pg_relation_size('shop.products_search') / 8192 AS pages"))[0]["pages"]
    scans = [node for node in nodes(plan) if node.get("Index Name") == "products_search"]
    # the last look asks for octaves, too: without them each entry of the index would be visited
    assert sum(node["Shared Hit Blocks"] + node["Shared Read Blocks"] for node in scans) < 2 * index


async def test_search_finds_products_whatever_their_popularity(own: Shop):
    await own.sql("UPDATE shop.products SET popularity = 0 WHERE product_id % 3 > 0")
    await own.sql("UPDATE shop.products SET popularity = 1 + product_id % 5 WHERE product_id % 30 = 0")
    await own.sql("UPDATE shop.products SET popularity = 9223372036854775807 - product_id WHERE product_id % 3000 = 0")
    for words, condition in (("vintage", "title || description ~ 'vintage'"), ("handmade", "description ~ 'Handmade'")):
        expected = await own.sql(
            f"SELECT product_id FROM (SELECT * FROM shop.products WHERE status = 'active' AND {condition}"
            " ORDER BY popularity DESC, product_id DESC LIMIT 500) p ORDER BY product_id"
        )
        rows = await own.pages("product.search", words=words, page_size=60)
        assert sorted(row["product_id"] for row in rows) == [row["product_id"] for row in expected]


@pytest.mark.parametrize(
    "popularity",
    [
        "CASE WHEN n <= 400 THEN 1 + n % 127 ELSE 0 END",
        "CASE WHEN n <= 200 THEN 4 + n WHEN n <= 400 THEN 1 + n % 3 ELSE 0 END",
        "1 << greatest(0, 12 - floor(log(2, n / 300.0 + 1))::integer)",
        "CASE WHEN n = 1 THEN 9223372036854775807 ELSE 1000 / n END",
    ],
    ids=["a young shop", "few seen", "twice as many in each octave", "one above all"],
)
async def test_the_most_popular_are_found_wherever_they_are_written(own: Shop, popularity: str):
    """More match than a step looks at, and those that count are last in the table."""
    numbered = (
        f"SELECT product_id, {popularity} AS popularity FROM (SELECT product_id, row_number() OVER (ORDER BY product_id) AS n"
    )
    await own.sql("UPDATE shop.products SET description = 'Handmade.', status = 'active', popularity = 0")
    await own.sql(
        f"UPDATE shop.products p SET popularity = w.popularity FROM ({numbered} FROM shop.products) s) w"
        " WHERE p.product_id = w.product_id AND w.popularity > 0"
    )
    seen = await own.sql(
        "SELECT product_id FROM shop.products WHERE popularity > 0 ORDER BY popularity DESC, product_id DESC LIMIT 500"
    )
    found = {row["product_id"] for row in await own.pages("product.search", words="handmade", page_size=200)}
    assert len(found) == 500
    assert {row["product_id"] for row in seen} <= found


async def test_a_search_of_products_that_nobody_has_seen_yet_looks_at_no_more_than_it_says(own: Shop):
    await own.sql("UPDATE shop.products SET popularity = 0, description = 'Handmade.', status = 'active'")
    await own.sql("VACUUM ANALYZE shop.products")
    rows = await own.pages("product.search", words="handmade", page_size=200)
    assert len(rows) == len({row["product_id"] for row in rows}) == 500
    plan = await own.plan_as_it_ran("product.search", words="handmade")
    looked = [node["Actual Rows"] * node["Actual Loops"] for node in nodes(plan) if node.get("Relation Name") == "products"]
    assert max(looked) == 8_192


async def test_of_a_word_that_is_everywhere_the_five_hundred_most_popular_products_are_ranked(shop: Shop):
    expected = await shop.sql(
        "SELECT product_id FROM (SELECT * FROM shop.products WHERE status = 'active' AND description ~ 'Handmade'"
        " ORDER BY popularity DESC, product_id DESC LIMIT 500) p"
        " ORDER BY ts_rank_cd(search, 'handmad') DESC, product_id DESC"
    )
    rows = await shop.pages("product.search", words="handmade", page_size=60)
    assert [row["product_id"] for row in rows] == [row["product_id"] for row in expected]


async def test_the_page_of_a_product_holds_all_of_it_in_one_row(shop: Shop):
    row = await shop.one("product.get", product_id=17)
    (product,) = await shop.sql("SELECT * FROM shop.products JOIN shop.categories USING (category_id) WHERE product_id = 17")
    reviews = await shop.sql(
        "SELECT review_id, user_id, rating FROM shop.reviews WHERE product_id = 17 ORDER BY created_at DESC, review_id DESC"
    )
    stars = Counter(str(review["rating"]) for review in reviews)
    assert len(reviews) > 5
    assert [{name: each[name] for name in ("review_id", "user_id", "rating")} for each in row["reviews"]] == reviews[:5]
    assert row["reviews"][0]["display_name"] == f"User {reviews[0]['user_id']}"
    assert row["ratings"] == {str(star): stars[str(star)] for star in range(1, 6)}
    assert row["rating"] == pytest.approx(sum(review["rating"] for review in reviews) / len(reviews), abs=0.0051)
    assert row["images"] == [{"image_id": f"image-17-{n}", "alt": f"Picture {n}"} for n in (0, 1)]
    assert (row["title"], row["category_name"]) == (product["title"], product["name"])
    assert row["attributes"] == json.loads(product["attributes"])
    assert row["seller"]["slug"] == f"seller-{product['seller_id']}"
    assert await shop.run("product.get", product_id=999_999) == []


async def test_a_user_is_found_by_id_wallet_and_ens_name_as_the_same_row(shop: Shop):
    by_id = await shop.one("user.get", user_id=10 * 3)
    assert by_id["seller"] == {"seller_id": 30, "slug": "seller-30", "name": "Seller 30"}
    assert by_id["wallet"] == "0x" + "1e".rjust(40, "0")
    assert await shop.one("user.by_wallet", wallet=by_id["wallet"].upper().replace("0X", "0x")) == by_id
    assert await shop.one("user.by_ens_name", ens_name="User30.eth") == by_id
    assert (await shop.one("user.get", user_id=2_000))["seller"] is None
    assert await shop.run("user.by_ens_name", ens_name="nobody.eth") == []


async def test_a_seller_is_found_by_slug_with_its_figures(shop: Shop):
    row = await shop.one("seller.by_slug", slug="seller-7")
    (stats,) = await shop.sql("SELECT * FROM shop.seller_stats WHERE seller_id = 7")
    assert (row["seller_id"], row["items_sold"], row["rating_count"]) == (7, stats["items_sold"], stats["rating_count"])
    assert row["rating"] == pytest.approx(stats["rating_sum"] / stats["rating_count"], abs=0.0051)


def amounts(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What items came to, by currency."""
    cents: Counter[str] = Counter()
    for each in items:
        cents[each["currency"]] += each["quantity"] * each["price_cents"]
    return [{"currency": currency, "cents": cents[currency]} for currency in sorted(cents)]


@pytest.mark.parametrize("seller", [1, 250])
async def test_the_dashboard_counts_the_last_thirty_days(shop: Shop, seller: int):
    row = await shop.one("seller.dashboard", seller_id=seller, low_stock=2)
    today = datetime.now(UTC).date()
    items = await shop.sql(
        "SELECT i.product_id, i.quantity, i.price_cents, i.placed_at, o.currency FROM shop.order_items i"
        " JOIN shop.orders o USING (order_id) WHERE seller_id = $1 AND status <> 'cancelled'",
        seller,
    )
    recent = [each for each in items if each["placed_at"].date() > today - timedelta(days=30)]
    assert [each["day"] for each in row["days"]] == [str(today - timedelta(days=age)) for age in range(29, -1, -1)]
    for day in row["days"]:
        sold = [each for each in recent if str(each["placed_at"].date()) == day["day"]]
        assert day["items_sold"] == sum(each["quantity"] for each in sold)
        assert day["revenue"] == amounts(sold)
    assert row["items_sold"] == sum(each["quantity"] for each in recent)
    assert row["revenue"] == amounts(recent)
    assert [each["currency"] for each in row["revenue"]] == ["EUR", "USD"]
    pieces: Counter[int] = Counter()
    for each in recent:
        pieces[each["product_id"]] += each["quantity"]
    best = sorted(pieces.items(), key=lambda each: (-each[1], each[0]))[:10]
    assert [(each["product_id"], each["items_sold"]) for each in row["best_sellers"]] == best
    for each in row["best_sellers"]:
        assert each["revenue"] == amounts([item for item in recent if item["product_id"] == each["product_id"]])
    assert best
    low = await shop.sql(
        "SELECT product_id, stock FROM shop.products WHERE seller_id = $1 AND status = 'active' AND stock < 2"
        " ORDER BY stock, product_id LIMIT 20",
        seller,
    )
    assert [{name: each[name] for name in ("product_id", "stock")} for each in row["low_stock"]] == low
    assert all(
        each["image_id"] == (f"image-{each['product_id']}-0" if each["product_id"] % 7 else None) for each in row["low_stock"]
    )
    assert row["products_for_sale"] == await shop.value(
        "SELECT count(*) FROM shop.products WHERE seller_id = $1 AND status = 'active'", seller
    )
    assert row["seller"]["slug"] == f"seller-{seller}"
    assert row["seller"]["items_sold"] == sum(each["quantity"] for each in items)
    assert await shop.run("seller.dashboard", seller_id=999_999) == []


async def test_categories_come_parents_first(shop: Shop):
    rows = await shop.run("category.list")
    assert len(rows) == 2 + len(marketplace.CATEGORIES)
    known: set[int | None] = {None}
    for row in rows:
        assert row["parent_id"] in known
        known.add(row["category_id"])


@pytest.mark.parametrize("status", [None, "paid"])
async def test_the_pages_of_a_users_orders_hold_each_once_with_its_items(shop: Shop, status: str | None):
    rows = await shop.pages("order.list", buyer_id=17, status=status, page_size=7)
    expected = await shop.sql(
        "SELECT * FROM shop.orders WHERE buyer_id = 17 AND ($1::text IS NULL OR status = $1)"
        " ORDER BY placed_at DESC, order_id DESC",
        status,
    )
    assert [row["order_id"] for row in rows] == [each["order_id"] for each in expected]
    assert len(rows) > 14
    for row in rows[:5]:
        assert row["total_cents"] == sum(item["quantity"] * item["price_cents"] for item in row["items"])
        assert [item["line"] for item in row["items"]] == [1, 2]
        assert await shop.one("order.get", order_id=row["order_id"]) == row


async def test_the_pages_of_reviews_hold_each_once(shop: Shop):
    rows = await shop.pages("review.list", product_id=17, page_size=3)
    expected = await shop.sql("SELECT review_id FROM shop.reviews WHERE product_id = 17 ORDER BY created_at DESC, review_id DESC")
    assert [row["review_id"] for row in rows] == [each["review_id"] for each in expected]


@pytest.mark.parametrize("bucket", ["hour", "day", "week", "month"])
async def test_sales_are_counted_by_buckets_in_utc_without_what_was_cancelled(shop: Shop, bucket: str):
    until = datetime.now(UTC) - timedelta(days=3)
    since = until - timedelta(days=40)
    rows = await shop.run("analytics.sales", bucket=bucket, since=since.isoformat(), until=until.isoformat())
    orders = await shop.sql(
        "SELECT date_trunc($1, placed_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS start, currency, total_cents FROM shop.orders"
        " WHERE placed_at >= $2 AND placed_at < $3 AND status <> 'cancelled'",
        bucket,
        since,
        until,
    )
    assert {(datetime.fromisoformat(row["bucket_start"]), row["currency"]): (row["orders"], row["cents"]) for row in rows} == {
        key: (len(group), sum(group))
        for key in {(each["start"], each["currency"]) for each in orders}
        if (group := [each["total_cents"] for each in orders if (each["start"], each["currency"]) == key])
    }
    assert rows == sorted(rows, key=lambda row: (row["bucket_start"], row["currency"]))


async def test_sales_of_a_product_are_counted_by_day(shop: Shop):
    product = await shop.value("SELECT product_id FROM shop.order_items GROUP BY product_id ORDER BY count(*) DESC LIMIT 1")
    rows = await shop.run("product.sales", product_id=product, **WHOLE)
    items = await shop.sql(
        "SELECT i.quantity, i.price_cents, o.currency, i.placed_at::date::text AS day"
        " FROM shop.order_items i JOIN shop.orders o USING (order_id) WHERE product_id = $1 AND status <> 'cancelled'",
        product,
    )
    assert [(row["day"], row["currency"], row["orders"], row["items"], row["cents"]) for row in rows] == [
        (*key, len(group), sum(each["quantity"] for each in group), sum(each["quantity"] * each["price_cents"] for each in group))
        for key in sorted({(each["day"], each["currency"]) for each in items})
        if (group := [each for each in items if (each["day"], each["currency"]) == key])
    ]


async def test_what_trends_is_what_was_looked_at_most(shop: Shop):
    rows = await shop.run("analytics.trending", since="2026-11-05", until="2026-11-12", limit=30)
    expected = await shop.sql(
        "SELECT product_id, (SELECT sum(views) FROM shop.product_views v WHERE v.product_id = p.product_id"
        " AND day BETWEEN '2026-11-05' AND '2026-11-11') AS views"
        " FROM shop.products p WHERE status = 'active' ORDER BY views DESC NULLS LAST, product_id LIMIT 30"
    )
    assert [(row["product_id"], row["views"]) for row in rows] == [(each["product_id"], each["views"]) for each in expected]


async def test_rows_have_the_columns_that_the_query_declares(shop: Shop):
    for uses in SERVED.values():
        for name, arguments in uses:
            query = CATALOGUE.get(name)
            if not query.is_write:
                for row in (await shop.run(name, **arguments))[:3]:
                    assert row.keys() == {column.name for column in query.columns}


async def test_rows_can_be_had_one_by_one(shop: Shop):
    query = CATALOGUE.get("product.list_cheapest")
    async with marketplace.connected(shop.server, shop.database, "souk_service", TimeZone="UTC") as connection:
        rows = [json.loads(row[0]) for row in await connection.fetch(query.json_rows_text, *query.arguments({"page_size": 5}))]
    assert rows == await shop.run("product.list_cheapest", page_size=5)


async def stock(shop: Shop, *products: int) -> list[int]:
    rows = await shop.sql("SELECT stock FROM shop.products WHERE product_id = ANY($1) ORDER BY product_id", list(products))
    return [row["stock"] for row in rows]


async def fill(shop: Shop, pieces: int, *products: int) -> None:
    await shop.sql("UPDATE shop.products SET stock = $1, status = 'active' WHERE product_id = ANY($2)", pieces, list(products))


def cart(buyer: int, request: str, products: dict[int, int]) -> dict[str, Any]:
    return {"buyer_id": buyer, "request_id": request, "product_ids": list(products), "quantities": list(products.values())}


async def test_an_order_takes_stock_and_keeps_prices(own: Shop):
    await fill(own, 10, 1, 2)
    placed = await own.one("order.place", buyer_id=5, request_id="r", product_ids=[2, 1, 2], quantities=[1, 3, 2])
    assert (placed.pop("outcome"), placed.pop("products")) == ("placed", None)
    prices = await own.sql("SELECT product_id, seller_id, price_cents FROM shop.products WHERE product_id IN (1, 2) ORDER BY 1")
    assert await stock(own, 1, 2) == [7, 7]
    assert placed["total_cents"] == 3 * prices[0]["price_cents"] + 3 * prices[1]["price_cents"]
    assert await own.one("order.get", order_id=placed["order_id"]) == placed
    assert (placed["buyer_id"], placed["status"], placed["version"]) == (5, "placed", 1)
    assert [(each["product_id"], each["quantity"], each["price_cents"]) for each in placed["items"]] == [
        (row["product_id"], 3, row["price_cents"]) for row in prices
    ]


async def test_an_order_that_cannot_be_changes_nothing_and_says_why(own: Shop):
    await fill(own, 2, 1, 2, 3)
    await own.sql("UPDATE shop.products SET status = 'removed' WHERE product_id = 3")
    await own.sql("UPDATE shop.products SET currency = 'EUR' WHERE product_id = 2")
    before = await own.sql("SELECT (SELECT count(*) FROM shop.orders), (SELECT sum(stock) FROM shop.products)")
    few = await own.one("order.place", **cart(5, "a", {1: 3}))
    unknown = await own.one("order.place", **cart(5, "b", {1: 5, 3: 1, 999_999: 1}))
    mixed = await own.one("order.place", **cart(5, "c", {1: 1, 2: 1}))
    nobody = await own.one("order.place", **cart(999_999, "d", {1: 1}))
    assert few["outcome"] == "out_of_stock"
    assert few["products"] == [{"product_id": 1, "quantity": 3, "stock": 2, "not_for_sale": False}]
    assert unknown["outcome"] == "unknown_product"
    assert unknown["products"] == [
        {"product_id": 1, "quantity": 5, "stock": 2, "not_for_sale": False},
        {"product_id": 3, "quantity": 1, "stock": 0, "not_for_sale": True},
        {"product_id": 999_999, "quantity": 1, "stock": 0, "not_for_sale": True},
    ]
    assert (mixed["outcome"], nobody["outcome"]) == ("mixed_currencies", "unknown_buyer")
    assert {each["order_id"] for each in (few, unknown, mixed, nobody)} == {None}
    assert await own.sql("SELECT (SELECT count(*) FROM shop.orders), (SELECT sum(stock) FROM shop.products)") == before
    assert (await own.one("order.place", **cart(5, "a", {1: 2})))["outcome"] == "placed"  # what was refused may be tried again


async def test_a_repeated_request_returns_the_first_order(own: Shop):
    await fill(own, 3, 1)
    first = await own.one("order.place", **cart(5, "r", {1: 3}))
    again = await own.one("order.place", **cart(5, "r", {1: 3}))
    assert again == {**first, "outcome": "already_placed"}
    assert (await own.one("order.place", **cart(6, "r", {1: 1})))["outcome"] == "out_of_stock"
    assert await stock(own, 1) == [0]


async def test_a_request_that_comes_again_with_another_cart_is_told_so(own: Shop):
    await fill(own, 9, 1, 2)
    first = await own.one("order.place", **cart(5, "r", {1: 3, 2: 1}))
    for other in ({1: 3}, {1: 3, 2: 2}, {1: 1, 2: 3}, {1: 3, 2: 1, 3: 1}, {4: 1}):
        assert await own.one("order.place", **cart(5, "r", other)) == {**first, "outcome": "request_id_reused"}
    same = {"buyer_id": 5, "request_id": "r", "product_ids": [2, 1, 1], "quantities": [1, 1, 2]}
    assert await own.one("order.place", **same) == {**first, "outcome": "already_placed"}
    assert await stock(own, 1, 2) == [6, 8]


async def test_a_repeat_waits_for_nobody(own: Shop):
    await fill(own, 3, 1)
    first = await own.one("order.place", **cart(5, "r", {1: 1}))
    async with marketplace.connected(own.server, own.database) as connection, connection.transaction():
        await connection.execute("SELECT FROM shop.products WHERE product_id = 1 FOR UPDATE")
        assert await own.one("order.place", **cart(5, "r", {1: 1})) == {**first, "outcome": "already_placed"}


async def together(shop: Shop, carts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outcomes of carts that are all placed at the same moment, each on a connection of its own."""
    query = CATALOGUE.get("order.place")
    settings = query.query_class.settings() | {"lock_timeout": "60s", "statement_timeout": "60s"}  # a slow machine proves nothing
    connections = await asyncio.gather(
        *(asyncpg.connect(shop.server.dsn(shop.database, "souk_service"), server_settings=settings) for _ in carts)
    )
    try:
        texts = await asyncio.gather(
            *(each.fetchval(query.json_text, *query.arguments(wanted)) for each, wanted in zip(connections, carts, strict=True))
        )
    finally:
        await asyncio.gather(*(each.close() for each in connections))
    return [json.loads(text)[0] for text in texts]


async def test_sixty_four_buyers_of_one_product_never_oversell_it(own: Shop):
    await fill(own, 20, 1)
    outcomes = await together(own, [cart(buyer, "r", {1: 1}) for buyer in range(1, 65)])
    assert Counter(each["outcome"] for each in outcomes) == {"placed": 20, "out_of_stock": 44}
    assert await stock(own, 1) == [0]
    sold = await own.value("SELECT sum(quantity) FROM shop.order_items JOIN shop.orders USING (order_id) WHERE request_id = 'r'")
    assert sold == 20
    assert len({each["order_id"] for each in outcomes if each["order_id"]}) == 20


async def test_overlapping_carts_in_any_order_never_wait_in_a_circle(own: Shop):
    products = list(range(101, 109))
    await fill(own, 1000, *products)
    for round_number in range(3):
        carts = []
        for buyer in range(1, 65):
            turned = products[buyer % 8 :] + products[: buyer % 8]
            chosen = turned if buyer % 2 else turned[::-1]
            carts.append(cart(buyer, f"r{round_number}", dict.fromkeys(chosen[:5], 1)))
        outcomes = await together(own, carts)
        assert {each["outcome"] for each in outcomes} == {"placed"}
    assert sum(await stock(own, *products)) == 8 * 1000 - 3 * 64 * 5
    drift = await own.sql(
        "SELECT t.seller_id FROM shop.seller_stats t"
        " JOIN (SELECT seller_id, sum(quantity) AS sold FROM shop.order_items JOIN shop.orders USING (order_id)"
        "       WHERE status <> 'cancelled' GROUP BY 1) i USING (seller_id)"
        " WHERE t.items_sold <> i.sold"
    )
    assert drift == []


@pytest.mark.parametrize("pieces", [1, 100])
async def test_one_request_sent_many_times_at_once_orders_once(own: Shop, pieces: int):
    await fill(own, pieces, 1)
    outcomes = await together(own, [cart(5, "r", {1: 1})] * 32)
    assert Counter(each["outcome"] for each in outcomes) == {"placed": 1, "already_placed": 31}
    assert len({each["order_id"] for each in outcomes}) == 1
    assert await stock(own, 1) == [pieces - 1]


async def test_one_request_with_different_carts_at_once_orders_one_of_them(own: Shop):
    await fill(own, 100, *range(1, 33))
    outcomes = await together(own, [cart(5, "r", {product: 1}) for product in range(1, 33)])
    assert Counter(each["outcome"] for each in outcomes) == {"placed": 1, "request_id_reused": 31}
    assert len({each["order_id"] for each in outcomes}) == 1
    assert sum(await stock(own, *range(1, 33))) == 32 * 100 - 1


@pytest.mark.parametrize(
    ("query", "column", "arguments"),
    [("product.set_stock", "stock", {"stock": 77}), ("product.update_price", "price_cents", {"price_cents": 77})],
)
async def test_a_product_is_changed_only_where_it_has_the_version_that_was_read(
    own: Shop, query: str, column: str, arguments: dict[str, int]
):
    version = await own.value("SELECT version FROM shop.products WHERE product_id = 1")
    assert await own.one(query, product_id=1, if_version=version + 1, **arguments) == {"outcome": "changed", "version": version}
    assert await own.one(query, product_id=1, if_version=version, **arguments) == {"outcome": "set", "version": version + 1}
    assert await own.value(f"SELECT {column} FROM shop.products WHERE product_id = 1") == 77
    assert await own.one(query, product_id=1, **arguments) == {"outcome": "set", "version": version + 2}
    assert await own.one(query, product_id=999_999, **arguments) == {"outcome": "unknown_product", "version": None}


async def test_a_product_is_created_with_its_images(own: Shop):
    fields = {"title": "New shoe", "price_cents": 5, "stock": 1}
    made = await own.one(
        "product.create", seller_id=1, category_id=15, **fields, attributes={"colour": "red"}, image_ids=["x", "y"]
    )
    page = await own.one("product.get", product_id=made["product_id"])
    assert made["outcome"] == "created"
    assert (page["title"], page["attributes"], page["status"]) == ("New shoe", {"colour": "red"}, "active")
    assert [each["image_id"] for each in page["images"]] == ["x", "y"]
    assert (await own.one("product.create", seller_id=999_999, category_id=15, **fields))["outcome"] == "unknown_seller"
    assert (await own.one("product.create", seller_id=1, category_id=999, **fields))["outcome"] == "unknown_category"


async def test_a_user_reviews_a_product_once(own: Shop):
    before = await own.one("product.get", product_id=900)
    added = await own.one("review.add", product_id=900, user_id=2_000, rating=4, body="Good")
    again = await own.one("review.add", product_id=900, user_id=2_000, rating=1)
    after = await own.one("product.get", product_id=900)
    assert (added["outcome"], again) == ("added", {"outcome": "already_reviewed", "review_id": None})
    assert (before["rating_count"], after["rating_count"], after["rating"]) == (0, 1, 4)
    assert after["reviews"][0]["body"] == "Good"
    assert (await own.one("review.add", product_id=999_999, user_id=1, rating=1))["outcome"] == "unknown_product"
    assert (await own.one("review.add", product_id=900, user_id=999_999, rating=1))["outcome"] == "unknown_user"


async def test_an_ens_name_is_of_one_user(own: Shop):
    assert await own.one("user.rename", user_id=1, ens_name="user3.eth") == {
        "outcome": "taken",
        "former_ens_name": None,
        "version": None,
    }
    assert await own.one("user.rename", user_id=3, ens_name="Other.eth") == {
        "outcome": "renamed",
        "former_ens_name": "user3.eth",
        "version": 2,
    }
    assert (await own.one("user.rename", user_id=1, ens_name="user3.eth"))["outcome"] == "renamed"
    assert (await own.one("user.by_ens_name", ens_name="user3.eth"))["user_id"] == 1
    assert (await own.one("user.rename", user_id=3))["former_ens_name"] == "other.eth"
    assert (await own.one("user.rename", user_id=999_999, ens_name="x.eth"))["outcome"] == "unknown_user"


async def test_a_class_that_reads_cannot_write(own: Shop):
    write = CATALOGUE.get("product.set_stock")
    for query in CATALOGUE:
        if not query.is_write:
            async with marketplace.connected(
                own.server, own.database, "souk_service", **query.query_class.settings()
            ) as connection:
                with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                    await connection.fetchval(write.json_text, *write.arguments({"product_id": 1, "stock": 1}))


def own_query(folder: Path, name: str, text: str) -> Query:
    (folder / f"{name}.sql").write_text(text)
    return load(folder).get(name)


async def test_queries_that_the_service_has_no_right_to_run_are_named_and_no_other(own: Shop):
    await own.sql("REVOKE UPDATE ON shop.products FROM souk_service")
    async with marketplace.connected(own.server, own.database, "souk_service") as connection:
        with pytest.raises(CatalogueError) as caught:
            await check(connection, CATALOGUE)
    named = {problem.split(": ", 1)[1] for problem in caught.value.problems}
    writes = ("order.place", "product.refresh_popularity", "product.set_stock", "product.update_price")
    assert named == {f"{query}: permission denied for table products" for query in writes}


async def test_a_shop_with_its_own_tables_replaces_a_query(own: Shop, tmp_path: Path):
    await own.sql("CREATE TABLE my_sellers (id bigint, login text, title text)")
    await own.sql("GRANT SELECT ON my_sellers TO souk_service")
    header = (Path(CATALOGUE_FOLDER) / "seller.by_slug.sql").read_text().split("SELECT")[0]
    query = own_query(
        tmp_path,
        "seller.by_slug",
        f"""{header}SELECT id AS seller_id, id AS user_id, title AS name, login AS slug, 'DE' AS country, true AS is_active,
            now() AS created_at, 0::bigint AS items_sold, NULL::numeric AS rating, 0::bigint AS rating_count
            FROM my_sellers WHERE login = :slug""",
    )
    async with marketplace.connected(own.server, own.database, "souk_service") as connection:
        relations = await check(connection, Catalogue([query]))
    assert relations == {"seller.by_slug": {"public.my_sellers"}}


CATALOGUE_FOLDER = Path(__file__).parents[3] / "services" / "dbopt" / "src" / "souk_dbopt" / "queries"
