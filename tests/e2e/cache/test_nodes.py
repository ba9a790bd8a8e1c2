"""Four cache nodes, each a process of its own, on one Redis: one killed, one frozen, restarted in turn."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from faults.cluster import NODES, READ_LEASE, Cluster
from faults.counts import count
from souk.cache.v1 import cache_pb2 as pb
from souk.client import CacheClient, ClientConfig, NearConfig

pytestmark = pytest.mark.asyncio(loop_scope="session")
ROUNDS = count(500, 10)
REPETITIONS = count(10, 1)
RESTARTED = count(NODES, 2)
WAKING = 0.25
"""Seconds that processes on a busy machine take to be woken."""
KEPT = [f"kept{number}" for number in range(50)]


class Callers:
    """The cluster, as its callers see it."""

    def __init__(self, made: Cluster) -> None:
        self.cluster = made
        self.caches = made.caches

    async def get(self, index: int, key: str, **options: Any) -> pb.Result:
        request = pb.GetRequest(namespace="product", key=key, options=pb.ReadOptions(**options))
        return (await self.caches[index].Get(request, timeout=30, wait_for_ready=True)).result

    async def get_everywhere(self, key: str) -> list[pb.Result]:
        return list(await asyncio.gather(*(self.get(index, key) for index in range(NODES))))

    async def load(self, index: int, key: str, value: bytes) -> None:
        lease = (await self.get(index, key, lease=True)).lease.token
        request = pb.FillRequest(namespace="product", key=key, lease=lease, value=value, tags=["seller:1"])
        assert (await self.caches[index].Fill(request, timeout=10)).outcome == pb.FILL_OUTCOME_STORED

    async def invalidate(self, index: int, key: str, level: Any = pb.INVALIDATION_LEVEL_NODES) -> float:
        """Seconds that it took."""
        start = time.perf_counter()
        request = pb.InvalidateRequest(keys=[pb.NamespacedKey(namespace="product", key=key)], level=level)
        await self.caches[index].Invalidate(request, timeout=30, wait_for_ready=True)
        return time.perf_counter() - start


@pytest.fixture
def callers(nodes: Cluster) -> Callers:
    return Callers(nodes)


async def test_no_node_serves_what_was_invalidated(callers: Callers):
    for number in range(ROUNDS):
        await callers.load(number % NODES, "1", f"value{number}".encode())
        await callers.get_everywhere("1")
        assert [result.hit.level for result in await callers.get_everywhere("1")] == [pb.LEVEL_MEMORY] * NODES
        await callers.invalidate((number + 1) % NODES, "1")
        assert [result.WhichOneof("result") for result in await callers.get_everywhere("1")] == ["miss"] * NODES


async def test_a_frozen_node_holds_a_writer_up_for_one_lease_at_most_and_serves_nothing_old_when_it_wakes(callers: Callers):
    for number in range(REPETITIONS):
        key = f"frozen{number}"
        await callers.load(0, key, b"old")
        await callers.get_everywhere(key)
        frozen = callers.cluster.nodes[3]
        frozen.signal(signal.SIGSTOP)
        reading = asyncio.create_task(callers.get(3, key))  # it arrives at a node that stands still
        try:
            took = await callers.invalidate(0, key)
            started_after = asyncio.create_task(callers.get(3, key))
            await asyncio.sleep(0)
        finally:
            frozen.signal(signal.SIGCONT)
        assert took <= READ_LEASE * 1.05 + WAKING
        assert not (await started_after).HasField("hit")
        await reading  # it began before, and may have either answer
        assert not (await callers.get(3, key)).HasField("hit")
        await callers.cluster.coherent()


async def test_a_killed_node_holds_a_writer_up_for_one_lease_at_most_and_its_lease_goes_on(callers: Callers):
    await callers.load(0, "killed", b"old")
    lease = await callers.get(3, "loading", lease=True)
    assert lease.HasField("lease")
    await callers.cluster.kill(3)
    assert await callers.invalidate(0, "killed") <= READ_LEASE * 1.05 + WAKING
    assert await callers.invalidate(1, "killed") < READ_LEASE / 2, "it is forgotten now"
    assert [(await callers.get(index, "killed")).WhichOneof("result") for index in range(3)] == ["miss"] * 3
    assert (await callers.get(0, "loading", lease=True)).HasField("wait")
    request = pb.FillRequest(namespace="product", key="loading", lease=lease.lease.token, value=b"loaded")
    assert (await callers.caches[0].Fill(request, timeout=10)).outcome == pb.FILL_OUTCOME_STORED, "any node takes what was loaded"
    await callers.cluster.restart(3)
    await callers.cluster.coherent()


@contextlib.asynccontextmanager
async def near_cache(callers: Callers) -> AsyncIterator[CacheClient]:
    """A client with a near cache that knows every node, and has some values."""
    addresses = ",".join(f"127.0.0.1:{port}" for port in callers.cluster.ports)
    config = ClientConfig(target=f"ipv4:{addresses}", max_backoff=0.3)
    async with CacheClient(config=config, near=NearConfig(["product"])) as client:
        await asyncio.wait_for(client.near_ready(), 20)
        for key in KEPT:
            await client.get("product", key)
        yield client


async def all_kept(client: CacheClient) -> None:
    """Return when the near cache serves all that it has."""
    async with asyncio.timeout(20):
        while not all(client.kept("product", key) for key in KEPT):
            await asyncio.sleep(0.01)


async def test_a_rolling_restart_stalls_no_writer_and_flushes_no_near_cache(callers: Callers):
    for key in KEPT:
        await callers.load(0, key, b"kept")
    took: list[float] = []
    over = asyncio.Event()

    async def write() -> None:
        """Invalidate at the nodes that stay."""
        levels = (pb.INVALIDATION_LEVEL_NODES, pb.INVALIDATION_LEVEL_CLIENTS)
        while not over.is_set():
            took.extend([await callers.invalidate((restarting + 1) % NODES, "written", level) for level in levels])

    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(near_cache(callers)) for _ in range(3)]
        restarting = 0
        for client in clients:
            await all_kept(client)
        flushed = [client.near.discontinuities for client in clients]
        await callers.invalidate(0, "written", pb.INVALIDATION_LEVEL_CLIENTS)  # waits where Redis is too new to know all members
        async with asyncio.TaskGroup() as writing:
            writing.create_task(write())
            for restarting in range(RESTARTED):
                await callers.cluster.stop_gently(restarting)
                await callers.cluster.restart(restarting)
                await callers.cluster.coherent()
                for client in clients:
                    await all_kept(client)
            over.set()
        assert [client.near.discontinuities for client in clients] == flushed
        assert [client.counts.hits for client in clients] == [len(KEPT)] * len(clients), "nothing was asked for again"
    print(f"\n{len(took)} invalidations during a rolling restart, at most {max(took):.3f} s")
    stalled = [seconds for seconds in took if seconds >= READ_LEASE / 2]
    assert len(stalled) < RESTARTED, "a node that leaves without a word stalls a writer by itself"
