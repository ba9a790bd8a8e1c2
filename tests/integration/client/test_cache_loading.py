"""CacheClient and a cache that is alone, in the test's loop: many at once, what a loader may do wrong, the page's example."""

import asyncio
import re
import textwrap
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import souk.client
from loaders import Catalogue, loader_server
from processes import until
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceServicer, CacheServiceStub, add_CacheServiceServicer_to_server
from souk.client import (
    JSON,
    CacheClient,
    ClientConfig,
    InvalidArgumentError,
    Load,
    Loaded,
    LoadMany,
    NotFoundError,
    UnavailableError,
    current_load,
    open_channel,
)
from souk_cache.app import open_app
from souk_cache.settings import CacheSettings
from souk_common.testing import RunningServer, running_server

PAGE = (Path(__file__).parents[3] / "docs" / "clients.md").read_text()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    file = tmp_path / "own.yaml"
    file.write_text("namespaces: {brief: {ttl: 20ms, jitter: 0, stale_for: 1h}, early: {ttl: 1s, jitter: 0, refresh_beta: 10}}")
    async with running_server(CacheSettings(port=0, trace_ratio=0.0, namespaces_file=file), "cache", open_app) as running:
        yield running


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[CacheClient]:
    async with CacheClient(server.addresses.grpc) as client:
        yield client


class Shelf:
    """A loader of many that counts what it is asked for."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing
        self.asked: list[LoadMany] = []
        self.error: Exception | None = None
        self.free = asyncio.Event()
        self.free.set()

    async def load(self, wanted: LoadMany) -> Mapping[str, Any]:
        self.asked.append(wanted)
        await self.free.wait()
        if self.error is not None:
            raise self.error
        return {key: Loaded({"id": key}, tags=[f"row:{key}"]) for key in wanted.keys if key not in self.missing}

    @property
    def keys(self) -> list[list[str]]:
        return [list(each.keys) for each in self.asked]


async def test_cold_keys_are_loaded_by_one_call_and_kept(client: CacheClient):
    products, shelf = client.namespace("product", JSON), Shelf("3")
    await products.put("1", {"id": "kept"})
    expected = {"4": {"id": "4"}, "1": {"id": "kept"}, "2": {"id": "2"}}
    assert list((await products.get_or_load_many(["4", "1", "2", "3", "4"], shelf.load)).items()) == list(expected.items())
    assert shelf.keys == [["4", "2", "3"]]
    assert await products.get_or_load_many(["4", "1", "2", "3"], shelf.load) == expected, "that there is nothing is kept, too"
    await client.invalidate(tags=["row:2"], source_token=9)
    await products.get_or_load_many(["4", "1", "2", "3"], shelf.load)
    assert [(list(each.keys), each.source_token) for each in shelf.asked[1:]] == [(["2"], 9)]
    assert (client.counts.loads, client.counts.loads_uncached) == (4, 0)
    assert await products.get_or_load_many([], shelf.load) == {}


async def test_callers_of_overlapping_keys_load_each_once(client: CacheClient):
    products, one, other = client.namespace("product", JSON), Shelf(), Shelf()
    one.free.clear()
    first = asyncio.create_task(products.get_or_load_many(["1", "2"], one.load))
    await until(lambda: bool(one.asked))
    second = asyncio.create_task(products.get_or_load_many(["2", "3"], other.load))
    await until(lambda: bool(other.asked))
    one.free.set()
    assert await first == {"1": {"id": "1"}, "2": {"id": "2"}}
    assert await second == {"2": {"id": "2"}, "3": {"id": "3"}}
    assert (one.keys, other.keys) == ([["1", "2"]], [["3"]])


async def test_a_loader_of_many_that_fails_lets_the_next_one_in(client: CacheClient):
    products, shelf = client.namespace("product", JSON), Shelf()
    shelf.error = ZeroDivisionError("of the loader")
    with pytest.raises(ZeroDivisionError):
        await products.get_or_load_many(["1", "2"], shelf.load)
    shelf.error = None
    assert len(await products.get_or_load_many(["1", "2"], shelf.load, wait=0)) == 2
    assert (client.counts.loads, client.counts.loads_uncached) == (4, 0)


async def test_stale_values_of_many_are_better_than_an_error(client: CacheClient):
    brief, shelf = client.namespace("brief", JSON), Shelf()
    await brief.get_or_load_many(["1", "2"], shelf.load)
    async with asyncio.timeout(10):
        while await brief.get_many(["1", "2"]):
            pass
    shelf.error = ZeroDivisionError("of the loader")
    assert len(await brief.get_or_load_many(["1", "2"], shelf.load, allow_stale=True)) == 2
    with pytest.raises(ZeroDivisionError):
        await brief.get_or_load_many(["1", "2"], shelf.load)


async def test_values_near_their_end_are_loaded_anew_in_the_background(client: CacheClient):
    early, shelf = client.namespace("early", JSON), Shelf()

    async def fill() -> None:
        await early.invalidate("1")
        lease = (await client.get("early", "1", lease=True)).lease.token
        await client.fill("early", "1", lease, b'"old"', load_duration=60)

    await fill()
    async with asyncio.timeout(30):
        while not client.counts.refreshes:
            await early.get_or_load_many(["1"], shelf.load)
            if shelf.asked and not client.counts.refreshes:  # this machine has slept through the time before the end
                shelf.asked.clear()
                await fill()
        while await early.get("1") != {"id": "1"}:
            await asyncio.sleep(0)
    assert shelf.keys == [["1"]]


async def test_without_a_loader_the_one_of_the_namespace_in_the_service_loads(tmp_path: Path):
    known = Catalogue(values={"1": b"one", "2": b"two"}, aliases={"slug:first": "1"})
    async with loader_server(known):
        file = tmp_path / "own.yaml"
        loader = f"{{target: '{known.target}', method: souk.cache.v1.LoaderService/Load}}"
        file.write_text(f"namespaces: {{product: {{loader: {loader}, aliases: {{slug: {{}}}}}}}}")
        async with (
            running_server(CacheSettings(port=0, trace_ratio=0.0, namespaces_file=file), "cache", open_app) as running,
            CacheClient(running.addresses.grpc) as client,
        ):
            products = client.namespace("product")
            assert await products.get_or_load(alias="slug:first") == b"one"
            assert await products.get_or_load("3") is None
            assert await products.get_or_load_many(["3", "2", "1"]) == {"2": b"two", "1": b"one"}
            assert [load.alias or load.key for load in known.loads] == ["slug:first", "3", "2"]
            assert client.counts.loads == 0


async def test_what_another_release_wrote_is_loaded_anew(client: CacheClient):
    shelf = Shelf()
    await client.put("product", "1", b"\xff no JSON")
    products = client.namespace("product", JSON)
    assert await products.get_or_load_many(["1", "2"], shelf.load) == {"1": {"id": "1"}, "2": {"id": "2"}}
    assert await products.get_many(["1", "2"]) == {"1": {"id": "1"}, "2": {"id": "2"}}


async def test_a_value_that_cannot_be_written_is_an_error_and_its_lease_is_free(client: CacheClient):
    products = client.namespace("product", JSON)

    async def load(_: Load) -> Any:
        return {1, 2}

    with pytest.raises(TypeError, match="set"):
        await products.get_or_load("1", load)
    result = await client.get("product", "1", lease=True)
    assert result.HasField("lease")


UNTAKEN = {
    "a value that is too large": (Loaded(b"x" * 1_100_000), "at most"),
    "a value that is larger than a message": (Loaded(b"x" * 5_000_000), "larger than max"),
    "too many tags": (Loaded(b"x", tags=[f"t:{i}" for i in range(65)]), "tags must be"),
    "an alias of an unknown kind": (Loaded(b"x", aliases=["slug:1"]), "no alias of product"),
    "no time": (Loaded(b"x", ttl=0), "ttl must be"),
}


@pytest.mark.parametrize(("loaded", "reason"), UNTAKEN.values(), ids=UNTAKEN)
async def test_what_the_service_does_not_take_is_returned_and_told_and_the_next_caller_loads_at_once(
    client: CacheClient, caplog: pytest.LogCaptureFixture, loaded: Loaded[bytes], reason: str
):
    async def load(_: Load) -> Loaded[bytes]:
        return loaded

    async def load_many(wanted: LoadMany) -> dict[str, Loaded[bytes]]:
        return dict.fromkeys(wanted.keys, loaded)

    products = client.namespace("product")
    assert await products.get_or_load("1", load) == loaded.value
    assert (await client.get("product", "1", lease=True)).HasField("lease")
    assert await products.get_or_load_many(["2", "3"], load_many) == dict.fromkeys(["2", "3"], loaded.value)
    again = await client.batch_get("product", ["2", "3"], lease=True)
    assert [each.WhichOneof("result") for each in again] == ["lease"] * 2
    assert (client.counts.loads, client.counts.loads_uncached) == (3, 3)
    (warning,) = (each.getMessage() for each in caplog.records if each.name == "souk.client")
    assert warning.startswith("what was loaded for product 1 cannot be cached: ")
    assert reason in warning


async def test_what_is_no_loaded_at_all_is_an_error_and_its_lease_is_free(client: CacheClient):
    async def load(_: Load) -> Loaded[bytes]:
        return Loaded(b"x", version=1 << 70)

    async def load_many(wanted: LoadMany) -> dict[str, Loaded[bytes]]:
        return {"2": Loaded(b"x", tags=[7]), "3": Loaded(b"x")}  # type: ignore[list-item]  # that is the mistake

    products = client.namespace("product")
    with pytest.raises(ValueError, match="range"):
        await products.get_or_load("1", load)
    assert (await client.get("product", "1", lease=True)).HasField("lease")
    with pytest.raises(TypeError):
        await products.get_or_load_many(["2", "3"], load_many)
    found = await client.batch_get("product", ["2", "3"], lease=True)
    assert [each.WhichOneof("result") for each in found] == ["lease", "hit"]


async def test_what_can_never_be_cached_is_an_error_instead_of_a_load_each_time(client: CacheClient):
    shelf = Shelf()
    for name, key, error in (("nowhere", "1", NotFoundError), ("analytics", "views", InvalidArgumentError)):
        space = client.namespace(name, JSON)
        with pytest.raises(error):
            await space.get_or_load_many([key], shelf.load)
        with pytest.raises(error):
            await space.get_or_load(key, lambda _: shelf.load(LoadMany("", [], None)))
    assert shelf.asked == []


async def test_the_shop_goes_on_without_the_cache(client: CacheClient, server: RunningServer, nobody: str):
    shelf = Shelf("2")
    async with CacheClient(nobody) as alone:
        found = await alone.namespace("product", JSON).get_or_load_many(["1", "2"], shelf.load, timeout=0.3)
        assert (found, alone.counts.loads_uncached) == ({"1": {"id": "1"}}, 2)


async def test_the_shop_goes_on_with_a_cache_that_cannot_know(nobody: str):
    shelf = Shelf("2")
    settings = CacheSettings(port=0, trace_ratio=0.0, redis_url=f"redis://{nobody}/0")
    async with running_server(settings, "cache", open_app) as running, CacheClient(running.addresses.grpc) as client:
        users = client.namespace("user", JSON)
        with pytest.raises(UnavailableError):
            await users.get_many(["1", "2"])
        assert await users.get_or_load_many(["1", "2"], shelf.load) == {"1": {"id": "1"}}
        assert (shelf.keys, client.counts.loads_uncached) == ([["1", "2"]], 2)


async def test_a_decorated_function_knows_what_it_must_see(client: CacheClient):
    seen: list[Load] = []

    @client.namespace("user", JSON).cached(key=str)
    async def inner(number: int) -> int:
        seen.append(current_load())
        return number

    @client.namespace("product", JSON).cached(key=str)
    async def outer(number: int) -> int:
        await inner(number)
        seen.append(await asyncio.create_task(at_work()))
        return number

    async def at_work() -> Load:
        return current_load()

    await client.invalidate(tags=["none"], keys={"product": ["7"]}, source_token=41)
    await client.invalidate(keys={"user": ["7"]}, source_token=42)
    assert await asyncio.gather(outer(7), outer(8)) == [7, 8]
    assert sorted((load.namespace, load.key, load.source_token) for load in seen) == [
        *(("product", "7", 41), ("product", "8", 41)),
        *(("user", "7", 42), ("user", "8", 42)),
    ]
    with pytest.raises(LookupError):
        current_load()


async def test_a_loader_that_fails_is_called_once_for_one_read(tmp_path: Path):
    known = Catalogue(code=grpc.StatusCode.INTERNAL)
    async with loader_server(known):
        file = tmp_path / "own.yaml"
        loader = f"{{target: '{known.target}', method: souk.cache.v1.LoaderService/Load}}"
        file.write_text(f"namespaces: {{product: {{loader: {loader}}}}}")
        async with running_server(CacheSettings(port=0, trace_ratio=0.0, namespaces_file=file), "cache", open_app) as running:
            async with CacheClient(running.addresses.grpc) as client:
                with pytest.raises(UnavailableError, match="loader of product") as caught:
                    await client.get("product", "1", load=True)
                assert (caught.value.reason, known.loaded("1")) == ("LOADER_FAILED", 1)
            config = ClientConfig(target=running.addresses.grpc, initial_backoff=0.01)
            async with open_channel(config, pb.DESCRIPTOR.services_by_name.values()) as channel:
                request = pb.GetRequest(namespace="product", key="2", options=pb.ReadOptions(load=True))
                with pytest.raises(grpc.aio.AioRpcError):
                    await CacheServiceStub(channel).Get(request, timeout=20)
                assert known.loaded("2") == 1, "nor do gRPC's own retries repeat it"


class Ending(CacheServiceServicer):
    """A node whose stream of reads ends without an answer after a while."""

    def __init__(self) -> None:
        self.left: list[tuple[float, float]] = []
        """When it was asked again, and the seconds that the caller gave it."""

    async def GetStream(self, requests: AsyncIterator[pb.GetStreamRequest], context: Any) -> AsyncIterator[pb.GetStreamResponse]:
        async for _ in requests:
            await asyncio.sleep(0.3)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the node stops")
        yield pb.GetStreamResponse()

    async def Get(self, request: pb.GetRequest, context: Any) -> pb.GetResponse:
        self.left.append((time.monotonic(), context.time_remaining()))
        return pb.GetResponse(result=pb.Result(hit=pb.Hit(value=b"shoe")))


async def test_a_read_that_is_made_again_has_the_time_that_is_left():
    node, server = Ending(), grpc.aio.server()
    add_CacheServiceServicer_to_server(node, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with CacheClient(f"127.0.0.1:{port}") as client:
        began = time.monotonic()
        result = await client.get("product", "1", wait=10, timeout=20)
    await server.stop(None)
    ((asked, left),) = node.left
    assert result.hit.value == b"shoe"
    assert left <= 30 - (asked - began) + 0.05


class Database:
    """What the page's example asks for."""

    title = "shoes"

    async def product(self, key: str, *, at_least: int | None) -> pb.NamespacedKey | None:
        return pb.NamespacedKey(namespace=self.title, key=key)

    async def products(self, keys: list[str]) -> dict[str, pb.NamespacedKey]:
        return {key: pb.NamespacedKey(namespace=self.title, key=key) for key in keys if key != "43"}

    async def search(self, _: str, *, at_least: int | None) -> list[str]:
        return ["42"]

    async def views(self, *_: Any) -> int:
        return 12

    async def rename(self, _: str, title: str) -> int:
        self.title = title
        return 7


async def test_the_example_of_the_page_runs_and_reads_what_it_wrote(server: RunningServer):
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "get_or_load_many" in block)
    code = example.replace("127.0.0.1:50052", server.addresses.grpc).replace("row.seller_id", "row.namespace")
    told = "return {name: value for name, value in locals().items() if name in ('product', 'page', 'ids', 'views', 'left', 'key')}"
    more = "    left = await products.get('42'), await search(key)\n"
    names: dict[str, Any] = {name: getattr(souk.client, name) for name in souk.client.__all__}
    names |= {"Product": pb.NamespacedKey, "database": Database(), "datetime": datetime, "UTC": UTC, "timedelta": timedelta}
    program = "async def example():\n" + textwrap.indent(code + more + told, "    ")
    exec(compile(program, "docs/clients.md", "exec"), names)  # noqa: S102 — the page is ours
    seen = await names["example"]()
    assert seen["product"] == pb.NamespacedKey(namespace="shoes", key="42")
    assert sorted(seen["page"]) == ["41", "42"]
    assert (seen["ids"], seen["views"], seen["left"]) == (["42"], 12, (None, ["42"]))
