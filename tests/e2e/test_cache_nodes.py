"""Four cache nodes, each a process of its own, on one Redis: one loader, no stale value, one killed, one frozen."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import processes
import pytest
from google.protobuf.duration_pb2 import Duration
from processes import ServiceProcess
from redis_servers import redis_server
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub

READ_LEASE = 1.0
NODES = 4


class Cluster:
    """The nodes, and a client of each."""

    def __init__(self, nodes: list[ServiceProcess], stack: contextlib.AsyncExitStack) -> None:
        self.nodes = nodes
        self._stack = stack
        self.caches: list[CacheServiceStub] = []

    async def connect(self) -> None:
        for node in self.nodes:
            channel = await self._stack.enter_async_context(grpc.aio.insecure_channel(node.grpc))
            self.caches.append(CacheServiceStub(channel))

    async def get(self, index: int, key: str, **options: Any) -> pb.Result:
        request = pb.GetRequest(namespace="product", key=key, options=pb.ReadOptions(**options))
        return (await self.caches[index].Get(request, timeout=30)).result

    async def load(self, index: int, key: str, value: bytes) -> None:
        lease = (await self.get(index, key, lease=True)).lease.token
        request = pb.FillRequest(namespace="product", key=key, lease=lease, value=value, tags=["seller:1"])
        assert (await self.caches[index].Fill(request, timeout=10)).outcome == pb.FILL_OUTCOME_STORED

    async def invalidate(self, index: int, key: str) -> float:
        """Seconds that it took."""
        start = time.perf_counter()
        await self.caches[index].Invalidate(pb.InvalidateRequest(keys=[pb.NamespacedKey(namespace="product", key=key)]), timeout=30)
        return time.perf_counter() - start


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server(tmp_path))
        nodes: list[ServiceProcess] = []
        try:
            for index in range(NODES):
                node = await processes.start_service("cache", tmp_path, f"node{index}", redis_url=redis.url, read_lease=READ_LEASE)
                nodes.append(node)
            made = Cluster(nodes, stack)
            await made.connect()
            yield made
        finally:
            for node in nodes:
                await processes.stop(node)


async def test_one_of_two_thousand_readers_loads_a_cold_key(cluster: Cluster):
    for repetition in range(3):
        key = f"cold{repetition}"
        loads = 0

        async def read(index: int, key: str = key) -> bytes:
            nonlocal loads
            while True:
                result = await cluster.get(index % NODES, key, lease=True, wait=Duration(seconds=20))
                if result.HasField("lease"):
                    loads += 1
                    request = pb.FillRequest(namespace="product", key=key, lease=result.lease.token, value=b"shoe")
                    await cluster.caches[index % NODES].Fill(request, timeout=10)
                    return b"shoe"
                if result.HasField("hit"):
                    return bytes(result.hit.value)

        assert set(await asyncio.gather(*(read(index) for index in range(2000)))) == {b"shoe"}
        assert loads == 1


async def test_no_node_serves_what_was_invalidated(cluster: Cluster):
    for round_ in range(30):
        value = f"value{round_}".encode()
        await cluster.load(round_ % NODES, "1", value)
        await asyncio.gather(*(cluster.get(index, "1") for index in range(NODES)))
        assert [(await cluster.get(index, "1")).hit.level for index in range(NODES)] == [pb.LEVEL_MEMORY] * NODES
        await cluster.invalidate((round_ + 1) % NODES, "1")
        results = await asyncio.gather(*(cluster.get(index, "1") for index in range(NODES)))
        assert [result.WhichOneof("result") for result in results] == ["miss"] * NODES


async def test_a_frozen_node_holds_a_writer_up_for_one_lease_at_most_and_serves_nothing_old_when_it_wakes(cluster: Cluster):
    await cluster.load(0, "1", b"old")
    await asyncio.gather(*(cluster.get(index, "1") for index in range(NODES)))
    frozen = cluster.nodes[3]
    frozen.signal(signal.SIGSTOP)
    reading = asyncio.create_task(cluster.get(3, "1"))  # it arrives at a node that stands still
    try:
        took = await cluster.invalidate(0, "1")
        started_after = asyncio.create_task(cluster.get(3, "1"))
        await asyncio.sleep(0)
    finally:
        frozen.signal(signal.SIGCONT)
    assert took <= READ_LEASE * 1.05 + 0.25, "one lease, and what processes on a busy machine take to be woken"
    assert not (await started_after).HasField("hit")
    await reading  # it began before, and may have either answer
    assert not (await cluster.get(3, "1")).HasField("hit")


async def test_a_killed_node_holds_a_writer_up_for_one_lease_at_most_and_its_lease_goes_on(cluster: Cluster, tmp_path: Path):
    await cluster.load(0, "1", b"old")
    lease = await cluster.get(3, "2", lease=True)
    assert lease.HasField("lease")
    cluster.nodes[3].signal(signal.SIGKILL)
    took = await cluster.invalidate(0, "1")
    assert took <= READ_LEASE * 1.05 + 0.25
    assert await cluster.invalidate(1, "1") < READ_LEASE / 2, "it is forgotten now"
    assert [(await cluster.get(index, "1")).WhichOneof("result") for index in range(3)] == ["miss"] * 3
    assert (await cluster.get(0, "2", lease=True)).HasField("wait")
    request = pb.FillRequest(namespace="product", key="2", lease=lease.lease.token, value=b"loaded")
    assert (await cluster.caches[0].Fill(request, timeout=10)).outcome == pb.FILL_OUTCOME_STORED, "any node takes what was loaded"


async def test_a_node_that_stops_as_it_should_holds_nobody_up(cluster: Cluster):
    await cluster.load(0, "1", b"old")
    cluster.nodes[3].signal(signal.SIGTERM)
    assert await cluster.nodes[3].exit_status() == 0
    assert await cluster.invalidate(0, "1") < READ_LEASE / 2
