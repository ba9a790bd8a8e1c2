"""The generated marketplace: always the same, skewed as a real one, and nothing that the schema would refuse. No database."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from souk_dbopt.seeding import MAX_PRODUCTS, Plan
from souk_dbopt.seeding.chance import Shuffle, Skew
from souk_dbopt.seeding.parts import Part, stages
from souk_dbopt.seeding.rhythm import Rhythm

END = date(2026, 11, 26)
SIZES = (10, 101, 3000)
Row = dict[str, str]


def parts(plan: Plan) -> list[Part]:
    return [part for stage in stages(plan) for part in stage]


def part_of(plan: Plan, table: str) -> Part:
    return next(part for part in parts(plan) if table in part.tables)


@cache
def made(products: int, seed: int = 1, batch: int = 700) -> dict[str, list[Row]]:
    """All rows by table, read as COPY reads them."""
    tables: dict[str, list[Row]] = defaultdict(list)
    for part in parts(Plan(products, seed, END, batch)):
        for number in range(part.batches):
            for rows in part.rows_of(number):
                assert rows.table in part.tables
                for line in rows.encoded().decode().splitlines():
                    values = line.split("\t")
                    assert len(values) == len(rows.columns)
                    tables[rows.table].append(dict(zip(rows.columns, values, strict=True)))
    return tables


def by(rows: list[Row], *columns: str) -> dict[Any, Row]:
    """Rows by their key, which no two have."""
    found = {tuple(row[column] for column in columns) if len(columns) > 1 else row[columns[0]]: row for row in rows}
    assert len(found) == len(rows)
    return found


def time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("+00", "+00:00"))


def text_of(plan: Plan) -> Iterator[bytes]:
    for part in parts(plan):
        for number in range(part.batches):
            yield from (rows.encoded() for rows in part.rows_of(number))


def test_the_same_plan_makes_the_same_rows_and_another_seed_others():
    assert list(text_of(Plan(200, 7, END))) == list(text_of(Plan(200, 7, END)))
    other = list(text_of(Plan(200, 8, END)))
    same = [a for a, b in zip(text_of(Plan(200, 7, END)), other, strict=True) if a == b]
    assert len(same) == 1  # the categories
    for column in ("seller_id", "category_id", "popularity", "rating_sum", "title"):
        assert [row[column] for row in made(101)["products"]] != [row[column] for row in made(101, seed=2)["products"]]


def test_a_batch_is_the_same_whenever_it_is_made():
    plan = Plan(400, 3, END, 100)
    for part in parts(plan):
        forth = [part.rows_of(number) for number in range(part.batches)]
        again = parts(plan)[[each.tables for each in parts(plan)].index(part.tables)]
        back = [again.rows_of(number) for number in reversed(range(part.batches))]
        assert forth == back[::-1]
        assert len({str(rows) for rows in forth}) == part.batches


@pytest.mark.parametrize("products", SIZES)
def test_every_row_is_one_that_the_schema_takes(products: int):
    tables = made(products)
    for user in by(tables["users"], "user_id").values():
        assert re.fullmatch("0x[0-9a-f]{40}", user["wallet"])
        assert re.fullmatch(r"\\N|[a-z0-9]+\.eth", user["ens_name"])
        assert 1 <= len(user["display_name"]) <= 100
    for seller in by(tables["sellers"], "seller_id").values():
        assert re.fullmatch("[a-z0-9-]{1,120}", seller["slug"])
        assert re.fullmatch("[A-Z]{2}", seller["country"])
    for category in by(tables["categories"], "category_id").values():
        assert re.fullmatch("[a-z0-9-]{1,60}", category["slug"])
    for product in by(tables["products"], "product_id").values():
        assert 1 <= len(product["title"]) <= 200
        assert len(product["description"]) <= 20000
        assert int(product["price_cents"]) >= 100
        assert int(product["stock"]) >= 0
        assert product["status"] in {"draft", "active", "removed"}
        assert {"material", "brand", "weight_g"} <= json.loads(product["attributes"]).keys()
    for image in by(tables["images"], "product_id", "position").values():
        assert re.fullmatch("[0-7][0-9abcdefghjkmnpqrstvwxyz]{25}", image["image_id"])
    orders = {order["order_id"]: order for order in tables["orders"]}
    for order in by(tables["orders"], "order_id").values():
        assert order["status"] in {"placed", "paid", "shipped", "delivered", "cancelled"}
    for item in by(tables["order_items"], "order_id", "line").values():
        assert int(item["quantity"]) >= 1
        assert int(item["price_cents"]) >= 0
        assert item["is_cancelled"] == ("t" if orders[item["order_id"]]["status"] == "cancelled" else "f")
    for review in by(tables["reviews"], "review_id").values():
        assert 1 <= int(review["rating"]) <= 5
        assert len(review["body"]) <= 5000
        assert "%" not in review["body"]
    assert all(int(each["views"]) >= 1 for each in by(tables["product_views"], "product_id", "day").values())
    assert len({image["image_id"] for image in tables["images"]}) == len(tables["images"])
    for table, columns in (
        *(("users", ("wallet",)), ("sellers", ("slug",)), ("sellers", ("user_id",)), ("categories", ("slug",))),
        *(("orders", ("buyer_id", "request_id")), ("reviews", ("user_id", "product_id"))),
    ):
        by(tables[table], *columns)
    by([user for user in tables["users"] if user["ens_name"] != "\\N"], "ens_name")


@pytest.mark.parametrize("products", SIZES)
def test_what_a_row_refers_to_is_there_and_was_there_at_its_time(products: int):
    tables = made(products)
    users, sellers, goods = by(tables["users"], "user_id"), by(tables["sellers"], "seller_id"), by(tables["products"], "product_id")
    orders = by(tables["orders"], "order_id")
    leaves = {category["category_id"] for category in tables["categories"] if category["parent_id"] != "\\N"}
    assert len(leaves) == 96
    for seller in tables["sellers"]:
        assert users[seller["user_id"]]["created_at"] <= seller["created_at"]
    for product in tables["products"]:
        assert product["category_id"] in leaves
        assert sellers[product["seller_id"]]["created_at"] <= product["created_at"] <= product["updated_at"]
    assert {image["product_id"] for image in tables["images"]} == set(goods)
    for order in tables["orders"]:
        assert users[order["buyer_id"]]["created_at"] <= order["placed_at"]
    for item in tables["order_items"]:
        assert orders[item["order_id"]]["placed_at"] == item["placed_at"] >= goods[item["product_id"]]["created_at"]
        assert goods[item["product_id"]]["seller_id"] == item["seller_id"]
    for review in tables["reviews"]:
        assert review["created_at"] >= max(goods[review["product_id"]]["created_at"], users[review["user_id"]]["created_at"])
    end = datetime.combine(END, datetime.min.time(), UTC)
    for table, column in (("users", "created_at"), ("orders", "placed_at"), ("reviews", "created_at"), ("products", "updated_at")):
        assert all(end - timedelta(days=730) <= time(row[column]) <= end for row in tables[table])
    days = {row["day"] for row in tables["product_views"]}
    assert days <= {(END - timedelta(days=back)).isoformat() for back in range(1, 31)}


@pytest.mark.parametrize("products", SIZES)
def test_what_is_counted_beside_a_row_is_what_there_is(products: int):
    tables = made(products)
    views, reviews, stars, totals = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for row in tables["product_views"]:
        views[row["product_id"]] += int(row["views"])
    for row in tables["reviews"]:
        reviews[row["product_id"]] += 1
        stars[row["product_id"]] += int(row["rating"])
    for row in tables["order_items"]:
        totals[row["order_id"]] += int(row["quantity"]) * int(row["price_cents"])
    for product in tables["products"]:
        key = product["product_id"]
        counted = (int(product["popularity"]), int(product["rating_count"]), int(product["rating_sum"]))
        assert counted == (views[key], reviews[key], stars[key])
    assert all(int(order["total_cents"]) == totals[order["order_id"]] for order in tables["orders"])


@pytest.mark.parametrize("products", SIZES)
def test_the_other_tables_grow_with_the_products(products: int):
    sizes = {table: len(rows) for table, rows in made(products).items()}
    assert sizes["products"] == sizes["reviews"] == products
    assert (sizes["users"], sizes["sellers"], sizes["orders"]) == (products // 4 + 100, products // 50 + 5, products // 2)
    if products >= 1000:
        assert 2 * products < sizes["images"] < 5 * products
        assert 3.5 * products < sizes["product_views"] < 6 * products
        assert 1.5 * sizes["orders"] < sizes["order_items"] < 2.2 * sizes["orders"]


def test_a_few_sellers_have_much_and_many_have_little():
    plan = Plan(50_000, 1, END)
    part = part_of(plan, "products")
    lines = [line for batch in range(part.batches) for line in part.rows_of(batch)[0].lines]
    per_seller = sorted(Counter(line.split("\t")[1] for line in lines).values(), reverse=True)
    assert sum(per_seller[: plan.sellers // 100]) >= 0.2 * plan.products
    assert per_seller[len(per_seller) // 2] < plan.products / plan.sellers / 2
    views = sorted((int(line.split("\t")[9]) for line in lines), reverse=True)
    assert sum(views[:500]) > 0.3 * sum(views)
    assert views[len(views) // 2] <= 5
    counts = sorted((int(line.split("\t")[10]) for line in lines), reverse=True)
    assert counts[0] > 300
    assert counts[len(counts) // 2] <= 1


def test_stars_are_mostly_four_and_five_and_some_users_buy_much():
    tables = made(3000)
    stars = Counter(int(review["rating"]) for review in tables["reviews"])
    assert 0.7 < (stars[4] + stars[5]) / stars.total() < 0.9
    assert min(stars[each] for each in range(1, 6)) > 0
    buyers = Counter(order["buyer_id"] for order in tables["orders"])
    assert buyers.most_common(1)[0][1] >= 8
    assert len(buyers) < 0.75 * len(tables["orders"])


def test_words_are_frequent_and_rare():
    found = Counter[str]()
    for product in made(3000)["products"]:
        found.update({word.lower() for word in re.findall(r"[A-Za-z]+", f"{product['title']} {product['description']}")})
    assert found["made"] > 1000
    assert sum(1 for count in found.values() if 30 < count < 300) > 100
    assert sum(1 for count in found.values() if count <= 3) > 1000


def test_more_is_ordered_in_the_evening_and_the_shop_grows():
    placed = [time(order["placed_at"]) for order in made(3000)["orders"]]
    hours = Counter(moment.hour for moment in placed)
    assert hours[20] > 5 * max(1, hours[4])
    middle = datetime.combine(END, datetime.min.time(), UTC) - timedelta(days=365)
    assert sum(moment > middle for moment in placed) > 0.6 * len(placed)
    assert placed == sorted(placed)


def test_old_orders_have_arrived_and_new_ones_have_not():
    orders = made(3000)["orders"]
    assert {order["status"] for order in orders[:1000]} == {"delivered", "cancelled"}
    assert {order["status"] for order in orders[-5:]} & {"placed", "paid"}


@pytest.mark.parametrize("products", [10, 99, 300, 1000, 4000, 100_000, MAX_PRODUCTS])
def test_no_product_has_more_reviewers_than_can_be_told_apart(products: int):
    plan = Plan(products, 1, END)
    part = part_of(plan, "reviews")
    most = round(products * (1 / products) ** 0.4) + 1
    assert most < 1 / Skew(plan.users, plan.users * 0.1).heaviest
    assert len(part.rows_of(part.batches - 1)[0].lines) == (products - 1) % plan.batch + 1


@pytest.mark.parametrize("n", [1, 2, 7, 96, 1000])
def test_a_shuffle_puts_everything_in_a_place_of_its_own(n: int):
    shuffle = Shuffle(n, 5, "test")
    places = [shuffle.place(rank) for rank in range(n)]
    assert sorted(places) == list(range(n))
    assert [shuffle.rank(place) for place in places] == list(range(n))


def test_a_skew_gives_each_rank_its_share():
    skew = Skew(1000, 3)
    ranks = Counter(skew.rank((step + 0.5) / 100_000) for step in range(100_000))
    assert ranks[0] / 100_000 == pytest.approx(skew.heaviest, rel=0.01)
    assert ranks[0] / ranks[3] == pytest.approx(1.87, rel=0.02)  # ln(4/3) / ln(7/6)
    assert max(ranks) == 999


def test_times_rise_with_age_and_end_before_the_end():
    rhythm = Rhythm(END, 1)
    texts = [rhythm.text(step / 10_000) for step in range(10_000)]
    assert texts == sorted(texts)
    assert (texts[0], rhythm.text(1.0)[:10]) == ("2024-11-26 00:00:00.000000+00", "2026-11-25")
    assert rhythm.unix_milliseconds(0.0) == 1732579200000


@pytest.mark.parametrize(
    ("products", "seed", "end", "batch"),
    [
        (9, 1, END, 1),
        (MAX_PRODUCTS + 1, 1, END, 1),
        (10, -1, END, 1),
        (10, 2**63, END, 1),
        (10, 1, date(1979, 12, 31), 1),
        (10, 1, END, 0),
    ],
)
def test_numbers_out_of_range_are_refused(products: int, seed: int, end: date, batch: int):
    with pytest.raises(ValueError, match=r"products|seed|end|batch"):
        Plan(products, seed, end, batch)
