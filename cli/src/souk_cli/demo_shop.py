"""Shoppers who browse, sellers who change prices, and a cache between them and a pretend database, with every read judged."""

import asyncio
import itertools
import random
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from statistics import quantiles

from rich.table import Table
from souk.client import CLIENTS, JSON, CacheClient, Load, Loaded, NearConfig

from souk_cli.demo_checks import Checks
from souk_cli.display import err, out, seconds

PRODUCTS = 2000
SELLERS = 50
SHOPPERS = 24
VISITS = 500
"""Products that each shopper looks at."""
WRITES = 0.02
"""Share of visits at which a seller changes something."""
QUERY_SECONDS = 0.004
"""What the pretend database takes for a query."""


class Database:
    """Products with a version each, and users with wallets; what a marketplace has in PostgreSQL."""

    def __init__(self) -> None:
        self.versions = dict.fromkeys(map(str, range(PRODUCTS)), 1)
        self.announced = dict(self.versions)
        """The version of each product when its last invalidation had returned: nobody who comes later may see an older one."""
        self.owner_of_wallet = {"wallet:0xa11ce": "alice", "wallet:0xb0b": "bob"}
        self.queries = 0
        self.loading: Counter[str] = Counter()
        self.most_at_once = 0

    async def product(self, load: Load) -> Loaded[dict[str, int]]:
        """The loader of the namespace product."""
        self.loading[load.key] += 1
        self.most_at_once = max(self.most_at_once, self.loading[load.key])
        try:
            version = self.versions[load.key]
            self.queries += 1
            await asyncio.sleep(QUERY_SECONDS)
            return Loaded({"id": int(load.key), "version": version}, tags=[f"seller:{int(load.key) % SELLERS}"])
        finally:
            self.loading[load.key] -= 1

    async def user(self, load: Load) -> Loaded[dict[str, str]]:
        """The loader of the namespace user, by wallet."""
        name = self.owner_of_wallet[load.alias]
        self.queries += 1
        await asyncio.sleep(QUERY_SECONDS)
        wallets = [wallet for wallet, owner in self.owner_of_wallet.items() if owner == name]
        return Loaded({"name": name}, key=name, aliases=wallets)


@dataclass(slots=True)
class Seen:
    """What the shoppers saw."""

    times: dict[str, list[float]] = field(default_factory=lambda: {"near cache": [], "cache service": [], "database": []})
    stale: int = 0
    writes: int = 0
    invalidations: list[float] = field(default_factory=list)

    @property
    def reads(self) -> int:
        """All of them."""
        return sum(map(len, self.times.values()))


async def shop(address: str, checks: Checks) -> None:
    """Let them shop, print what came of it, and check it."""
    database, seen = Database(), Seen()
    near = NearConfig(["product", "user"])
    async with CacheClient(address, near=near) as one, CacheClient(address, near=near) as two:
        async with asyncio.timeout(30):
            await asyncio.gather(one.near_ready(), two.near_ready())
        start = time.perf_counter()
        with err.status("Shoppers browse …"):
            await asyncio.gather(*(_shopper(number, (one, two)[number % 2], database, seen) for number in range(SHOPPERS)))
        took = time.perf_counter() - start
        _show(seen, database, took)
        await _check(checks, one, two, database, seen)
        await _check_wallets(checks, one, two, database)


async def _shopper(number: int, client: CacheClient, database: Database, seen: Seen) -> None:
    """Looks at popular products more than at others (Zipf), and is now and then a seller."""
    rng = random.Random(number)  # noqa: S311 — the same shop each time
    products = client.namespace("product", JSON)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, PRODUCTS + 1)))
    for _ in range(VISITS):
        key = str(bisect_left(weights, rng.random() * weights[-1]))
        if rng.random() < WRITES:
            await _sell(client, key, database, seen)
        least = database.announced[key]
        where = "cache service"

        async def query(load: Load) -> Loaded[dict[str, int]]:
            nonlocal where
            where = "database"
            return await database.product(load)

        start = time.perf_counter()
        value = products.get_nowait(key)
        if value is not None:
            where = "near cache"
        else:
            value = await products.get_or_load(key, query)
        seen.times[where].append(time.perf_counter() - start)
        seen.stale += value is None or value["version"] < least
        await asyncio.sleep(0)


async def _sell(client: CacheClient, key: str, database: Database, seen: Seen) -> None:
    """Write to the database, then tell the cache, as a shop does."""
    database.versions[key] += 1
    version = database.versions[key]
    start = time.perf_counter()
    await client.invalidate(keys={"product": [key]}, level=CLIENTS)
    seen.invalidations.append(time.perf_counter() - start)
    database.announced[key] = max(database.announced[key], version)
    seen.writes += 1


def _show(seen: Seen, database: Database, took: float) -> None:
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Answered by")
    for name in ("Reads", "Share", "Half within", "99 % within"):
        table.add_column(name, justify="right")
    for where, times in seen.times.items():
        if len(times) > 1:
            cuts = quantiles(times, n=100)
            table.add_row(where, f"{len(times):,}", f"{len(times) / seen.reads:.1%}", _short(cuts[49]), _short(cuts[98]))
    hits = seen.reads - len(seen.times["database"])
    out.print(
        f"\n{SHOPPERS} shoppers look at {seen.reads:,} products in {seconds(took)}; sellers change {seen.writes:,} of them. "
        f"[green]{hits / seen.reads:.1%}[/] never reach the database, which gets {database.queries:,} queries.\n"
    )
    out.print(table)
    if len(seen.invalidations) > 1:
        cuts = quantiles(seen.invalidations, n=100)
        out.print(f"\nA change is known to every near cache within {_short(cuts[49])}, 99 % within {_short(cuts[98])}.")


async def _check(checks: Checks, one: CacheClient, two: CacheClient, database: Database, seen: Seen) -> None:
    checks.add(f"of {seen.reads:,} reads, {seen.stale} showed an old product after its change was announced", seen.stale == 0)
    checks.add("no product was loaded by two at once", database.most_at_once == 1)
    stats = await one.stats()
    product = next(each for each in stats.namespaces if each.namespace == "product")
    loads = one.counts.loads + two.counts.loads
    uncached = one.counts.loads_uncached + two.counts.loads_uncached
    queries, filled = database.queries, product.fills + product.fills_refused
    checks.add(f"the service gave {product.leases:,} leases for {loads:,} loads", product.leases == loads)
    checks.add(f"the database got {queries:,} queries for {loads + uncached:,} loads", queries == loads + uncached)
    checks.add(f"{filled:,} loaded values were stored, or invalidated before", filled == loads)
    checks.add(f"the service counted {product.invalidations:,} changes of {seen.writes:,}", product.invalidations >= seen.writes)
    checks.add(f"the service knows {stats.watchers} near caches", stats.watchers == 2)


async def _check_wallets(checks: Checks, one: CacheClient, two: CacheClient, database: Database) -> None:
    """A wallet goes from one user to another, and nobody sees the former owner any more."""
    users = [client.namespace("user", JSON) for client in (one, two)]
    before = [await each.get_or_load(alias="wallet:0xa11ce", loader=database.user) for each in users]
    database.owner_of_wallet["wallet:0xa11ce"] = "bob"
    await one.invalidate(keys={"user": ["alice", "bob"]}, aliases={"user": ["wallet:0xa11ce"]}, level=CLIENTS)
    after = [await each.get_or_load(alias="wallet:0xa11ce", loader=database.user) for each in users]
    good = before == [{"name": "alice"}] * 2 and after == [{"name": "bob"}] * 2
    checks.add("a wallet that changes hands shows its new owner at once", good)


def _short(span: float) -> str:
    return f"{span * 1e6:.0f} µs" if span < 1e-3 else f"{span * 1e3:.1f} ms"
