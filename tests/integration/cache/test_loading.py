"""Read-through: the cache calls the loader that a namespace names, once for a cold key, and says what is wrong where it fails."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from loaders import Catalogue, loader_server
from object_stores import free_port
from processes import until
from redis_servers import RedisServer
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1 import loader_pb2
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub
from souk_cache.app import open_app
from souk_cache.settings import CacheSettings
from souk_common.auth import new_token
from souk_common.server import StartError
from souk_common.testing import RunningServer, running_server

from services import Serve

FILE = """
namespaces:
  loaded: {{ttl: 1m, jitter: 0, max_value_bytes: 1000, consistency: {consistency}, aliases: {{sku: {{ignore_case: true}}}},
    negative_ttl: 5s, loader: {{target: "{target}", {methods}, soft_timeout: {soft}, hard_timeout: {hard}, concurrency: 8 {more}}}}}
  brief: {{ttl: 30ms, jitter: 0, stale_for: 1h, refresh_beta: 0,
    loader: {{target: "{target}", {methods}, soft_timeout: {soft}, hard_timeout: {hard} {more}}}}}
"""
METHODS = "method: souk.cache.v1.LoaderService/Load, list_method: souk.cache.v1.LoaderService/ListKeys"


@pytest.fixture
async def catalogue() -> AsyncIterator[Catalogue]:
    made = Catalogue({"1": b"shoe", "2": b"boot"})
    async with loader_server(made):
        yield made


@pytest.fixture
def file(tmp_path: Path, catalogue: Catalogue) -> Callable[..., Path]:
    """Writes a namespaces file."""

    def write(*, soft: str = "60s", hard: str = "10s", more: str = "", target: str = "", consistency: str = "strict") -> Path:
        path = tmp_path / "loaded.yaml"
        told = {"soft": soft, "hard": hard, "more": more, "target": target or catalogue.target, "consistency": consistency}
        path.write_text(FILE.format(methods=METHODS, **told))
        return path

    return write


@pytest.fixture
def loaded_cache(serve: Serve, file: Callable[..., Path]) -> Callable[..., AbstractAsyncContextManager[CacheServiceStub]]:
    """A node with a loader, and a client of it; `redis_url`, and the fields of the file."""

    @contextlib.asynccontextmanager
    async def start(redis_url: str | None = None, **fields: str) -> AsyncIterator[CacheServiceStub]:
        async with serve(redis_url=redis_url, namespaces_file=file(**fields)) as server:
            yield CacheServiceStub(server.channel())

    return start


Start = Callable[..., AbstractAsyncContextManager[CacheServiceStub]]


async def get(cache: CacheServiceStub, key: str, namespace: str = "loaded", *, load: bool = True, **options: Any) -> pb.Result:
    request = pb.GetRequest(namespace=namespace, key=key, options=pb.ReadOptions(load=load, **options))
    return (await cache.Get(request, timeout=20)).result


async def get_alias(cache: CacheServiceStub, alias: str) -> pb.Result:
    request = pb.GetRequest(namespace="loaded", alias=alias, options=pb.ReadOptions(load=True))
    return (await cache.Get(request, timeout=20)).result


async def refused(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = error_details_pb2.ErrorInfo()
    for detail in rpc_status.from_call(caught.value).details:
        detail.Unpack(info)
    return caught.value.code(), info.reason, dict(info.metadata)


async def counts(cache: CacheServiceStub, namespace: str = "loaded") -> pb.NamespaceStats:
    told = await cache.GetStats(pb.GetStatsRequest(), timeout=5)
    return {each.namespace: each for each in told.namespaces}[namespace]


async def invalidate(cache: CacheServiceStub, key: str, **more: Any) -> None:
    await cache.Invalidate(pb.InvalidateRequest(keys=[pb.NamespacedKey(namespace="loaded", key=key)], **more), timeout=10)


async def becomes(condition: Callable[[], Any]) -> None:
    """As soon as what `condition` awaits is true."""
    async with asyncio.timeout(15):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("where", ["alone", "redis"])
async def test_what_is_missing_is_loaded_once_and_kept(loaded_cache: Start, catalogue: Catalogue, redis: RedisServer, where: str):
    async with loaded_cache(redis.url if where == "redis" else None) as cache:
        first = (await get(cache, "1")).hit
        assert (first.value, first.level, first.freshness, first.version) == (b"shoe", pb.LEVEL_LOADER, pb.FRESHNESS_FRESH, 1)
        second = (await get(cache, "1")).hit
        assert (second.value, second.level, second.version) == (b"shoe", pb.LEVEL_MEMORY, 1)
        assert (await get(cache, "none")).negative.level == pb.LEVEL_LOADER
        assert (await get(cache, "none", load=False)).HasField("negative"), "that there is nothing is kept too"
        assert [request.key for request in catalogue.loads] == ["1", "none"]
        await cache.Invalidate(pb.InvalidateRequest(tags=["seller:7"]), timeout=5)
        assert (await get(cache, "1")).hit.level == pb.LEVEL_LOADER, "its tags are those that the loader gave"
        told = await counts(cache)
        assert (told.loads, told.loads_failed, told.fills) == (3, 0, 3)
        listed = (await cache.ListNamespaces(pb.ListNamespacesRequest(), timeout=5)).namespaces
        assert {space.name: space.loader for space in listed}["loaded"] == "souk.cache.v1.LoaderService/Load"


async def test_a_near_cache_may_keep_what_was_loaded_and_stored(loaded_cache: Start, redis: RedisServer):
    async with loaded_cache(redis.url) as cache:
        told = (await get(cache, "1", describe=True)).hit.description
        assert told.position.epoch
        assert 59 < told.remaining.ToMilliseconds() / 1000 <= 60
        assert list(told.tags) == ["seller:7"]


async def test_a_batch_loads_what_is_missing(loaded_cache: Start, catalogue: Catalogue):
    async with loaded_cache() as cache:
        options = pb.ReadOptions(load=True)
        answer = await cache.BatchGet(pb.BatchGetRequest(namespace="loaded", keys=["1", "x", "2"], options=options), timeout=10)
        assert [each.WhichOneof("result") for each in answer.results] == ["hit", "negative", "hit"]
        assert [each.hit.value for each in answer.results] == [b"shoe", b"", b"boot"]
        assert len(catalogue.loads) == 3


async def test_an_alias_is_loaded_with_its_key_and_the_key_is_kept_too(
    loaded_cache: Start, catalogue: Catalogue, redis: RedisServer
):
    catalogue.aliases["sku:ab"] = "1"
    async with loaded_cache(redis.url) as cache:
        hit = (await get_alias(cache, "sku:AB")).hit
        assert (hit.value, hit.key, hit.level) == (b"shoe", "1", pb.LEVEL_LOADER)
        assert (await get(cache, "1")).hit.level == pb.LEVEL_MEMORY
        assert (await get_alias(cache, "sku:ab")).hit.level == pb.LEVEL_MEMORY
        assert (await get_alias(cache, "sku:none")).HasField("negative")
        assert (await get_alias(cache, "sku:none")).negative.level == pb.LEVEL_MEMORY
        assert [request.alias for request in catalogue.loads] == ["sku:ab", "sku:none"]


async def test_the_source_token_of_an_invalidation_is_handed_to_the_loader(
    loaded_cache: Start, catalogue: Catalogue, redis: RedisServer
):
    async with loaded_cache(redis.url) as cache:
        await get(cache, "1")
        assert not catalogue.loads[-1].HasField("source_token")
        await invalidate(cache, "1", source_token=70)
        await get(cache, "1")
        assert catalogue.loads[-1].source_token == 70


async def test_five_hundred_readers_of_a_cold_key_on_two_nodes_load_it_once(
    serve: Serve, file: Any, catalogue: Catalogue, redis: RedisServer
):
    catalogue.seconds = 0.1
    path = file()
    async with serve(redis_url=redis.url, namespaces_file=path) as one, serve(redis_url=redis.url, namespaces_file=path) as two:
        caches = [CacheServiceStub(one.channel()), CacheServiceStub(two.channel())]
        results = await asyncio.gather(*(get(caches[i % 2], "1") for i in range(500)))
    assert {result.hit.value for result in results} == {b"shoe"}
    assert len(catalogue.loads) == 1


async def test_a_reader_waits_for_anothers_load_no_longer_than_he_says(loaded_cache: Start, catalogue: Catalogue):
    catalogue.release = asyncio.Event()
    async with loaded_cache() as cache:
        loading = asyncio.create_task(get(cache, "1"))
        await until(lambda: len(catalogue.loads) == 1)
        other = await get(cache, "1", wait=Duration(nanos=20_000_000))
        assert 0 < other.wait.lease_remaining.ToMilliseconds() <= 11_000
        catalogue.release.set()
        assert (await loading).hit.value == b"shoe"


async def test_a_load_outlives_the_reader_who_asked_for_it(loaded_cache: Start, catalogue: Catalogue):
    catalogue.release = asyncio.Event()
    async with loaded_cache() as cache:
        request = pb.GetRequest(namespace="loaded", key="1", options=pb.ReadOptions(load=True))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await cache.Get(request, timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        catalogue.release.set()
        assert (await get(cache, "1")).hit.value == b"shoe"
        assert len(catalogue.loads) == 1


async def test_what_is_invalidated_while_it_is_loaded_goes_to_its_reader_and_is_not_kept(
    loaded_cache: Start, catalogue: Catalogue, redis: RedisServer
):
    for names in ({"keys": [pb.NamespacedKey(namespace="loaded", key="1")]}, {"tags": ["seller:7"]}):
        catalogue.release = asyncio.Event()
        catalogue.values["1"] = b"old"
        catalogue.loads.clear()
        async with loaded_cache(redis.url) as cache:
            loading = asyncio.create_task(get(cache, "1", describe=True))
            await until(lambda: len(catalogue.loads) == 1)
            await cache.Invalidate(pb.InvalidateRequest(**names), timeout=5)
            later = asyncio.create_task(get(cache, "1"))
            catalogue.values["1"] = b"new"
            catalogue.release.set()
            old = (await loading).hit
            assert old.value == b"old"
            assert old.description.remaining.ToNanoseconds() == 0, "no near cache may keep it"
            assert (await later).hit.value == b"new"
            assert (await get(cache, "1")).hit.value == b"new"
            await cache.Invalidate(pb.InvalidateRequest(namespaces=["loaded"]), timeout=5)


async def test_a_namespace_without_a_loader_says_so(loaded_cache: Start):
    async with loaded_cache() as cache:
        told = await refused(get(cache, "1", "order"))
        assert told == (grpc.StatusCode.FAILED_PRECONDITION, "LOADER_MISSING", {"namespace": "order"})
        request = pb.BatchGetRequest(namespace="order", keys=["1"], options=pb.ReadOptions(load=True))
        assert [each.error.reason for each in (await cache.BatchGet(request, timeout=5)).results] == ["LOADER_MISSING"]


async def test_an_error_of_the_loader_is_told_and_the_lease_is_free_at_once(
    loaded_cache: Start, catalogue: Catalogue, redis: RedisServer
):
    async with loaded_cache(redis.url) as cache:
        catalogue.code = grpc.StatusCode.PERMISSION_DENIED
        told = await refused(get(cache, "1"))
        assert told == (grpc.StatusCode.UNAVAILABLE, "LOADER_FAILED", {"code": "PERMISSION_DENIED"})
        assert (await get(cache, "1", load=False, lease=True)).HasField("lease"), "nobody waits for a lease that failed"
        told = await counts(cache)
        assert (told.loads, told.loads_failed) == (0, 1)


async def test_a_load_that_fails_is_told_in_its_place_of_a_batch(loaded_cache: Start, catalogue: Catalogue):
    async with loaded_cache() as cache:
        await get(cache, "1")
        catalogue.code = grpc.StatusCode.PERMISSION_DENIED
        request = pb.BatchGetRequest(namespace="loaded", keys=["1", "2"], options=pb.ReadOptions(load=True))
        kept, failed = (await cache.BatchGet(request, timeout=5)).results
        assert kept.hit.value == b"shoe"
        assert (failed.error.code, failed.error.reason) == (grpc.StatusCode.UNAVAILABLE.value[0], "LOADER_FAILED")


async def test_a_loader_that_is_gone_is_told_and_used_again_when_it_is_back(loaded_cache: Start):
    later = Catalogue({"1": b"shoe"}, port=free_port())
    async with loaded_cache(target=later.target) as cache:
        code, reason, metadata = await refused(get(cache, "1"))
        assert (code, reason, metadata) == (grpc.StatusCode.UNAVAILABLE, "LOADER_FAILED", {"code": "UNAVAILABLE"})
        async with loader_server(later, later.port):

            async def is_loaded() -> bool:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    return (await get(cache, "1")).hit.value == b"shoe"
                return False

            await becomes(is_loaded)


async def test_a_loader_that_takes_too_long_is_given_up(loaded_cache: Start, catalogue: Catalogue, redis: RedisServer):
    catalogue.release = asyncio.Event()
    async with loaded_cache(redis.url, hard="500ms") as cache:
        told = await refused(get(cache, "1"))
        assert told == (grpc.StatusCode.UNAVAILABLE, "LOADER_FAILED", {"timeout": "0.5s"})
        await until(lambda: catalogue.cancelled == 1)
        catalogue.release = None
        assert (await get(cache, "1")).hit.value == b"shoe"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (loader_pb2.LoadResponse(), "no content"),
        (loader_pb2.LoadResponse(value=b"x" * 1001), "a value of more than 1,000 bytes"),
        (loader_pb2.LoadResponse(value=b"x", tags=["a\n"]), "tags"),
        (loader_pb2.LoadResponse(value=b"x", tags=[str(i) for i in range(65)]), "tags"),
        (loader_pb2.LoadResponse(value=b"x", aliases=["other:1"]), "an alias of a kind"),
        (loader_pb2.LoadResponse(value=b"x", aliases=[f"sku:{i}" for i in range(17)]), "aliases"),
        (loader_pb2.LoadResponse(value=b"x", ttl=Duration(seconds=-1)), "a TTL"),
        (loader_pb2.LoadResponse(value=b"x", version=-1), "a TTL or a version"),
    ],
    ids=["nothing", "large", "control character", "many tags", "unknown kind", "many aliases", "ttl", "version"],
)
async def test_what_cannot_be_kept_is_refused(loaded_cache: Start, catalogue: Catalogue, answer: Any, problem: str):
    async with loaded_cache() as cache:
        catalogue.answer = answer
        code, reason, metadata = await refused(get(cache, "1"))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "LOADER_FAILED")
        assert metadata["problem"].startswith(problem)
        catalogue.answer = None
        assert (await get(cache, "1")).hit.value == b"shoe"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (loader_pb2.LoadResponse(value=b"x", aliases=["sku:ab"]), "no key for an alias"),
        (loader_pb2.LoadResponse(value=b"x", key="1", aliases=["sku:other"]), "a value that does not have the alias"),
    ],
    ids=["no key", "another alias"],
)
async def test_an_alias_needs_a_key_that_has_it(loaded_cache: Start, catalogue: Catalogue, answer: Any, problem: str):
    async with loaded_cache() as cache:
        catalogue.answer = answer
        assert await refused(get_alias(cache, "sku:ab")) == (grpc.StatusCode.UNAVAILABLE, "LOADER_FAILED", {"problem": problem})


async def test_bytes_that_are_no_answer_are_refused(loaded_cache: Start, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch):
    async def rubbish(request: Any, context: Any) -> Any:
        return loader_pb2.LoadResponse(value=b"x" * 5_000_000)

    monkeypatch.setattr(catalogue, "Load", rubbish)
    async with loader_server(catalogue), loaded_cache(target=catalogue.target) as cache:
        code, reason, metadata = await refused(get(cache, "1"))
        assert (code, reason, metadata) == (grpc.StatusCode.UNAVAILABLE, "LOADER_FAILED", {"code": "RESOURCE_EXHAUSTED"})


async def past_its_time(cache: CacheServiceStub) -> None:
    """A value of `brief` that is stale."""
    await get(cache, "1", "brief")

    async def is_stale() -> bool:
        return (await get(cache, "1", "brief", load=False, allow_stale=True)).hit.freshness == pb.FRESHNESS_STALE

    await becomes(is_stale)


async def test_a_stale_value_is_served_after_the_soft_timeout_and_the_load_goes_on(
    loaded_cache: Start, catalogue: Catalogue, redis: RedisServer
):
    async with loaded_cache(redis.url, soft="20ms") as cache:
        await past_its_time(cache)
        catalogue.release = asyncio.Event()
        catalogue.values["1"] = b"new"
        stale = (await get(cache, "1", "brief", allow_stale=True)).hit
        assert (stale.value, stale.freshness) == (b"shoe", pb.FRESHNESS_STALE)
        catalogue.release.set()

        async def is_new() -> bool:
            return (await get(cache, "1", "brief", load=False, allow_stale=True)).hit.value == b"new"

        await becomes(is_new)
        assert len(catalogue.loads) == 2
        assert (await counts(cache, "brief")).stale_served > 0


async def test_a_stale_value_stands_in_for_a_loader_that_fails_only_where_it_is_allowed(
    loaded_cache: Start, catalogue: Catalogue, redis: RedisServer
):
    async with loaded_cache(redis.url) as cache:
        await past_its_time(cache)
        catalogue.code = grpc.StatusCode.INTERNAL
        stale = (await get(cache, "1", "brief", allow_stale=True)).hit
        assert (stale.value, stale.freshness) == (b"shoe", pb.FRESHNESS_STALE)
        assert await refused(get(cache, "1", "brief")) == (grpc.StatusCode.UNAVAILABLE, "LOADER_FAILED", {"code": "INTERNAL"})


async def test_an_older_version_than_the_one_that_is_kept_is_not_shown(
    loaded_cache: Start, catalogue: Catalogue, redis: RedisServer
):
    async with loaded_cache(redis.url) as cache:
        await cache.Put(pb.PutRequest(namespace="brief", key="1", value=b"new", version=9), timeout=5)

        async def is_stale() -> bool:
            return (await get(cache, "1", "brief", load=False)).HasField("miss")

        await becomes(is_stale)
        code, reason, metadata = await refused(get(cache, "1", "brief"))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "LOADER_FAILED")
        assert metadata["problem"].startswith("a version older")
        stale = (await get(cache, "1", "brief", allow_stale=True)).hit
        assert (stale.value, stale.freshness) == (b"new", pb.FRESHNESS_STALE)


async def test_only_so_many_loads_are_made_at_once(loaded_cache: Start, catalogue: Catalogue):
    catalogue.release = asyncio.Event()
    async with loaded_cache() as cache:
        reads = [asyncio.create_task(get(cache, f"k{i}")) for i in range(40)]
        await until(lambda: len(catalogue.loads) == 8)
        assert (await get(cache, "x", wait=Duration(), load=False)).HasField("miss"), "others are served meanwhile"
        assert len(catalogue.loads) == 8
        catalogue.release.set()
        assert all(result.HasField("negative") for result in await asyncio.gather(*reads))


async def test_without_redis_an_available_namespace_loads_and_flags_what_it_loads(
    serve: Serve, file: Any, catalogue: Catalogue, redis: RedisServer
):
    async with serve(redis_url=redis.url, namespaces_file=file(consistency="available")) as server:
        cache = CacheServiceStub(server.channel())
        await get(cache, "1")
        await redis.kill()

        async def is_unverified() -> bool:
            return (await get(cache, "2")).hit.freshness == pb.FRESHNESS_UNVERIFIED

        await becomes(is_unverified)
        hit = (await get(cache, "2")).hit
        assert (hit.value, hit.level) == (b"boot", pb.LEVEL_LOADER)


async def test_without_redis_a_read_with_a_token_shares_no_load_that_began_before_it(
    serve: Serve, file: Any, catalogue: Catalogue, redis: RedisServer
):
    async with serve(redis_url=redis.url, namespaces_file=file(consistency="available")) as server:
        cache = CacheServiceStub(server.channel())
        token = (await cache.Invalidate(pb.InvalidateRequest(tags=["none"]), timeout=10)).token
        await redis.kill()

        async def is_unverified() -> bool:
            return (await get(cache, "2")).hit.freshness == pb.FRESHNESS_UNVERIFIED

        await becomes(is_unverified)
        catalogue.release = asyncio.Event()
        before = asyncio.create_task(get(cache, "1"))
        await until(lambda: catalogue.loaded("1") == 1)
        after = asyncio.create_task(get(cache, "1", after=token))
        await until(lambda: catalogue.loaded("1") == 2)
        catalogue.release.set()
        assert [each.hit.value for each in await asyncio.gather(before, after)] == [b"shoe", b"shoe"]


async def test_what_was_loaded_is_shown_although_redis_went_meanwhile(
    loaded_cache: Start, catalogue: Catalogue, redis: RedisServer
):
    catalogue.release = asyncio.Event()
    async with loaded_cache(redis.url) as cache:
        loading = asyncio.create_task(get(cache, "1"))
        await until(lambda: len(catalogue.loads) == 1)
        await redis.kill()
        catalogue.release.set()
        assert (await loading).hit.value == b"shoe"


async def test_the_service_stops_while_it_loads_and_gives_its_leases_back(
    serve: Serve, file: Any, catalogue: Catalogue, redis: RedisServer
):
    catalogue.release = asyncio.Event()
    path = file()
    async with serve(redis_url=redis.url, namespaces_file=path) as other:
        async with serve(redis_url=redis.url, namespaces_file=path, drain_grace=1.1) as stopping:
            cache = CacheServiceStub(stopping.channel())
            with pytest.raises(grpc.aio.AioRpcError):
                await cache.Get(pb.GetRequest(namespace="loaded", key="1", options=pb.ReadOptions(load=True)), timeout=0.2)
            assert (await get(CacheServiceStub(other.channel()), "1", load=False, lease=True)).HasField("wait")
        assert (await get(CacheServiceStub(other.channel()), "1", load=False, lease=True)).HasField("lease")
        assert catalogue.cancelled == 1


async def test_the_loader_is_told_the_token_and_never_without_tls_to_another_machine(
    serve: Serve, file: Any, catalogue: Catalogue, tmp_path: Path
):
    token, _ = new_token()
    secret = tmp_path / "token"
    secret.write_text(token + "\n")
    async with serve(namespaces_file=file(more=f", token_file: {secret}")) as server:
        await get(CacheServiceStub(server.channel()), "1")
    assert catalogue.tokens == [f"Bearer {token}"]
    for fields in ({"target": "dns:///elsewhere:1", "more": f", token_file: {secret}"}, {"more": ", token_file: /nowhere"}):
        settings = CacheSettings(port=0, namespaces_file=file(**fields))
        with pytest.raises(StartError) as refused_start:
            async with running_server(settings, "cache", open_app):
                pass
        assert token not in str(refused_start.value)


async def test_loads_are_in_the_log_and_the_metrics(serve: Serve, file: Any, catalogue: Catalogue):
    server: RunningServer
    async with serve(namespaces_file=file(), log_success_ratio=1.0, slow_seconds=0.01) as server:
        cache = CacheServiceStub(server.channel())
        catalogue.seconds = 0.05
        await get(cache, "1")
        line = await server.log.wait_for(lambda line: str(line.get("method", "")).endswith("/Get"))
        assert line["parts_ms"]["loader"] >= 40
        catalogue.code = grpc.StatusCode.INTERNAL
        for key in "xyz":
            await refused(get(cache, key))
        warnings = [line for line in server.log.lines if line["event"] == "a value could not be loaded"]
        assert [(line["namespace"], line["detail"]) for line in warnings] == [
            ("loaded", "the loader of loaded ended with INTERNAL")
        ]
