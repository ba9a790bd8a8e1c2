"""The hit ratio of a marketplace's reads, with the namespaces as they are shipped: their TTLs, jitter, tags and early refresh.

The production core, alone in this process, with a clock that the benchmark turns, so that every TTL counts as it would. One node
without Redis: each hit is from memory. (With Redis, what one node has loaded is there for all, so that the traffic is that of all
nodes together.) A hit is a fresh value that was there; everything else is a load from the source. A reader who gets the right to
load a value before its end (XFetch) does so.

The shop, of a middle size:

* 50,000 products, looked at by Zipf with skew 1.0; 5,000 sellers; 200,000 accounts.
* 140 pages a second: 5 million a day, of which a tenth in the busiest hour.
* Visits of 8 pages, 30 seconds apart, 4 in 10 by somebody who is signed in: each page reads that visitor's user.
* 6 pages in 10 are a product's: product, image set, seller statistics, and the seller's user. The others are lists, each one
  search: 7 in 10 of them browse (2,000 lists by Zipf with skew 1.0), the rest are typed (200,000 texts by Zipf with skew 0.8).
* A list has the tags of its category and of its 24 products, which are those looked at most.
* 2 in 100 operations are writes: 10 % sales, of products as they are looked at; 65 % edits of any product, of which a third are
  prices, which lists show; 10 % photos; 13 % users; 2 % a seller's own settings, the tag of all of that seller's products.

The cache is as such traffic leaves it after long: a value that is read at random times, r a second on average, and lives for L
seconds before its TTL or an invalidation ends it, is there with probability rL / (1 + rL), and its age is one that lives reach.
So each was loaded before, at such an age, or not. Then traffic runs for 6 minutes, and is counted for 3 minutes more. Other
traffic, and another policy, are shown beside it and not judged. What missed is told by reason: not read before ("first"), past its
TTL, invalidated, or evicted. Memory has room for all, as it has by default; where it has not is a matter of
bench/cache_hit_ratio.py.

    python bench/cache_marketplace.py [--seed 1] [--only "..."]
"""

import argparse
import asyncio
import functools
import itertools
import math
import multiprocessing
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import machine
from cache_parts import core, verdict
from souk_cache.cache import Cache
from souk_cache.results import Content, Hit, Lease, Read
from souk_cache.targets import Named

TARGET = 0.90
WRITES = 0.02
PRODUCTS, SELLERS, ACCOUNTS, LISTS, TEXTS, CATEGORIES, ON_A_LIST = 50_000, 5_000, 200_000, 2_000, 200_000, 100, 24
PAGES_OF_A_VISIT, SECONDS_OF_A_PAGE, SIGNED_IN, PRODUCT_PAGES, BROWSED = 8, 30, 0.4, 0.6, 0.7
KINDS = {"sale": 0.10, "edit": 0.43, "price": 0.22, "photos": 0.10, "user": 0.13, "seller": 0.02}
WARM_UP, COUNTED = 6 * 60.0, 3 * 60.0
LOAD_SECONDS = {"product": 0.02, "image_set": 0.01, "seller_stats": 0.2, "user": 0.01, "search": 0.1}
REASONS = ("first", "expired", "invalidated", "evicted")
READ = Read(lease=True, allow_stale=True)


@dataclass(frozen=True)
class Case:
    """What traffic, and with which policy."""

    name: str
    pages: float = 140.0
    """A second."""
    skew: float = 1.0
    crawled: float = 0.0
    """Share of the product pages that a crawler reads, one product after the other."""
    policy: str = ""
    """A namespaces file of one's own."""


MAIN = Case("140 pages/s")
CASES = [
    MAIN,
    Case("15 pages/s, a night", pages=15),
    Case("280 pages/s", pages=280),
    Case("skew 1.2", skew=1.2),
    Case("a fifth of the product pages crawled", crawled=0.2),
    Case(
        "TTLs of minutes",
        policy="namespaces: {product: {ttl: 5m}, user: {ttl: 10m}, seller_stats: {ttl: 10m}, search: {ttl: 1m}}",
    ),
]


@dataclass
class Counts:
    """Of one namespace."""

    reads: int = 0
    hits: int = 0
    refreshes: int = 0
    """Loads before the end of the TTL. The read was a hit."""
    stale: int = 0
    """Misses at which there was an expired value, for callers who would take it."""
    missed: Counter[str] = field(default_factory=Counter)


class Zipf:
    """Ranks from 0, the first drawn most."""

    def __init__(self, count: int, skew: float) -> None:
        self._ranks = range(count)
        self._weights = list(itertools.accumulate((rank + 1) ** -skew for rank in range(count)))

    def draw(self, rng: random.Random) -> int:
        """One of them."""
        return rng.choices(self._ranks, cum_weights=self._weights)[0]

    def shares(self) -> list[float]:
        """How often each is drawn."""
        return [(each - before) / self._weights[-1] for before, each in itertools.pairwise([0.0, *self._weights])]


class Shop:
    """Its visitors and its sellers."""

    def __init__(self, cache: Cache, case: Case, seed: int) -> None:
        self.now = 1000.0
        self.counts = {name: Counts() for name in LOAD_SECONDS}
        self._cache = cache
        self._case = case
        self._random = random.Random(seed)
        self._products = Zipf(PRODUCTS, case.skew)
        self._lists, self._texts = Zipf(LISTS, 1.0), Zipf(TEXTS, 0.8)
        self._visitors = [self._visitor() for _ in range(max(1, round(case.pages * SECONDS_OF_A_PAGE)))]
        self._crawler = 0
        self._reads = 0
        """Of the page."""
        self._owed = 0.0
        """Writes that are due."""
        self._filled: dict[tuple[str, str], float] = {}
        self._invalidated: dict[object, float] = {}

    async def page(self) -> None:
        """One page, and the writes that go with so many reads."""
        rng, number = self._random, self._random.randrange(len(self._visitors))
        self._reads = 0
        if rng.random() < 1 / PAGES_OF_A_VISIT:
            self._visitors[number] = self._visitor()
        if (visitor := self._visitors[number]) is not None:
            await self._read("user", visitor)
        if rng.random() < PRODUCT_PAGES:
            product = self._products.draw(rng)
            if rng.random() < self._case.crawled:
                self._crawler = product = (self._crawler + 1) % PRODUCTS
            await self._read("product", product)
            await self._read("image_set", product)
            await self._read("seller_stats", _seller(product))
            await self._read("user", _seller(product))
        elif rng.random() < BROWSED:
            await self._read("search", self._lists.draw(rng))
        else:
            await self._read("search", LISTS + self._texts.draw(rng))
        self._owed += self._reads * WRITES / (1 - WRITES)
        while self._owed >= 1:
            self._owed -= 1
            await self._write()

    async def history(self) -> None:
        """Load what traffic has left."""
        rng, loads = self._random, []
        for namespace, number, reads, writes in self._rates():
            ttl = self._cache.namespaces.get(namespace).ttl
            life = -math.expm1(-writes * ttl) / writes
            if rng.random() < reads * life / (1 + reads * life):
                loads.append((-math.log1p(-rng.random() * writes * life) / writes, namespace, number))
        start = self.now = self.now + max(loads)[0]
        for age, namespace, number in sorted(loads, reverse=True):
            self.now = start - age
            await self._read(namespace, number)
        self.now = start
        self.counts = {name: Counts() for name in self.counts}

    def _rates(self) -> Iterator[tuple[str, int, float, float]]:
        """Reads and invalidations a second of each key that may be read."""
        pages = self._case.pages
        shown, listed, crawled = pages * PRODUCT_PAGES, pages * (1 - PRODUCT_PAGES), self._case.crawled
        write = (SIGNED_IN * pages + 4 * shown + listed) * WRITES / (1 - WRITES)
        any_product, by_seller = write / PRODUCTS, write * KINDS["seller"] / SELLERS
        users = [SIGNED_IN * pages / PAGES_OF_A_VISIT / ACCOUNTS] * ACCOUNTS  # reads of one visit are one
        sellers = [0.0] * SELLERS
        for product, share in enumerate(self._products.shares()):
            reads = shown * ((1 - crawled) * share + crawled / PRODUCTS)
            sellers[_seller(product)] += reads
            edits = write * KINDS["sale"] * share + any_product * (KINDS["edit"] + KINDS["price"] + KINDS["photos"]) + by_seller
            yield "product", product, reads, edits
            yield "image_set", product, reads, any_product * KINDS["photos"]
        for seller, reads in enumerate(sellers):
            users[seller] += reads
            yield "seller_stats", seller, reads, by_seller
        for user, reads in enumerate(users):
            yield "user", user, reads, write * KINDS["user"] / ACCOUNTS
        for first, lists, part in ((0, self._lists, BROWSED), (LISTS, self._texts, 1 - BROWSED)):
            for number, share in enumerate(lists.shares()):
                yield "search", first + number, listed * part * share, any_product * KINDS["price"] * ON_A_LIST

    async def _read(self, namespace: str, number: int) -> None:
        key, counts = str(number), self.counts[namespace]
        found = await self._cache.get(namespace, key, READ)
        counts.reads += 1
        self._reads += 1
        if isinstance(found, Hit):
            counts.hits += 1
            lease = found.refresh
            counts.refreshes += lease is not None
        elif isinstance(found, Lease):
            lease = found
            counts.stale += found.stale is not None
            counts.missed[self._reason(namespace, number)] += 1
        else:
            raise AssertionError(f"{found} for a caller who is alone")  # noqa: TRY004  # it is not about a type
        if lease is not None:
            content = Content(bytes(64), tags=_tags(namespace, number), load_seconds=LOAD_SECONDS[namespace])
            await self._cache.fill(namespace, key, lease.token, content)
            self._filled[namespace, key] = self.now

    def _reason(self, namespace: str, number: int) -> str:
        filled = self._filled.get((namespace, str(number)))
        if filled is None:
            return "first"
        if any(self._invalidated.get(name, -1.0) >= filled for name in ((namespace, str(number)), *_tags(namespace, number))):
            return "invalidated"
        policy = self._cache.namespaces.get(namespace)
        return "expired" if self.now - filled >= policy.ttl * (1 - policy.jitter) else "evicted"

    async def _write(self) -> None:
        rng = self._random
        [kind] = rng.choices(list(KINDS), weights=list(KINDS.values()))
        product = self._products.draw(rng) if kind == "sale" else rng.randrange(PRODUCTS)
        keys, tags = [("product", str(product))], []
        if kind == "price":
            tags = [f"shown:{product}"]
        elif kind == "photos":
            keys.append(("image_set", str(product)))
        elif kind == "user":
            keys = [("user", str(rng.randrange(ACCOUNTS)))]
        elif kind == "seller":
            keys, tags = [], [f"seller:{rng.randrange(SELLERS)}"]
        self._invalidated.update(dict.fromkeys([*keys, *tags], self.now))
        await self._cache.invalidate(Named(keys=keys, tags=tags), level=1, source=None)

    def _visitor(self) -> int | None:
        return self._random.randrange(ACCOUNTS) if self._random.random() < SIGNED_IN else None


def _seller(product: int) -> int:
    """The account of who sells it. Sellers are the first accounts."""
    return product * 7919 % SELLERS


@functools.cache
def _tags(namespace: str, number: int) -> tuple[str, ...]:
    match namespace:
        case "product":
            return (f"seller:{_seller(number)}", f"category:{number % CATEGORIES}")
        case "seller_stats":
            return (f"seller:{number}",)
        case "image_set":
            return (f"product:{number}",)
        case "user":
            return (f"user:{number}",)
    rng = random.Random(number)  # more of those that are looked at more: by Zipf with skew 1
    shown = {math.floor(PRODUCTS ** rng.random()) - 1 for _ in range(ON_A_LIST)}
    return (f"category:{number % CATEGORIES}", *(f"shown:{product}" for product in sorted(shown)))


def measure(case: Case, seed: int) -> dict[str, Counts]:
    """What was counted, by namespace."""

    async def run(file: Path | None) -> dict[str, Counts]:
        rng = random.Random(seed)
        shop: Shop | None = None
        clock = lambda: shop.now if shop is not None else 1000.0  # noqa: E731
        async with core(None, clock=clock, chance=rng.random, namespaces_file=file) as cache:
            shop = Shop(cache, case, seed)
            memory = next(iter(cache.partitions)).memory
            await shop.history()
            begin = counted = shop.now + WARM_UP
            for number in itertools.count():
                shop.now += rng.expovariate(case.pages)
                if shop.now >= counted:
                    if counted > begin:
                        return shop.counts
                    counted += COUNTED
                    shop.counts = {name: Counts() for name in shop.counts}
                await shop.page()
                if number % 50 == 0:
                    memory.expire(shop.now, 1000)
        raise AssertionError

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "namespaces.yaml")
        file.write_text(case.policy)
        return asyncio.run(run(file if case.policy else None))


def _total(counts: dict[str, Counts]) -> Counts:
    total = Counts()
    for each in counts.values():
        total.reads += each.reads
        total.hits += each.hits
        total.refreshes += each.refreshes
        total.stale += each.stale
        total.missed += each.missed
    return total


def _row(name: str, counts: Counts, reads: int) -> str:
    def share(number: int) -> str:
        return f"{100 * number / max(1, counts.reads):5.1f}"

    missed = "   ".join(f"{share(counts.missed[reason]):>11}" for reason in REASONS)
    return (
        f"  {name:<13}{100 * counts.reads / reads:6.1f}  {share(counts.hits):>6}   {missed}   "
        f"{share(counts.hits + counts.stale):>10}  {share(counts.refreshes):>9}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="the case of this name alone")
    options = parser.parse_args()
    cases = [case for case in CASES if options.only in (None, case.name)]
    print(machine.describe())
    print("Percent of the reads of each line; 'or stale' are hits and those for whom an expired value was there.")
    missed = False
    with multiprocessing.Pool() as pool:
        jobs = {case: pool.apply_async(measure, (case, options.seed)) for case in sorted(cases, key=lambda case: -case.pages)}
        for case in cases:
            counts = jobs[case].get()
            total = _total(counts)
            rate = total.reads / COUNTED
            print(f"\n{case.name}: {rate:,.0f} reads/s")
            reasons = "   ".join(f"{reason:>11}" for reason in REASONS)
            print(f"  {'':<13}{'share':>6}  {'hits':>6}   {reasons}   {'or stale':>10}  {'refreshed':>9}")
            for name, each in counts.items():
                print(_row(name, each, total.reads))
            print(_row("all", total, total.reads))
            if case == MAIN:
                met = total.hits / total.reads >= TARGET
                missed |= not met
                print(f"  hit ratio {total.hits / total.reads:.1%}   target >= {TARGET:.0%}: {verdict(met)}")
    sys.exit(missed)


if __name__ == "__main__":
    main()
