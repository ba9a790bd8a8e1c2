"""What a value that only Redis has costs, beside the round trip that it cannot do without.

`Cache.get` of the production core on RedisBackend, for values of 256 bytes that are not in memory (it keeps what it has read, but
each key is read once), and `evalsha` of redis.asyncio, as it comes, with the same script, keys and arguments, on the same Redis.
One at a time, every other one is ours; with 32 in flight, short blocks alternate. What neither can do without (the floor) is the
round trip of the bytes on a socket without a Redis library, which is shown as well.

    python bench/cache_l2.py [--runs 9] [--reads 1000]
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import machine
import redis.asyncio
import uvloop
from cache_parts import Processes, core, percentile, verdict
from souk_cache.cache import Cache
from souk_cache.results import Content, Hit, Level, Read
from souk_cache.scripts import Call, source

TARGET = 1.25
KEYS = 25_000
"""Enough for the default runs."""
IN_FLIGHT = 32
READ = Read(lease=False)


def products() -> list[str]:
    return [f"product-{number:06}" for number in range(KEYS)]


class Ways:
    """Reads of one key each, from a Redis that has them all."""

    def __init__(self, cache: Cache, raw: redis.asyncio.Redis, sha: str, port: int) -> None:
        self._cache = cache
        self._raw = raw
        self._sha = sha
        self._port = port
        self._keys = products()
        self._next = self._next_raw = 0
        self.from_redis = self.reads = 0

    def _call(self) -> Call:
        """What the core sends for one key."""
        self._next_raw = (self._next_raw + 1) % KEYS
        step = next(
            next(iter(self._cache.partitions)).node.coherence.get(
                f"product:{self._keys[self._next_raw]}", namespace="product", mode="read", lease=5.0, until=0.0, joins=False
            )
        )
        assert isinstance(step, Call)
        return step

    async def souk(self) -> None:
        """Ours."""
        found = await self._cache.get("product", self._keys[self._next], READ)
        self._next += 1
        assert isinstance(found, Hit)
        self.reads += 1
        self.from_redis += found.level is Level.REDIS

    def raw_call(self) -> Callable[[], Awaitable[object]]:
        """redis.asyncio: the arguments are there before the clock starts."""
        call = self._call()
        return lambda: self._raw.evalsha(self._sha, len(call.keys), *call.keys, *call.args)


async def alternating(ways: Ways, reads: int) -> tuple[list[float], list[float]]:
    """Seconds of single reads, ours and raw."""
    ours, raw = [], []
    for _ in range(reads):
        start = time.perf_counter()
        await ways.souk()
        ours.append(time.perf_counter() - start)
        call = ways.raw_call()
        start = time.perf_counter()
        await call()
        raw.append(time.perf_counter() - start)
    return ours, raw


async def many(read: Callable[[], Awaitable[object]], count: int) -> tuple[list[float], float]:
    """Seconds of reads with IN_FLIGHT of them at once, and reads a second."""
    seconds: list[float] = []

    async def caller() -> None:
        for _ in range(count // IN_FLIGHT):
            start = time.perf_counter()
            await read()
            seconds.append(time.perf_counter() - start)

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    return seconds, len(seconds) / (time.perf_counter() - start)


async def bare(ways: Ways, raw: redis.asyncio.Redis, port: int, reads: int) -> list[float]:
    """Seconds of the same bytes on a socket, without a library that looks at the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    encoder, seconds = raw.connection_pool.make_connection(), []
    for _ in range(reads):
        call = ways._call()
        packed = b"".join(encoder.pack_command("EVALSHA", ways._sha, len(call.keys), *call.keys, *call.args))
        start = time.perf_counter()
        writer.write(packed)
        await reader.read(1 << 16)
        seconds.append(time.perf_counter() - start)
    writer.close()
    return seconds


async def measure(port: int, runs: int, reads: int) -> bool:
    url = f"redis://127.0.0.1:{port}/0"
    async with core(url, memory_entries=1_000_000, member="filler") as filler:
        value, keys = Content(bytes(256)), iter(products())

        async def fill() -> None:
            for key in keys:
                await filler.put("product", key, value, level=1)

        await asyncio.gather(*(fill() for _ in range(64)))
    async with core(url) as cache, redis.asyncio.Redis(port=port) as raw:
        ways = Ways(cache, raw, await raw.script_load(source("acquire")), port)
        await alternating(ways, 200)
        medians: dict[str, list[float]] = {"souk": [], "raw": [], "bare": [], "souk, 32": [], "raw, 32": []}
        rates: dict[str, list[float]] = {"souk": [], "raw": []}
        for run in range(runs):
            ours, theirs = await alternating(ways, reads)
            medians["souk"].append(1e6 * statistics.median(ours))
            medians["raw"].append(1e6 * statistics.median(theirs))
            medians["bare"].append(1e6 * statistics.median(await bare(ways, raw, port, reads // 4)))

            async def read_raw() -> object:
                return await ways.raw_call()()

            for name, read in (("souk", ways.souk), ("raw", read_raw))[:: 1 if run % 2 else -1]:
                seconds, rate = await many(read, reads)
                medians[f"{name}, 32"].append(1e6 * percentile(seconds, 0.5))
                rates[name].append(rate)
        print(f"{ways.from_redis / ways.reads:.1%} of {ways.reads:,} reads came from Redis")
    for name, count in (("one at a time", ""), ("32 in flight", ", 32")):
        for what, way in (("Cache.get", "souk"), ("redis.asyncio evalsha", "raw")):
            rate = f", {machine.spread(rates[way])} reads/s" if count else ""
            print(f"{name}, p50: {what:<22} {machine.spread(medians[way + count])} µs{rate}")
    print(f"one at a time, p50: bytes on a socket      {machine.spread(medians['bare'])} µs: the floor")
    met = True
    for name, count in (("one at a time", ""), ("32 in flight", ", 32")):
        ratios = [a / b for a, b in zip(medians["souk" + count], medians["raw" + count], strict=True)]
        holds = statistics.median(ratios) <= TARGET
        met &= holds
        print(f"ratio of p50, {name:<14} {machine.spread(ratios, '.2f')}   target <= {TARGET}: {verdict(holds)}")
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--reads", type=int, default=1000)
    options = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        port = Processes(Path(folder), stack).redis()
        met = uvloop.run(measure(port, options.runs, options.reads))
    sys.exit(not met)


if __name__ == "__main__":
    main()
