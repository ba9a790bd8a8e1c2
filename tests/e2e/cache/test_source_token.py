"""Loads read a replica that lags behind the database. With a source token, none after an Invalidate caches the old row."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from faults.cluster import NODES, Cluster
from faults.counts import count
from faults.lagging import ROWS, Database
from souk.cache.v1 import cache_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")
WRITES = count(10_000, 200)
READERS, WRITERS = 12, 6
POSITION = 1_000_000


class Callers:
    """They read and write rows at all nodes, and see what is too old."""

    def __init__(self, nodes: Cluster, database: Database) -> None:
        self.old: list[str] = []
        self.reads = 0
        self._nodes = nodes
        self._database = database
        self._chance = database.chance
        self._locks = {row: asyncio.Lock() for row in ROWS}
        self._known = dict.fromkeys(ROWS, 0)
        """The position of the last write of each that an Invalidate has told everybody of."""
        self.writes = 0

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Until it is over."""
        async with asyncio.TaskGroup() as callers:
            for work in [self._read] * READERS + [self._write] * WRITERS:
                callers.create_task(self._repeat(work, is_over))

    async def _repeat(self, work: Any, is_over: Callable[[], bool]) -> None:
        while not is_over():
            try:
                await work()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise  # else Redis was too busy to answer; whoever called tries again

    async def _read(self) -> None:
        row, index = self._chance.choice(ROWS), self._chance.randrange(NODES)
        known = self._known[row]
        request = cache_pb2.GetRequest(namespace="row", key=row, options=cache_pb2.ReadOptions(load=True))
        result = (await self._nodes.caches[index].Get(request, timeout=30)).result
        if result.HasField("hit"):
            self.reads += 1
            if int(result.hit.value) < known:
                self.old.append(f"{row} at {result.hit.value.decode()} on node{index}, after {known}")

    async def _write(self) -> None:
        row = self._chance.choice(ROWS)
        async with self._locks[row]:
            position = self._database.write(row)
            keys = [cache_pb2.NamespacedKey(namespace="row", key=row)]
            request = cache_pb2.InvalidateRequest(keys=keys, source_token=position)
            await self._nodes.caches[self._chance.randrange(NODES)].Invalidate(request, timeout=30)
            self._known[row] = position
        self.writes += 1
        await self._read()


@pytest.mark.timeout(120 + WRITES / 20)
async def test_no_load_that_began_after_an_invalidate_shows_what_the_replica_still_had(nodes: Cluster, database: Database):
    callers = Callers(nodes, database)
    start = time.monotonic()
    await callers.run(lambda: callers.writes >= WRITES)
    print(f"\n{WRITES:,} writes, {callers.reads:,} values read in {time.monotonic() - start:.0f} s")
    assert callers.old == []
    assert callers.reads > 2 * WRITES


async def test_redis_that_lost_everything_is_told_the_token_again(nodes: Cluster):
    keys = [cache_pb2.NamespacedKey(namespace="order", key="a")]
    await nodes.caches[0].Invalidate(cache_pb2.InvalidateRequest(keys=keys, source_token=POSITION), timeout=30)
    await nodes.redis.kill()
    await nodes.redis.start()
    await nodes.coherent()
    request = cache_pb2.GetRequest(namespace="order", key="a", options=cache_pb2.ReadOptions(lease=True))
    for cache in nodes.caches:
        result = (await cache.Get(request, timeout=30)).result
        assert result.lease.source_token == POSITION
        await cache.Invalidate(cache_pb2.InvalidateRequest(keys=keys), timeout=30)  # which takes the lease away
    await nodes.stop_gently(0)
    await nodes.restart(0)  # one that was not told, and finds what the others have brought back
    await nodes.coherent()
    assert (await nodes.caches[0].Get(request, timeout=30)).result.lease.source_token == POSITION


async def test_a_loader_that_does_not_heed_the_token_caches_what_the_replica_still_has(nodes: Cluster, database: Database):
    """So the test above would see it."""
    database.heeds_tokens = False
    callers = Callers(nodes, database)
    async with asyncio.timeout(60):
        await callers.run(lambda: bool(callers.old))
    assert callers.old
