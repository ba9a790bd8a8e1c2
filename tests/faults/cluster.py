"""Cache nodes as processes, each with a way of its own to one real Redis; any of them can be killed, frozen or cut off."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import processes
from faults.links import Link, Proxy
from faults.ports import lasting_port
from processes import ServiceProcess
from redis_servers import RedisServer
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub

NODES = 4
TOLD = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")
READ_LEASE = 1.0
CLIENT_LEASE = 1.5
CHANNEL_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class Cluster:
    """The nodes by index, what leads them to Redis, and a client of each."""

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack, **settings: Any) -> None:
        self.redis = RedisServer(folder, lasting_port())
        self.proxy = Proxy()
        self.ports = [lasting_port() for _ in range(NODES)]
        self.links: list[Link] = []
        self.nodes: list[ServiceProcess] = []
        self.caches: list[CacheServiceStub] = []
        self._folder = folder
        self._stack = stack
        self._settings = {
            "read_lease": READ_LEASE,
            "client_lease": CLIENT_LEASE,
            "drain_grace": 5,
            "max_rpcs": 4000,
            "max_rpcs_per_caller": 4000,
            **settings,
        }

    @property
    def read_lease(self) -> float:
        """Of every node, in seconds."""
        return float(self._settings["read_lease"])

    async def start(self) -> None:
        """Everything, and return when every node listens."""
        await self.redis.start()
        self._stack.push_async_callback(self.redis.kill)
        await self._stack.enter_async_context(self.proxy)
        self.links = [await self.proxy.open(f"node{index}", self.redis.port) for index in range(NODES)]
        self._stack.push_async_callback(self._stop)
        async with asyncio.TaskGroup() as starts:
            tasks = [starts.create_task(self._start(index)) for index in range(NODES)]
        self.nodes = [task.result() for task in tasks]
        for port in self.ports:
            channel = await self._stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS))
            self.caches.append(CacheServiceStub(channel))

    async def restart(self, index: int) -> None:
        """Start a node anew at its address; return when it listens."""
        self.nodes[index] = await self._start(index)

    async def stop_gently(self, index: int) -> None:
        """SIGTERM, and wait until the node has ended by itself."""
        self.nodes[index].signal(signal.SIGTERM)
        assert await self.nodes[index].exit_status() == 0

    async def kill(self, index: int) -> None:
        """SIGKILL."""
        await processes.stop(self.nodes[index])

    async def coherent(self, timeout: float = 30.0) -> None:
        """Return when every node knows of every invalidation."""
        async with asyncio.timeout(timeout):
            for cache in self.caches:
                while True:
                    with contextlib.suppress(grpc.aio.AioRpcError):
                        if (await cache.GetStats(pb.GetStatsRequest(), timeout=2)).coherent:
                            break
                    await asyncio.sleep(0.02)

    def logged_errors(self) -> list[str]:
        """What the nodes logged as an error, but for calls that could not be answered and said so."""
        lines = (line for node in self.nodes for line in node.lines())
        return [str(line) for line in lines if line["level"] in ("error", "critical") and line.get("code") not in TOLD]

    async def _start(self, index: int) -> ServiceProcess:
        settings = {**self._settings, "port": self.ports[index], "redis_url": f"redis://127.0.0.1:{self.links[index].port}/0"}
        return await processes.start_service("cache", self._folder, f"node{index}", **settings)

    async def _stop(self) -> None:
        for node in self.nodes:
            await processes.stop(node)


@contextlib.asynccontextmanager
async def cluster(folder: Path, **settings: Any) -> AsyncIterator[Cluster]:
    """A cluster while the body runs; settings of its nodes by name."""
    async with contextlib.AsyncExitStack() as stack:
        made = Cluster(folder, stack, **settings)
        await made.start()
        yield made
