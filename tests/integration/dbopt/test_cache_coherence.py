"""Nothing old is shown for longer than it takes to tell the cache: after any change, in any order, whoever dies in between."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg
import processes
import pytest
from faults.counts import count
from integration.dbopt.caching import Oracle, cache_service, told
from integration.dbopt.shop import client_of, dbopt, fill
from postgres_servers import PostgresServer
from processes import ServiceProcess
from redis.asyncio import Redis
from redis_servers import redis_server
from souk.client import ClientConfig, DbClient, SoukError
from souk.dbopt.v1 import query_pb2 as pb
from souk_dbopt.adapters import schema

pytestmark = pytest.mark.shop
Connection = asyncpg.Connection
SEED = int(os.environ.get("SOUK_SEED") or random.SystemRandom().randrange(2**31))
PATIENT = 5.0
DAYS = {"since": datetime(2026, 1, 1, tzinfo=UTC), "until": datetime(2027, 1, 1, tzinfo=UTC)}
Read = tuple[str, dict[str, Any]]
LISTS = ("product.list_newest", "product.list_cheapest", "product.list_dearest", "product.list_popular")
READS: list[Read] = [
    *(("product.get", {"product_id": number}) for number in (1, 2, 3, 4, 5, 6, 121, 122)),
    *((name, wanted) for name in LISTS for wanted in ({"page_size": 20}, {"category_id": 2}, {"seller_id": 2}, {"in_stock": True})),
    ("product.search", {"words": "shoe", "page_size": 30}),
    ("product.search", {"words": "red", "seller_id": 3}),
    *(("user.get", {"user_id": number}) for number in (1, 21, 22, 25)),
    *(("user.by_wallet", {"wallet": f"0x{number:040}"}) for number in (1, 2, 900, 901)),
    *(("user.by_ens_name", {"ens_name": name}) for name in ("user-1.eth", "user-2.eth", "anna.eth", "bea.eth")),
    *(("seller.by_slug", {"slug": slug}) for slug in ("seller-1", "seller-2", "anna")),
    *(("seller.dashboard", {"seller_id": number, "low_stock": 8}) for number in (1, 2, 3)),
    ("category.list", {}),
    *(("order.get", {"order_id": number}) for number in (1, 2, 3, 9)),
    *(("order.list", {"buyer_id": number}) for number in (1, 2, 3)),
    ("order.list", {"buyer_id": 1, "status": "paid"}),
    *(("review.list", {"product_id": number}) for number in (1, 2, 20)),
    *(("product.sales", {"product_id": number, **DAYS}) for number in (1, 2)),
    ("analytics.sales", {"bucket": "month", **DAYS}),
    ("analytics.trending", {"since": date(2026, 11, 1), "until": date(2026, 12, 1)}),
]
PAGES = (*LISTS, "product.search", "analytics.trending")
FIGURES = ("seller_rating", "seller_rating_count", "seller_items_sold")
MORE = """
INSERT INTO shop.orders (buyer_id, request_id, total_cents, currency, placed_at)
    SELECT 1 + n % 3, n::text, 100 * n, 'USD', now() - n * interval '1 day' FROM generate_series(1, 8) n;
INSERT INTO shop.order_items (order_id, line, product_id, seller_id, quantity, price_cents, currency, placed_at)
    SELECT o.order_id, line, p.product_id, p.seller_id, 1 + line, p.price_cents, 'USD', o.placed_at
    FROM shop.orders o, generate_series(1, 2) line, shop.products p WHERE p.product_id = 1 + (o.order_id + line) % 6;
INSERT INTO shop.product_views SELECT product_id, '2026-11-05', 500 - product_id FROM shop.products;
DELETE FROM souk.outbox;
"""
PRODUCTS = "shop.products (seller_id, category_id, title, description, price_cents, stock)"
REVIEWS, STARS = "shop.reviews (product_id, user_id, rating, body)", "ON CONFLICT (user_id, product_id) DO UPDATE SET rating = 5"
ALT = "ON CONFLICT (product_id, position) DO UPDATE SET alt = 'new'"
ORDERS = "shop.orders (buyer_id, request_id, total_cents, currency)"
RANKED = 500
"""Matches of a search, at the most."""
DEFAULTS = {"in_stock": False, "page_size": 50}


class Changes:
    """Statements by chance, each of which some rule of the schema may forbid."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def next(self) -> str:
        one = self._chance.choice
        product, seller, category = one("1234567"), one("123"), one("23")
        user, order, slug = one(("1", "2", "20", "21", "22", "24", "25")), one("123456789"), one(("anna", "seller-1", "x"))
        ens, wallet = one(("anna.eth", "bea.eth", "user-1.eth", "user-2.eth")), f"0x{one((1, 2, 900, 901)):040}"
        where = one((f"product_id = {product}", f"product_id IN ({product}, 2)", f"seller_id = {seller}", "product_id < 9"))
        number, some, money = self._chance.randrange(1, 10), one((1, 2, 600)), one(("USD", "EUR"))
        return one((
            f"UPDATE shop.products SET stock = {number} WHERE {where}",
            f"UPDATE shop.products SET price_cents = {number * 100} WHERE {where}",
            f"UPDATE shop.products SET title = 'Blue shoe {number}' WHERE {where}",
            f"UPDATE shop.products SET description = 'red {number}', attributes = '{{}}' WHERE {where}",
            f"UPDATE shop.products SET status = '{one(('active', 'removed', 'draft'))}' WHERE {where}",
            f"UPDATE shop.products SET category_id = {category} WHERE {where}",
            f"UPDATE shop.products SET seller_id = {seller} WHERE {where}",
            f"UPDATE shop.products SET popularity = popularity + {number} WHERE {where}",
            f"INSERT INTO {PRODUCTS} SELECT {seller}, {category}, 'Red shoe', '', {number}, 3 FROM generate_series(1, {some})",
            f"DELETE FROM shop.products WHERE product_id > 120 OR product_id = {product}",
            f"INSERT INTO shop.images VALUES ({product}, {number}, 'i', '') {ALT}",
            f"UPDATE shop.images SET product_id = {product} WHERE product_id = {one('1234567')} AND position = 0",
            f"DELETE FROM shop.images WHERE product_id = {product}",
            "TRUNCATE shop.images",
            f"INSERT INTO {REVIEWS} VALUES ({product}, {user}, {1 + number // 2}, 'x') {STARS}",
            f"UPDATE shop.reviews SET rating = 6 - rating, product_id = {product} WHERE user_id = {number}",
            f"DELETE FROM shop.reviews WHERE product_id = {product}",
            f"UPDATE shop.users SET display_name = 'n{number}' WHERE user_id = {one((number, user))}",
            f"UPDATE shop.users SET ens_name = '{ens}' WHERE user_id = {user}",
            f"UPDATE shop.users SET wallet = '{wallet}' WHERE user_id = {user}",
            f"INSERT INTO shop.users (wallet, display_name, ens_name) VALUES ('{wallet}', 'new', '{ens}')",
            f"DELETE FROM shop.users WHERE user_id = {user}",
            f"UPDATE shop.sellers SET name = 'S{number}' WHERE seller_id = {seller}",
            f"UPDATE shop.sellers SET slug = '{slug}' WHERE seller_id = {seller}",
            f"UPDATE shop.sellers SET user_id = {user}, country = 'FR' WHERE seller_id = {seller}",
            f"INSERT INTO shop.sellers (user_id, name, slug, country) VALUES ({user}, 'New', '{slug}', 'DE')",
            f"UPDATE shop.categories SET name = 'C{number}' WHERE category_id = {category}",
            f"INSERT INTO shop.categories VALUES ({number + 3}, 1, 'c{number}', 'C')",
            "DELETE FROM shop.categories WHERE category_id > 3",
            f"INSERT INTO {ORDERS} SELECT {one('123')}, gen_random_uuid()::text, 5, 'USD'",
            f"UPDATE shop.orders SET status = '{one(('paid', 'shipped', 'cancelled'))}' WHERE order_id = {order}",
            f"UPDATE shop.orders SET buyer_id = {one('123')}, total_cents = {number} WHERE order_id = {order}",
            f"DELETE FROM shop.orders WHERE order_id = {order}",
            f"INSERT INTO shop.order_items VALUES ({order}, {number}, {product}, {seller}, 1, 1, '{money}') ON CONFLICT DO NOTHING",
            f"UPDATE shop.order_items SET quantity = {number}, product_id = {product} WHERE order_id = {order}",
            f"UPDATE shop.order_items SET seller_id = {seller} WHERE order_id = {order}",
            f"DELETE FROM shop.order_items WHERE order_id = {order} AND line = 1",
            f"UPDATE shop.product_views SET views = {number} WHERE product_id = {product}",
        ))  # fmt: skip


async def old(oracle: Oracle, name: str, parameters: Mapping[str, Any], served: Sequence[dict[str, Any]]) -> str:
    """What is wrong with the rows that were served; '' where nothing is.

    A page may lack what newly belongs on it; popularity, views, and on a page that is not of one seller the sellers' figures may be
    of before: nobody tells of those. Everything else that is on it must be right. A search ranks the 500 most popular matches:
    one that was among them when it was cached, and is not now, is compared with what the list of all products has.
    """
    free = {"popularity", "views", "rank", *(FIGURES if "seller_id" not in parameters else ())}
    found = [_without(row, free) for row in served]
    exact = name not in PAGES or ("seller_id" in parameters and name != "product.list_popular")
    whole = {**DEFAULTS, **parameters, "page_size": 5000, "limit": 5000}
    truth = await oracle.rows(name, whole) if name in PAGES else []
    if name == "product.search" and len(truth) >= RANKED:
        exact = False
        truth += await oracle.rows("product.list_newest", {key: value for key, value in whole.items() if key != "words"})
    if exact:
        expected = [_without(row, free) for row in await oracle.rows(name, {**DEFAULTS, **parameters})]
        return "" if found == expected else f"{found} is {expected}"
    right = {row["product_id"]: _without(row, free) for row in truth}
    return next((f"{row} is {right.get(row['product_id'])}" for row in found if row != right.get(row["product_id"])), "")


def _without(row: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


@pytest.fixture
async def shop(postgres18: PostgresServer, owner: Connection, database: str) -> str:
    await owner.execute(MORE)
    return postgres18.dsn(database, "souk_service")


@pytest.fixture
def postgres(postgres18: PostgresServer) -> PostgresServer:
    return postgres18


async def wrong_ones(db: DbClient, oracle: Oracle) -> list[str]:
    """The reads that show what is old."""
    found = []
    for name, parameters in READS:
        served = (await db.execute(name, parameters)).rows()
        if problem := await old(oracle, name, parameters, served):
            found.append(f"{name} {parameters}: {problem}")
    return found


@pytest.mark.timeout(120 + count(7200, 60))
async def test_no_cached_query_shows_what_any_change_has_made_old(shop: str, owner: Connection, tmp_path: Path):
    print(f"SOUK_SEED={SEED}")
    changes, oracle = Changes(random.Random(SEED)), Oracle(owner)
    settings: dict[str, Any] = {"cache_timeout": PATIENT, "outbox_poll": 0.002}
    made = cached = reads = 0
    async with (
        cache_service(tmp_path) as cache,
        dbopt(shop, cache_address=cache.grpc, **settings) as server,
        client_of(server) as db,
    ):
        assert await wrong_ones(db, oracle) == []
        for name, parameters in READS:
            assert (await db.execute(name, parameters)).source == pb.SOURCE_CACHE, (name, parameters)
        while made < count(1000, 40):
            with contextlib.suppress(asyncpg.IntegrityConstraintViolationError):
                await owner.execute(changes.next())
                made += 1
            await told(owner)
            for name, parameters in READS:
                answer = await db.execute(name, parameters)
                cached, reads = cached + (answer.source == pb.SOURCE_CACHE), reads + 1
                assert not (problem := await old(oracle, name, parameters, answer.rows())), (
                    SEED,
                    made,
                    name,
                    parameters,
                    problem,
                )
    print(f"{made:,} changes, {cached / reads:.0%} of the reads after them from the cache")
    assert cached > reads / 2


@pytest.mark.timeout(120 + count(7200, 60))
async def test_when_writers_and_readers_of_two_nodes_are_done_nothing_old_is_left(
    shop: str, owner: Connection, postgres18: PostgresServer, database: str, tmp_path: Path
):
    print(f"SOUK_SEED={SEED}")
    oracle, chance = Oracle(owner), random.Random(SEED)
    settings: dict[str, Any] = {"cache_timeout": PATIENT, "outbox_poll": 0.002}

    async def write(seed: int) -> None:
        """Transactions of some statements each, open for a while."""
        own = random.Random(seed)
        changes = Changes(own)
        connection = await asyncpg.connect(postgres18.dsn(database))
        try:
            for _ in range(8):
                with contextlib.suppress(asyncpg.IntegrityConstraintViolationError, asyncpg.DeadlockDetectedError):
                    async with connection.transaction():
                        for _ in range(own.randint(1, 3)):
                            await connection.execute(changes.next())
                            await asyncio.sleep(own.random() * 0.01)
        finally:
            await connection.close()

    async def read(db: DbClient, seed: int) -> None:
        own = random.Random(seed)
        while True:
            await db.execute(*own.choice(READS))

    async with contextlib.AsyncExitStack() as stack:
        cache = await stack.enter_async_context(cache_service(tmp_path))
        servers = [await stack.enter_async_context(dbopt(shop, cache_address=cache.grpc, **settings)) for _ in range(2)]
        nodes = [await stack.enter_async_context(client_of(server)) for server in servers]
        for turn in range(count(100, 5)):
            readers = [asyncio.create_task(read(nodes[number % 2], turn * 10 + number)) for number in range(4)]
            try:
                await asyncio.gather(*(write(chance.randrange(2**31)) for _ in range(4)))
            finally:
                for reader in readers:
                    reader.cancel()
                outcomes = await asyncio.gather(*readers, return_exceptions=True)
            assert all(isinstance(each, asyncio.CancelledError) for each in outcomes), outcomes
            await told(owner)
            assert await wrong_ones(nodes[turn % 2], oracle) == [], (SEED, turn)


class Nodes:
    """dbopt and the cache as processes that are killed and come back."""

    def __init__(self, folder: Path, dsn: str, redis_url: str) -> None:
        self.folder = folder
        self.dsn = dsn
        self.redis_url = redis_url
        self.cache: ServiceProcess | None = None
        self.dbopt: ServiceProcess | None = None
        self._port = 0

    async def start(self) -> None:
        """Start what does not run."""
        if self.cache is None:
            settings = {"redis_url": self.redis_url, "partition": self.folder.name, "port": self._port}
            self.cache = await processes.start_service("cache", self.folder, "cache", **settings)
            self._port = int(self.cache.grpc.rpartition(":")[2])
        if self.dbopt is None:
            chosen = {"dsn": self.dsn, "cache_address": self.cache.grpc, "cache_timeout": PATIENT, "check_interval": 0.2}
            self.dbopt = await processes.start_service("dbopt", self.folder, "dbopt", **chosen)

    async def kill(self, *names: str) -> None:
        for name in names:
            service: ServiceProcess | None = getattr(self, name)
            if service is not None:
                await processes.stop(service)
                setattr(self, name, None)

    def client(self) -> DbClient:
        assert self.dbopt is not None
        return DbClient(config=ClientConfig(target=self.dbopt.grpc))


@pytest.fixture
async def nodes(shop: str, tmp_path: Path) -> AsyncIterator[Nodes]:
    async with redis_server(tmp_path) as redis:
        found = Nodes(tmp_path, shop, redis.url)
        try:
            await found.start()
            yield found
        finally:
            await found.kill("dbopt", "cache")


@pytest.mark.timeout(300 + count(3600, 0))
async def test_whoever_is_killed_between_a_commit_and_its_invalidation_nothing_old_is_left(nodes: Nodes, owner: Connection):
    chance, oracle = random.Random(SEED), Oracle(owner)
    for turn in range(count(60, 3)):
        victims = (("dbopt",), ("cache",), ("dbopt", "cache"))[turn % 3]
        async with nodes.client() as db:
            assert await wrong_ones(db, oracle) == []
            assert nodes.dbopt is not None
            assert nodes.cache is not None
            held = {"dbopt": nodes.dbopt, "cache": nodes.cache}[victims[0]]
            stock = 100 + turn * 10
            if chance.random() < 0.5:  # it commits, and nobody is told: whoever would tell, or be told, stands still
                held.signal(signal.SIGSTOP)
                await owner.execute(f"UPDATE shop.products SET stock = {stock} WHERE product_id < 5")
            else:  # at any moment
                writes = asyncio.create_task(write_on(db, stock))
                await asyncio.sleep(chance.random() * 0.05)
                writes.cancel()
                await asyncio.gather(writes, return_exceptions=True)
                await owner.execute(f"UPDATE shop.products SET stock = {stock + 9} WHERE product_id < 5")
            await nodes.kill(*victims)
        await nodes.start()
        async with nodes.client() as db:
            await told(owner, timeout=60)
            assert await wrong_ones(db, oracle) == [], (SEED, turn, victims)


async def write_on(db: DbClient, stock: int) -> None:
    for number in range(1000):
        with contextlib.suppress(SoukError):
            await db.write("product.set_stock", {"product_id": 1 + number % 4, "stock": stock + number % 9})


@dataclass
class Lagging:
    """A shop on a primary and a replica whose replay can be stopped, and the settings of a dbopt on both."""

    owner: Connection
    replica: Connection
    dsn: str
    settings: dict[str, Any]

    async def stop(self) -> None:
        await self.replica.execute("SELECT pg_wal_replay_pause()")

    async def catch_up(self) -> None:
        await self.replica.execute("SELECT pg_wal_replay_resume()")
        async with asyncio.timeout(20):
            there = await self.owner.fetchval("SELECT pg_current_wal_lsn()")
            while not await self._has_replayed(there):
                await asyncio.sleep(0.005)

    async def _has_replayed(self, place: str) -> bool:
        try:
            return bool(await self.replica.fetchval("SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", place))
        except asyncpg.SerializationError:  # the server ended it, for what it replays removes rows that it might have read
            return False

    async def change(self, stock: int) -> None:
        """Change a product, and have the cache told of it."""
        await self.owner.execute("UPDATE shop.products SET stock = $1 WHERE product_id = 7", stock)
        await told(self.owner)


@pytest.fixture
async def lagging() -> AsyncIterator[Lagging]:
    async with contextlib.AsyncExitStack() as stack:
        primary = await PostgresServer.new()
        stack.push_async_callback(primary.remove)
        owner = await asyncpg.connect(primary.dsn())
        stack.push_async_callback(owner.close)
        await schema.migrate(owner)
        await fill(owner)
        replica = await PostgresServer.new(primary=primary, slot="one")
        stack.push_async_callback(replica.remove)
        connection = await asyncpg.connect(replica.dsn())
        stack.push_async_callback(connection.close)
        service = "souk_service"
        settings = {"replica_dsns": [replica.dsn(user=service)], "cache_timeout": PATIENT, "max_lag": 600.0}
        yield Lagging(owner, connection, primary.dsn(user=service), settings)


@pytest.mark.timeout(300)
async def test_what_a_replica_still_has_is_never_cached(lagging: Lagging, tmp_path: Path):
    async with (
        cache_service(tmp_path) as cache,
        dbopt(lagging.dsn, cache_address=cache.grpc, **lagging.settings) as server,
        client_of(server) as db,
    ):
        sources = set()
        for stock in range(100, 100 + count(500, 20)):
            await lagging.stop()
            await lagging.change(stock)
            for _ in range(3):
                answer = await db.execute("product.get", {"product_id": 7})
                assert answer.rows()[0]["stock"] == stock
                sources.add(answer.source)
            await lagging.catch_up()
        assert pb.SOURCE_CACHE in sources
        uncached = await db.execute("product.list_newest", {"page_size": 150})
        assert uncached.source == pb.SOURCE_REPLICA  # it takes what may be a little old


@pytest.mark.timeout(300)
async def test_a_cache_that_forgot_what_it_was_told_of_takes_nothing_from_a_replica_that_lags(lagging: Lagging, tmp_path: Path):
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server(tmp_path))
        stored = await stack.enter_async_context(Redis.from_url(redis.url))
        chosen: dict[str, Any] = {"redis_url": redis.url, "partition": tmp_path.name}
        cache = await processes.start_service("cache", tmp_path, "cache", **chosen)
        stack.push_async_callback(lambda: processes.stop(cache))
        server = await stack.enter_async_context(dbopt(lagging.dsn, cache_address=cache.grpc, **lagging.settings))
        db = await stack.enter_async_context(client_of(server))
        await lagging.stop()
        await lagging.change(77)
        assert (await db.execute("product.get", {"product_id": 7})).rows()[0]["stock"] == 77
        await processes.stop(cache)
        await stored.flushall()
        cache = await processes.start_service("cache", tmp_path, "cache", port=int(cache.grpc.rpartition(":")[2]), **chosen)
        sources: set[int] = set()
        async with asyncio.timeout(60):
            while pb.SOURCE_CACHE not in sources:  # it is asked again when dbopt has found it back
                answer = await db.execute("product.get", {"product_id": 7})
                sources.add(answer.source)
        await lagging.catch_up()
        for _ in range(3):
            assert (await db.execute("product.get", {"product_id": 7})).rows()[0]["stock"] == 77
