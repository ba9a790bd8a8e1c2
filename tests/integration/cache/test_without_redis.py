"""What happens when Redis is gone, empty, or full of rubbish, and that all is well again when it is back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import redis.asyncio as redis_client
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis_servers import RedisServer
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub
from souk_common.testing import RunningServer

from services import Serve


async def get(cache: CacheServiceStub, key: str, namespace: str, **options: Any) -> pb.Result:
    answer = await cache.Get(pb.GetRequest(namespace=namespace, key=key, options=pb.ReadOptions(**options)), timeout=10)
    return answer.result


async def load(cache: CacheServiceStub, key: str, namespace: str, value: bytes) -> None:
    lease = (await get(cache, key, namespace, lease=True)).lease.token
    answer = await cache.Fill(pb.FillRequest(namespace=namespace, key=key, lease=lease, value=value), timeout=10)
    assert answer.outcome == pb.FILL_OUTCOME_STORED


async def health(server: RunningServer, name: str) -> int:
    stub = health_pb2_grpc.HealthStub(server.channel())
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)).status)


async def becomes(condition: Any, timeout: float = 15.0) -> None:
    async with asyncio.timeout(timeout):
        while not await condition():
            await asyncio.sleep(0.02)


@pytest.fixture
async def server(serve: Serve, redis: RedisServer) -> AsyncIterator[RunningServer]:
    async with serve(redis_url=redis.url) as running:
        yield running


@pytest.fixture
def cache(server: RunningServer) -> CacheServiceStub:
    return CacheServiceStub(server.channel())


async def unavailable(call: Any) -> bool:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return False


async def test_without_redis_available_namespaces_go_on_flagged_and_strict_ones_and_writers_are_told(
    server: RunningServer, cache: CacheServiceStub, redis: RedisServer
):
    await load(cache, "1", "product", b"shoe")
    await load(cache, "1", "order", b"paid")
    await redis.kill()

    async def strict_is_refused() -> bool:
        return await unavailable(get(cache, "1", "order"))

    await becomes(strict_is_refused)
    for _ in range(20):
        hit = (await get(cache, "1", "product", lease=True)).hit
        assert (hit.value, hit.freshness) == (b"shoe", pb.FRESHNESS_UNVERIFIED)
    assert (await get(cache, "unknown", "product", lease=True)).HasField("miss")
    for call in (
        cache.Invalidate(pb.InvalidateRequest(keys=[pb.NamespacedKey(namespace="product", key="1")]), timeout=5),
        cache.Put(pb.PutRequest(namespace="product", key="1", value=b"boot"), timeout=5),
    ):
        assert await unavailable(call)
    told = await cache.GetStats(pb.GetStatsRequest(), timeout=5)
    assert not told.coherent

    async def is_told() -> bool:
        names = ("cache", "cache.l2", "cache.coherent")
        return [await health(server, name) for name in names] == [health_pb2.HealthCheckResponse.NOT_SERVING] * 3

    await becomes(is_told)
    assert await health(server, "readiness") == health_pb2.HealthCheckResponse.SERVING, "some namespaces go on"
    await redis.start()

    async def is_back() -> bool:
        with contextlib.suppress(grpc.aio.AioRpcError):
            return (await get(cache, "1", "order", lease=True)).WhichOneof("result") in ("lease", "wait")
        return False

    await becomes(is_back)
    assert (await get(cache, "1", "product", lease=True)).HasField("lease"), "what an empty Redis does not know is not believed"
    await load(cache, "2", "order", b"sent")
    assert (await get(cache, "2", "order")).hit.value == b"sent"

    async def serving() -> bool:
        names = ("cache", "cache.l2", "cache.coherent", "readiness", "liveness")
        return [await health(server, name) for name in names] == [health_pb2.HealthCheckResponse.SERVING] * 5

    await becomes(serving)


async def without(redis: RedisServer, cache: CacheServiceStub) -> None:
    """Redis is gone, and the node goes on from memory."""
    await load(cache, "kept", "product", b"kept")
    await redis.kill()

    async def is_unverified() -> bool:
        return (await get(cache, "kept", "product")).hit.freshness == pb.FRESHNESS_UNVERIFIED

    await becomes(is_unverified)


async def test_without_redis_what_is_past_its_time_goes_only_to_who_allows_it(cache: CacheServiceStub, redis: RedisServer):
    await load(cache, "1", "fleeting", b"old")
    await without(redis, cache)
    assert (await get(cache, "1", "fleeting")).HasField("miss")
    hit = (await get(cache, "1", "fleeting", allow_stale=True)).hit
    assert (hit.value, hit.freshness) == (b"old", pb.FRESHNESS_UNVERIFIED)


async def test_without_redis_a_read_with_a_token_is_answered_by_a_node_that_has_seen_it(
    cache: CacheServiceStub, redis: RedisServer
):
    token = (await cache.Put(pb.PutRequest(namespace="product", key="1", value=b"shoe"), timeout=5)).token

    async def has_seen_it() -> bool:
        return (await get(cache, "1", "product", after=token)).hit.level == pb.LEVEL_MEMORY

    await becomes(has_seen_it)
    await without(redis, cache)
    assert (await get(cache, "1", "product", after=token)).hit.value == b"shoe"
    (position,) = token.positions
    position.sequence += 1000
    assert (await get(cache, "1", "product", after=token)).HasField("miss"), "of a mutation that this node was not told of"


async def test_without_redis_nothing_is_served_that_the_node_knows_to_be_invalidated(cache: CacheServiceStub, redis: RedisServer):
    put = pb.PutRequest(namespace="product", key="1", value=b"shoe", tags=["seller:7"])
    await cache.Put(put, timeout=5)
    assert (await get(cache, "1", "product")).hit.level == pb.LEVEL_REDIS
    assert (await get(cache, "1", "product")).hit.level == pb.LEVEL_MEMORY
    await cache.Invalidate(pb.InvalidateRequest(tags=["seller:7"]), timeout=5)
    await without(redis, cache)
    assert (await get(cache, "1", "product", allow_stale=True)).HasField("miss")


async def test_rubbish_in_redis_is_a_miss_that_a_fill_repairs(cache: CacheServiceStub, redis: RedisServer):
    async with redis_client.Redis.from_url(redis.url) as client:
        await load(cache, "1", "product", b"shoe")
        await cache.Invalidate(pb.InvalidateRequest(tags=["none"]), timeout=5)
        (stored,) = [key async for key in client.scan_iter("*v:product:1")]
        await client.hset(stored, "d", b"SKV1 rubbish")
        await client.set(stored.replace(b"product:1", b"product:2"), b"\xff\xfe")
        await client.rpush(stored.replace(b"v:product:1", b"l:product:2"), "not a lease")
        answer = await get(cache, "2", "product", lease=True)
        assert answer.HasField("lease")
    await load(cache, "3", "product", b"boot")
    assert (await get(cache, "3", "product")).hit.value == b"boot"


async def test_a_damaged_value_is_loaded_anew(serve: Serve, redis: RedisServer):
    async with serve(redis_url=redis.url) as first, serve(redis_url=redis.url) as second:
        one, two = CacheServiceStub(first.channel()), CacheServiceStub(second.channel())
        await load(one, "1", "product", b"shoe")
        async with redis_client.Redis.from_url(redis.url) as client:
            (stored,) = [key async for key in client.scan_iter("*v:product:1")]
            await client.hset(stored, "d", b"SKV1 rubbish")
        lease = (await get(two, "1", "product", lease=True)).lease.token
        await two.Fill(pb.FillRequest(namespace="product", key="1", lease=lease, value=b"boot"), timeout=5)
        assert (await get(two, "1", "product")).hit.value == b"boot"


async def test_what_is_past_its_time_is_loaded_anew_and_served_only_to_who_allows_it(cache: CacheServiceStub):
    await load(cache, "1", "brief", b"old")

    async def is_stale() -> bool:
        found = await get(cache, "1", "brief", allow_stale=True)
        return found.HasField("hit") and found.hit.freshness == pb.FRESHNESS_STALE

    await becomes(is_stale)
    assert (await get(cache, "1", "brief")).HasField("miss")
    first = await get(cache, "1", "brief", lease=True, allow_stale=True)
    assert (first.lease.stale.value, first.lease.stale.freshness) == (b"old", pb.FRESHNESS_STALE)
    assert (await get(cache, "1", "brief", lease=True, allow_stale=True)).hit.freshness == pb.FRESHNESS_STALE
    assert (await get(cache, "1", "brief", lease=True)).HasField("wait")
    answer = await cache.Fill(pb.FillRequest(namespace="brief", key="1", lease=first.lease.token, value=b"new"), timeout=5)
    assert answer.outcome == pb.FILL_OUTCOME_STORED


async def test_nodes_of_one_redis_share_values_and_invalidations(serve: Serve, redis: RedisServer):
    async with serve(redis_url=redis.url) as first, serve(redis_url=redis.url) as second:
        one, two = CacheServiceStub(first.channel()), CacheServiceStub(second.channel())
        await load(one, "1", "product", b"shoe")
        assert (await get(two, "1", "product")).hit.level == pb.LEVEL_REDIS
        assert (await get(two, "1", "product")).hit.level == pb.LEVEL_MEMORY
        await one.Invalidate(pb.InvalidateRequest(keys=[pb.NamespacedKey(namespace="product", key="1")]), timeout=5)
        assert (await get(two, "1", "product")).HasField("miss")
        token = (await two.Put(pb.PutRequest(namespace="product", key="1", value=b"boot"), timeout=5)).token
        assert (await get(one, "1", "product", after=token)).hit.value == b"boot"


async def test_a_redis_that_cannot_be_reached_does_not_keep_the_service_from_starting(serve: Serve):
    async with serve(redis_url="redis://127.0.0.1:1/0") as server:
        cache = CacheServiceStub(server.channel())
        assert await unavailable(get(cache, "1", "order"))
        assert await health(server, "cache.l2") == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await health(server, "liveness") == health_pb2.HealthCheckResponse.SERVING
