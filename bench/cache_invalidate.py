"""How long Invalidate takes: with every node in health, with one that stands still, and by a tag that a million values carry.

Four nodes, each a process, and one Redis share the machine with this process, which calls them over gRPC.

1. One call after the other, each to the next node, for keys that all nodes are being read for.
2. A node is stopped by SIGSTOP right after it has renewed its read lease, which is the longest that it can hold a writer up. Calls
   are made to the others until one does not wait any more; then the node goes on.
3. A tag on a million values and tags on a thousand, by turns. The values are in Redis, as Fill leaves them there, and in the memory
   of a fifth member, the production core in this process. Each round fills them anew and calls once for each tag, when its values
   can be served: 100 keys are read on the nodes and on the fifth member, before (all are there) and after (none is). Then one tag
   of each kind is repeated: a store that walked through what carries a tag would have less to do by then, so that is shown apart.

    python bench/cache_invalidate.py [--calls 3000] [--freezes 10] [--entries 1000000] [--rounds 1] [--repeats 60]
"""

import argparse
import asyncio
import contextlib
import gc
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import machine
import uvloop
from cache_parts import Processes, core, gather_bounded, percentile, verdict
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub
from souk_cache.cache import Cache
from souk_cache.protocol import Aliases, Leased
from souk_cache.results import Hit, Read
from souk_cache.values import Value, encode

NODES = 4
READ_LEASE = 2.0
"""Seconds, as shipped."""
P99_TARGET, FROZEN_TARGET, TAG_TARGET = 0.015, 1.05 * READ_LEASE, 2.0
PRODUCTS = 200
READS_PER_SECOND = 50
"""On each node, while calls are timed."""
WARM_UP = 200
"""Calls that are not counted."""
FEW, SETS = 1000, 20
"""Values that each of so many smaller tags is on."""
AT_ONCE = 250
"""Values that one run of fill.lua stores."""
SAMPLE = 100
DAY = 86_400.0
NONE_WAITS = 0.1
"""Seconds; a call that is as short did not wait for a lease."""


MANY = "many"
"""The tag that is on all entries."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """What calls took, by what their tag was on."""

    many: list[float]
    few: list[float]

    def of(self, tag: str) -> list[float]:
        """Those with a tag like this."""
        return self.many if tag == MANY else self.few


class Nodes:
    """The nodes, and a stub for each."""

    def __init__(self, stubs: Sequence[CacheServiceStub], processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self.stubs = stubs
        self._processes = processes

    async def invalidate(self, node: int, **named: object) -> float:
        """Seconds that a call to this node took."""
        request = pb.InvalidateRequest(level=pb.INVALIDATION_LEVEL_NODES, **named)  # type: ignore[arg-type]
        start = time.perf_counter()
        await self.stubs[node].Invalidate(request, timeout=60)
        return time.perf_counter() - start

    @contextlib.asynccontextmanager
    async def frozen(self, node: int) -> AsyncIterator[None]:
        """It stands still while the body runs; afterwards it has caught up."""
        self._processes[node].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._processes[node].send_signal(signal.SIGCONT)
        while not (await self.stubs[node].GetStats(pb.GetStatsRequest(), timeout=60)).coherent:
            await asyncio.sleep(0.02)


def product(number: int) -> pb.NamespacedKey:
    return pb.NamespacedKey(namespace="product", key=f"{number:06}")


async def read_on(stub: CacheServiceStub, rng: random.Random) -> None:
    """Light traffic, until it is cancelled: who misses loads."""
    while True:
        await asyncio.sleep(rng.expovariate(READS_PER_SECOND))
        key = product(rng.randrange(PRODUCTS)).key
        request = pb.GetRequest(namespace="product", key=key, options=pb.ReadOptions(lease=True))
        result = (await stub.Get(request, timeout=60)).result
        if result.HasField("lease"):
            filled = pb.FillRequest(namespace="product", key=key, lease=result.lease.token, value=bytes(256))
            await stub.Fill(filled, timeout=60)


async def healthy(nodes: Nodes, calls: int) -> list[float]:
    """Seconds of each call."""
    reading = [asyncio.create_task(read_on(stub, random.Random(number))) for number, stub in enumerate(nodes.stubs)]
    rng = random.Random(NODES)
    keys = [product(rng.randrange(PRODUCTS)) for _ in range(WARM_UP + calls)]
    seconds = [await nodes.invalidate(number % NODES, keys=[key]) for number, key in enumerate(keys)]
    for task in reading:
        task.cancel()
    ended = await asyncio.gather(*reading, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
    return seconds[WARM_UP:]


async def one_frozen(nodes: Nodes, freezes: int) -> tuple[list[float], list[float]]:
    """Seconds of the calls that waited, and of the first of each time that did not."""
    waited, after = [], []
    for number in range(freezes):
        still = number % NODES
        await nodes.invalidate(still, keys=[product(number)])  # which renews its lease
        async with nodes.frozen(still):
            took = await nodes.invalidate((still + 1) % NODES, keys=[product(number)])
            while took > NONE_WAITS:
                waited.append(took)
                took = await nodes.invalidate((still + 2) % NODES, keys=[product(number)])
            after.append(took)
    return waited, after


async def fill(cache: Cache, tag: str, keys: Sequence[str]) -> None:
    """Store values with a tag, by the scripts and the protocol of the cache.

    One run of fill.lua stores a value and those that are found by its aliases, each under its own names: what it leaves of each is
    what a Fill of its own leaves, and a million take seconds.
    """
    node = next(iter(cache.partitions)).node
    data = encode(Value(b"1", DAY), compress=False)
    full = [f"image_set:{key}" for key in keys]
    names = [("=image_set", f"#{each}", f"+{tag}") for each in full]

    async def store(first: int) -> None:
        some = slice(first, first + AT_ONCE)
        lease = await node.carry_out(
            node.coherence.get(full[first], namespace="image_set", mode="load", lease=5.0, until=0.0, joins=False)
        )
        assert isinstance(lease, Leased)
        others = Aliases(tuple(full[some][1:]), tuple(names[some][1:]), data)
        came = await node.carry_out(node.coherence.fill(full[first], lease, data, names[first], keep=DAY, aliases=others))
        assert came.status == "stored"

    await gather_bounded([store(first) for first in range(0, len(full), AT_ONCE)], 4)


async def there(nodes: Nodes, cache: Cache, keys: Sequence[str]) -> int:
    """How many of these keys have a value, on a node or on the fifth member."""
    found = 0
    for number, key in enumerate(keys):
        result = (await nodes.stubs[number % NODES].Get(pb.GetRequest(namespace="image_set", key=key), timeout=60)).result
        found += result.HasField("hit") or isinstance(await cache.get("image_set", key, Read(lease=False)), Hit)
    return found


async def by_tag(nodes: Nodes, url: str, options: argparse.Namespace) -> tuple[Seconds, Seconds]:
    """The calls that met values which might be served, and the repeats of one tag of each kind."""
    sizes = {MANY: options.entries} | {f"few-{number}": FEW for number in range(SETS)}
    live, again = Seconds([], []), Seconds([], [])
    rng = random.Random(SETS)
    async with core(url, memory_entries=2 * sum(sizes.values()), read_lease=READ_LEASE) as cache:
        memory = next(iter(cache.partitions)).memory
        for turn in range(options.rounds):
            start = time.perf_counter()
            keys = {tag: [f"{tag}.{number:06}" for number in range(size)] for tag, size in sizes.items()}
            for tag in sizes:
                await fill(cache, tag, keys[tag])
            gc.freeze()
            print(f"{len(memory):,} values are in Redis and in memory after {time.perf_counter() - start:.0f} s", flush=True)
            for tag in rng.sample(sorted(sizes), len(sizes)):
                sample = rng.sample(keys[tag], SAMPLE)
                before = await there(nodes, cache, sample)
                live.of(tag).append(await nodes.invalidate(turn % NODES, tags=[tag]))
                after = await there(nodes, cache, sample)
                assert (before, after) == (SAMPLE, 0), (tag, before, after)
            for number in range(options.repeats):
                for tag in (MANY, "few-0")[:: 1 if number % 2 else -1]:
                    again.of(tag).append(await nodes.invalidate(number % NODES, tags=[tag]))
    return live, again


def in_ms(seconds: Sequence[float]) -> str:
    return machine.spread([1000 * each for each in seconds], ".2f") + " ms"


async def measure(nodes: Nodes, url: str, options: argparse.Namespace) -> bool:
    gc.collect()
    gc.freeze()
    gc.disable()  # this process must not stop while it holds the watch
    seconds = await healthy(nodes, options.calls)
    p50, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
    met = p99 <= P99_TARGET
    print(
        f"{len(seconds):,} calls, {NODES} nodes: p50 {1000 * p50:.1f} ms, p99 {1000 * p99:.1f} ms, max {1000 * max(seconds):.1f} ms"
        f"   target p99 <= {1000 * P99_TARGET:.0f} ms: {verdict(met)}",
        flush=True,
    )
    waited, after = await one_frozen(nodes, options.freezes)
    bounded = max(waited) <= FROZEN_TARGET
    print(
        f"one node stands still, {options.freezes} times: {len(waited)} calls waited {machine.spread(waited, '.2f')} s, the next "
        f"{in_ms(after)}   target <= 1.05 x {READ_LEASE:g} s: {verdict(bounded)}",
        flush=True,
    )
    met &= bounded
    for name, each in zip(("values that could be served", "again"), await by_tag(nodes, url, options), strict=True):
        ratio = statistics.median(each.many) / statistics.median(each.few)
        met &= ratio <= TAG_TARGET
        print(
            f"by tag, {name}: on {options.entries:,} {in_ms(each.many)}, on {FEW:,} {in_ms(each.few)}: "
            f"ratio of medians {ratio:.2f}   target <= {TAG_TARGET:g}: {verdict(ratio <= TAG_TARGET)}"
        )
    return met


async def run(
    addresses: Sequence[str], processes: Sequence[subprocess.Popen[bytes]], url: str, options: argparse.Namespace
) -> bool:
    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(address)) for address in addresses]
        return await measure(Nodes([CacheServiceStub(channel) for channel in channels], processes), url, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--freezes", type=int, default=10)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=60)
    options = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        processes = Processes(Path(folder), stack)
        url = f"redis://127.0.0.1:{processes.redis()}/0"
        nodes = [processes.node(f"node-{number}", redis_url=url, read_lease=READ_LEASE) for number in range(NODES)]
        met = uvloop.run(run([address for address, _ in nodes], [process for _, process in nodes], url, options))
    sys.exit(not met)


if __name__ == "__main__":
    main()
