"""Two cache nodes, each a process, on a Redis Cluster of three masters and a replica, one of them killed."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import processes
import pytest
import redis.asyncio as redis
from redis_clusters import RedisCluster, redis_cluster
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub

PARTITIONS = 8
KEYS = [str(number) for number in range(40)]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[RedisCluster]:
    async with redis_cluster(tmp_path) as made:
        yield made


@pytest.fixture
async def caches(cluster: RedisCluster, tmp_path: Path) -> AsyncIterator[list[CacheServiceStub]]:
    async with contextlib.AsyncExitStack() as stack:
        stubs = []
        for name in ("one", "two"):
            node = await processes.start_service(
                "cache", tmp_path, name, redis_url=cluster.url, redis_cluster=1, partitions=PARTITIONS, read_lease=1.0
            )
            stack.push_async_callback(processes.stop, node)
            stubs.append(CacheServiceStub(await stack.enter_async_context(grpc.aio.insecure_channel(node.grpc))))
        yield stubs


async def get(cache: CacheServiceStub, key: str, *, lease: bool = False, namespace: str = "order") -> pb.Result:
    options = pb.ReadOptions(lease=lease)
    return (await cache.Get(pb.GetRequest(namespace=namespace, key=key, options=options), timeout=10)).result


async def load(cache: CacheServiceStub, key: str, value: bytes) -> None:
    lease = (await get(cache, key, lease=True)).lease.token
    request = pb.FillRequest(namespace="order", key=key, lease=lease, value=value, tags=["seller:1"])
    assert (await cache.Fill(request, timeout=10)).outcome == pb.FILL_OUTCOME_STORED


async def code_of(call: "grpc.aio.UnaryUnaryCall[Any, Any]") -> grpc.StatusCode:
    return await call.code()


async def test_keys_are_spread_and_a_tag_reaches_all_of_them(cluster: RedisCluster, caches: list[CacheServiceStub]):
    one, two = caches
    for key in KEYS:
        await load(one, key, b"old")
    assert [(await get(two, key)).hit.value for key in KEYS] == [b"old"] * len(KEYS)
    for master in cluster.masters:
        async with redis.Redis(port=master.port) as client:
            assert [key async for key in client.scan_iter("souk:*:v:order:*")], "every master has some"
    token = (await one.Invalidate(pb.InvalidateRequest(tags=["seller:1"]), timeout=10)).token
    assert len({position.partition for position in token.positions}) == PARTITIONS
    assert {(await get(two, key)).WhichOneof("result") for key in KEYS} == {"miss"}
    put = (await one.Put(pb.PutRequest(namespace="order", key="1", value=b"new"), timeout=10)).token
    read = pb.GetRequest(namespace="order", key="1", options=pb.ReadOptions(after=put))
    assert (await two.Get(read, timeout=10)).result.hit.value == b"new"


async def test_a_master_that_dies_takes_nothing_old_back(cluster: RedisCluster, caches: list[CacheServiceStub]):
    """Its partitions are UNAVAILABLE until the replica takes over, and then begin anew; the others go on."""
    one, two = caches
    for key in KEYS:
        await load(one, key, b"old")
    await cluster.masters[0].kill()
    outcomes = await asyncio.gather(*(get(two, key) for key in KEYS), return_exceptions=True)
    assert any(isinstance(found, pb.Result) for found in outcomes), "those of the other masters are there"

    async def invalidate() -> None:
        deadline = time.monotonic() + 30
        while True:
            code = await code_of(one.Invalidate(pb.InvalidateRequest(tags=["seller:1"]), timeout=10))
            if code is grpc.StatusCode.OK:
                return
            assert code is grpc.StatusCode.UNAVAILABLE
            assert time.monotonic() < deadline, "the replica has not taken over"

    await invalidate()
    for cache in caches:
        for key in KEYS:
            assert (await get(cache, key)).WhichOneof("result") == "miss"
    for key in KEYS[:10]:
        await load(two, key, b"new")
        assert (await get(one, key)).hit.value == b"new"
