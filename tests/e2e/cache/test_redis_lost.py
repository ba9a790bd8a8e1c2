"""Redis dies, or stands still, under load: namespaces that can go on do, the others and every invalidation say UNAVAILABLE, and
soon after its return all is as before."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import grpc
import pytest
from faults.cluster import NODES, READ_LEASE, Cluster
from faults.counts import count
from faults.failures import Failure, failure
from souk.cache.v1 import cache_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="session")
REPETITIONS = count(10, 1)
KEYS = 50
SETTLED = 0.3
"""Seconds of an outage after which every node knows of it."""
OUTAGE = READ_LEASE + 1.5


class Load:
    """Reads of both kinds of namespace, fills, and invalidations, on every node."""

    def __init__(self, nodes: Cluster) -> None:
        self.reads: Counter[str] = Counter()
        self.fills_refused: set[str] = set()
        self.failures: dict[str, Counter[Failure]] = {"product": Counter(), "order": Counter(), "invalidate": Counter()}
        self.invalidated = 0
        self._nodes = nodes
        self._done = False

    async def run(self, seconds: float) -> None:
        """Call for so long."""
        self._done = False
        tasks = [self._repeat(self.get, index, space) for index in range(NODES) for space in ("product", "order")]
        tasks += [self._repeat(self.invalidate, index, "product") for index in range(NODES)]
        ending = asyncio.create_task(self._end(seconds))
        await asyncio.gather(ending, *tasks)

    async def get(self, index: int, space: str) -> None:
        """Read one key, and load it where that is asked for."""
        key = str(random.randrange(KEYS))
        cache = self._nodes.caches[index]
        try:
            result = (await cache.Get(_get(space, key, lease=True), timeout=20)).result
        except grpc.aio.AioRpcError as error:
            self.failures[space][failure(error)] += 1
            return
        kind = result.WhichOneof("result")
        self.reads[f"{space} {pb.Freshness.Name(result.hit.freshness) if kind == 'hit' else kind}"] += 1
        if kind == "lease":
            try:
                await cache.Fill(_fill(space, key, result.lease.token), timeout=20)
            except grpc.aio.AioRpcError as error:
                self.fills_refused.add(failure(error).reason)

    async def invalidate(self, index: int, space: str) -> None:
        """One key that few read."""
        keys = [pb.NamespacedKey(namespace=space, key=str(random.randrange(KEYS) // 10 * 10))]
        try:
            await self._nodes.caches[index].Invalidate(pb.InvalidateRequest(keys=keys), timeout=20)
            self.invalidated += 1
        except grpc.aio.AioRpcError as error:
            self.failures["invalidate"][failure(error)] += 1

    async def _repeat(self, call: Callable[[int, str], Awaitable[None]], index: int, space: str) -> None:
        while not self._done:
            await call(index, space)
            await asyncio.sleep(0.002)

    async def _end(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._done = True


def _get(space: str, key: str, *, lease: bool = False) -> pb.GetRequest:
    return pb.GetRequest(namespace=space, key=key, options=pb.ReadOptions(lease=lease))


def _fill(space: str, key: str, lease: str) -> pb.FillRequest:
    return pb.FillRequest(namespace=space, key=key, lease=lease, value=b"shoe")


async def kill(nodes: Cluster) -> None:
    await nodes.redis.kill()


async def freeze(nodes: Cluster) -> None:
    nodes.redis.signal(signal.SIGSTOP)


async def cut_off(nodes: Cluster) -> None:
    for link in nodes.links:
        await link.refuse()


async def start_again(nodes: Cluster) -> None:
    await nodes.redis.start()


async def thaw(nodes: Cluster) -> None:
    nodes.redis.signal(signal.SIGCONT)


async def connect_again(nodes: Cluster) -> None:
    for link in nodes.links:
        await link.heal()


async def until_normal(nodes: Cluster) -> None:
    """Return when every node invalidates, loads, and serves from memory what it knows to be fresh, in both kinds of namespace."""
    for index, cache in enumerate(nodes.caches):
        for space in ("product", "order"):
            while not await _normal(cache, space, f"normal{index}"):
                await asyncio.sleep(0.01)


async def _normal(cache: object, space: str, key: str) -> bool:
    try:
        await cache.Invalidate(pb.InvalidateRequest(keys=[pb.NamespacedKey(namespace=space, key=key)]), timeout=5)
        lease = (await cache.Get(_get(space, key, lease=True), timeout=5)).result.lease.token
        await cache.Fill(_fill(space, key, lease), timeout=5)
        hit = (await cache.Get(_get(space, key), timeout=5)).result.hit
    except grpc.aio.AioRpcError:
        return False
    return hit.freshness == pb.FRESHNESS_FRESH and hit.level == pb.LEVEL_MEMORY


@pytest.mark.timeout(120 + 30 * REPETITIONS)
@pytest.mark.parametrize(
    ("lose", "restore"), [(kill, start_again), (freeze, thaw), (cut_off, connect_again)], ids=["killed", "frozen", "cut off"]
)
async def test_without_redis_some_go_on_and_the_others_say_so(
    nodes: Cluster, lose: Callable[[Cluster], Awaitable[None]], restore: Callable[[Cluster], Awaitable[None]]
):
    took = []
    for _ in range(REPETITIONS):
        before = Load(nodes)
        await before.run(1.0)
        assert not any(before.failures.values())
        assert before.reads["product FRESHNESS_FRESH"] > 0
        assert before.reads["order FRESHNESS_FRESH"] > 0
        assert before.invalidated > 0

        during = Load(nodes)
        calls = asyncio.create_task(during.run(OUTAGE))
        await asyncio.sleep(0.1)
        await lose(nodes)
        try:
            at_lost = during.invalidated
            await calls
            assert during.failures["product"] == Counter()
            assert during.fills_refused <= {"DEPENDENCY_UNAVAILABLE"}
            assert set(during.reads) - {"order FRESHNESS_FRESH"} >= {"product FRESHNESS_UNVERIFIED", "product miss"}
            for kind in ("order", "invalidate"):
                assert {(each.code, each.reason) for each in during.failures[kind]} == {("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")}
                assert all(each.retry_after for each in during.failures[kind])
            assert during.invalidated - at_lost <= NODES, "those whose answers were on their way"
        finally:
            await restore(nodes)
        start = time.monotonic()
        await until_normal(nodes)
        took.append(time.monotonic() - start)
    print(f"\nnormal again after {', '.join(f'{each:.2f}' for each in took)} s")
    assert max(took) <= 2 * READ_LEASE
