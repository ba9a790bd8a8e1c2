"""Read-through over processes: a node that is killed while it loads, one that stops, one that is started again."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import processes
import pytest
from loaders import Catalogue, loader_server
from processes import ServiceProcess, until
from redis_servers import redis_server
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub

FILE = """
namespaces:
  loaded: {{ttl: 1m, load_lease: 1s, loader: {{target: "{target}", method: souk.cache.v1.LoaderService/Load, hard_timeout: 1s}},
    warm: {{hottest: 100}}}}
"""
GRACE = 5.0


@pytest.fixture
async def catalogue() -> AsyncIterator[Catalogue]:
    made = Catalogue({f"k{i}": b"value" for i in range(100)})
    async with loader_server(made):
        yield made


class Nodes:
    """Two nodes on one Redis."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._folder = folder
        self._settings = settings
        self.services: dict[str, ServiceProcess] = {}
        self.channels: list[grpc.aio.Channel] = []

    async def start(self, name: str) -> CacheServiceStub:
        service = await processes.start_service("cache", self._folder, name, **self._settings)
        self.services[name] = service
        channel = grpc.aio.insecure_channel(service.grpc)
        self.channels.append(channel)
        return CacheServiceStub(channel)


@pytest.fixture
async def nodes(tmp_path: Path, catalogue: Catalogue) -> AsyncIterator[Nodes]:
    file = tmp_path / "loaded.yaml"
    file.write_text(FILE.format(target=catalogue.target))
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server(tmp_path))
        settings = {"redis_url": redis.url, "namespaces_file": file, "drain_grace": GRACE, "log_success_ratio": 1}
        made = Nodes(tmp_path, settings)
        try:
            yield made
        finally:
            for channel in made.channels:
                await channel.close()
            for service in made.services.values():
                await processes.stop(service)


async def get(cache: CacheServiceStub, key: str, *, load: bool = True, timeout: float = 20, **options: Any) -> pb.Result:
    request = pb.GetRequest(namespace="loaded", key=key, options=pb.ReadOptions(load=load, **options))
    return (await cache.Get(request, timeout=timeout)).result


async def test_when_the_holder_is_killed_another_loads_after_its_lease(nodes: Nodes, catalogue: Catalogue):
    one, two = await nodes.start("one"), await nodes.start("two")
    catalogue.release = asyncio.Event()
    lost = asyncio.create_task(get(one, "k1"))
    await until(lambda: len(catalogue.loads) == 1)
    nodes.services["one"].signal(signal.SIGKILL)
    catalogue.release.set()
    readers = [asyncio.create_task(get(two, "k1", wait={"seconds": 20})) for _ in range(100)]
    assert {result.hit.value for result in await asyncio.gather(*readers)} == {b"value"}
    assert catalogue.loaded("k1") == 2
    with pytest.raises(grpc.aio.AioRpcError):
        await lost


async def test_a_node_that_stops_while_it_loads_ends_in_time_and_leaves_no_lease(nodes: Nodes, catalogue: Catalogue):
    one, two = await nodes.start("one"), await nodes.start("two")
    catalogue.seconds = 0.3
    in_time = asyncio.create_task(get(one, "k1"))
    await until(lambda: len(catalogue.loads) == 1)
    nodes.services["one"].signal(signal.SIGTERM)
    start = time.monotonic()
    assert (await in_time).hit.value == b"value", "what was accepted is answered"
    assert await nodes.services["one"].exit_status() == 0
    assert time.monotonic() - start < GRACE + 1
    assert (await get(two, "k1", load=False)).HasField("hit"), "and what it loaded is kept"

    one = await nodes.start("one")
    catalogue.seconds = 0.0
    catalogue.release = asyncio.Event()
    with pytest.raises(grpc.aio.AioRpcError):
        await get(one, "k2", timeout=0.2)  # its reader is gone, and the load is under way
    nodes.services["one"].signal(signal.SIGTERM)
    assert await nodes.services["one"].exit_status() == 0
    assert (await get(two, "k2", load=False, lease=True)).HasField("lease")


async def test_a_node_that_is_restarted_has_in_memory_what_was_read_most(nodes: Nodes, catalogue: Catalogue):
    cache = await nodes.start("one")
    for i in range(50):
        await get(cache, f"k{i}")
    nodes.services["one"].signal(signal.SIGTERM)
    assert await nodes.services["one"].exit_status() == 0
    cache = await nodes.start("one")
    await until(lambda: any(line["event"] == "warmed" and line["keys"] == 50 for line in nodes.services["one"].lines()))
    results = [await get(cache, f"k{i}") for i in range(50)]
    assert [result.hit.level for result in results] == [pb.LEVEL_MEMORY] * 50
    assert len(catalogue.loads) == 50
