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
from souk.common.v1 import operations_pb2 as ops
from souk.common.v1.operations_pb2_grpc import OperationServiceStub
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


class Cache(CacheServiceStub):
    """The service, with its operations."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self.operations = OperationServiceStub(channel)

    async def started(self, namespace: str = "loaded", **request: Any) -> ops.Operation:
        return (await self.Warm(pb.WarmRequest(namespace=namespace, **request), timeout=5)).operation

    async def now(self, operation: ops.Operation) -> ops.Operation:
        request = ops.GetOperationRequest(operation_id=operation.operation_id)
        return (await self.operations.GetOperation(request, timeout=5)).operation

    def changes(self, operation: ops.Operation) -> Any:
        """The stream of WatchOperation."""
        return self.operations.WatchOperation(ops.WatchOperationRequest(operation_id=operation.operation_id), timeout=60)

    async def over(self, operation: ops.Operation) -> ops.Operation:
        """As it ended."""
        return [each.operation async for each in self.changes(operation)][-1]

    async def cancelled(self, operation: ops.Operation) -> ops.Operation:
        request = ops.CancelOperationRequest(operation_id=operation.operation_id)
        return (await self.operations.CancelOperation(request, timeout=10)).operation


@pytest.fixture
async def catalogue() -> AsyncIterator[Catalogue]:
    made = Catalogue({f"k{i:04}": f"value {i}".encode() for i in range(1100)})
    async with loader_server(made):
        yield made


@pytest.fixture
def file(tmp_path: Path, catalogue: Catalogue) -> Path:
    return write(tmp_path / "warm.yaml", catalogue)


def write(path: Path, catalogue: Catalogue, warm: str = "") -> Path:
    path.write_text(FILE.format(target=catalogue.target, methods=METHODS, warm=warm))
    return path


@pytest.fixture
async def cache(serve: Serve, file: Path, redis: RedisServer) -> AsyncIterator[Cache]:
    async with serve(redis_url=redis.url, namespaces_file=file) as server:
        yield Cache(server.channel())


async def warmed(cache: Cache, namespace: str = "loaded", **request: Any) -> dict[str, int]:
    """What a warming came to: the keys in all, and the counts that are not 0."""
    operation = await cache.over(await cache.started(namespace, **request))
    assert operation.state == ops.OPERATION_STATE_SUCCEEDED, operation
    return told(operation)


def told(operation: ops.Operation) -> dict[str, int]:
    progress = operation.progress
    assert (progress.unit, sum(progress.counts.values())) == ("key", progress.done)
    return {"total": progress.total, **{name: number for name, number in progress.counts.items() if number}}


def keys(*names: str) -> pb.WarmKeys:
    return pb.WarmKeys(keys=names)


async def put(cache: Cache, key: str, value: bytes, namespace: str = "loaded", **more: Any) -> None:
    """Put a value, and once more where the node was too busy to know that it is the newest."""
    request = pb.PutRequest(namespace=namespace, key=key, value=value, **more)
    while (await cache.Put(request, timeout=5)).outcome == pb.FILL_OUTCOME_INVALIDATED:
        pass


async def get(cache: Cache, key: str, namespace: str = "loaded", **options: Any) -> pb.Result:
    request = pb.GetRequest(namespace=namespace, key=key, options=pb.ReadOptions(**options))
    return (await cache.Get(request, timeout=10)).result


async def waiting(cache: Cache) -> int:
    return (await cache.GetStats(pb.GetStatsRequest(), timeout=5)).warming


async def becomes(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(15):
        while not await condition():
            await asyncio.sleep(0.01)


async def reason(call: Any) -> tuple[grpc.StatusCode, str, list[str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in rpc_status.from_call(caught.value).details:
        detail.Unpack(info)
        detail.Unpack(bad)
    return caught.value.code(), info.reason, [violation.field for violation in bad.field_violations]


async def test_a_list_is_brought_in_from_memory_redis_and_the_loader(
    cache: Cache, serve: Serve, file: Path, redis: RedisServer, catalogue: Catalogue
):
    async with serve(redis_url=redis.url, namespaces_file=file) as other:
        away = Cache(other.channel())
        await put(cache, "here", b"1")
        await get(cache, "here")
        await put(away, "there", b"2")
        assert (await get(away, "k0002", lease=True)).HasField("lease")
        counts = await warmed(cache, keys=keys("here", "there", "k0001", "k0002", "k0001", "none"))
        assert counts == {"total": 5, "skipped": 2, "fetched": 1, "loaded": 2}
        levels = [(await get(cache, key)).hit.level for key in ("here", "there", "k0001")]
        assert levels == [pb.LEVEL_MEMORY] * 3
        assert (await get(cache, "none")).negative.level == pb.LEVEL_MEMORY
        assert await waiting(cache) == 0


async def test_without_a_loader_what_is_nowhere_fails(cache: Cache):
    await put(cache, "here", b"1", "plain")
    await get(cache, "here", "plain")
    assert await warmed(cache, "plain", keys=keys("here", "nowhere")) == {"total": 2, "skipped": 1, "failed": 1}


async def test_what_is_past_its_time_is_loaded_anew(cache: Cache, catalogue: Catalogue):
    await put(cache, "k0001", b"old", "brief")

    async def is_stale() -> bool:
        return (await get(cache, "k0001", "brief")).HasField("miss")

    await becomes(is_stale)
    assert await warmed(cache, "brief", keys=keys("k0001")) == {"total": 1, "loaded": 1}
    assert catalogue.loaded("k0001") == 1


async def test_a_newer_value_is_never_replaced(cache: Cache, catalogue: Catalogue):
    catalogue.release = asyncio.Event()
    warming = asyncio.create_task(warmed(cache, keys=keys("k0001", "k0002")))
    await until(lambda: len(catalogue.loads) == 2)
    await put(cache, "k0001", b"newer")
    await cache.Invalidate(pb.InvalidateRequest(keys=[pb.NamespacedKey(namespace="loaded", key="k0002")]), timeout=5)
    catalogue.release.set()
    assert (await warming)["total"] == 2
    assert (await get(cache, "k0001")).hit.value == b"newer"
    assert (await get(cache, "k0002")).HasField("miss")


async def test_a_loader_lists_what_is_to_be_warmed(cache: Cache, catalogue: Catalogue):
    assert await warmed(cache, query=pb.WarmQuery(query="k00", limit=40)) == {"total": 40, "loaded": 40}
    assert (await get(cache, "k0039")).hit.level == pb.LEVEL_MEMORY
    assert await warmed(cache, query=pb.WarmQuery()) == {"total": 1100, "loaded": 1060, "skipped": 40}


async def test_who_cannot_list_says_so(cache: Cache, catalogue: Catalogue):
    for namespace in ("plain", "unlisted"):
        refused = await reason(cache.Warm(pb.WarmRequest(namespace=namespace, query=pb.WarmQuery()), timeout=5))
        assert refused == (grpc.StatusCode.FAILED_PRECONDITION, "LOADER_MISSING", [])
    catalogue.code = grpc.StatusCode.INTERNAL
    failed = await cache.over(await cache.started(query=pb.WarmQuery()))
    assert (failed.state, failed.error.reason, failed.error.domain) == (
        ops.OPERATION_STATE_FAILED,
        "LOADER_FAILED",
        "souk.cache.v1",
    )


async def test_values_that_cannot_be_loaded_are_counted(cache: Cache, catalogue: Catalogue):
    catalogue.code = grpc.StatusCode.INTERNAL
    assert await warmed(cache, keys=keys("k0001", "k0002")) == {"total": 2, "failed": 2}
    catalogue.code = None
    assert (await warmed(cache, keys=keys("k0001", "k0002")))["loaded"] == 2, "their leases were free at once"


async def test_no_more_is_loaded_at_once_than_was_said_and_progress_is_told(cache: Cache, catalogue: Catalogue):
    catalogue.release = asyncio.Event()
    operation = await cache.started(keys=keys(*(f"k{i:04}" for i in range(20))), concurrency=3)
    assert operation.state in (ops.OPERATION_STATE_PENDING, ops.OPERATION_STATE_RUNNING), "it is told of at once"
    await until(lambda: len(catalogue.loads) == 3)
    changes = cache.changes(operation)
    first = (await anext(aiter(changes))).operation
    assert (first.state, first.method, first.target) == (ops.OPERATION_STATE_RUNNING, "souk.cache.v1.CacheService/Warm", "loaded")
    assert told(first) == {"total": 20}
    assert (await waiting(cache), len(catalogue.loads)) == (17, 3)
    catalogue.release.set()
    last = [each.operation async for each in changes][-1]
    assert (last.state, told(last)) == (ops.OPERATION_STATE_SUCCEEDED, {"total": 20, "loaded": 20})


async def test_a_watch_that_is_ended_is_taken_up_where_the_operation_is(cache: Cache, catalogue: Catalogue):
    catalogue.release = asyncio.Event()
    operation = await cache.started(keys=keys("k0001"))
    changes = cache.changes(operation)
    await anext(aiter(changes))
    changes.cancel()
    await until(lambda: len(catalogue.loads) == 1)
    catalogue.release.set()
    assert told(await cache.over(operation)) == {"total": 1, "loaded": 1}, "it went on without its watcher"
    assert [each.operation.state async for each in cache.changes(operation)] == [ops.OPERATION_STATE_SUCCEEDED]


async def test_the_higher_priority_goes_first(cache: Cache, catalogue: Catalogue):
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


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
async def test_it_stops_when_it_is_cancelled_or_at_its_deadline(cache: Cache, catalogue: Catalogue, how: str):
    catalogue.release = asyncio.Event()
    limit = Duration(seconds=60) if how == "cancelled" else Duration(nanos=300_000_000)
    operation = await cache.started(keys=keys(*(f"k{i:04}" for i in range(500))), time_limit=limit)
    if how == "cancelled":
        await until(lambda: len(catalogue.loads) == 8)
    over = await (cache.cancelled if how == "cancelled" else cache.over)(operation)
    state, why = {
        "cancelled": (ops.OPERATION_STATE_CANCELLED, "OPERATION_CANCELLED"),
        "deadline": (ops.OPERATION_STATE_FAILED, "DEADLINE_EXCEEDED"),
    }[how]
    assert (over.state, over.error.reason, over.progress.done) == (state, why, 0)
    assert await waiting(cache) == 0
    assert (await get(cache, "k0000", lease=True)).HasField("lease"), "and the leases are free"
    await until(lambda: catalogue.cancelled == len(catalogue.loads))
    assert len(catalogue.loads) <= 8
    assert await cache.cancelled(operation) == over


async def test_a_service_that_stops_ends_it_and_gives_the_leases_back(
    serve: Serve, file: Path, redis: RedisServer, catalogue: Catalogue
):
    catalogue.release = asyncio.Event()
    async with serve(redis_url=redis.url, namespaces_file=file) as other:
        async with serve(redis_url=redis.url, namespaces_file=file) as server:
            channel = grpc.aio.insecure_channel(server.addresses.grpc)
            cache = Cache(channel)
            operation = await cache.started(keys=keys("k0001"))
            await until(lambda: len(catalogue.loads) == 1)
            changes = cache.changes(operation)
            await anext(aiter(changes))
        over = [each.operation async for each in changes][-1]
        assert (over.state, over.error.reason) == (ops.OPERATION_STATE_FAILED, "SHUTTING_DOWN")
        await channel.close()
        assert (await get(Cache(other.channel()), "k0001", lease=True)).HasField("lease")


async def test_a_repeat_returns_the_first_operation(cache: Cache):
    request = {"keys": keys("k0001"), "request_id": "once"}
    first = await cache.started(**request)
    assert (await cache.started(**request)).operation_id == first.operation_id
    await cache.over(first)
    again = await cache.started(**request)
    assert (again.operation_id, again.state) == (first.operation_id, ops.OPERATION_STATE_SUCCEEDED)
    code, why, _ = await reason(cache.Warm(pb.WarmRequest(namespace="loaded", keys=keys("k0002"), request_id="once"), timeout=5))
    assert (code, why) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


async def test_operations_are_limited_listed_and_told_apart_by_node(
    serve: Serve, file: Path, redis: RedisServer, catalogue: Catalogue
):
    catalogue.release = asyncio.Event()
    async with (
        serve(redis_url=redis.url, namespaces_file=file, node="one", max_operations=2) as server,
        serve(redis_url=redis.url, namespaces_file=file, node="two") as other,
    ):
        cache, away = Cache(server.channel()), Cache(other.channel())
        first, second = [await cache.started(keys=keys(key)) for key in ("k0001", "k0002")]
        assert first.operation_id.startswith("one/")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await cache.started(keys=keys("k0003"))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert ("grpc-retry-pushback-ms", "5000") in tuple(caught.value.trailing_metadata() or ())

        await cache.cancelled(first)
        page = await cache.operations.ListOperations(ops.ListOperationsRequest(page_size=1))
        assert [each.operation_id for each in page.operations] == [second.operation_id]
        rest = ops.ListOperationsRequest(page_size=1, page_token=page.next_page_token)
        page = await cache.operations.ListOperations(rest)
        assert ([each.operation_id for each in page.operations], page.next_page_token) == ([first.operation_id], "")
        cancelled = [ops.OPERATION_STATE_CANCELLED]
        page = await cache.operations.ListOperations(ops.ListOperationsRequest(states=cancelled))
        assert [each.operation_id for each in page.operations] == [first.operation_id]

        for stub, request in (
            (cache, ops.ListOperationsRequest(states=cancelled, page_token=rest.page_token)),
            (away, rest),
            (cache, ops.ListOperationsRequest(page_token="nonsense")),
        ):
            code, why, _ = await reason(stub.operations.ListOperations(request))
            assert (code, why) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")
        for call in (away.now(second), away.cancelled(second)):
            code, why, _ = await reason(call)
            assert (code, why) == (grpc.StatusCode.NOT_FOUND, "OPERATION_ELSEWHERE")
        wrong = ops.ListOperationsRequest(page_size=201, states=[ops.OPERATION_STATE_UNSPECIFIED])
        assert (await reason(cache.operations.ListOperations(wrong)))[2] == ["states", "page_size"]
        assert (await reason(cache.operations.GetOperation(ops.GetOperationRequest())))[2] == ["operation_id"]


async def test_without_redis_it_fails_key_by_key(cache: Cache, redis: RedisServer):
    await redis.kill()
    assert await warmed(cache, keys=keys("k0001", "k0002")) == {"total": 2, "failed": 2}


async def test_bad_requests_are_told_of_every_field(cache: Cache):
    async def fields(**request: Any) -> list[str]:
        code, why, named = await reason(cache.Warm(pb.WarmRequest(namespace="loaded", **request), timeout=5))
        assert (code, why) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        return named

    assert await fields(priority=101, concurrency=65) == ["source", "priority", "concurrency"]
    assert await fields(keys=keys("a"), request_id="a b", time_limit=Duration()) == ["request_id", "time_limit"]
    assert await fields(keys=keys("a"), time_limit=Duration(seconds=21_601)) == ["time_limit"]
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
        cache = Cache(before.channel())
        for i in range(100):
            await get(cache, f"k{i:04}", load=True, wait=Duration(seconds=5))
        for _ in range(3):
            for i in range(20):
                await get(cache, f"k{i:04}")
    async with serve(redis_url=redis.url, namespaces_file=path) as after:
        cache = Cache(after.channel())
        line = await after.log.wait_for(lambda line: line["event"] == "warmed")
        assert (line["namespace"], line["keys"], line["fetched"]) == ("loaded", 30, 30)
        levels = [(await get(cache, f"k{i:04}")).hit.level for i in range(20)]
        assert levels == [pb.LEVEL_MEMORY] * 20
        assert await warmed(cache, hottest=pb.WarmHottest()) == {"total": 100, "fetched": 70, "skipped": 30}
    assert len(catalogue.loads) == 100


async def test_a_node_alone_has_no_hottest_keys_and_warms_by_its_loader(serve: Serve, file: Path):
    async with serve(namespaces_file=file) as server:
        cache = Cache(server.channel())
        assert await warmed(cache, hottest=pb.WarmHottest()) == {"total": 0}
        assert await warmed(cache, query=pb.WarmQuery(limit=10)) == {"total": 10, "loaded": 10}


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
