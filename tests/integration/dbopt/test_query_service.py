"""What callers of QueryService are promised, on real PostgreSQL."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import grpc
import pytest
from integration.dbopt.shop import PRODUCTS, client_of, dbopt
from postgres_servers import PostgresServer
from souk.client import (
    DbClient,
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
)
from souk.client._db import struct
from souk.client._errors import from_rpc_error
from souk.dbopt.v1 import query_pb2 as pb
from souk.dbopt.v1.query_pb2_grpc import QueryServiceStub

pytestmark = pytest.mark.shop
Connection = asyncpg.Connection
OWN_FILES = {
    "slow": """-- name: own.slow
-- version: 1
-- description: Takes its time.
-- class: lookup
-- parameters:
--   seconds: {type: float, description: How long.}
SELECT 1 AS slept FROM pg_sleep(:seconds::float8)
""",
    "nap": """-- name: own.nap
-- version: 1
-- description: Takes longer than anybody waits.
-- class: analytics
-- parameters:
--   seconds: {type: float, description: How long.}
SELECT 1 AS slept FROM pg_sleep(:seconds::float8)
""",
    "numbers": """-- name: own.numbers
-- version: 1
-- description: Counts.
-- class: analytics
-- parameters:
--   count: {type: int, description: How far.}
--   width: {type: int, default: 1, description: How long a text each has.}
SELECT n, repeat('x', :width::int) AS text FROM generate_series(1, :count::int) AS n
""",
    "image": """-- name: own.image
-- version: 1
-- description: Gives a product an image.
-- class: write
-- write: true
-- parameters:
--   product_id: {type: bigint, description: The product.}
--   image_id: {type: text, description: The image.}
INSERT INTO shop.images (product_id, position, image_id) VALUES (:product_id, 9, :image_id) RETURNING product_id
""",
}


@pytest.fixture
async def shop(postgres: PostgresServer, database: str, owner: Connection) -> str:
    """The DSN of dbopt's role for a database with a shop."""
    return postgres.dsn(database, "souk_service")


@pytest.fixture
async def db(shop: str, tmp_path: Any) -> AsyncIterator[DbClient]:
    """A client of dbopt, with a folder of queries of its own."""
    for name, text in OWN_FILES.items():
        (tmp_path / f"{name}.sql").write_text(text)
    async with dbopt(shop, queries_dir=tmp_path, max_result_bytes=100_000) as server, client_of(server, attempts=1) as client:
        yield client


async def test_a_query_returns_its_rows_as_json_of_postgresql(db: DbClient, owner: Connection):
    found = await db.execute("product.get", {"product_id": 7})
    (row,) = found.rows()
    expected = await owner.fetchrow("SELECT title, price_cents, rating_count FROM shop.products WHERE product_id = 7")
    assert (row["title"], row["price_cents"], row["rating_count"]) == tuple(expected)
    assert (found.row_count, found.source, found.repeated) == (1, pb.SOURCE_PRIMARY, False)
    none = await db.execute("product.get", {"product_id": 0})
    assert (none.row_count, none.json) == (0, "[]")


async def test_everything_that_is_wrong_with_parameters_is_named_at_once(db: DbClient):
    wrong = {"category_id": "boots", "page_size": 202, "min_price_cents": -1, "in_stock": "yes", "colour": "red"}
    with pytest.raises(InvalidArgumentError) as refused:
        await db.execute("product.list_newest", wrong)
    assert {each.field for each in refused.value.field_violations} == {f"parameters.{name}" for name in wrong}
    with pytest.raises(InvalidArgumentError) as refused:
        await db.execute("product.get", {})
    assert [(each.field, each.description) for each in refused.value.field_violations] == [
        ("parameters.product_id", "must be given: bigint")
    ]


async def test_fields_and_tokens_that_are_wrong_are_named_together_with_parameters(shop: str):
    cart = {"parameters.buyer_id", "parameters.request_id", "parameters.product_ids", "parameters.quantities"}
    title = {"seller_id": 1, "category_id": 2, "price_cents": 5, "title": "", "currency": "usd", "stock": -1, "image_ids": [""]}
    product = {"parameters.title", "parameters.currency", "parameters.stock", "parameters.image_ids[0]"}
    async with dbopt(shop) as server:
        stub = QueryServiceStub(server.channel())
        order = pb.ExecuteQueryRequest(name="order.place", consistency_token="x")
        assert await _refused(stub.ExecuteQuery(order)) == {"request_id", "consistency_token", *cart}
        create = pb.ExecuteQueryRequest(name="product.create", parameters=struct(title))
        assert await _refused(stub.ExecuteQuery(create)) == {"request_id", *product}
        unknown = pb.ExecuteQueryRequest(name="no.such", consistency_token="x")
        assert await _refused(stub.ExecuteQuery(unknown)) == {"name", "consistency_token"}
        stream = pb.StreamQueryRequest(name="product.get", batch_size=-1, consistency_token="x")
        assert await _refused(stub.StreamQuery(stream).read()) == {"batch_size", "consistency_token", "parameters.product_id"}
        assert await _refused(stub.ListQueries(pb.ListQueriesRequest(page_size=-1, page_token="x"))) == {"page_size", "page_token"}


async def _refused(call: Awaitable[Any]) -> set[str]:
    """The fields that a call is refused for."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    told = from_rpc_error(refused.value)
    assert told.reason == "INVALID_FIELD"
    return {each.field for each in told.field_violations}


async def test_what_is_not_in_the_catalogue_does_not_run(db: DbClient):
    for name in ("no.such", "product.get; DROP TABLE shop.products", "SELECT 1"):
        with pytest.raises(NotFoundError) as refused:
            await db.execute(name)
        assert refused.value.reason == "QUERY_UNKNOWN"
    with pytest.raises(NotFoundError):
        await db.execute("product.get", {"product_id": 1}, version=99)
    with pytest.raises(InvalidArgumentError):
        await db.execute("")


async def test_parameters_are_values_whatever_they_look_like(db: DbClient, owner: Connection):
    for words in ("'; DROP TABLE shop.products; --", "$1", "\\", "%s", "{}", "red' OR '1'='1", "/* */", "\u2028"):
        await db.execute("product.search", {"words": words})
    assert await owner.fetchval("SELECT count(*) FROM shop.products") == PRODUCTS


async def test_a_write_is_made_once_for_a_request_id_however_often_it_is_called(db: DbClient, owner: Connection):
    review = {"product_id": 20, "user_id": 3, "rating": 5, "body": "Fine"}
    answers = await asyncio.gather(*(db.write("review.add", review, request_id="one") for _ in range(20)))
    assert len({answer.json for answer in answers}) == 1
    assert sorted(answer.repeated for answer in answers) == [False] + [True] * 19
    assert await owner.fetchval("SELECT count(*) FROM shop.reviews WHERE product_id = 20") == 1
    with pytest.raises(InvalidArgumentError) as refused:
        await db.write("review.add", {**review, "rating": 1}, request_id="one")
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_a_write_that_fails_leaves_its_request_id_free_and_says_nothing_of_its_values(db: DbClient):
    for _ in range(2):
        with pytest.raises(InvalidArgumentError) as refused:
            await db.write("own.image", {"product_id": 987654321, "image_id": "secret"}, request_id="one")
        assert refused.value.reason == "CONSTRAINT_VIOLATED"
        assert refused.value.metadata == {"table": "images", "constraint": "images_product_id_fkey"}
        assert not any(text in str(refused.value) for text in ("secret", "987654321"))
    assert not (await db.write("own.image", {"product_id": 3, "image_id": "secret"}, request_id="one")).repeated


async def test_reads_and_writes_are_not_taken_for_each_other(db: DbClient):
    with pytest.raises(FailedPreconditionError) as refused:
        await db.execute("product.get", {"product_id": 1}, request_id="one")
    assert refused.value.reason == "QUERY_KIND"
    with pytest.raises(InvalidArgumentError) as invalid:
        await db.execute("product.set_stock", {"product_id": 1, "stock": 3})
    assert [each.field for each in invalid.value.field_violations] == ["request_id"]
    with pytest.raises(FailedPreconditionError):
        async for _ in db.stream("product.set_stock", {"product_id": 1, "stock": 3}):
            pass


async def test_a_stream_brings_every_row_in_order_and_in_batches(db: DbClient):
    batches = [batch async for batch in db.stream("own.numbers", {"count": 2_345}, batch_size=1_000)]
    assert [len(batch) for batch in batches] == [1_000, 1_000, 345]
    assert [row["n"] for batch in batches for row in batch] == list(range(1, 2_346))
    assert [batch async for batch in db.stream("own.numbers", {"count": 0})] == []


async def test_rows_that_are_too_many_for_one_answer_are_refused_and_can_be_streamed(db: DbClient):
    many = {"count": 500, "width": 1_000}
    with pytest.raises(ResourceExhaustedError) as refused:
        await db.execute("own.numbers", many)
    assert (refused.value.reason, refused.value.metadata["limit_bytes"]) == ("RESULT_TOO_LARGE", "100000")
    assert sum([len(batch) async for batch in db.stream("own.numbers", many)]) == 500


async def test_a_query_is_ended_by_the_limit_of_its_class(db: DbClient):
    with pytest.raises(DeadlineExceededError) as ended:
        await db.execute("own.slow", {"seconds": 30})
    assert (ended.value.reason, ended.value.metadata["timeout"]) == ("QUERY_TIMED_OUT", "2.0")


@pytest.mark.parametrize("how", ["deadline", "cancelled"])
async def test_a_call_that_ends_early_ends_its_query_and_leaves_the_connection_usable(db: DbClient, owner: Connection, how: str):
    sleeping = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
    )
    calls = [
        asyncio.create_task(db.execute("own.nap", {"seconds": 50}, timeout=1.0 if how == "deadline" else 50)) for _ in range(8)
    ]
    running = 0
    while not running:
        running = await owner.fetchval(sleeping)
    if how == "cancelled":
        for call in calls:
            call.cancel()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, DeadlineExceededError | asyncio.CancelledError) for each in ended)
    async with asyncio.timeout(30):  # before it would have ended by itself, or by its class
        while await owner.fetchval(sleeping):
            await asyncio.sleep(0.01)
    assert (await db.execute("own.nap", {"seconds": 0})).row_count == 1


async def test_queries_are_listed_by_pages_with_all_that_a_caller_needs(db: DbClient):
    found = [query async for query in db.queries()]
    names = [query.name for query in found]
    assert names == sorted(names)
    assert {"product.get", "order.place", "own.numbers"} <= set(names)
    by_name = {query.name: query for query in found}
    assert by_name["own.numbers"].custom
    assert not by_name["product.get"].custom
    assert by_name["order.place"].writes
    (count, width) = by_name["own.numbers"].parameters
    assert (count.name, count.type, count.optional, width.optional, width.default_json) == ("count", "int", False, True, "1")
    assert [query.name async for query in db.queries("own.")] == ["own.image", "own.nap", "own.numbers", "own.slow"]


async def test_a_page_token_of_another_filter_is_refused(shop: str):
    async with dbopt(shop) as server:
        stub = QueryServiceStub(server.channel())
        page = await stub.ListQueries(pb.ListQueriesRequest(page_size=2))
        assert (len(page.queries), bool(page.next_page_token)) == (2, True)
        with pytest.raises(grpc.aio.AioRpcError, match="page_token"):
            await stub.ListQueries(pb.ListQueriesRequest(prefix="product.", page_token=page.next_page_token))


async def test_the_pool_is_told_as_it_is(db: DbClient):
    await db.execute("product.get", {"product_id": 1})
    (server,) = await db.pool_status()
    assert (server.role, server.available, server.problem, server.pgbouncer) == (pb.ROLE_PRIMARY, True, "", False)
    lookup = {pool.query_class: pool for pool in server.pools}["lookup"]
    assert (lookup.size, lookup.in_use, lookup.waiting) == (8, 0, 0)
    assert lookup.acquired >= 1
    assert "souk_service" not in server.address


async def test_times_and_large_numbers_arrive_as_they_are(db: DbClient):
    since = datetime(2026, 1, 1, tzinfo=UTC)
    found = await db.execute("analytics.sales", {"bucket": "day", "since": since, "until": datetime(2026, 2, 1, tzinfo=UTC)})
    assert json.loads(found.json) == []
    assert (await db.execute("product.get", {"product_id": 2**62})).row_count == 0
    with pytest.raises(TypeError, match="since has no time zone"):
        await db.execute("analytics.sales", {"bucket": "day", "since": datetime(2026, 1, 1)})  # noqa: DTZ001 — that is the point
