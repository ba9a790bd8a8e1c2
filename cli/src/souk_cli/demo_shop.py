"""Shoppers who browse, sellers who change prices, and a cache between them and a pretend database, with every read judged."""

import asyncio
import itertools
import random
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from rich.table import Table
from souk.client import CLIENTS, JSON, CacheClient, Load, Loaded, NearConfig, fingerprint

from souk_cli.demo_checks import Checks
from souk_cli.display import err, out, seconds

PRODUCTS = 2000
SELLERS = 50
SHOPPERS = 24
VISITS = 500
"""Products and pages of results that each shopper looks at."""
SEARCHES = 0.1
"""Share of visits at which a shopper searches."""
COLOURS, SIZES = ("black", "blue", "green", "red"), (38, 40, 42, 44)
RESULTS = 12
"""Products on a page."""
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
        self.loading: dict[str, list[int]] = {key: [] for key in self.versions}
        """For each load that is under way, the changes of its product that had been announced when it was asked for."""
        self.changing: Counter[str] = Counter()
        self.changed: Counter[str] = Counter()
        """Changes of each product that the cache was told of, and those of them that it has announced."""
        self.loaded_twice = 0
        """Loads of a product that another was loading at that time, with no change between them."""

    async def product(self, key: str, asked: int) -> Loaded[dict[str, int]]:
        """What the namespace product keeps. asked: the changes that had been announced when its reader asked the cache, which may
        have given the right to load before the next change, and have been heard after it."""
        self.loaded_twice += self.changing[key] in self.loading[key]
        self.loading[key].append(asked)
        try:
            version = self.versions[key]
            self.queries += 1
            await asyncio.sleep(QUERY_SECONDS)
            return Loaded({"id": int(key), "version": version}, tags=[f"seller:{int(key) % SELLERS}"])
        finally:
            self.loading[key].remove(asked)

    async def search(self, colour: str, sizes: list[int]) -> Loaded[list[dict[str, int]]]:
        """A page of results. It shows what each product is now, and is known by their ids where one of them changes."""
        first = COLOURS.index(colour) * 97 + sum(sizes)
        found = [{"id": number, "version": self.versions[str(number)]} for number in range(first, first + RESULTS)]
        self.queries += 1
        await asyncio.sleep(QUERY_SECONDS)
        return Loaded(found, tags=[f"shown:{each['id']}" for each in found])

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
    searches: dict[str, set[tuple[str | int, ...]]] = field(default_factory=lambda: defaultdict(set))
    """Fingerprint -> what was searched for."""
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
    near = NearConfig(["product", "search", "user"])
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
    """Looks at popular products more than at others (Zipf), searches now and then, and is sometimes a seller."""
    rng = random.Random(number)  # noqa: S311 — the same shop each time
    weights = list(itertools.accumulate(1 / rank for rank in range(1, PRODUCTS + 1)))
    for _ in range(VISITS):
        key = str(bisect_left(weights, rng.random() * weights[-1]))
        if rng.random() < WRITES:
            await _sell(client, key, database, seen)
        if rng.random() < SEARCHES:
            await _search(client, rng, database, seen)
        else:
            await _look(client, key, database, seen)
        await asyncio.sleep(0)


async def _look(client: CacheClient, key: str, database: Database, seen: Seen) -> None:
    least, asked = database.announced[key], database.changed[key]
    product = await _timed(client, "product", key, lambda: database.product(key, asked), seen)
    seen.stale += product is None or product["version"] < least


async def _search(client: CacheClient, rng: random.Random, database: Database, seen: Seen) -> None:
    """Each shopper writes the same search in another way; the fingerprint is the same."""
    colour, sizes = rng.choice(COLOURS), sorted(rng.sample(SIZES, 2))
    words = {"colour": colour, "sizes": rng.sample(sizes, 2), "page": rng.choice([None, 1]), "seller": ""}
    shuffled = {name: words[name] for name in rng.sample(list(words), len(words))}
    key = fingerprint(shuffled, unordered=["sizes"], defaults={"page": 1})
    seen.searches[key].add((colour, *sizes))
    least = dict(database.announced)
    page = await _timed(client, "search", key, lambda: database.search(colour, sizes), seen)
    seen.stale += page is None or any(each["version"] < least[str(each["id"])] for each in page)


async def _timed(client: CacheClient, namespace: str, key: str, query: Callable[[], Awaitable[Loaded[Any]]], seen: Seen) -> Any:
    space, where = client.namespace(namespace, JSON), "cache service"

    async def load(_: Load) -> Loaded[Any]:
        nonlocal where
        where = "database"
        return await query()

    start = time.perf_counter()
    value = space.get_nowait(key)
    if value is not None:
        where = "near cache"
    else:
        value = await space.get_or_load(key, load)
    seen.times[where].append(time.perf_counter() - start)
    return value


async def _sell(client: CacheClient, key: str, database: Database, seen: Seen) -> None:
    """Write to the database, then tell the cache, as a shop does."""
    database.versions[key] += 1
    version = database.versions[key]
    database.changing[key] += 1
    start = time.perf_counter()
    await client.invalidate(keys={"product": [key]}, tags=[f"shown:{key}"], level=CLIENTS)
    database.changed[key] += 1
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
        f"\n{SHOPPERS} shoppers look at {seen.reads:,} products and pages of results in {seconds(took)}; sellers change "
        f"{seen.writes:,} products. [green]{hits / seen.reads:.1%}[/] never reach the database, which gets {database.queries:,} "
        "queries.\n"
    )
    out.print(table)
    if len(seen.invalidations) > 1:
        cuts = quantiles(seen.invalidations, n=100)
        out.print(f"\nA change is known to every near cache within {_short(cuts[49])}, 99 % within {_short(cuts[98])}.")


async def _check(checks: Checks, one: CacheClient, two: CacheClient, database: Database, seen: Seen) -> None:
    checks.add(f"of {seen.reads:,} reads, {seen.stale} showed an old product after its change was announced", seen.stale == 0)
    checks.add("no product was loaded by two at once, but where it had changed", database.loaded_twice == 0)
    stats = await one.stats()
    product, search = (next(each for each in stats.namespaces if each.namespace == name) for name in ("product", "search"))
    loads = one.counts.loads + two.counts.loads
    uncached = one.counts.loads_uncached + two.counts.loads_uncached
    queries, leases = database.queries, product.leases + search.leases
    filled = sum(each.fills + each.fills_refused for each in (product, search))
    checks.add(f"the service gave {leases:,} leases for {loads:,} loads", leases == loads)
    checks.add(f"the database got {queries:,} queries for {loads + uncached:,} loads", queries == loads + uncached)
    checks.add(f"{filled:,} loaded values were stored, or invalidated before", filled == loads)
    checks.add(f"the service counted {product.invalidations:,} changes of {seen.writes:,}", product.invalidations >= seen.writes)
    asked = {each for some in seen.searches.values() for each in some}
    told = f"{len(asked):,} searches, each written in many ways, had {len(seen.searches):,} fingerprints"
    checks.add(told, len(asked) == len(seen.searches) and all(len(each) == 1 for each in seen.searches.values()))
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
