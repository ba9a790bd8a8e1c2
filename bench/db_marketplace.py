"""A marketplace of a million products: listings, deep pages, searches, and what 64 callers at once wait for.

dbopt and PostgreSQL 18, both of this machine, over gRPC with DbClient; the data is that of `souk db seed`. Side by side, by turns:

* a page of 50 products with their sellers' figures and first images in one statement, and the N+1 way of it: the same page of
  products, then for each its seller, his figures and its image by statements of their own, prepared, over one connection;
* page 2,000 of a listing and its first page, by keyset;
* a ranked search for words of titles and descriptions, and ILIKE of the same word with the same order and limit;
* every kind of query, by 64 callers at once, against the targets of what this replaces (500 ms on average, 1 s at most).

    python bench/db_marketplace.py [--products 1000000] [--runs 200] [--dsn DSN of a seeded database's owner]
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import machine
from souk.client import DbClient, DbSession
from souk.dbopt.v1 import marketplace_pb2 as shop
from souk_dbopt import seeding
from souk_dbopt.adapters import schema

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # where the starter of servers is
from postgres_servers import PostgresServer

PORT = 50978
PAGE = 50
DEEP = 2_000
CALLERS = 64
SECONDS = 20.0
"""How long all kinds of queries are asked at once."""
TARGET_LISTING, TARGET_DEEP, TARGET_SEARCH = 5.0, 1.2, 10.0
TARGET_MEAN, TARGET_MOST = 0.5, 1.0
OPTIONS = (
    "autovacuum=on",
    "shared_buffers=512MB",
    "effective_cache_size=4GB",
    "random_page_cost=1.1",
    "maintenance_work_mem=256MB",
)
PLAIN = {
    "page": """SELECT product_id, seller_id, title, price_cents, currency, stock, rating_sum, rating_count, created_at
               FROM shop.products WHERE status = 'active' AND category_id = $1
               ORDER BY created_at DESC, product_id DESC LIMIT 50""",
    "seller": "SELECT name, slug FROM shop.sellers WHERE seller_id = $1",
    "stats": "SELECT items_sold, rating_sum, rating_count FROM shop.seller_stats WHERE seller_id = $1",
    "image": "SELECT image_id FROM shop.images WHERE product_id = $1 ORDER BY position LIMIT 1",
    "ilike": """SELECT product_id, title, price_cents FROM shop.products
                WHERE status = 'active' AND (title ILIKE $1 OR description ILIKE $1)
                ORDER BY popularity DESC, product_id DESC LIMIT 50""",
}


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[94]


def figures(times: list[float]) -> str:
    return f"mean {statistics.fmean(times) * 1e3:.1f} ms, p95 {p95(times) * 1e3:.1f} ms, most {max(times) * 1e3:.0f} ms"


async def timed(call: Awaitable[Any]) -> float:
    start = time.perf_counter()
    await call
    return time.perf_counter() - start


@contextlib.asynccontextmanager
async def database(dsn: str | None, products: int) -> AsyncIterator[str]:
    """The DSN of the owner of a marketplace; one is made where none is given."""
    if dsn is not None:
        yield dsn
        return
    server = await PostgresServer.new(18, *OPTIONS)
    try:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        start = time.perf_counter()
        made = await seeding.seed(owner, lambda: asyncpg.connect(server.dsn()), products, 1)
        await owner.close()
        took = time.perf_counter() - start
        print(f"{sum(made.rows.values()):,} rows, {made.database_bytes / 1e9:.1f} GB, made in {took:.0f} s")
        yield server.dsn()
    finally:
        await server.remove()


@contextlib.asynccontextmanager
async def dbopt(owner: str) -> AsyncIterator[DbClient]:
    """A client of dbopt on it, as the service's role."""
    parts = urlsplit(owner)
    host = parts.netloc.rpartition("@")[2]
    settings = {"PORT": str(PORT), "DSN": urlunsplit(parts._replace(netloc=f"souk_service@{host}")), "LOG_LEVEL": "error"}
    environment = {**os.environ, **{f"SOUK_DBOPT_{name}": value for name, value in settings.items()}}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, "-m", "souk_dbopt"], env=environment, stdout=log, stderr=log)
        try:
            async with DbClient(f"127.0.0.1:{PORT}") as client:
                async with asyncio.timeout(60):
                    while True:
                        with contextlib.suppress(Exception):
                            await client.pool_status()
                            break
                        await asyncio.sleep(0.1)
                yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


class Floor:
    """The same things by hand, over one connection."""

    def __init__(self, statements: dict[str, Any]) -> None:
        self._statements = statements

    @classmethod
    async def open(cls, connection: "asyncpg.Connection[asyncpg.Record]") -> "Floor":
        """All of them prepared."""
        return cls({name: await connection.prepare(text) for name, text in PLAIN.items()})

    async def page(self, category: int) -> None:
        """A page, and three statements for each product of it."""
        for row in await self._statements["page"].fetch(category):
            await self._statements["seller"].fetchrow(row["seller_id"])
            await self._statements["stats"].fetchrow(row["seller_id"])
            await self._statements["image"].fetchrow(row["product_id"])

    async def ilike(self, word: str) -> None:
        """What has a word, by looking at everything."""
        await self._statements["ilike"].fetch(f"%{word}%")


async def listing(client: DbClient, floor: Floor, categories: list[int], runs: int) -> bool:
    ours: list[float] = []
    theirs: list[float] = []
    for run in range(runs):
        category = categories[run % len(categories)]
        ours.append(await timed(client.list_products(category_id=category, page_size=PAGE)))
        theirs.append(await timed(floor.page(category)))
    ratio = p95(theirs) / p95(ours)
    print(f"a page of {PAGE}: p95 {p95(ours) * 1e3:.2f} ms, by N+1 statements {p95(theirs) * 1e3:.2f} ms")
    return verdict("N+1 / one statement, p95", ratio, TARGET_LISTING, ratio >= TARGET_LISTING, ">=")


async def deep(client: DbClient, runs: int) -> bool:
    token = ""
    for _ in range(DEEP - 1):
        token = (await client.list_products(page_size=PAGE, page_token=token)).next_page_token
    first, last = [], []
    for _ in range(runs):
        first.append(await timed(client.list_products(page_size=PAGE)))
        last.append(await timed(client.list_products(page_size=PAGE, page_token=token)))
    for name, times in (("1", first), (f"{DEEP:,}", last)):
        print(f"page {name}: {machine.spread((each * 1e3 for each in times), '.2f')} ms")
    ratio = statistics.median(last) / statistics.median(first)
    return verdict(f"page {DEEP:,} / page 1, medians", ratio, TARGET_DEEP, ratio <= TARGET_DEEP, "<=")


async def search(client: DbClient, floor: Floor, words: list[str], runs: int) -> bool:
    ours, theirs = [], []
    for run in range(runs):
        word = words[run % len(words)]
        ours.append(await timed(client.search_products(word, page_size=PAGE)))
        if run % 10 == 0:  # it takes long
            theirs.append(await timed(floor.ilike(word)))
    ratio = p95(theirs) / p95(ours)
    print(f"a search: p95 {p95(ours) * 1e3:.1f} ms; ILIKE: p95 {p95(theirs) * 1e3:.0f} ms ({len(words)} words)")
    return verdict("ILIKE / search, p95", ratio, TARGET_SEARCH, ratio >= TARGET_SEARCH, ">=")


async def everything(client: DbClient, words: list[str], categories: list[int], products: int, users: int) -> bool:
    """All kinds of queries by 64 callers at once, as fast as they are answered."""
    times: dict[str, list[float]] = {}
    until = time.perf_counter() + SECONDS

    async def caller(number: int) -> None:
        chance = random.Random(number)
        session: DbSession = client.session()
        while time.perf_counter() < until:
            kind = chance.choices(("product", "list", "search", "orders", "dashboard", "order"), weights=(50, 20, 10, 10, 2, 8))[0]
            product, user = chance.randint(1, products), chance.randint(1, users)
            order = chance.choice(list(shop.ProductOrder.values()))
            match kind:
                case "product":
                    call: Awaitable[Any] = session.get_product(product)
                case "list":
                    call = session.list_products(order, category_id=chance.choice(categories), page_size=PAGE)
                case "search":
                    call = session.search_products(chance.choice(words), page_size=PAGE)
                case "orders":
                    call = session.list_orders(user)
                case "dashboard":
                    call = session.get_seller_dashboard(1 + product % max(1, products // 50))
                case _:
                    call = session.place_order(user, {product: 1})
            times.setdefault(kind, []).append(await timed(call))

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    every = [each for kind in times.values() for each in kind]
    for kind, each in times.items():
        print(f"  {kind:<10} {len(each):>7,} calls, {figures(each)}")
    print(f"{CALLERS} callers: {len(every) / SECONDS:,.0f} calls/s, {figures(every)}")
    mean = verdict("mean, s", statistics.fmean(every), TARGET_MEAN, statistics.fmean(every) < TARGET_MEAN, "<")
    return verdict("most, s", max(every), TARGET_MOST, max(every) < TARGET_MOST, "<") and mean


def verdict(what: str, value: float, target: float, met: bool, sign: str) -> bool:
    print(f"{what:<34} {value:.2f}   target {sign} {target:g}: {'met' if met else 'MISSED'}")
    return met


async def measure(options: argparse.Namespace) -> bool:
    async with database(options.dsn, options.products) as owner, dbopt(owner) as client:
        connection = await asyncpg.connect(owner)
        floor = await Floor.open(connection)
        categories = [
            row[0] for row in await connection.fetch("SELECT category_id FROM shop.categories WHERE parent_id IS NOT NULL")
        ]
        titles = await connection.fetch("SELECT title FROM shop.products ORDER BY product_id LIMIT 400")
        words = sorted({word.lower() for row in titles for word in row[0].split() if len(word) > 4 and word.isalpha()})[:40]
        products = await connection.fetchval("SELECT max(product_id) FROM shop.products")
        users = await connection.fetchval("SELECT max(user_id) FROM shop.users")
        met = [
            await listing(client, floor, categories, options.runs),
            await deep(client, options.runs),
            await search(client, floor, words, options.runs),
            await everything(client, words, categories, products, users),
        ]
        await connection.close()
    return all(met)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--dsn")
    options = parser.parse_args()
    print(machine.describe())
    sys.exit(not asyncio.run(measure(options)))


if __name__ == "__main__":
    main()
