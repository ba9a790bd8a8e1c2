"""What a cached value costs over gRPC: one at a time, a hundred at once, over a stream, and from a near cache.

Values of 256 bytes that are in the node's memory. The node and an empty grpc.aio echo server each have a process, pinned to one
core; h2load, a C client on the other core, drives Get, BatchGet of 100 keys and the echo, which is the floor of any rpc. A stream
needs a client of ours: it is compared with unary calls of the same Python process on that core, as is the near cache. Those are
64 callers at once with the bare stub, which is the most that one such process gets. Runs alternate; a ratio is of two neighbours.
What is judged is by the wall clock; the CPU that this process took for each read stands beside it.

    python bench/cache_rpc.py [--runs 9] [--requests 8000]
"""

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import machine
import uvloop
from google.protobuf.message import Message
from rpc_overhead import METHOD, serve_empty
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub
from souk.client import CacheClient, Namespace, NearConfig

SERVER_CORE, CLIENT_CORE = 0, 1
PORTS = {"echo": 50974, "cache": 50975}
SERVICE = "/souk.cache.v1.CacheService"
KEYS = [f"product-{number:06}" for number in range(100)]
CALLERS = 64
TARGETS = {"unary / echo": 0.75, "batch / unary, keys": 40.0, "stream / unary": 2.0, "near / unary": 300.0}


def child(role: str) -> None:
    """The echo server."""
    os.sched_setaffinity(0, {SERVER_CORE})
    uvloop.run(serve_empty(PORTS[role]))


def frame(message: Message | None, path: Path) -> Path:
    """A file with one gRPC message."""
    body = message.SerializeToString() if message is not None else b""
    path.write_bytes(struct.pack(">BI", 0, len(body)) + body)
    return path


def drive(port: int, method: str, body: Path, requests: int) -> float:
    """Requests a second, over 4 connections with 8 in flight each."""
    command = [
        "taskset", "-c", str(CLIENT_CORE), "h2load", "-t1", "-c4", "-m8", f"-n{requests}", "-d", str(body),
        "-H", "content-type: application/grpc", "-H", "te: trailers", f"http://127.0.0.1:{port}{method}",
    ]  # fmt: skip
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    done, rate = re.search(r"(\d+) succeeded, (\d+) failed", output), re.search(r"([\d.]+) req/s", output)
    if not done or not rate or int(done[1]) != requests or done[2] != "0":
        raise RuntimeError(output)
    return float(rate[1])


async def fill(address: str) -> None:
    """Put the values, and see that they are in memory."""
    async with CacheClient(address) as client, asyncio.timeout(30):
        while True:
            with contextlib.suppress(Exception):
                await client.stats()
                break
            await asyncio.sleep(0.05)
        for key in KEYS:
            await client.put("product", key, os.urandom(256))
        found = await client.batch_get("product", KEYS)
        assert all(result.hit.level == pb.LEVEL_MEMORY for result in found)


async def callers(read: Callable[[str], object], count: int) -> tuple[float, float]:
    """Reads a second of many callers at once, and what each took of this process's CPU, in microseconds."""

    async def caller(number: int) -> None:
        for turn in range(count // CALLERS):
            await read(KEYS[(number + turn) % len(KEYS)])  # type: ignore[misc]

    done = (count // CALLERS) * CALLERS
    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return done / (time.perf_counter() - start), (time.process_time() - cpu) / done * 1e6


def near_hits(products: Namespace[bytes]) -> tuple[float, float]:
    """The same of hits in the near cache."""
    rounds = 2000
    start, cpu = time.perf_counter(), time.thread_time()
    for _ in range(rounds):
        for key in KEYS:
            if products.get_nowait(key) is None:
                raise RuntimeError("it is not in the near cache")
    done = rounds * len(KEYS)
    return done / (time.perf_counter() - start), (time.thread_time() - cpu) / done * 1e6


async def python_rates(address: str, runs: int, requests: int) -> dict[str, list[tuple[float, float]]]:
    """unary, stream and near, by turns, from this process: reads a second, and CPU microseconds of each."""
    rates: dict[str, list[tuple[float, float]]] = {"unary": [], "stream": [], "near": []}
    async with (
        grpc.aio.insecure_channel(address) as channel,
        CacheClient(address) as plain,
        CacheClient(address, near=NearConfig(["product"])) as near,
    ):
        await near.near_ready()
        stub = CacheServiceStub(channel)
        for _ in range(runs):
            rates["unary"].append(await callers(lambda key: stub.Get(pb.GetRequest(namespace="product", key=key)), requests))
            rates["stream"].append(await callers(lambda key: plain.get("product", key), requests))
            products = near.namespace("product")
            for key in KEYS:
                await products.get(key)
            rates["near"].append(near_hits(products))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--requests", type=int, default=8000)
    options = parser.parse_args()
    if not shutil.which("h2load"):
        sys.exit("h2load is not there: apt-get install nghttp2-client")
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:

        def start(*command: str, **environment: str) -> None:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **environment})
            os.sched_setaffinity(process.pid, {SERVER_CORE})
            stack.callback(process.wait)
            stack.callback(process.send_signal, signal.SIGKILL)

        start(sys.executable, __file__, "--child", "echo")
        start(sys.executable, "-m", "souk_cache", SOUK_CACHE_PORT=str(PORTS["cache"]), SOUK_CACHE_LOG_LEVEL="warning")
        address = f"127.0.0.1:{PORTS['cache']}"
        os.sched_setaffinity(0, {CLIENT_CORE})
        asyncio.run(fill(address))
        one = frame(pb.GetRequest(namespace="product", key=KEYS[0]), Path(folder, "one"))
        many = frame(pb.BatchGetRequest(namespace="product", keys=KEYS), Path(folder, "many"))
        none = frame(None, Path(folder, "none"))
        ways: dict[str, Callable[[], float]] = {
            "echo": lambda: drive(PORTS["echo"], METHOD, none, options.requests),
            "unary": lambda: drive(PORTS["cache"], f"{SERVICE}/Get", one, options.requests),
            "batch": lambda: drive(PORTS["cache"], f"{SERVICE}/BatchGet", many, options.requests // 4) * len(KEYS),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for run in range(options.runs + 1):
            for name in ways if run % 2 == 0 else reversed(ways):
                rate = ways[name]()
                if run:  # the first one warms up
                    rates[name].append(rate)
        ours = uvloop.run(python_rates(address, options.runs, options.requests))
    for name, each in rates.items():
        print(f"{name + ' (h2load)':<18} {machine.spread(each)} {'keys' if name == 'batch' else 'rpc'}/s")
    by_clock = {name: [rate for rate, _ in each] for name, each in ours.items()}
    by_cpu = {name: [micros for _, micros in each] for name, each in ours.items()}
    for name in ours:
        cpu = machine.spread(by_cpu[name], ".2f")
        print(f"{name + ' (Python)':<18} {machine.spread(by_clock[name])} /s, CPU of the client {cpu} us each")
    pairs = {
        "unary / echo": (rates["unary"], rates["echo"]),
        "batch / unary, keys": (rates["batch"], rates["unary"]),
        "stream / unary": (by_clock["stream"], by_clock["unary"]),
        "near / unary": (by_clock["near"], by_clock["unary"]),
    }
    missed = False
    for name, (above, below) in pairs.items():
        ratios = [a / b for a, b in zip(above, below, strict=True)]
        met = statistics.median(ratios) >= TARGETS[name]
        missed |= not met
        verdict = "met" if met else "MISSED"
        print(f"{name:<20} {machine.spread(ratios, '.2f')}   target >= {TARGETS[name]:g}: {verdict}")
    cpu = machine.spread((unary / near for unary, near in zip(by_cpu["unary"], by_cpu["near"], strict=True)), ".0f")
    print(f"CPU of the client for a unary call / for a near hit: {cpu}")
    sys.exit(missed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    else:
        main()
