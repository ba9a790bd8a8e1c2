"""Figures by time buckets, on a real service with a wall clock of the test's."""

import contextlib
import functools
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from redis_servers import redis_server
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub
from souk.client import InvalidArgumentError, from_failure
from souk_cache.app import open_app
from souk_cache.settings import CacheSettings
from souk_common.testing import running_server

HOUR = "views:seller:7@2026-11-25T10:00Z/PT1H"
END = datetime(2026, 11, 25, 11, tzinfo=UTC).timestamp()
NAMESPACES = "namespaces: {analytics: {jitter: 0, refresh_beta: 0}}"


class Wall:
    """A wall clock that can be set."""

    offset = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.offset

    def set(self, now: float) -> None:
        self.offset = now - time.monotonic()


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture(params=["alone", "redis"])
async def cache(request: pytest.FixtureRequest, tmp_path: Path, wall: Wall) -> AsyncIterator[CacheServiceStub]:
    file = tmp_path / "own.yaml"
    file.write_text(NAMESPACES)
    settings = {"port": 0, "drain_grace": 5.0, "trace_ratio": 0.0, "read_lease": 0.5, "namespaces_file": file}
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "redis":
            settings["redis_url"] = (await stack.enter_async_context(redis_server(tmp_path))).url
        opened = functools.partial(open_app, wall=wall)
        server = await stack.enter_async_context(running_server(CacheSettings(**settings), "cache", opened))
        yield CacheServiceStub(server.channel())


async def read(cache: CacheServiceStub, key: str = HOUR, *, lease: bool = False) -> pb.Result:
    request = pb.GetRequest(namespace="analytics", key=key, options=pb.ReadOptions(lease=lease, describe=True))
    return (await cache.Get(request, timeout=10)).result


async def load(cache: CacheServiceStub, key: str, seconds: float | None) -> None:
    lease = (await read(cache, key, lease=True)).lease.token
    fill = pb.FillRequest(namespace="analytics", key=key, lease=lease, value=b"7")
    if seconds is not None:
        fill.load_duration.FromMicroseconds(round(seconds * 1e6))
    assert (await cache.Fill(fill, timeout=10)).outcome == pb.FILL_OUTCOME_STORED


async def remaining(cache: CacheServiceStub, key: str = HOUR) -> float:
    result = await read(cache, key)
    assert result.hit.freshness == pb.FRESHNESS_FRESH, result
    left = result.hit.description.remaining
    return left.seconds + left.nanos / 1e9


async def test_what_an_open_bucket_had_is_never_fresh_after_its_end(cache: CacheServiceStub, wall: Wall):
    wall.set(END - 1.5)  # a busy machine has stored it by the end
    await load(cache, HOUR, 0.001)
    fresh = 0
    while True:
        asked = wall()
        result = await read(cache)
        if not result.HasField("hit"):
            break
        fresh += 1
        assert asked < END
    assert fresh
    assert wall() > END - 0.1


async def test_a_bucket_that_just_closed_waits_for_late_events_and_a_closed_one_has_its_ttl(cache: CacheServiceStub, wall: Wall):
    wall.set(END + 10)
    await load(cache, HOUR, 0.001)
    assert 40 < await remaining(cache) <= 50
    wall.set(END + 70)
    later = HOUR.replace("seller:7", "seller:8")
    await load(cache, later, 0.001)
    assert 86390 < await remaining(cache, later) <= 86400


async def test_a_load_that_began_before_the_end_is_not_fresh_after_it_however_long_it_took(cache: CacheServiceStub, wall: Wall):
    wall.set(END + 100)
    await load(cache, HOUR, 101)
    assert (await read(cache)).WhichOneof("result") == "miss"


async def test_a_load_of_unknown_length_counts_as_one_of_a_whole_lease(cache: CacheServiceStub, wall: Wall):
    wall.set(END + 62)
    await load(cache, HOUR, None)
    assert (await read(cache)).WhichOneof("result") == "miss"
    wall.set(END + 66)
    later = HOUR.replace("seller:7", "seller:8")
    await load(cache, later, None)
    assert await remaining(cache, later) > 86390


async def test_a_key_without_a_bucket_is_refused_wherever_it_is_given(cache: CacheServiceStub):
    lease = (await read(cache, lease=True)).lease.token
    calls = (
        read(cache, "views:seller:7"),
        cache.Put(pb.PutRequest(namespace="analytics", key="views", value=b"7"), timeout=10),
        cache.Fill(pb.FillRequest(namespace="analytics", key="views", lease=lease, value=b"7"), timeout=10),
    )
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    puts = [pb.PutRequest(namespace="analytics", key=key, value=b"7") for key in ("views", HOUR)]
    bad, good = (await cache.BatchPut(pb.BatchPutRequest(puts=puts), timeout=10)).items
    error = from_failure(bad.error)
    assert isinstance(error, InvalidArgumentError)
    assert (error.reason, error.metadata["field"]) == ("TIME_BUCKET_UNREADABLE", "key")
    assert good.put.outcome == pb.FILL_OUTCOME_STORED
