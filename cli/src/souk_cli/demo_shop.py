"""Shoppers who browse a marketplace, sellers who change prices, and a cache between them and dbopt, with every read judged."""

import asyncio
import itertools
import random
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from rich.table import Table
from souk.client import CLIENTS, JSON, CacheClient, DbClient, Load, Loaded, NearConfig, fingerprint
from souk.dbopt.v1 import marketplace_pb2 as pb

from souk_cli.demo_checks import Checks
from souk_cli.display import err, out, seconds

PRODUCTS = 1000
SHOPPERS = 24
VISITS = 500
"""Products and pages of results that each shopper looks at."""
SEARCHES = 0.1
"""Share of visits at which a shopper searches."""
COLOURS, CATEGORIES = ("black", "white", "grey", "blue"), 4
RESULTS = 6
"""Products of each category on a page of results."""
WRITES = 0.02
"""Share of visits at which a seller changes a price."""


class Market:
    """The marketplace in PostgreSQL, by dbopt. A seller only ever asks a cent more: of two prices the higher is the later."""

    def __init__(self, client: DbClient, prices: dict[str, int]) -> None:
        self.client = client
        self.prices = prices
        self.announced = dict(prices)
        """The price of each product when its last invalidation had returned: nobody who comes later may see a lower one."""
        self.sellers: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """A product has one, who does one thing after another."""
        self.calls = self.loads = 0
        """Of dbopt, and of what shoppers looked for: a page of results takes several calls."""
        self.loading: dict[str, list[int]] = {key: [] for key in prices}
        """For each load that is under way, the changes of its product that had been announced when it was asked for."""
        self.changing: Counter[str] = Counter()
        self.changed: Counter[str] = Counter()
        """Changes of each product that the cache was told of, and those of them that it has announced."""
        self.loaded_twice = 0
        """Loads of a product that another was loading at that time, with no change between them."""

    async def product(self, key: str, asked: int) -> Loaded[dict[str, int]]:
        """What its page shows. asked: the changes that had been announced when its reader asked the cache, which may have given the
        right to load before the next change, and have been heard after it."""
        self.loaded_twice += self.changing[key] in self.loading[key]
        self.loading[key].append(asked)
        try:
            self.loads += 1
            self.calls += 1
            product = await self.client.get_product(int(key))
            if product is None:
                raise LookupError(f"there is no product {key}")
            return Loaded(_short_of(product.summary), tags=[f"seller:{product.summary.seller.seller_id}"])
        finally:
            self.loading[key].remove(asked)

    async def search(self, colour: str, categories: list[int]) -> Loaded[list[dict[str, int]]]:
        """A page of results. It shows what each product is now, and is known by their ids where one of them changes."""
        self.loads += 1
        self.calls += len(categories)
        pages = [
            await self.client.list_products(
                pb.PRODUCT_ORDER_POPULAR, category_id=category, attributes={"colour": colour}, page_size=RESULTS
            )
            for category in categories
        ]
        found = [_short_of(product) for page in pages for product in page.products]
        return Loaded(found, tags=[f"shown:{each['id']}" for each in found])

    async def raise_price(self, key: str) -> int:
        """By a cent; what it is then."""
        price = self.prices[key] + 1
        self.calls += 1
        await self.client.write("product.update_price", {"product_id": int(key), "price_cents": price})
        self.prices[key] = price
        return price


class Wallets:
    """Who has which, as a chain says it."""

    def __init__(self) -> None:
        self.owners = {"wallet:0xa11ce": "alice", "wallet:0xb0b": "bob"}

    async def user(self, load: Load) -> Loaded[dict[str, str]]:
        """The loader of the namespace user, by wallet."""
        name = self.owners[load.alias]
        return Loaded({"name": name}, key=name, aliases=[wallet for wallet, owner in self.owners.items() if owner == name])


@dataclass(slots=True)
class Seen:
    """What the shoppers saw."""

    times: dict[str, list[float]] = field(default_factory=lambda: {"near cache": [], "cache service": [], "dbopt": []})
    searches: dict[str, set[tuple[str | int, ...]]] = field(default_factory=lambda: defaultdict(set))
    """Fingerprint -> what was searched for."""
    stale: int = 0
    writes: int = 0
    invalidations: list[float] = field(default_factory=list)

    @property
    def reads(self) -> int:
        """All of them."""
        return sum(map(len, self.times.values()))


async def shop(address: str, dbopt: str, checks: Checks) -> None:
    """Let them shop, print what came of it, and check it."""
    near = NearConfig(["product", "search", "user"])
    async with CacheClient(address, near=near) as one, CacheClient(address, near=near) as two, DbClient(dbopt) as client:
        async with asyncio.timeout(30):
            await asyncio.gather(one.near_ready(), two.near_ready())
        market, categories = await _popular(client)
        seen = Seen()
        start = time.perf_counter()
        with err.status("Shoppers browse …"):
            shoppers = (_shopper(number, (one, two)[number % 2], market, categories, seen) for number in range(SHOPPERS))
            await asyncio.gather(*shoppers)
        took = time.perf_counter() - start
        _show(seen, market, took)
        await _check(checks, one, two, market, seen)
        await _check_wallets(checks, one, two, Wallets())


async def _popular(client: DbClient) -> tuple[Market, list[int]]:
    """The most popular products, and the categories that most of them are in."""
    prices: dict[str, int] = {}
    token = ""
    while len(prices) < PRODUCTS:
        page = await client.list_products(pb.PRODUCT_ORDER_POPULAR, page_size=200, page_token=token)
        prices |= {str(product.product_id): product.price_cents for product in page.products}
        token = page.next_page_token
        if not token:
            break
    prices = dict(itertools.islice(prices.items(), PRODUCTS))
    first = [await client.get_product(int(key)) for key in itertools.islice(prices, 100)]
    frequent = Counter(product.category_id for product in first if product is not None)
    return Market(client, prices), [category for category, _ in frequent.most_common(CATEGORIES)]


def _short_of(product: pb.ProductSummary) -> dict[str, int]:
    return {"id": product.product_id, "price": product.price_cents}


async def _shopper(number: int, client: CacheClient, market: Market, categories: Sequence[int], seen: Seen) -> None:
    """Looks at popular products more than at others (Zipf), searches now and then, and is sometimes a seller."""
    rng = random.Random(number)  # noqa: S311 — the same shop each time
    keys = list(market.prices)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(keys) + 1)))
    for _ in range(VISITS):
        key = keys[bisect_left(weights, rng.random() * weights[-1])]
        if rng.random() < WRITES:
            await _sell(client, key, market, seen)
        if rng.random() < SEARCHES:
            await _search(client, rng, market, categories, seen)
        else:
            await _look(client, key, market, seen)
        await asyncio.sleep(0)


async def _look(client: CacheClient, key: str, market: Market, seen: Seen) -> None:
    least, asked = market.announced[key], market.changed[key]
    product = await _timed(client, "product", page_key(key), lambda: market.product(key, asked), seen)
    seen.stale += product is None or product["price"] < least


def page_key(key: str) -> str:
    """What a product's page is cached by, beside what dbopt keeps of the product there."""
    return f"page:{key}"


async def _search(client: CacheClient, rng: random.Random, market: Market, categories: Sequence[int], seen: Seen) -> None:
    """Each shopper writes the same search in another way; the fingerprint is the same."""
    colour, chosen = rng.choice(COLOURS), sorted(rng.sample(categories, 2))
    words = {"colour": colour, "categories": rng.sample(chosen, 2), "page": rng.choice([None, 1]), "seller": ""}
    shuffled = {name: words[name] for name in rng.sample(list(words), len(words))}
    key = fingerprint(shuffled, unordered=["categories"], defaults={"page": 1})
    seen.searches[key].add((colour, *chosen))
    least = dict(market.announced)
    page = await _timed(client, "search", key, lambda: market.search(colour, chosen), seen)
    seen.stale += page is None or any(each["price"] < least.get(str(each["id"]), 0) for each in page)


async def _timed(client: CacheClient, namespace: str, key: str, query: Callable[[], Awaitable[Loaded[Any]]], seen: Seen) -> Any:
    space, where = client.namespace(namespace, JSON), "cache service"

    async def load(_: Load) -> Loaded[Any]:
        nonlocal where
        where = "dbopt"
        return await query()

    start = time.perf_counter()
    value = space.get_nowait(key)
    if value is not None:
        where = "near cache"
    else:
        value = await space.get_or_load(key, load)
    seen.times[where].append(time.perf_counter() - start)
    return value


async def _sell(client: CacheClient, key: str, market: Market, seen: Seen) -> None:
    """Write to the database, then tell the cache, as a shop does."""
    async with market.sellers[key]:
        price = await market.raise_price(key)
        market.changing[key] += 1
        start = time.perf_counter()
        await client.invalidate(keys={"product": [page_key(key)]}, tags=[f"shown:{key}"], level=CLIENTS)
        market.changed[key] += 1
        seen.invalidations.append(time.perf_counter() - start)
        market.announced[key] = price
    seen.writes += 1


def _show(seen: Seen, market: Market, took: float) -> None:
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Answered by")
    for name in ("Reads", "Share", "Half within", "99 % within"):
        table.add_column(name, justify="right")
    for where, times in seen.times.items():
        if len(times) > 1:
            cuts = quantiles(times, n=100)
            table.add_row(where, f"{len(times):,}", f"{len(times) / seen.reads:.1%}", _short(cuts[49]), _short(cuts[98]))
    hits = seen.reads - len(seen.times["dbopt"])
    out.print(
        f"\n{SHOPPERS} shoppers look at {seen.reads:,} products and pages of results in {seconds(took)}; sellers change "
        f"{seen.writes:,} prices. [green]{hits / seen.reads:.1%}[/] never reach dbopt, which gets {market.calls:,} calls for all.\n"
    )
    out.print(table)
    if len(seen.invalidations) > 1:
        cuts = quantiles(seen.invalidations, n=100)
        out.print(f"\nA change is known to every near cache within {_short(cuts[49])}, 99 % within {_short(cuts[98])}.")


async def _check(checks: Checks, one: CacheClient, two: CacheClient, market: Market, seen: Seen) -> None:
    checks.add(f"of {seen.reads:,} reads, {seen.stale} showed an old price after its change was announced", seen.stale == 0)
    checks.add("no product was loaded by two at once, but where it had changed", market.loaded_twice == 0)
    stats = await one.stats()
    product, search = (next(each for each in stats.namespaces if each.namespace == name) for name in ("product", "search"))
    loads = one.counts.loads + two.counts.loads
    uncached = one.counts.loads_uncached + two.counts.loads_uncached
    leases = product.leases + search.leases
    told = f"the service gave {leases:,} leases, for {loads:,} loads of the shoppers and for what dbopt reads through it"
    checks.add(told, leases >= loads > 0)
    checks.add(f"dbopt was asked {market.loads:,} times for {loads + uncached:,} loads", market.loads == loads + uncached)
    checks.add(f"the service counted {product.invalidations:,} changes of {seen.writes:,}", product.invalidations >= seen.writes)
    asked = {each for some in seen.searches.values() for each in some}
    told = f"{len(asked):,} searches, each written in many ways, had {len(seen.searches):,} fingerprints"
    checks.add(told, len(asked) == len(seen.searches) and all(len(each) == 1 for each in seen.searches.values()))
    checks.add(f"the service knows {stats.watchers} near caches", stats.watchers == 2)


async def _check_wallets(checks: Checks, one: CacheClient, two: CacheClient, wallets: Wallets) -> None:
    """A wallet goes from one user to another, and nobody sees the former owner any more."""
    users = [client.namespace("user", JSON) for client in (one, two)]
    before = [await each.get_or_load(alias="wallet:0xa11ce", loader=wallets.user) for each in users]
    wallets.owners["wallet:0xa11ce"] = "bob"
    await one.invalidate(keys={"user": ["alice", "bob"]}, aliases={"user": ["wallet:0xa11ce"]}, level=CLIENTS)
    after = [await each.get_or_load(alias="wallet:0xa11ce", loader=wallets.user) for each in users]
    good = before == [{"name": "alice"}] * 2 and after == [{"name": "bob"}] * 2
    checks.add("a wallet that changes hands shows its new owner at once", good)


def _short(span: float) -> str:
    return f"{span * 1e6:.0f} µs" if span < 1e-3 else f"{span * 1e3:.1f} ms"
