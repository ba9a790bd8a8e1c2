"""A replica of Redis that lacks the tail of what its primary acknowledged takes over: no read is stale."""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio as redis
from faults.cluster import READ_LEASE, Cluster, cluster
from faults.counts import count
from faults.links import Link
from faults.oracle import Oracle
from faults.ports import lasting_port
from faults.shop import Database
from faults.workload import NAMESPACES, Workload, rows_of
from redis_servers import RedisServer
from souk.cache.v1 import cache_pb2 as pb
from souk.client import CacheClient, ClientConfig, NearConfig

FAILOVERS = count(20, 1)
SEED = int(os.environ.get("SOUK_SEED") or random.SystemRandom().randrange(2**31))
DISKLESS = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--repl-diskless-load", "swapdb")
SEQ = ("souk:{souk}:meta", "seq")


class Replicated:
    """The Redis of a cluster, and a replica behind a link that can be cut."""

    def __init__(self, nodes: Cluster, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        self._nodes = nodes
        self._folder = folder
        self._stack = stack
        self.primary = nodes.redis
        self.replica: RedisServer
        self.link: Link

    async def replicate(self, name: str) -> None:
        """Start a replica; return when it has everything."""
        self.link = await self._nodes.proxy.open(name, self.primary.port)
        options = (*DISKLESS, "--replicaof", "127.0.0.1", str(self.link.port))
        self.replica = RedisServer(self._folder, lasting_port(), options)
        await self.replica.start()
        self._stack.push_async_callback(self.replica.kill)
        async with asyncio.timeout(20), redis.Redis(port=self.replica.port) as client:
            while (await client.info("replication"))["master_link_status"] != "up":
                await asyncio.sleep(0.01)

    async def lose_the_tail(self, events: int) -> None:
        """Cut the replica off, and return when so many invalidations have passed it."""
        await self.link.hold()
        async with redis.Redis(port=self.primary.port) as ahead, redis.Redis(port=self.replica.port) as behind:
            async with asyncio.timeout(30):
                while int(await ahead.hget(*SEQ)) < int(await behind.hget(*SEQ)) + events:
                    await asyncio.sleep(0.01)

    async def fail_over(self) -> None:
        """The primary is gone, and its replica has its address."""
        await self.primary.kill()
        async with redis.Redis(port=self.replica.port) as client:
            await client.replicaof("NO", "ONE")
        for link in self._nodes.links:
            await link.lead_to(self.replica.port)
            await link.cut()
        self.primary = self.replica


@contextlib.asynccontextmanager
async def near_caches(nodes: Cluster) -> AsyncIterator[list[CacheClient]]:
    """A client for each of two nodes, which keeps values."""
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for port in nodes.ports[:2]:
            config = ClientConfig(target=f"127.0.0.1:{port}", attempts=1, max_backoff=0.3)
            client = await stack.enter_async_context(CacheClient(config=config, near=NearConfig(NAMESPACES)))
            await asyncio.wait_for(client.near_ready(), 20)
            clients.append(client)
        yield clients


async def kept_by_replica(nodes: Cluster, key: str) -> None:
    """A value that is invalidated after the replica was cut off, and that it still has."""
    lease = (
        await nodes.caches[0].Get(pb.GetRequest(namespace="product", key=key, options=pb.ReadOptions(lease=True)))
    ).result.lease
    await nodes.caches[0].Fill(pb.FillRequest(namespace="product", key=key, lease=lease.token, value=b"old"))


@pytest.mark.slow
@pytest.mark.timeout(120 + 20 * FAILOVERS)
async def test_no_read_is_stale_after_a_replica_that_lost_the_tail_took_over(tmp_path: Path):
    oracle = Oracle()
    database = Database(rows_of(16), random.Random(SEED))
    async with contextlib.AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(cluster(tmp_path))
        clients = await stack.enter_async_context(near_caches(nodes))
        replicated = Replicated(nodes, tmp_path, stack)
        workload = Workload(nodes, database, oracle, seed=SEED, watchers=clients)
        async with workload.running():
            for number in range(FAILOVERS):
                key = f"unknown to the replica {number}"
                await nodes.coherent()
                await kept_by_replica(nodes, key)
                await replicated.replicate(f"replication{number}")
                await replicated.lose_the_tail(events=20)
                gone = pb.InvalidateRequest(keys=[pb.NamespacedKey(namespace="product", key=key)])
                await nodes.caches[1].Invalidate(gone, timeout=20)
                await replicated.fail_over()
                await nodes.coherent(timeout=10 * READ_LEASE)
                async with redis.Redis(port=replicated.primary.port) as client:
                    assert await client.exists(f"souk:{{souk}}:v:product:{key}"), "the replica has what was invalidated"
                for cache in nodes.caches:
                    answer = await cache.Get(pb.GetRequest(namespace="product", key=key), timeout=20)
                    assert answer.result.HasField("miss")
        await nodes.coherent()
    print(f"\nseed {SEED}: {FAILOVERS} failovers, {oracle.reads:,} values judged, {oracle.near_reads:,} of them from near caches")
    print(f"  results: {dict(workload.tally.results)}\n  mutations: {dict(workload.tally.mutations)}")
    assert oracle.stale == []
    assert workload.tally.unexpected == []
    assert nodes.logged_errors() == []
    assert oracle.reads > 100 * FAILOVERS
    assert workload.tally.mutated() > 20 * FAILOVERS
