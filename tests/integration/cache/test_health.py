"""What health says turns with its truth, for who asks and for who watches: `cache`, `cache.l2`, `cache.coherent`."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import redis.asyncio as redis_client
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis_servers import RedisServer
from souk_common.testing import RunningServer

from services import Serve

NAMES = ("cache", "cache.l2", "cache.coherent")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Watcher:
    """Somebody who watches every name."""

    def __init__(self) -> None:
        self.seen: dict[str, list[int]] = {name: [] for name in NAMES}
        self._changed = asyncio.Condition()

    async def watch(self, server: RunningServer, name: str) -> None:
        """Write down what is told of a name."""
        stub = health_pb2_grpc.HealthStub(server.channel())
        async for told in stub.Watch(health_pb2.HealthCheckRequest(service=name)):
            async with self._changed:
                self.seen[name].append(told.status)
                self._changed.notify_all()

    async def all_are(self, **wanted: int) -> None:
        """Return when the last that was told of each name is this."""
        statuses = {name.replace("_", "."): status for name, status in wanted.items()}
        async with asyncio.timeout(15), self._changed:
            await self._changed.wait_for(lambda: all(self.seen[name][-1:] == [status] for name, status in statuses.items()))


@pytest.fixture
async def server(serve: Serve, redis: RedisServer) -> AsyncIterator[RunningServer]:
    async with serve(redis_url=redis.url) as running:
        yield running


@pytest.fixture
async def watcher(server: RunningServer) -> AsyncIterator[Watcher]:
    made = Watcher()
    async with AsyncExitStack() as stack:
        for name in NAMES:
            task = asyncio.create_task(made.watch(server, name))
            stack.callback(task.cancel)
        yield made


async def checked(server: RunningServer) -> list[int]:
    stub = health_pb2_grpc.HealthStub(server.channel())
    return [int((await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)).status) for name in NAMES]


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_all_three_turn_when_redis_is_gone_and_turn_back(
    server: RunningServer, watcher: Watcher, redis: RedisServer, how: str
):
    await watcher.all_are(cache=SERVING, cache_l2=SERVING, cache_coherent=SERVING)
    if how == "killed":
        await redis.kill()
    else:
        redis.signal(signal.SIGSTOP)
    await watcher.all_are(cache=NOT_SERVING, cache_l2=NOT_SERVING, cache_coherent=NOT_SERVING)
    assert await checked(server) == [NOT_SERVING] * 3
    if how == "killed":
        await redis.start()
    else:
        redis.signal(signal.SIGCONT)
    await watcher.all_are(cache=SERVING, cache_l2=SERVING, cache_coherent=SERVING)
    assert await checked(server) == [SERVING] * 3
    assert all(seen == [SERVING, NOT_SERVING, SERVING] for seen in watcher.seen.values()), "each has turned once, and once back"


async def test_only_coherence_turns_while_redis_may_evict_counters(server: RunningServer, watcher: Watcher, redis: RedisServer):
    await watcher.all_are(cache=SERVING, cache_l2=SERVING, cache_coherent=SERVING)
    async with redis_client.Redis.from_url(redis.url) as client:
        await client.config_set("maxmemory-policy", "allkeys-lfu")
        await watcher.all_are(cache=NOT_SERVING, cache_l2=SERVING, cache_coherent=NOT_SERVING)
        await client.config_set("maxmemory-policy", "volatile-lru")
        await watcher.all_are(cache=SERVING, cache_l2=SERVING, cache_coherent=SERVING)
    assert watcher.seen["cache.l2"] == [SERVING]


async def test_a_node_that_is_alone_has_every_name_and_lacks_nothing(serve: Serve):
    async with serve() as alone:
        assert await checked(alone) == [SERVING] * 3
