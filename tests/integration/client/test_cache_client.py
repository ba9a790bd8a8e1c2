"""CacheClient against two cache services, each a process, on a real Redis."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import processes
import pytest
from processes import ServiceProcess
from redis_servers import RedisServer, redis_server
from souk.cache.v1 import cache_pb2 as pb
from souk.client import (
    CLIENTS,
    JSON,
    CacheClient,
    ClientConfig,
    CodecError,
    InvalidArgumentError,
    Load,
    Loaded,
    NearConfig,
    NotFoundError,
    ResourceExhaustedError,
    SoukError,
    UnavailableError,
    message,
    put_request,
)

NEAR = NearConfig(["product", "user"])
NAMESPACES = """
namespaces:
  brief: {ttl: 50ms, jitter: 0, stale_for: 1h}
"""


@dataclass
class Shop:
    """Two nodes and their Redis."""

    redis: RedisServer
    nodes: list[ServiceProcess]
    folder: Path
    stack: contextlib.AsyncExitStack = field(repr=False)

    async def client(self, *indexes: int, **options: Any) -> CacheClient:
        """A client of some nodes; of both without indexes."""
        some = [self.nodes[index].grpc for index in indexes] or [node.grpc for node in self.nodes]
        config = ClientConfig(target=f"ipv4:{','.join(some)}", max_backoff=0.3)
        client = await self.stack.enter_async_context(CacheClient(config=config, **options))
        await asyncio.wait_for(client.near_ready(), 20)
        return client


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server(tmp_path))
        file = tmp_path / "namespaces.yaml"
        file.write_text(NAMESPACES)
        nodes = []
        for name in ("one", "two"):
            settings = {"redis_url": redis.url, "read_lease": 1.0, "client_lease": 1.5, "namespaces_file": file}
            nodes.append(await processes.start_service("cache", tmp_path, name, **settings))
            stack.push_async_callback(processes.stop, nodes[-1])
        clients = await stack.enter_async_context(contextlib.AsyncExitStack())
        yield Shop(redis, nodes, tmp_path, clients)


class Database:
    """Counts what is read of it."""

    def __init__(self, value: Any = None) -> None:
        self.value = value
        self.loads: list[Load] = []
        self.error: Exception | None = None
        self.free = asyncio.Event()
        self.free.set()

    async def load(self, asked: Load) -> Any:
        self.loads.append(asked)
        value = self.value
        await self.free.wait()
        if self.error is not None:
            raise self.error
        return value


async def test_a_cold_key_is_loaded_once_for_all_callers_of_all_clients(shop: Shop):
    database = Database({"title": "shoe"})
    database.free.clear()
    clients = [await shop.client(0), await shop.client(1)]
    products = [client.namespace("product", JSON) for client in clients for _ in range(100)]
    calls = [asyncio.create_task(each.get_or_load("1", database.load)) for each in products]
    await processes.until(lambda: len(database.loads) == 1)
    database.free.set()
    assert await asyncio.gather(*calls) == [{"title": "shoe"}] * 200
    assert len(database.loads) == 1
    assert sum(client.counts.loads for client in clients) == 1


async def test_values_are_typed(shop: Shop):
    client = await shop.client()
    keys = client.namespace("product", message(pb.NamespacedKey))
    await keys.put("1", pb.NamespacedKey(namespace="a", key="b"))
    assert await keys.get("1") == pb.NamespacedKey(namespace="a", key="b")
    as_json = client.namespace("product", JSON)
    await as_json.put("2", [1, "ä", None])
    assert await as_json.get("2") == [1, "ä", None]
    assert await as_json.get_many(["2", "none"]) == {"2": [1, "ä", None]}
    with pytest.raises(CodecError, match="NamespacedKey"):
        await keys.get("2")
    database = Database(pb.NamespacedKey(key="new"))
    assert await keys.get_or_load("2", database.load) == pb.NamespacedKey(key="new"), "what another release wrote is loaded anew"
    assert await keys.get("2") == pb.NamespacedKey(key="new")


async def test_that_there_is_nothing_is_kept_too(shop: Shop):
    products = (await shop.client()).namespace("product")
    database = Database(None)
    assert [await products.get_or_load("1", database.load) for _ in range(3)] == [None] * 3
    assert len(database.loads) == 1


async def test_a_loader_that_fails_lets_the_next_one_in(shop: Shop):
    products = (await shop.client()).namespace("product")
    database = Database(b"shoe")
    database.error = ZeroDivisionError("of the loader")
    with pytest.raises(ZeroDivisionError):
        await products.get_or_load("1", database.load)
    database.error = None
    assert await products.get_or_load("1", database.load) == b"shoe"


async def test_a_stale_value_is_better_than_an_error(shop: Shop):
    brief = (await shop.client()).namespace("brief")
    database = Database(b"old")
    assert await brief.get_or_load("1", database.load) == b"old"
    database.error = ZeroDivisionError("of the loader")
    await processes.until(lambda: True)

    async def expired() -> bool:
        return (await brief.get("1")) is None

    async with asyncio.timeout(10):
        while not await expired():
            await asyncio.sleep(0.01)
    assert await brief.get_or_load("1", database.load, allow_stale=True) == b"old"
    with pytest.raises(ZeroDivisionError):
        await brief.get_or_load("1", database.load)


async def test_the_loader_is_told_what_it_must_see(shop: Shop):
    client = await shop.client()
    await client.invalidate(keys={"product": ["1"]}, source_token=77)
    database = Database(b"shoe")
    await client.namespace("product").get_or_load("1", database.load)
    assert [(load.key, load.source_token) for load in database.loads] == [("1", 77)]


async def test_the_shop_goes_on_without_the_cache(shop: Shop):
    client = await shop.client(0)
    for node in shop.nodes:
        await processes.stop(node)
    database = Database(b"shoe")
    assert await client.namespace("product").get_or_load("1", database.load, timeout=0.5) == b"shoe"
    assert client.counts.loads_uncached == 1
    with pytest.raises(UnavailableError):
        await client.invalidate(tags=["seller:1"], timeout=1)


async def test_users_are_found_by_every_name(shop: Shop):
    users = (await shop.client()).namespace("user", JSON)
    aliases = ["wallet:0xa1", "ens:anna.eth"]
    database = Database(Loaded({"name": "Anna"}, key="1", aliases=aliases, tags=["city:rome"]))
    assert await users.get_or_load(alias="wallet:0xa1", loader=database.load) == {"name": "Anna"}
    assert await users.get(alias="ens:anna.eth") == {"name": "Anna"}
    assert await users.get("1") == {"name": "Anna"}
    await users.invalidate(aliases=["ens:anna.eth"])
    assert await users.get("1") is None
    with pytest.raises(ValueError, match="key"):
        await users.get_or_load(alias="ens:ben.eth", loader=Database({"name": "Ben"}).load)


async def test_a_decorated_function_is_cached(shop: Shop):
    products = (await shop.client()).namespace("product", JSON)
    calls = []

    @products.cached(key=lambda number, **_: str(number), tags=lambda number, **_: [f"seller:{number}"])
    async def product(number: int, *, loud: bool = False) -> Any:
        """Documented."""
        calls.append(number)
        return {"number": number, "loud": loud}

    assert [await product(7, loud=True), await product(7)] == [{"number": 7, "loud": True}] * 2
    assert (calls, product.__name__, product.__doc__) == ([7], "product", "Documented.")
    await (await shop.client()).invalidate(tags=["seller:7"])
    await product(7)
    assert calls == [7, 7]


async def test_many_at_once_and_what_fails_is_told_in_its_place(shop: Shop):
    client = await shop.client()
    put, refused = await client.batch_put([put_request("product", "1", b"one"), put_request("nothing", "1", b"one")])
    assert put.outcome == pb.FILL_OUTCOME_STORED
    assert (type(refused), refused.reason) == (NotFoundError, "NAMESPACE_UNKNOWN")
    results = await client.batch_get("product", ["1", "2", "1"])
    assert [result.hit.value for result in results] == [b"one", b"", b"one"]
    found = await asyncio.gather(*(client.get("product", str(number % 3)) for number in range(500)))
    assert sum(result.HasField("hit") for result in found) == 167
    with pytest.raises(InvalidArgumentError):
        await client.get("product", "x" * 1000)
    with pytest.raises(NotFoundError):
        await client.get("nothing", "1")


async def test_puts_that_are_too_many_or_too_large_for_one_call_are_all_made_and_told_in_their_order(shop: Shop):
    client = await shop.client()
    large = [put_request("product", f"large {number}", bytes([number]) * 700_000) for number in range(8)]
    small = [put_request("product", str(number), b"small") for number in range(1100)]
    refused = put_request("product", "huge", bytes(5 << 20))
    told = await client.batch_put([*large, refused, *small])
    errors = {number: each for number, each in enumerate(told) if isinstance(each, SoukError)}
    assert (len(told), list(errors), type(errors[8])) == (len(large) + 1 + len(small), [8], ResourceExhaustedError)
    keys = [put.key for put in (*large, *small)]
    found = await client.batch_get("product", keys)
    assert [each.hit.value for each in found] == [put.value for put in (*large, *small)]
    assert await client.batch_put([]) == []
    with pytest.raises(ResourceExhaustedError):
        await client.batch_put([refused])


# Near caches


async def test_values_that_are_too_large_for_one_answer_are_all_read(shop: Shop):
    client = await shop.client(0)
    products = client.namespace("product")
    values = {f"large {number}": bytes([number]) * 700_000 for number in range(8)}
    for key, value in values.items():
        await products.put(key, value)
    loads = []

    async def load(wanted: Load) -> bytes:
        loads.append(wanted.key)
        return b"loaded"

    for _ in range(2):
        assert await products.get_many(list(values)) == values
        assert await asyncio.gather(*map(products.get, values)) == list(values.values())
        assert await asyncio.gather(*(products.get_or_load(key, load) for key in values)) == list(values.values())
        assert [each.hit.value for each in await client.batch_get("product", list(values), lease=True)] == list(values.values())
    assert not loads


async def test_a_near_cache_serves_until_it_is_invalidated_anywhere(shop: Shop):
    reader, writer = await shop.client(1, near=NEAR), await shop.client(0)
    products = reader.namespace("product")
    await writer.put("product", "1", b"old", tags=["seller:1"])
    assert products.get_nowait("1") is None
    assert [await products.get("1") for _ in range(5)] == [b"old"] * 5
    assert products.get_nowait("1") == b"old"
    assert (reader.counts.hits, reader.counts.near_hits) == (1, 5)
    for what in ({"keys": {"product": ["1"]}}, {"tags": ["seller:1"]}, {"namespaces": ["product"]}):
        await writer.put("product", "1", b"old", tags=["seller:1"], level=CLIENTS)
        assert [await products.get("1") for _ in range(2)] == [b"old"] * 2
        await writer.invalidate(**what, level=CLIENTS)
        assert products.get_nowait("1") is None, what
        assert await products.get("1") is None, what


async def test_a_client_reads_its_own_writes(shop: Shop):
    client = await shop.client(near=NEAR)
    users = client.namespace("user")
    for number in range(30):
        value = str(number).encode()
        await users.put("1", value, aliases=["ens:anna.eth"])
        assert await users.get("1") == value
        assert await users.get(alias="ens:anna.eth") == value
    await client.invalidate(aliases={"user": ["ens:ANNA.eth"]})
    assert await users.get("1") is None


async def test_a_near_cache_that_is_cut_off_stops_by_itself_and_is_waited_for_no_longer(shop: Shop):
    reader, writer = await shop.client(1, near=NEAR), await shop.client(0)
    await writer.put("product", "1", b"old")
    products = reader.namespace("product")
    await products.get("1")
    assert products.get_nowait("1") == b"old"
    shop.nodes[1].process.send_signal(signal.SIGSTOP)
    try:
        async with asyncio.timeout(20):
            await writer.invalidate(keys={"product": ["1"]}, level=CLIENTS, timeout=20)
        assert products.get_nowait("1") is None
    finally:
        shop.nodes[1].process.send_signal(signal.SIGCONT)


async def test_a_node_that_stops_hands_its_near_caches_over_with_all_they_keep(shop: Shop):
    reader, writer = await shop.client(near=NEAR), await shop.client(near=None)
    await writer.batch_put([put_request("product", str(number), b"old") for number in range(50)])
    products = reader.namespace("product")
    await products.get_many([str(number) for number in range(50)])
    began = near_of(reader).discontinuities
    for index in range(2):
        node = shop.nodes[index]
        node.process.send_signal(signal.SIGTERM)
        await writer.invalidate(keys={"product": [str(index)]}, level=CLIENTS, timeout=20)
        assert products.get_nowait(str(index)) is None
        assert await node.process.wait() == 0
        settings = {"redis_url": shop.redis.url, "read_lease": 1.0, "client_lease": 1.5, "port": node.grpc.rpartition(":")[2]}
        shop.nodes[index] = await processes.start_service("cache", shop.folder, ("one", "two")[index], **settings)
        shop.stack.push_async_callback(processes.stop, shop.nodes[index])
        await serving(lambda: products.get_nowait("49"))
    assert near_of(reader).discontinuities == began, "nothing had to be dropped"
    assert len(near_of(reader)) >= 48


async def test_a_redis_that_comes_back_empty_empties_the_near_caches(shop: Shop):
    reader, writer = await shop.client(0, near=NEAR), await shop.client(1)
    await writer.put("product", "1", b"old")
    await reader.get("product", "1")
    began = near_of(reader).discontinuities
    await shop.redis.kill()
    await shop.redis.start()
    await processes.until(lambda: near_of(reader).discontinuities > began)
    assert len(near_of(reader)) == 0


def near_of(client: CacheClient) -> Any:
    assert client.near is not None
    return client.near


async def serving(look: Callable[[], Any]) -> None:
    await processes.until(lambda: look() is not None)
