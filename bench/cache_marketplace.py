"""The hit ratio of a marketplace's reads, with the namespaces as they are shipped: their TTLs, their tags, their negative TTL.

The production core, alone in this process, with a clock that the benchmark turns: an hour of traffic is read in seconds, and every
TTL counts as it would. The clock is all that is not real. Products, sellers and users are asked for by Zipf, searches by Zipf over
what people look for; 2 % of the operations are writes, and each invalidates as a shop does: the product, and where its price
changes, its seller's statistics by tag and the searches of its category. A read that misses loads and fills with its lease. The
first half warms up and is not counted.

How often a value is read within its TTL depends on the traffic, so the ratio is shown for several rates, and each is judged.

    python bench/cache_marketplace.py [--operations 200000] [--rates 200,1000,5000]
"""

import argparse
import asyncio
import itertools
import random
import statistics
import sys
from collections import Counter

import machine
from cache_parts import core, verdict
from souk_cache.cache import Cache, Named
from souk_cache.results import Content, Hit, Lease, Read

TARGET = 0.90
WRITES = 0.02
SKEW = 1.0
SIZES = {"product": 20_000, "seller_stats": 2_000, "image_set": 20_000, "user": 10_000, "search": 2_000}
SHARES = {"product": 0.40, "image_set": 0.25, "seller_stats": 0.15, "search": 0.12, "user": 0.08}
"""Of the reads: a product's page takes its product, its photos and its seller."""
CATEGORIES = 100
IN_MEMORY = 30_000
READ = Read(lease=True)


class Shop:
    """Its customers and its sellers, one operation after the other."""

    def __init__(self, cache: Cache, seed: int) -> None:
        self._cache = cache
        self._random = random.Random(seed)
        self._weights = {name: list(itertools.accumulate((rank + 1) ** -SKEW for rank in range(n))) for name, n in SIZES.items()}
        self.reads: Counter[str] = Counter()
        self.hits: Counter[str] = Counter()

    def _pick(self, namespace: str) -> int:
        [rank] = self._random.choices(range(SIZES[namespace]), cum_weights=self._weights[namespace])
        return rank

    async def operate(self) -> None:
        """One read or one write."""
        if self._random.random() < WRITES:
            await self._write()
        else:
            [namespace] = self._random.choices(list(SHARES), weights=list(SHARES.values()))
            await self._read(namespace, self._pick(namespace))

    async def _read(self, namespace: str, number: int) -> None:
        key = str(number)
        found = await self._cache.get(namespace, key, READ)
        self.reads[namespace] += 1
        self.hits[namespace] += isinstance(found, Hit)
        if isinstance(found, Lease):
            content = Content(bytes(256), tags=tags(namespace, number), load_seconds=0.02)
            await self._cache.fill(namespace, key, found.token, content)

    async def _write(self) -> None:
        """A seller changes any product, for who sells is not who is looked at; one in twenty changes what lists show."""
        number = self._random.randrange(SIZES["product"])
        tags = [f"category:{number % CATEGORIES}"] if self._random.random() < 0.05 else []
        await self._cache.invalidate(Named(keys=[("product", str(number))], tags=tags), level=1, source=None)


def tags(namespace: str, number: int) -> tuple[str, ...]:
    match namespace:
        case "product":
            return (f"seller:{number % SIZES['seller_stats']}",)
        case "search":
            return (f"category:{number % CATEGORIES}",)
        case "seller_stats":
            return (f"seller:{number}",)
        case "image_set":
            return (f"product:{number}",)
    return ()


async def measure(operations: int, per_second: float, seed: int) -> tuple[Counter[str], Counter[str]]:
    """Reads and hits by namespace."""
    now = 1000.0
    rng = random.Random(seed)
    async with core(None, memory_entries=IN_MEMORY, clock=lambda: now, chance=rng.random) as cache:
        shop = Shop(cache, seed)
        memory = next(iter(cache.partitions)).memory
        for number in range(operations):
            if number == operations // 2:
                shop.reads.clear()
                shop.hits.clear()
            now += rng.expovariate(per_second)
            await shop.operate()
            if number % 200 == 0:
                memory.expire(now, 1000)
    return shop.reads, shop.hits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=200_000)
    parser.add_argument("--rates", default="200,1000,5000")
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    print(machine.describe())
    missed = False
    for rate in (float(each) for each in options.rates.split(",")):
        counted = [asyncio.run(measure(options.operations, rate, seed)) for seed in range(options.runs)]
        print(f"{rate:g} operations/s, {WRITES:.0%} writes")
        for name in SHARES:
            ratios = [100 * hits[name] / reads[name] for reads, hits in counted]
            print(f"  {name:<12} {SIZES[name]:>7,} keys, {SHARES[name]:4.0%} of the reads   {machine.spread(ratios, '.1f')} %")
        total = [sum(hits.values()) / sum(reads.values()) for reads, hits in counted]
        met = statistics.median(total) >= TARGET
        missed |= not met
        print(
            f"  all: hit ratio {machine.spread([100 * each for each in total], '.1f')} %   target >= {TARGET:.0%}: {verdict(met)}"
        )
    sys.exit(missed)


if __name__ == "__main__":
    main()
