"""What waits for Redis ends when it is cancelled, whichever moment that is: else a node that is to stop would not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest
from redis_servers import RedisServer
from souk_cache.adapters.hot_keys import HotKeys
from souk_cache.adapters.redis import RedisBackend

TURNS = 30
"""Of the event loop, before a task is cancelled: from its start to where it waits for the answer."""
Work = Callable[[], Coroutine[object, object, object]]


async def is_cancelled(work: Work, turns: int) -> bool:
    """Whether something ends by being cancelled after some turns of the event loop; True where it had ended before."""
    task = asyncio.create_task(work())
    for _ in range(turns):
        await asyncio.sleep(0)
    had_ended = not task.cancel()
    await asyncio.wait([task])
    return had_ended or task.cancelled()


@pytest.fixture
async def backend(redis: RedisServer) -> AsyncIterator[RedisBackend]:
    made = RedisBackend(redis.url, timeout=5.0, connections=1)
    yield made
    await made.close()


@pytest.fixture
async def hot_keys(redis: RedisServer) -> AsyncIterator[HotKeys]:
    async with HotKeys(redis.url, partition="souk", timeout=5.0, keep=10, hottest=lambda: ["product:1"]) as made:
        yield made


@pytest.mark.parametrize("what", ["invalidations", "history", "check", "check_eviction", "hot keys", "hot keys are written"])
async def test_who_waits_for_redis_ends_when_cancelled(backend: RedisBackend, hot_keys: HotKeys, what: str):
    async def listen() -> None:
        async for _ in backend.invalidations("souk:nothing", 0):
            pass

    work: Work = {
        "invalidations": listen,
        "history": lambda: backend.history("souk:nothing", 0, 10),
        "check": backend.check,
        "check_eviction": backend.check_eviction,
        "hot keys": lambda: hot_keys.of("product", 10),
        "hot keys are written": hot_keys.write,
    }[what]
    await work()  # it is connected
    assert [turns for turns in range(TURNS) if not await is_cancelled(work, turns)] == []
