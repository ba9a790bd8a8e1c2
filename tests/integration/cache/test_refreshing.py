"""Early refresh: a value that was slow to load is loaded anew before its TTL is over, by one of all callers and nodes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from loaders import Catalogue, loader_server
from redis_servers import RedisServer
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub

from services import Serve

TTL = 1.0
FILE = """
namespaces:
  loaded: {{ttl: {ttl}s, jitter: 0, loader: {{target: "{target}", method: souk.cache.v1.LoaderService/Load}}}}
  called: {{ttl: {ttl}s, jitter: 0}}
  never: {{ttl: {ttl}s, jitter: 0, refresh_beta: 0}}
"""
SLOW = Duration(seconds=3600)
"""So slow to load that it is loaded anew as soon as half of its TTL is over."""


@pytest.fixture
async def catalogue() -> AsyncIterator[Catalogue]:
    made = Catalogue({"1": b"new"})
    async with loader_server(made):
        yield made


@pytest.fixture(params=["alone", "redis"])
async def nodes(
    request: pytest.FixtureRequest, serve: Serve, tmp_path: Path, redis: RedisServer, catalogue: Catalogue
) -> AsyncIterator[list[CacheServiceStub]]:
    """One node alone, or two on a Redis."""
    file = tmp_path / "refreshing.yaml"
    file.write_text(FILE.format(ttl=TTL, target=catalogue.target))
    async with AsyncExitStack() as stack:
        settings: dict[str, Any] = {"namespaces_file": file}
        if request.param == "redis":
            settings["redis_url"] = redis.url
        servers = [await stack.enter_async_context(serve(**settings)) for _ in range(1 if request.param == "alone" else 2)]
        yield [CacheServiceStub(server.channel()) for server in servers]


async def get(cache: CacheServiceStub, namespace: str, **options: Any) -> pb.Result:
    request = pb.GetRequest(namespace=namespace, key="1", options=pb.ReadOptions(**options))
    return (await cache.Get(request, timeout=10)).result


async def fill(cache: CacheServiceStub, namespace: str, lease: str, value: bytes, **more: Any) -> None:
    request = pb.FillRequest(namespace=namespace, key="1", lease=lease, value=value, **more)
    assert (await cache.Fill(request, timeout=5)).outcome == pb.FILL_OUTCOME_STORED


async def load_slowly(nodes: list[CacheServiceStub], namespace: str) -> float:
    """Fill a value that was slow to load, and have it in the memory of every node; when that was."""
    lease = (await get(nodes[0], namespace, lease=True)).lease.token
    now = time.monotonic()
    await fill(nodes[0], namespace, lease, b"old", load_duration=SLOW)
    for node in nodes:
        assert (await get(node, namespace)).hit.value == b"old"
    return now


async def refreshes(nodes: list[CacheServiceStub], namespace: str) -> int:
    told = [await node.GetStats(pb.GetStatsRequest(), timeout=5) for node in nodes]
    return sum(each.refreshes for stats in told for each in stats.namespaces if each.namespace == namespace)


async def test_the_loader_is_called_once_before_the_ttl_is_over_and_no_reader_waits(
    nodes: list[CacheServiceStub], catalogue: Catalogue
):
    catalogue.seconds = 0.05
    stored = await load_slowly(nodes, "loaded")
    seen: list[tuple[float, float, bytes]] = []
    while not seen or (seen[-1][2] == b"old" and time.monotonic() < stored + 5 * TTL):
        asked = time.monotonic() - stored
        answers = await asyncio.gather(*(get(node, "loaded") for node in nodes for _ in range(10)))
        for result in answers:
            assert result.hit.freshness == pb.FRESHNESS_FRESH, "fresh all the time"
            seen.append((asked, time.monotonic() - stored, result.hit.value))
    assert seen[-1][2] == b"new"
    assert max(asked for asked, _, value in seen if value == b"old") < TTL + 0.5, "the next one is there in time"
    assert min(answered for _, answered, value in seen if value == b"new") >= TTL / 2, "not before half of the TTL"
    assert len(catalogue.loads) == 1
    assert await refreshes(nodes, "loaded") == 1


async def test_without_a_loader_one_caller_gets_the_lease_with_the_value(nodes: list[CacheServiceStub]):
    stored = await load_slowly(nodes, "called")
    leases: list[str] = []
    while not leases and time.monotonic() < stored + TTL:
        answers = await asyncio.gather(*(get(node, "called", lease=True) for node in nodes for _ in range(10)))
        without = await asyncio.gather(*(get(node, "called") for node in nodes))
        assert {result.hit.value for result in (*answers, *without)} == {b"old"}
        assert not any(result.hit.HasField("refresh") for result in without), "only callers who take leases"
        leases += [result.hit.refresh.token for result in answers if result.hit.HasField("refresh")]
    assert len(leases) == 1
    assert time.monotonic() - stored >= TTL / 2
    more = await asyncio.gather(*(get(node, "called", lease=True) for node in nodes for _ in range(10)))
    assert not any(result.hit.HasField("refresh") for result in more)
    await fill(nodes[0], "called", leases[0], b"new")
    assert (await get(nodes[0], "called")).hit.value == b"new"
    assert await refreshes(nodes, "called") == 1


async def test_a_refresh_that_fails_is_tried_once_and_the_value_is_served_to_its_end(
    nodes: list[CacheServiceStub], catalogue: Catalogue
):
    catalogue.code = grpc.StatusCode.INTERNAL
    stored = await load_slowly(nodes, "loaded")
    while (result := await get(nodes[0], "loaded")).HasField("hit") and time.monotonic() < stored + 5 * TTL:
        assert (result.hit.value, result.hit.freshness) == (b"old", pb.FRESHNESS_FRESH)
    assert result.HasField("miss")
    assert time.monotonic() - stored > TTL * 0.9
    assert len(catalogue.loads) == 1


async def test_a_namespace_may_never_refresh_early(nodes: list[CacheServiceStub]):
    stored = await load_slowly(nodes, "never")
    while (result := await get(nodes[0], "never", lease=True)).HasField("hit") and time.monotonic() < stored + 5 * TTL:
        assert not result.hit.HasField("refresh")
    assert result.HasField("lease")
    assert await refreshes(nodes, "never") == 0
