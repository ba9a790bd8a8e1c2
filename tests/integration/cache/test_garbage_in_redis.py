"""Somebody else writes over what the cache has in Redis: a miss, a right value, or UNAVAILABLE; and soon all is as before."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import redis.asyncio as redis_client
from faults.counts import count
from redis_servers import RedisServer
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub

from services import Serve

JUNK = (
    b"",
    b"junk",
    b"\xff\xfe\x00",
    b"-1",
    b"1e999",
    b"nan",
    b"0 0",
    b"SKV1" + b"\xff" * 40,
    b"x" * 100_000,
    b"#\n+\n=\n~",
    b"9999999",
    b"9" * 20,
)
KEYS = ("1", "2", "3")
SEEDS = count(30, 1)


@pytest.fixture
async def caches(serve: Serve, redis: RedisServer) -> AsyncIterator[list[CacheServiceStub]]:
    settings = {"redis_url": redis.url, "read_lease": 0.2, "client_lease": 0.1}
    async with serve(**settings) as first, serve(**settings) as second:
        yield [CacheServiceStub(server.channel()) for server in (first, second)]


class Vandal:
    """Somebody else with access to the same Redis."""

    def __init__(self, client: redis_client.Redis, chance: random.Random) -> None:
        self._client = client
        self._chance = chance

    async def strike(self) -> None:
        """Spoil one key, in one of the ways there are."""
        key = self._chance.choice(sorted([each async for each in self._client.scan_iter("souk:*")]))
        kind = (await self._client.type(key)).decode()
        junk = self._chance.choice(JUNK)
        within = {"hash": ["field"] * 8, "stream": ["entry"] * 8}.get(kind, [])
        how = self._chance.choice(["delete", "string", "list", "set", "sorted set", "hash", "stream", *within])
        if how not in ("field", "entry"):
            await self._client.delete(key)
        match how:
            case "string":
                await self._client.set(key, junk)
            case "list":
                await self._client.rpush(key, junk)
            case "set":
                await self._client.sadd(key, junk)
            case "sorted set":
                await self._client.zadd(key, {junk: 1.0})
            case "hash":
                await self._client.hset(key, junk, junk)
            case "stream":
                await self._client.xadd(key, {junk or b"n": junk})
            case "field":
                field = self._chance.choice(await self._client.hkeys(key))
                if self._chance.random() < 0.2:
                    await self._client.hdel(key, field)
                else:
                    await self._client.hset(key, field, junk)
            case "entry":
                last = (await self._client.xinfo_stream(key))["last-generated-id"].decode().split("-")[0]
                ids = ("*", f"{int(last) + 1}-0", f"{last}-7")
                await self._client.xadd(key, {self._chance.choice((b"n", b"m")): junk}, id=self._chance.choice(ids))


class Callers:
    """Everything that callers do, on both nodes; a value says its key."""

    def __init__(self, caches: list[CacheServiceStub]) -> None:
        self._caches = caches

    async def call_all(self, space: str) -> list[bool]:
        """Which calls were answered; raises where an answer is wrong, or an error is another than UNAVAILABLE."""
        calls = []
        for cache in self._caches:
            for key in KEYS:
                content: Any = {"value": f"{space} {key}".encode(), "tags": ["red"]}
                if space == "user":
                    content["aliases"] = [f"ens:{key}"]
                named = pb.NamespacedKey(namespace=space, key=key)
                calls += [
                    self._load(cache, space, key, content),
                    cache.Put(pb.PutRequest(namespace=space, key=key, **content), timeout=10),
                    self._get(cache, pb.GetRequest(namespace=space, key=key)),
                    self._get(cache, pb.GetRequest(namespace="user", alias=f"ens:{key}")),
                    cache.Invalidate(pb.InvalidateRequest(keys=[named], source_token=7), timeout=10),
                ]
            calls.append(cache.Invalidate(pb.InvalidateRequest(tags=["red"]), timeout=10))
        return await asyncio.gather(*map(self._answered, calls))

    async def _answered(self, call: Any) -> bool:
        try:
            await call
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True

    async def _load(self, cache: CacheServiceStub, space: str, key: str, content: Any) -> None:
        result = await self._get(cache, pb.GetRequest(namespace=space, key=key, options=pb.ReadOptions(lease=True)))
        if result.HasField("lease"):
            await cache.Fill(pb.FillRequest(namespace=space, key=key, lease=result.lease.token, **content), timeout=10)

    async def _get(self, cache: CacheServiceStub, request: pb.GetRequest) -> pb.Result:
        result = (await cache.Get(request, timeout=10)).result
        if result.HasField("hit"):
            key = request.key or request.alias.removeprefix("ens:")
            assert result.hit.value == f"{request.namespace} {key}".encode()
        return result


@pytest.mark.timeout(60 + 30 * SEEDS)
async def test_whatever_is_written_over_it_the_cache_goes_on(caches: list[CacheServiceStub], redis: RedisServer):
    callers = Callers(caches)
    async with redis_client.Redis.from_url(redis.url) as client:
        for seed in range(SEEDS):
            vandal = Vandal(client, random.Random(seed))
            for space in ("order", "user", "product") * 8:
                await callers.call_all(space)
                await vandal.strike()
            async with asyncio.timeout(10):
                while not all(await callers.call_all("order")):
                    await asyncio.sleep(0.05)


@pytest.mark.parametrize("junk", [b"abc", b"9" * 20, b"7"])
async def test_what_is_no_version_and_no_source_token_is_none(caches: list[CacheServiceStub], redis: RedisServer, junk: bytes):
    here, there = caches
    await here.Put(pb.PutRequest(namespace="product", key="1", value=b"shoe", version=5), timeout=10)
    async with redis_client.Redis.from_url(redis.url) as client:
        [value] = [key async for key in client.scan_iter("souk:*:v:product:1")]
        [meta] = [key async for key in client.scan_iter("souk:*:meta")]
        await client.hset(value, "r", junk)
        await client.hset(meta, "s:product", junk)
    for _ in range(2):
        hit = (await there.Get(pb.GetRequest(namespace="product", key="1"), timeout=10)).result.hit
        assert (hit.value, hit.HasField("version")) == (b"shoe", False)
    request = pb.GetRequest(namespace="product", key="2", options=pb.ReadOptions(lease=True))
    assert not (await there.Get(request, timeout=10)).result.lease.HasField("source_token")
    await there.Invalidate(pb.InvalidateRequest(keys=[pb.NamespacedKey(namespace="product", key="2")], source_token=1), timeout=10)
    assert (await here.Get(request, timeout=10)).result.lease.source_token == 1


async def test_a_value_that_says_it_comes_from_the_future_is_a_miss(caches: list[CacheServiceStub], redis: RedisServer):
    here = caches[0]
    await here.Put(pb.PutRequest(namespace="product", key="1", value=b"old", tags=["red"]), timeout=10)
    async with redis_client.Redis.from_url(redis.url) as client:
        [value] = [key async for key in client.scan_iter("souk:*:v:product:1")]
        await client.hset(value, "s", "9999999")
    await here.Invalidate(pb.InvalidateRequest(tags=["red"]), timeout=10)
    for cache in caches:
        assert (await cache.Get(pb.GetRequest(namespace="product", key="1"), timeout=10)).result.HasField("miss")
