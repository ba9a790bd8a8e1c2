"""Reads through the cache service: what is cached, what makes it go, and what happens without it."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from integration.dbopt.caching import cache_service, told
from integration.dbopt.shop import client_of, dbopt
from postgres_servers import PostgresServer
from processes import ServiceProcess
from redis_servers import RedisServer, redis_server
from souk.client import JSON, CacheClient, DbClient
from souk.dbopt.v1 import query_pb2 as pb
from souk_common.testing import RunningServer

pytestmark = pytest.mark.shop
Connection = asyncpg.Connection
CACHE_TIMEOUT = 0.2
PATIENT = 5.0
"""A time limit that a busy machine keeps."""
OWN_FILES = {
    "slow": """-- name: own.slow
-- version: 1
-- description: Takes its time.
-- class: analytics
-- parameters:
--   seconds: {type: float, description: How long.}
-- cache: {namespace: search, ttl: 5m}
-- tags: ["slow"]
SELECT 1 AS slept FROM pg_sleep(:seconds::float8)
""",
    "elsewhere": """-- name: own.elsewhere
-- version: 1
-- description: Is to be cached in a namespace that there is not.
-- class: lookup
-- cache: {namespace: elsewhere, key: all}
-- tags: ["elsewhere"]
SELECT 1 AS one
""",
}


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
async def cache(tmp_path: Path, redis: RedisServer) -> AsyncIterator[ServiceProcess]:
    async with cache_service(tmp_path, redis) as service:
        yield service


@pytest.fixture
async def shop(postgres18: PostgresServer, owner: Connection, database: str) -> str:
    await owner.execute("DELETE FROM souk.outbox")
    return postgres18.dsn(database, "souk_service")


@pytest.fixture
def postgres(postgres18: PostgresServer) -> PostgresServer:
    return postgres18


@dataclass
class Shop:
    """dbopt with a cache, and a client of it."""

    server: RunningServer
    db: DbClient

    async def source(self, name: str, parameters: dict[str, Any]) -> pb.Source.ValueType:
        return (await self.db.execute(name, parameters)).source


@pytest.fixture
async def serve(shop: str, cache: ServiceProcess) -> AsyncIterator[Callable[..., Any]]:
    """Starts dbopt with the cache."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**settings: Any) -> Shop:
            chosen = {"cache_address": cache.grpc, "cache_timeout": PATIENT, "outbox_poll": 0.01, **settings}
            server = await stack.enter_async_context(dbopt(shop, **chosen))
            return Shop(server, await stack.enter_async_context(client_of(server, attempts=1)))

        yield start


async def test_a_result_is_read_from_the_database_once_and_then_from_the_cache(serve: Any):
    on = await serve()
    for name, parameters in (
        ("product.get", {"product_id": 7}),
        ("product.get", {"product_id": 999}),  # there is none, which is remembered, too
        ("user.by_wallet", {"wallet": f"0x{7:040}"}),
        ("user.by_wallet", {"wallet": "0x" + 40 * "f"}),
        ("product.list_cheapest", {"category_id": 2}),
        ("product.search", {"words": "leather", "page_size": 20}),
        ("seller.dashboard", {"seller_id": 1}),
        ("category.list", {}),
    ):
        first, second = await on.db.execute(name, parameters), await on.db.execute(name, parameters)
        assert (first.source, second.source) == (pb.SOURCE_PRIMARY, pb.SOURCE_CACHE), name
        assert (first.json if first.row_count else "[]", first.row_count) == (second.json, second.row_count)
    by_id = await on.db.execute("user.get", {"user_id": 7})
    assert (by_id.source, by_id.rows()[0]["user_id"]) == (pb.SOURCE_CACHE, 7)  # it was found by its wallet before
    page = await on.db.list_products()
    assert [each.title for each in (await on.db.list_products()).products] == [each.title for each in page.products]
    cached = await on.db.get_product(7)
    assert cached is not None
    assert cached.summary.product_id == 7


async def test_a_write_through_dbopt_is_seen_by_the_next_reader_as_soon_as_the_cache_was_told(serve: Any, owner: Connection):
    on = await serve(outbox_poll=60.0)  # nobody looks by himself
    await told(owner)
    for stock in range(20, 40):
        before = await on.db.execute("product.get", {"product_id": 7})
        await on.db.write("product.set_stock", {"product_id": 7, "stock": stock})
        await told(owner)
        assert (await on.db.execute("product.get", {"product_id": 7})).rows()[0]["stock"] == stock
        assert before.rows()[0]["stock"] != stock
    placed = await on.db.place_order(1, {7: 2}, request_id="one")
    await told(owner)
    assert placed.HasField("order")
    assert (await on.db.execute("product.get", {"product_id": 7})).rows()[0]["stock"] == 37


async def test_a_write_by_plain_sql_makes_what_shows_it_go_and_nothing_else(serve: Any, owner: Connection):
    on = await serve()
    page = (await on.db.execute("product.list_cheapest")).rows()
    first, last = page[0], next(row for row in page if row["seller_id"] != page[0]["seller_id"])
    reads = [
        ("product.list_cheapest", {}),
        ("product.list_newest", {"seller_id": first["seller_id"]}),
        ("seller.dashboard", {"seller_id": first["seller_id"]}),
        ("product.get", {"product_id": first["product_id"]}),
        ("product.get", {"product_id": last["product_id"]}),
        ("product.list_newest", {"seller_id": last["seller_id"]}),
        ("user.get", {"user_id": 1}),
        ("category.list", {}),
    ]
    for name, parameters in reads:
        await on.db.execute(name, parameters)
    await owner.execute("UPDATE shop.products SET price_cents = price_cents + 1 WHERE product_id = $1", first["product_id"])
    await told(owner)
    sources = [await on.source(name, parameters) for name, parameters in reads]
    assert sources == [pb.SOURCE_PRIMARY] * 4 + [pb.SOURCE_CACHE] * 4


async def test_a_new_product_is_on_the_pages_of_its_category_and_leaves_pages_of_products_alone(serve: Any, owner: Connection):
    on = await serve()
    await on.db.execute("product.get", {"product_id": 7})  # of the same category
    await on.db.execute("product.list_newest", {"category_id": 3})
    await owner.execute(
        "INSERT INTO shop.products (seller_id, category_id, title, description, price_cents, stock) VALUES (1, 3, 'Clog', '', 1, 1)"
    )
    await told(owner)
    page = await on.db.execute("product.list_newest", {"category_id": 3})
    assert (page.source, page.rows()[0]["title"]) == (pb.SOURCE_PRIMARY, "Clog")
    assert await on.source("product.get", {"product_id": 7}) == pb.SOURCE_CACHE


async def test_what_nobody_had_is_found_as_soon_as_somebody_has_it(serve: Any, owner: Connection):
    on = await serve()
    wallet = "0x" + 40 * "b"
    absent = [
        ("product.get", {"product_id": 121}),
        ("user.by_wallet", {"wallet": wallet.upper().replace("X", "x")}),
        ("user.by_ens_name", {"ens_name": "Bea.eth"}),
        ("seller.by_slug", {"slug": "bea"}),
        ("user.get", {"user_id": 25}),
    ]
    for name, parameters in absent:
        await on.db.execute(name, parameters)
        again = await on.db.execute(name, parameters)
        assert (again.source, again.row_count) == (pb.SOURCE_CACHE, 0)
    await owner.execute(f"INSERT INTO shop.users (wallet, display_name, ens_name) VALUES ('{wallet}', 'Bea', 'bea.eth')")
    await owner.execute("INSERT INTO shop.sellers (user_id, name, slug, country) VALUES (25, 'Bea', 'bea', 'DE')")
    await owner.execute(
        "INSERT INTO shop.products (seller_id, category_id, title, description, price_cents, stock) VALUES (1, 3, 'Clog', '', 1, 1)"
    )
    await told(owner)
    for name, parameters in absent:
        assert (await on.db.execute(name, parameters)).row_count == 1, name


async def test_a_read_with_a_token_never_shows_what_was_cached_before_it(serve: Any, owner: Connection, cache: ServiceProcess):
    on = await serve(outbox_poll=60.0)
    await on.db.execute("product.get", {"product_id": 7})
    cache.signal(signal.SIGSTOP)  # so that it is not told
    session = on.db.session()
    try:
        await session.write("product.set_stock", {"product_id": 7, "stock": 77})
    finally:
        cache.signal(signal.SIGCONT)
    found = await session.execute("product.get", {"product_id": 7})
    assert found.rows()[0]["stock"] == 77
    async with asyncio.timeout(20):  # until something is there that was loaded when the log was known to be further
        while (await session.execute("product.get", {"product_id": 7})).source != pb.SOURCE_CACHE:
            await owner.execute("UPDATE shop.products SET stock = stock + 1 WHERE product_id = 7")
            await on.db.write("product.set_stock", {"product_id": 8, "stock": 1})
            await told(owner)
            await session.execute("product.get", {"product_id": 7})


async def test_an_answer_of_the_cache_has_the_token_of_the_read_that_filled_it(serve: Any):
    on = await serve()
    first, second = [await on.db.execute("product.get", {"product_id": 7}) for _ in range(2)]
    assert second.source == pb.SOURCE_CACHE
    assert second.consistency_token == first.consistency_token != ""


async def test_of_many_who_want_the_same_at_once_one_asks_the_database(serve: Any, tmp_path: Path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "slow.sql").write_text(OWN_FILES["slow"])
    on, other = await serve(queries_dir=folder), await serve(queries_dir=folder)
    answers = await asyncio.gather(*(each.db.execute("own.slow", {"seconds": 0.5}) for each in [on, other] * 30))
    sources = [each.source for each in answers]
    assert (sources.count(pb.SOURCE_PRIMARY), sources.count(pb.SOURCE_CACHE)) == (1, 59)


async def test_what_the_cache_does_not_take_is_served_all_the_same(
    serve: Any, tmp_path: Path, owner: Connection, cache: ServiceProcess
):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "elsewhere.sql").write_text(OWN_FILES["elsewhere"])
    on = await serve(queries_dir=folder)
    async with CacheClient(cache.grpc) as client:
        await client.namespace("product", JSON).put("9", {"somebody": "else's"})
    for name, parameters, rows in (
        ("product.list_newest", {"page_size": 100}, 100),  # more tags than a value may have
        ("own.elsewhere", {}, 1),
        ("seller.by_slug", {"slug": "a\nb"}, 0),
        ("product.get", {"product_id": 9}, 1),
    ):
        for _ in range(3):
            answer = await on.db.execute(name, parameters)
            assert answer.row_count == rows
            assert answer.source == pb.SOURCE_PRIMARY or name == "product.get"
    async with asyncio.timeout(10):
        while await on.source("product.get", {"product_id": 9}) != pb.SOURCE_CACHE:  # what was there has made room
            await asyncio.sleep(0.01)
    async with CacheClient(cache.grpc) as client:
        leases = {each.namespace: each.leases for each in (await client.stats()).namespaces}
    assert leases["search"] == 1  # the page of 100 was tried once: else its readers would wait for each other, one after the other


@pytest.mark.parametrize("how", ["stands still", "is gone"])
async def test_without_the_cache_reads_go_on_and_lose_no_more_than_its_time_out(
    serve: Any, cache: ServiceProcess, owner: Connection, how: str
):
    on = await serve(cache_timeout=CACHE_TIMEOUT)
    await on.db.execute("product.get", {"product_id": 7})
    if how == "stands still":
        cache.signal(signal.SIGSTOP)
    else:
        cache.process.kill()
        await cache.exit_status()
    slowest = 0.0
    try:
        until = time.monotonic() + 3
        while time.monotonic() < until:
            began = time.monotonic()
            answer = await on.db.execute("product.get", {"product_id": 7})
            slowest = max(slowest, time.monotonic() - began)
            assert answer.source == pb.SOURCE_PRIMARY
        await on.db.write("product.set_stock", {"product_id": 7, "stock": 70})
        assert (await on.db.execute("product.get", {"product_id": 7})).rows()[0]["stock"] == 70
    finally:
        if how == "stands still":
            cache.signal(signal.SIGCONT)
    assert slowest < CACHE_TIMEOUT + 2.0  # and what a busy machine takes
    if how == "stands still":
        await told(owner)
        assert (await on.db.execute("product.get", {"product_id": 7})).rows()[0]["stock"] == 70
        async with asyncio.timeout(10):
            while await on.source("product.get", {"product_id": 7}) != pb.SOURCE_CACHE:
                await asyncio.sleep(0.05)


async def test_without_redis_nothing_is_shown_that_may_have_been_invalidated(serve: Any, redis: RedisServer, owner: Connection):
    on = await serve()
    await on.db.execute("product.get", {"product_id": 7})
    assert await on.source("product.get", {"product_id": 7}) == pb.SOURCE_CACHE
    redis.signal(signal.SIGSTOP)
    try:
        await owner.execute("UPDATE shop.products SET stock = 70 WHERE product_id = 7")
        async with asyncio.timeout(20):  # until its read lease is over, it may show what was there when it began
            while (await on.db.execute("product.get", {"product_id": 7})).rows()[0]["stock"] != 70:
                await asyncio.sleep(0.05)
        for _ in range(20):
            assert (await on.db.execute("product.get", {"product_id": 7})).rows()[0]["stock"] == 70
    finally:
        redis.signal(signal.SIGCONT)
    await told(owner)
    assert (await on.db.execute("product.get", {"product_id": 7})).rows()[0]["stock"] == 70


async def test_health_says_that_the_cache_was_not_told_for_too_long(serve: Any, cache: ServiceProcess, owner: Connection):
    on = await serve(outbox_max_age=0.5)
    await until_health(on.server, "dbopt.outbox", health_pb2.HealthCheckResponse.SERVING)
    cache.signal(signal.SIGSTOP)
    try:
        await owner.execute("UPDATE shop.products SET stock = 70 WHERE product_id = 7")
        await until_health(on.server, "dbopt.outbox", health_pb2.HealthCheckResponse.NOT_SERVING)
        await until_health(on.server, "readiness", health_pb2.HealthCheckResponse.SERVING)
    finally:
        cache.signal(signal.SIGCONT)
    await until_health(on.server, "dbopt.outbox", health_pb2.HealthCheckResponse.SERVING)


async def test_a_change_that_commits_after_one_that_it_did_not_see_is_told_all_the_same(
    serve: Any, owner: Connection, postgres18: PostgresServer, database: str
):
    on = await serve()
    other = await asyncpg.connect(postgres18.dsn(database))
    try:
        async with other.transaction():
            await other.execute("UPDATE shop.users SET display_name = 'Anna' WHERE user_id = 9")
            await owner.execute("INSERT INTO shop.reviews (product_id, user_id, rating, body) VALUES (50, 9, 5, '')")
            await told(owner)
            for _ in range(2):
                before = await on.db.execute("product.get", {"product_id": 50})
            assert (before.source, before.rows()[0]["reviews"][0]["display_name"]) == (pb.SOURCE_CACHE, "user 9")
    finally:
        await other.close()
    await told(owner)
    after = await on.db.execute("product.get", {"product_id": 50})
    assert after.rows()[0]["reviews"][0]["display_name"] == "Anna"


async def test_a_tag_that_the_cache_does_not_take_keeps_no_other_from_being_told(serve: Any, owner: Connection):
    on = await serve()
    await on.db.execute("user.get", {"user_id": 1})
    await owner.execute("UPDATE shop.users SET ens_name = repeat('ä', 250) || '.eth' WHERE user_id = 1")
    await told(owner)
    assert (await on.db.execute("user.get", {"user_id": 1})).rows()[0]["ens_name"].startswith("ää")


async def until_health(server: RunningServer, name: str, status: int) -> None:
    """Return when a name has a status."""
    async with asyncio.timeout(20):
        async for answer in health_pb2_grpc.HealthStub(server.channel()).Watch(health_pb2.HealthCheckRequest(service=name)):
            if answer.status == status:
                return


async def test_without_an_address_everything_is_read_from_the_database(shop: str, owner: Connection):
    async with dbopt(shop) as server, client_of(server) as db:
        for _ in range(3):
            assert (await db.execute("product.get", {"product_id": 7})).source == pb.SOURCE_PRIMARY
        pools = (await db.pool_status())[0].pools
        assert "outbox" not in {pool.query_class for pool in pools}
