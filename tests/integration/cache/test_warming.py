"""Warming: from a list, from a loader's list, from the hottest keys of the last run; bounded, by priority, and never in the way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from loaders import Catalogue, loader_server
from processes import until
from redis_servers import RedisServer
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub
from souk_cache.adapters.hot_keys import HALF_LIFE, HotKeys
from souk_common.testing import FakeClock

from services import Serve

FILE = """
namespaces:
  plain: {{ttl: 1m}}
  brief: {{ttl: 30ms, jitter: 0, stale_for: 1h, loader: {{target: "{target}", {methods}}}}}
  loaded: {{ttl: 1m, loader: {{target: "{target}", {methods}, hard_timeout: 10s}}, {warm}}}
  unlisted: {{ttl: 1m, loader: {{target: "{target}", method: souk.cache.v1.LoaderService/Load}}}}
"""
METHODS = "method: souk.cache.v1.LoaderService/Load, list_method: souk.cache.v1.LoaderService/ListKeys"


@pytest.fixture
async def catalogue() -> AsyncIterator[Catalogue]:
    made = Catalogue({f"k{i:04}": f"value {i}".encode() for i in range(2000)})
    async with loader_server(made):
        yield made


@pytest.fixture
def file(tmp_path: Path, catalogue: Catalogue) -> Path:
    return write(tmp_path / "warm.yaml", catalogue)


def write(path: Path, catalogue: Catalogue, warm: str = "") -> Path:
    path.write_text(FILE.format(target=catalogue.target, methods=METHODS, warm=warm))
    return path


@pytest.fixture
async def cache(serve: Serve, file: Path, redis: RedisServer) -> AsyncIterator[CacheServiceStub]:
    async with serve(redis_url=redis.url, namespaces_file=file) as server:
        yield CacheServiceStub(server.channel())


async def warmed(cache: CacheServiceStub, namespace: str = "loaded", **request: Any) -> pb.WarmResponse:
    """The last message of a warming."""
    responses = [each async for each in cache.Warm(pb.WarmRequest(namespace=namespace, **request), timeout=60)]
    assert [each.done for each in responses] == [False] * (len(responses) - 1) + [True]
    return responses[-1]


def keys(*names: str) -> pb.WarmKeys:
    return pb.WarmKeys(keys=names)


async def put(cache: CacheServiceStub, key: str, value: bytes, namespace: str = "loaded", **more: Any) -> None:
    await cache.Put(pb.PutRequest(namespace=namespace, key=key, value=value, **more), timeout=5)


async def get(cache: CacheServiceStub, key: str, namespace: str = "loaded", **options: Any) -> pb.Result:
    request = pb.GetRequest(namespace=namespace, key=key, options=pb.ReadOptions(**options))
    return (await cache.Get(request, timeout=10)).result


async def waiting(cache: CacheServiceStub) -> int:
    return (await cache.GetStats(pb.GetStatsRequest(), timeout=5)).warming


async def becomes(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(15):
        while not await condition():
            await asyncio.sleep(0.01)


async def reason(call: Any) -> tuple[grpc.StatusCode, str, list[str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in rpc_status.from_call(caught.value).details:
        detail.Unpack(info)
        detail.Unpack(bad)
    return caught.value.code(), info.reason, [violation.field for violation in bad.field_violations]


async def test_a_list_is_brought_in_from_memory_redis_and_the_loader(
    cache: CacheServiceStub, serve: Serve, file: Path, redis: RedisServer, catalogue: Catalogue
):
    async with serve(redis_url=redis.url, namespaces_file=file) as other:
        away = CacheServiceStub(other.channel())
        await put(cache, "here", b"1")
        await get(cache, "here")
        await put(away, "there", b"2")
        assert (await get(away, "k0002", lease=True)).HasField("lease")
        told = await warmed(cache, keys=keys("here", "there", "k0001", "k0002", "k0001", "none"))
        assert (told.total, told.skipped, told.fetched, told.loaded, told.failed) == (5, 2, 1, 2, 0)
        levels = [(await get(cache, key)).hit.level for key in ("here", "there", "k0001")]
        assert levels == [pb.LEVEL_MEMORY] * 3
        assert (await get(cache, "none")).negative.level == pb.LEVEL_MEMORY
        assert await waiting(cache) == 0


async def test_without_a_loader_what_is_nowhere_fails(cache: CacheServiceStub):
    await put(cache, "here", b"1", "plain")
    await get(cache, "here", "plain")
    told = await warmed(cache, "plain", keys=keys("here", "nowhere"))
    assert (told.total, told.skipped, told.failed) == (2, 1, 1)


async def test_what_is_past_its_time_is_loaded_anew(cache: CacheServiceStub, catalogue: Catalogue):
    await put(cache, "k0001", b"old", "brief")

    async def is_stale() -> bool:
        return (await get(cache, "k0001", "brief")).HasField("miss")

    await becomes(is_stale)
    told = await warmed(cache, "brief", keys=keys("k0001"))
    assert (told.loaded, catalogue.loaded("k0001")) == (1, 1)


async def test_a_newer_value_is_never_replaced(cache: CacheServiceStub, catalogue: Catalogue):
    catalogue.release = asyncio.Event()
    warming = asyncio.create_task(warmed(cache, keys=keys("k0001", "k0002")))
    await until(lambda: len(catalogue.loads) == 2)
    await put(cache, "k0001", b"newer")
    await cache.Invalidate(pb.InvalidateRequest(keys=[pb.NamespacedKey(namespace="loaded", key="k0002")]), timeout=5)
    catalogue.release.set()
    assert (await warming).total == 2
    assert (await get(cache, "k0001")).hit.value == b"newer"
    assert (await get(cache, "k0002")).HasField("miss")


async def test_a_loader_lists_what_is_to_be_warmed(cache: CacheServiceStub, catalogue: Catalogue):
    told = await warmed(cache, query=pb.WarmQuery(query="k00", limit=40))
    assert (told.total, told.loaded) == (40, 40)
    assert (await get(cache, "k0039")).hit.level == pb.LEVEL_MEMORY
    told = await warmed(cache, query=pb.WarmQuery())
    assert (told.total, told.loaded, told.skipped) == (2000, 1960, 40)


async def test_who_cannot_list_says_so(cache: CacheServiceStub, catalogue: Catalogue):
    for namespace in ("plain", "unlisted"):
        told = await reason(cache.Warm(pb.WarmRequest(namespace=namespace, query=pb.WarmQuery()), timeout=5))
        assert told == (grpc.StatusCode.FAILED_PRECONDITION, "LOADER_MISSING", [])
    catalogue.code = grpc.StatusCode.INTERNAL
    told = await reason(cache.Warm(pb.WarmRequest(namespace="loaded", query=pb.WarmQuery()), timeout=5))
    assert told == (grpc.StatusCode.UNAVAILABLE, "LOADER_FAILED", [])


async def test_values_that_cannot_be_loaded_are_counted(cache: CacheServiceStub, catalogue: Catalogue):
    catalogue.code = grpc.StatusCode.INTERNAL
    told = await warmed(cache, keys=keys("k0001", "k0002"))
    assert (told.failed, told.loaded) == (2, 0)
    catalogue.code = None
    assert (await warmed(cache, keys=keys("k0001", "k0002"))).loaded == 2, "their leases were free at once"


async def test_no_more_is_loaded_at_once_than_was_said_and_progress_is_told(cache: CacheServiceStub, catalogue: Catalogue):
    catalogue.release = asyncio.Event()
    names = [f"k{i:04}" for i in range(20)]
    call = cache.Warm(pb.WarmRequest(namespace="loaded", keys=pb.WarmKeys(keys=names), concurrency=3), timeout=30)
    steps = aiter(call)
    first = await anext(steps)
    assert (first.total, first.loaded, first.done, len(catalogue.loads)) == (20, 0, False, 3)
    assert await waiting(cache) == 17
    async with asyncio.timeout(1.0):
        assert not (await anext(steps)).done, "at least every half second, whatever the loader does"
    catalogue.release.set()
    rest = [each async for each in steps]
    assert (rest[-1].loaded, rest[-1].done) == (20, True)


async def test_the_higher_priority_goes_first(cache: CacheServiceStub, catalogue: Catalogue):
    catalogue.release = asyncio.Event()
    low = asyncio.create_task(warmed(cache, keys=keys(*(f"k000{i}" for i in range(8))), priority=-5, concurrency=1))
    await until(lambda: len(catalogue.loads) == 1)
    high = asyncio.create_task(warmed(cache, keys=keys(*(f"k100{i}" for i in range(8))), priority=5, concurrency=1))
    await until(lambda: len(catalogue.loads) == 2)
    catalogue.release.set()
    await asyncio.gather(low, high)
    asked = [request.key for request in catalogue.loads]
    of_low = [index for index, key in enumerate(asked) if key.startswith("k0")]
    assert of_low[0] == 0
    assert of_low[1] >= 8, "the others of it wait; the last of the other's may arrive together with the next of its"


@pytest.mark.parametrize("how", ["leaves", "deadline"])
async def test_it_stops_when_the_caller_leaves_or_at_its_deadline(cache: CacheServiceStub, catalogue: Catalogue, how: str):
    catalogue.release = asyncio.Event()
    names = [f"k{i:04}" for i in range(500)]
    request = pb.WarmRequest(namespace="loaded", keys=pb.WarmKeys(keys=names))
    call = cache.Warm(request, timeout=60 if how == "leaves" else 0.7)
    await anext(aiter(call))
    if how == "leaves":
        call.cancel()
    else:
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: catalogue.cancelled == len(catalogue.loads))

    async def nothing_waits() -> bool:
        return await waiting(cache) == 0

    await becomes(nothing_waits)
    assert len(catalogue.loads) == 8
    assert (await get(cache, "k0000", lease=True)).HasField("lease"), "and the leases are free"


async def test_a_service_that_stops_ends_it_and_gives_the_leases_back(
    serve: Serve, file: Path, redis: RedisServer, catalogue: Catalogue
):
    catalogue.release = asyncio.Event()
    async with serve(redis_url=redis.url, namespaces_file=file) as other:
        async with serve(redis_url=redis.url, namespaces_file=file) as server:
            address = server.addresses.grpc
            channel = grpc.aio.insecure_channel(address)
            call = CacheServiceStub(channel).Warm(pb.WarmRequest(namespace="loaded", keys=keys("k0001")), timeout=60)
            await anext(aiter(call))
        assert (await reason(call))[0] is grpc.StatusCode.UNAVAILABLE
        await channel.close()
        assert (await get(CacheServiceStub(other.channel()), "k0001", lease=True)).HasField("lease")


async def test_without_redis_it_fails_key_by_key(cache: CacheServiceStub, redis: RedisServer):
    await redis.kill()
    told = await warmed(cache, keys=keys("k0001", "k0002"))
    assert (told.total, told.failed) == (2, 2)


async def test_bad_requests_are_told_of_every_field(cache: CacheServiceStub):
    async def fields(**request: Any) -> list[str]:
        code, why, named = await reason(cache.Warm(pb.WarmRequest(namespace="loaded", **request), timeout=5))
        assert (code, why) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        return named

    assert await fields(priority=101, concurrency=65) == ["source", "priority", "concurrency"]
    assert await fields(keys=pb.WarmKeys(), priority=-101, concurrency=-1) == ["keys.keys", "priority", "concurrency"]
    assert await fields(keys=keys("a", "", "b\n")) == ["keys.keys[1]", "keys.keys[2]"]
    assert await fields(keys=pb.WarmKeys(keys=[str(i) for i in range(100_001)])) == ["keys.keys"]
    assert await fields(hottest=pb.WarmHottest(count=-1)) == ["hottest.count"]
    assert await fields(query=pb.WarmQuery(query="q" * 1025, limit=100_001)) == ["query.limit", "query.query"]
    code, why, _ = await reason(cache.Warm(pb.WarmRequest(namespace="nowhere", keys=keys("a")), timeout=5))
    assert (code, why) == (grpc.StatusCode.NOT_FOUND, "NAMESPACE_UNKNOWN")


async def test_a_node_that_starts_warms_what_was_read_most_before(
    serve: Serve, tmp_path: Path, redis: RedisServer, catalogue: Catalogue
):
    path = write(tmp_path / "start.yaml", catalogue, warm="warm: {hottest: 30}")
    async with serve(redis_url=redis.url, namespaces_file=path) as before:
        cache = CacheServiceStub(before.channel())
        for i in range(100):
            await get(cache, f"k{i:04}", load=True, wait=Duration(seconds=5))
        for _ in range(3):
            for i in range(20):
                await get(cache, f"k{i:04}")
    async with serve(redis_url=redis.url, namespaces_file=path) as after:
        cache = CacheServiceStub(after.channel())
        line = await after.log.wait_for(lambda line: line["event"] == "warmed")
        assert (line["namespace"], line["keys"], line["fetched"]) == ("loaded", 30, 30)
        levels = [(await get(cache, f"k{i:04}")).hit.level for i in range(20)]
        assert levels == [pb.LEVEL_MEMORY] * 20
        told = await warmed(cache, hottest=pb.WarmHottest())
        assert (told.total, told.fetched, told.skipped) == (100, 70, 30)
    assert len(catalogue.loads) == 100


async def test_a_node_alone_has_no_hottest_keys_and_warms_by_its_loader(serve: Serve, file: Path):
    async with serve(namespaces_file=file) as server:
        cache = CacheServiceStub(server.channel())
        assert (await warmed(cache, hottest=pb.WarmHottest())).total == 0
        assert (await warmed(cache, query=pb.WarmQuery(limit=10))).loaded == 10


async def test_the_hottest_keys_of_all_nodes_are_kept_in_order_and_fade(redis: RedisServer):
    clock = FakeClock()
    of_one, of_two = ["n:a", "n:b", "n:c", "n~sku:x", "other:z"], ["n:d", "n:b"]

    @contextlib.asynccontextmanager
    async def node(hottest: list[str]) -> AsyncIterator[HotKeys]:
        async with HotKeys(redis.url, partition="p", timeout=1.0, keep=4, hottest=lambda: hottest, clock=clock) as made:
            yield made

    async with node(of_one) as one, node(of_two) as two:
        await one.write()
        await two.write()
        assert set(await one.of("n", 2)) == {"a", "d"}
        assert (await one.of("n", 10))[2:] == ["b", "c"]
        assert await one.of("other", 10) == ["z"]
        clock.advance(2 * HALF_LIFE)
        of_two[:] = ["n:e", "n:f"]
        await two.write()
        assert (await one.of("n", 3))[:2] == ["e", "f"], "what is hot now is before what was"
        assert len(await one.of("n", 10)) == 4, "and no more is kept than that"
        of_one.clear()
        of_two.clear()
