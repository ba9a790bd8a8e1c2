"""A marketplace of a million products: listings, deep pages, searches, and what 64 callers at once wait for.

dbopt and PostgreSQL 18, both of this machine, over gRPC with DbClient; the data is that of `souk db seed`. Side by side, by turns:

* a page of 50 products with their sellers' figures and first images in one rpc, and two N+1 ways of it. In a shop: a page of
  products by one ExecuteQuery, then by one more for each product its seller with figures and its image. At the least: all of these
  by statements of their own, prepared, over one connection to PostgreSQL, with no service between;
* page 2,000 of a listing and its first page, by keyset;
* a search and ILIKE, 20 products each. What is searched for is of the catalogue's own texts: a word as often as it is written, two
  and three words of one title, words that one of 2,000 products has. ILIKE has '%word%' in title or description for each word; its
  order is popularity, whose index it reads until it has 20, which is the faster for frequent words. Ordered as a search is, with
  matches in the title first, it must look at everything; that is reported, too;
* every kind of query, by 64 callers at once, against the targets of what this replaces (500 ms on average, 1 s at most): from a
  start with few connections and with little of the shop in PostgreSQL's memory, and once that has gone on for a while.

    python bench/db_marketplace.py [--products 1000000] [--runs 200] [--data FOLDER | --dsn DSN]

Seeding takes five minutes, the rest about as long. With --data the database is kept in a folder, and used again where it is there
(as root, it must be where the user `nobody` may go, as under /tmp). --dsn: of the owner of a database that was seeded.
"""

import argparse
import asyncio
import contextlib
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import machine
from souk.client import DbClient, DbSession
from souk.dbopt.v1 import marketplace_pb2 as shop
from souk_dbopt import seeding
from souk_dbopt.adapters import schema

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # where the starter of servers is
from object_stores import free_port
from postgres_servers import PostgresServer

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PORT = 50978
PAGE = 50
FOUND = 20
"""Products of a search."""
SEARCHES = 48
"""That ILIKE answers, too: it takes seconds for some."""
SLOW_SEARCHES = 12
"""That it answers in the order of a search."""
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
PAGE_SQL = """SELECT product_id, seller_id, title, price_cents, currency, stock, rating_sum, rating_count, created_at
FROM shop.products WHERE status = 'active' AND category_id = {category}
ORDER BY created_at DESC, product_id DESC LIMIT 50"""
PLAIN = {
    "page": PAGE_SQL.format(category="$1"),
    "seller": "SELECT name, slug FROM shop.sellers WHERE seller_id = $1",
    "stats": "SELECT items_sold, rating_sum, rating_count FROM shop.seller_stats WHERE seller_id = $1",
    "image": "SELECT image_id FROM shop.images WHERE product_id = $1 ORDER BY position LIMIT 1",
}
QUERIES = {
    "bench.page": (
        "listing",
        "category_id: {type: int, description: Its category.}",
        PAGE_SQL.format(category=":category_id::integer"),
    ),
    "bench.beside": (
        "lookup",
        "product_id: {type: bigint, description: The product.}",
        """SELECT s.name, s.slug, t.items_sold, t.rating_sum, t.rating_count,
    (SELECT image_id FROM shop.images i WHERE i.product_id = p.product_id ORDER BY position LIMIT 1) AS image_id
FROM shop.products p JOIN shop.sellers s USING (seller_id) LEFT JOIN shop.seller_stats t USING (seller_id)
WHERE p.product_id = :product_id::bigint""",
    ),
}
"""Of a folder of its own, as a shop has them: class, parameter and text."""


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[94]


def figures(times: list[float]) -> str:
    return f"mean {statistics.fmean(times) * 1e3:.1f} ms, p95 {p95(times) * 1e3:.1f} ms, most {max(times) * 1e3:.0f} ms"


async def timed(call: Awaitable[Any]) -> float:
    start = time.perf_counter()
    await call
    return time.perf_counter() - start


async def migrate(dsn: str) -> None:
    """Bring a database that was seeded earlier to the schema of now."""
    owner = await asyncpg.connect(dsn)
    await schema.migrate(owner)
    await owner.close()


@contextlib.asynccontextmanager
async def database(dsn: str | None, data: Path | None, products: int) -> AsyncIterator[str]:
    """The DSN of the owner of a marketplace; one is made where none is given, and kept in a folder where that is said."""
    if dsn is not None:
        await migrate(dsn)
        yield dsn
        return
    if data is not None and (data / "data").exists():
        server = PostgresServer(18, data, free_port(), OPTIONS)
        await server.start()
        try:
            await migrate(server.dsn())
            yield server.dsn()
        finally:
            await server.stop()
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
        if data is not None:
            await server.stop()
            shutil.move(server.folder, data)
    finally:
        await server.remove()


@contextlib.asynccontextmanager
async def dbopt(owner: str) -> AsyncIterator[DbClient]:
    """A client of dbopt on it, as the service's role."""
    parts = urlsplit(owner)
    host = parts.netloc.rpartition("@")[2]
    settings = {"PORT": str(PORT), "DSN": urlunsplit(parts._replace(netloc=f"souk_service@{host}")), "LOG_LEVEL": "error"}
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as queries:
        for name, (query_class, parameter, text) in QUERIES.items():
            head = f"-- name: {name}\n-- version: 1\n-- description: One of N+1.\n-- class: {query_class}\n"
            Path(queries, f"{name}.sql").write_text(f"{head}-- parameters:\n--   {parameter}\n{text}\n")
        settings["QUERIES_DIR"] = queries
        environment = {**os.environ, **{f"SOUK_DBOPT_{name}": value for name, value in settings.items()}}
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

    def __init__(self, connection: Connection, statements: dict[str, Any]) -> None:
        self._connection = connection
        self._statements = statements

    @classmethod
    async def open(cls, connection: Connection) -> "Floor":
        """All that is not made of words prepared."""
        return cls(connection, {name: await connection.prepare(text) for name, text in PLAIN.items()})

    async def page(self, category: int) -> None:
        """A page, and three statements for each product of it."""
        for row in await self._statements["page"].fetch(category):
            await self._statements["seller"].fetchrow(row["seller_id"])
            await self._statements["stats"].fetchrow(row["seller_id"])
            await self._statements["image"].fetchrow(row["product_id"])

    async def ilike(self, words: str, *, as_searched: bool = False) -> None:
        """What has all words, the most popular first; or first what has them in its title, as a search finds it."""
        patterns = [f"%{word}%" for word in words.split()]
        every = range(1, len(patterns) + 1)
        where = " AND ".join(f"(title ILIKE ${n} OR description ILIKE ${n})" for n in every)
        order = "".join(f"(title ILIKE ${n}) DESC, " for n in every if as_searched)
        await self._connection.fetch(
            f"SELECT product_id, title, price_cents FROM shop.products WHERE status = 'active' AND {where}"  # noqa: S608 — of numbers
            f" ORDER BY {order} popularity DESC, product_id DESC LIMIT {FOUND}",
            *patterns,
        )


async def page_by_rpcs(client: DbClient, category: int) -> None:
    """A page, and one rpc more for each product of it."""
    for row in (await client.execute("bench.page", {"category_id": category})).rows():
        await client.execute("bench.beside", {"product_id": row["product_id"]})


async def listing(client: DbClient, floor: Floor, categories: list[int], runs: int) -> bool:
    ours: list[float] = []
    shops: list[float] = []
    least: list[float] = []
    for run in range(runs):
        category = categories[run % len(categories)]
        ours.append(await timed(client.list_products(category_id=category, page_size=PAGE)))
        shops.append(await timed(page_by_rpcs(client, category)))
        least.append(await timed(floor.page(category)))
    print(f"a page of {PAGE}: {figures(ours)}")
    print(f"  by N+1 rpcs: {figures(shops)}")
    print(f"  by N+1 statements over one connection: {figures(least)}")
    print(f"{'N+1 statements / one rpc, p95':<34} {p95(least) / p95(ours):.2f}")
    ratio = p95(shops) / p95(ours)
    return verdict("N+1 rpcs / one rpc, p95", ratio, TARGET_LISTING, ratio >= TARGET_LISTING, ">=")


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


async def asked(connection: Connection, count: int) -> dict[str, list[str]]:
    """What is searched for, by kind: of the texts of products that chance takes, the same each time."""
    chance = random.Random(7)
    last = await connection.fetchval("SELECT max(product_id) FROM shop.products")
    rows = await connection.fetch(
        "SELECT title, description FROM shop.products WHERE product_id = ANY($1::bigint[]) ORDER BY product_id",
        [chance.randint(1, last) for _ in range(2_000)],
    )
    titles = [words_of(row["title"]) for row in rows]
    texts = [words_of(f"{row['title']} {row['description']}") for row in rows]
    seen = Counter(word for text in texts for word in set(text))
    rare = [word for text in texts for word in text if seen[word] == 1]
    long = [title for title in titles if len(title) >= 3]
    return {
        "a word of a text": [chance.choice(chance.choice(texts)) for _ in range(count * 4 // 10)],
        "two words of a title": [" ".join(chance.sample(chance.choice(long), 2)) for _ in range(count * 2 // 10)],
        "three words of a title": [" ".join(chance.sample(chance.choice(long), 3)) for _ in range(count * 2 // 10)],
        "a rare word": [chance.choice(rare) for _ in range(count * 2 // 10)],
    }


def words_of(text: str) -> list[str]:
    """Words of four letters and more."""
    return [word for word in re.findall(r"[a-z0-9]+", text.lower()) if len(word) > 3]


async def search(client: DbClient, floor: Floor, kinds: dict[str, list[str]]) -> bool:
    every: list[tuple[float, float]] = []
    for kind, searches in kinds.items():
        pairs = []
        for words in searches:
            ours = statistics.median([await timed(client.search_products(words, page_size=FOUND)) for _ in range(3)])
            pairs.append((ours, await timed(floor.ilike(words))))
        print(f"  {kind:<23} {figures([each[0] for each in pairs])};  ILIKE: {figures([each[1] for each in pairs])}")
        every += pairs
    mixed = [words for searches in kinds.values() for words in searches[:: max(1, SEARCHES // SLOW_SEARCHES)]]
    as_searched = [await timed(floor.ilike(words, as_searched=True)) for words in mixed]
    print(f"a search of {FOUND}: {figures([each[0] for each in every])}")
    print(f"  ILIKE, the most popular first: {figures([each[1] for each in every])}")
    print(f"  ILIKE, titles first: {figures(as_searched)}")
    middle = statistics.median(each[1] for each in every) / statistics.median(each[0] for each in every)
    print(f"{'ILIKE / search, medians':<34} {middle:.1f}")
    ratio = p95([each[1] for each in every]) / p95([each[0] for each in every])
    return verdict("ILIKE / search, p95", ratio, TARGET_SEARCH, ratio >= TARGET_SEARCH, ">=")


async def everything(when: str, client: DbClient, searches: list[str], categories: list[int], products: int, users: int) -> bool:
    """All kinds of queries by 64 callers at once, as fast as they are answered."""
    times: dict[str, list[float]] = {}
    until = time.perf_counter() + SECONDS

    async def caller(number: int) -> None:
        chance = random.Random(f"{when} {number}")
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
                    call = session.search_products(chance.choice(searches), page_size=FOUND)
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
    print(f"{CALLERS} callers, {when}: {len(every) / SECONDS:,.0f} calls/s, {figures(every)}")
    mean = verdict("mean, s", statistics.fmean(every), TARGET_MEAN, statistics.fmean(every) < TARGET_MEAN, "<")
    return verdict("most, s", max(every), TARGET_MOST, max(every) < TARGET_MOST, "<") and mean


def verdict(what: str, value: float, target: float, met: bool, sign: str) -> bool:
    print(f"{what:<34} {value:.2f}   target {sign} {target:g}: {'met' if met else 'MISSED'}")
    return met


async def measure(options: argparse.Namespace) -> bool:
    async with database(options.dsn, options.data, options.products) as owner, dbopt(owner) as client:
        connection = await asyncpg.connect(owner)
        floor = await Floor.open(connection)
        categories = [
            row[0] for row in await connection.fetch("SELECT category_id FROM shop.categories WHERE parent_id IS NOT NULL")
        ]
        products = await connection.fetchval("SELECT max(product_id) FROM shop.products")
        users = await connection.fetchval("SELECT max(user_id) FROM shop.users")
        searches = [words for kind in (await asked(connection, 500)).values() for words in kind]
        met = [
            await listing(client, floor, categories, options.runs),
            await deep(client, options.runs),
            await search(client, floor, await asked(connection, SEARCHES)),
            await everything("from the start", client, searches, categories, products, users),
            await everything("after that", client, searches, categories, products, users),
        ]
        await connection.close()
    return all(met)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--dsn")
    options = parser.parse_args()
    print(machine.describe())
    sys.exit(not asyncio.run(measure(options)))


if __name__ == "__main__":
    main()
