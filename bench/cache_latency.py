"""How long the operations of a cache take that is at 70 % of what it can do.

One node on the first core, with the namespaces as they are shipped; a Redis and 64 clients, each with its own connection, in this
process on the last core. Of the operations 80 % are Gets (products, photos, sellers, users and searches, each by Zipf), 10 %
BatchGets of 20 products, 6 % Gets of what nobody has asked for, 2 % Puts and 2 % Invalidates, one in twenty of them with the tag of
a category. Whoever is given a lease fills.

First each client sends when it has its answer: the rate is what node and clients can do together. Then operations arrive by a
Poisson process at 70 % of that, whether or not those before are answered, and the time of each counts from the moment that it was
to be sent (no coordinated omission); that of a Fill from the moment that the lease is there. How late the clients' process sends
is in these figures, and shown apart: it is not the cache's, but cannot be told from it otherwise. That process collects no garbage
while it holds the watch, and has mapped its memory before: where the kernel watches which pages are used (DAMON), whoever maps more
waits for as long as the watcher does for its turn on the core.

    python bench/cache_latency.py [--seconds 30] [--share 0.7]
"""

import argparse
import asyncio
import contextlib
import gc
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import grpc
import machine
import uvloop
from cache_parts import FIRST_CORE, LAST_CORE, Processes, cpu_seconds, percentile, verdict
from google.protobuf.duration_pb2 import Duration
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub

CLIENTS = 64
AVERAGE_TARGET, MAX_TARGET = 0.010, 0.050
KEPT = 4
"""The marketplace is so many times smaller, to be filled in seconds."""
SKEW = 1.0
SIZES = {"product": 20_000, "seller_stats": 2_000, "image_set": 20_000, "user": 10_000, "search": 2_000}
SHARES = {"product": 0.40, "image_set": 0.25, "seller_stats": 0.15, "search": 0.12, "user": 0.08}
"""Of the reads: a product's page takes its product, its photos and its seller."""
CATEGORIES = 100
BATCH = 20
VALUE = bytes(256)
SATURATION_SECONDS = 5.0
SATURATION_RUNS = 3
MIX = {"Get": 0.80, "BatchGet": 0.10, "Get, cold": 0.06, "Put": 0.02, "Invalidate": 0.02}
LOADED_IN = Duration(nanos=20_000_000)
MAPPED_ONCE = {
    "PYTHONMALLOC": "malloc",
    "MALLOC_TOP_PAD_": str(512 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_ARENA_MAX": "1",
}
"""Environment of the clients' process, and of no other."""


class Shop:
    """What is asked for, and how it is sent. Times are of time.perf_counter."""

    def __init__(self, stubs: Sequence[CacheServiceStub], seed: int) -> None:
        self._stubs = itertools.cycle(stubs)
        self._random = random.Random(seed)
        self.sizes = {name: count // KEPT for name, count in SIZES.items()}
        self._ranks = {name: list(itertools.accumulate((rank + 1) ** -SKEW for rank in range(n))) for name, n in self.sizes.items()}
        self._cold = itertools.count(10**6)
        self._operations: dict[str, Callable[[float], Awaitable[None]]] = {
            "Get": self._get,
            "BatchGet": self._batch_get,
            "Get, cold": self._get_cold,
            "Put": self._put,
            "Invalidate": self._invalidate,
        }
        self.seconds: dict[str, list[float]] = defaultdict(list)
        """By operation."""
        self.late: list[float] = []
        """Seconds between the moment that each was to be sent and the one when it was."""
        self.reads = self.hits = 0

    def forget(self) -> None:
        """Count from now on."""
        self.seconds.clear()
        self.late.clear()
        self.reads = self.hits = 0

    def next_operation(self) -> Callable[[float], Awaitable[None]]:
        """One by the mix; it is called with the time when it is to be sent."""
        [name] = self._random.choices(list(MIX), weights=list(MIX.values()))
        return self._operations[name]

    async def fill_all(self) -> None:
        """Every value."""
        everything = [(name, str(number)) for name, size in self.sizes.items() for number in range(size)]
        waiting = iter(everything)

        async def fill() -> None:
            for namespace, key in waiting:
                await self._read("Get", namespace, key, time.perf_counter())

        await asyncio.gather(*(fill() for _ in range(CLIENTS)))

    def _pick(self, namespace: str) -> str:
        [rank] = self._random.choices(range(self.sizes[namespace]), cum_weights=self._ranks[namespace])
        return str(rank)

    def _done(self, name: str, intended: float) -> None:
        self.seconds[name].append(time.perf_counter() - intended)

    async def _get(self, intended: float) -> None:
        [namespace] = self._random.choices(list(SHARES), weights=list(SHARES.values()))
        await self._read("Get", namespace, self._pick(namespace), intended)

    async def _get_cold(self, intended: float) -> None:
        await self._read("Get, cold", "product", str(next(self._cold)), intended)

    async def _read(self, name: str, namespace: str, key: str, intended: float) -> None:
        request = pb.GetRequest(namespace=namespace, key=key, options=pb.ReadOptions(lease=True))
        self.late.append(time.perf_counter() - intended)
        result = (await next(self._stubs).Get(request, timeout=30)).result
        self._done(name, intended)
        await self._take(namespace, key, result)

    async def _take(self, namespace: str, key: str, result: pb.Result) -> None:
        """Fill where there is a lease."""
        is_hit = result.HasField("hit")
        self.reads += 1
        self.hits += is_hit
        token = result.hit.refresh.token if is_hit else result.lease.token
        if not token:
            return
        intended = time.perf_counter()
        request = pb.FillRequest(
            namespace=namespace, key=key, lease=token, value=VALUE, tags=tags(namespace, int(key)), load_duration=LOADED_IN
        )
        await next(self._stubs).Fill(request, timeout=30)
        self._done("Fill", intended)

    async def _batch_get(self, intended: float) -> None:
        keys = [self._pick("product") for _ in range(BATCH)]
        request = pb.BatchGetRequest(namespace="product", keys=keys, options=pb.ReadOptions(lease=True))
        self.late.append(time.perf_counter() - intended)
        results = (await next(self._stubs).BatchGet(request, timeout=30)).results
        self._done("BatchGet", intended)
        for key, result in zip(keys, results, strict=True):
            await self._take("product", key, result)

    async def _put(self, intended: float) -> None:
        key = str(self._random.randrange(self.sizes["product"]))
        request = pb.PutRequest(namespace="product", key=key, value=VALUE, tags=tags("product", int(key)))
        self.late.append(time.perf_counter() - intended)
        await next(self._stubs).Put(request, timeout=30)
        self._done("Put", intended)

    async def _invalidate(self, intended: float) -> None:
        number = self._random.randrange(self.sizes["product"])
        request = pb.InvalidateRequest(keys=[pb.NamespacedKey(namespace="product", key=str(number))])
        if self._random.random() < 0.05:
            request.tags.append(f"category:{number % CATEGORIES}")
        self.late.append(time.perf_counter() - intended)
        await next(self._stubs).Invalidate(request, timeout=30)
        self._done("Invalidate", intended)


async def saturate(shop: Shop, seconds: float) -> float:
    """Operations a second where each client sends when it has its answer."""
    start = time.perf_counter()
    done = 0

    async def client() -> None:
        nonlocal done
        while (now := time.perf_counter()) < start + seconds:
            await shop.next_operation()(now)
            done += 1

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return done / (time.perf_counter() - start)


async def pace(shop: Shop, rate: float, seconds: float) -> float:
    """Operations arrive at a rate; the rate at which they did."""
    rng = random.Random(CLIENTS)
    running: set[asyncio.Task[None]] = set()
    start = intended = time.perf_counter()
    count = 0
    while intended < start + seconds:
        intended += rng.expovariate(rate)
        if (left := intended - time.perf_counter()) > 0:
            await asyncio.sleep(left)
        task = asyncio.ensure_future(shop.next_operation()(intended))
        running.add(task)
        task.add_done_callback(running.discard)
        task.add_done_callback(lambda ended: ended.result())
        count += 1
    took = time.perf_counter() - start
    await asyncio.gather(*running)
    return count / took


class Load:
    """The CPU that node, Redis and clients use, as shares of a core."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._start = time.perf_counter()
        self._used = self._read()

    def _read(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self._pids.items()}

    def __str__(self) -> str:
        took = time.perf_counter() - self._start
        return ", ".join(f"{name} {(now - self._used[name]) / took:.0%}" for name, now in self._read().items()) + " of a core"


def in_ms(seconds: Sequence[float]) -> str:
    shares = [statistics.fmean(seconds), percentile(seconds, 0.5), percentile(seconds, 0.99), max(seconds)]
    return "".join(f"{1000 * each:9.2f}" for each in shares)


async def measure(address: str, pids: dict[str, int], seconds: float, share: float) -> bool:
    async with contextlib.AsyncExitStack() as stack:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options)) for _ in range(CLIENTS)]
        shop = Shop([CacheServiceStub(channel) for channel in channels], seed=CLIENTS)
        await shop.fill_all()
        await saturate(shop, 1.0)
        gc.collect()
        gc.freeze()
        gc.disable()
        load = Load(pids)
        rates = [await saturate(shop, SATURATION_SECONDS) for _ in range(SATURATION_RUNS)]
        print(f"{CLIENTS} clients, each with one operation at once: {machine.spread(rates)} operations/s; {load}", flush=True)
        shop.forget()
        load = Load(pids)
        rate = await pace(shop, share * statistics.median(rates), seconds)
        print(f"{rate:,.0f} operations/s, {share:.0%} of it, for {seconds:g} s; {load}; hit ratio {shop.hits / shop.reads:.1%}")
    print(f"{'ms':<12}{'count':>9}{'average':>9}{'p50':>9}{'p99':>9}{'max':>9}")
    for name in (*MIX, "Fill"):
        print(f"{name:<12}{len(shop.seconds[name]):>9,}{in_ms(shop.seconds[name])}")
    everything = list(itertools.chain.from_iterable(shop.seconds.values()))
    print(f"{'all':<12}{len(everything):>9,}{in_ms(everything)}")
    print(f"{'sent late':<12}{len(shop.late):>9,}{in_ms(shop.late)}")
    average, longest = statistics.fmean(everything), max(everything)
    met = average < AVERAGE_TARGET and longest < MAX_TARGET
    for name, value, target in (("average", average, AVERAGE_TARGET), ("max", longest, MAX_TARGET)):
        print(f"{name} {1000 * value:.1f} ms: {target / value:.1f} x under {1000 * target:g} ms   {verdict(value < target)}")
    return met


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


def map_memory_once() -> None:
    """Begin this process anew with MAPPED_ONCE, which the node does not inherit."""
    if os.environ.get("PYTHONMALLOC") != "malloc":
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | MAPPED_ONCE)  # noqa: S606 — itself
    for name in MAPPED_ONCE:
        del os.environ[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--share", type=float, default=0.7)
    options = parser.parse_args()
    map_memory_once()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        processes = Processes(Path(folder), stack)
        port = processes.redis([LAST_CORE])
        address, node = processes.node("node", [FIRST_CORE], redis_url=f"redis://127.0.0.1:{port}/0")
        os.sched_setaffinity(0, {LAST_CORE})
        pids = {"node": node.pid, "clients": os.getpid()}
        met = uvloop.run(measure(address, pids, options.seconds, options.share))
    sys.exit(not met)


if __name__ == "__main__":
    main()
