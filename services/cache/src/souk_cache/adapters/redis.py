"""The shared state in Redis, by redis-py. Calls that are made in one turn of the event loop go out as one pipeline."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.maint_notifications import MaintNotificationsConfig

from souk_cache.exceptions import StoreUnavailableError
from souk_cache.scripts import Call, Reply, ScriptName, names_of, source

NO_NOTIFICATIONS = MaintNotificationsConfig(enabled=False)
"""With them, redis-py hands out connections that the server has closed meanwhile."""
MAX_PIPELINE = 256
"""Calls in one pipeline at the most."""
MAX_HISTORY = 20_000
"""Past invalidations that are fetched at once; a near cache that was away for more begins anew."""
BLOCK_MS = 500
"""How long one wait for invalidations lasts."""


class RedisBackend:
    """One Redis server."""

    def __init__(self, url: str, *, timeout: float, connections: int) -> None:
        self._client: redis.Redis = redis.Redis.from_url(
            url,
            max_connections=connections + 2,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),  # a script that may have run is repeated by who knows whether that is right
            health_check_interval=0,
            maint_notifications_config=NO_NOTIFICATIONS,
        )
        self._timeout = timeout
        self._shas: dict[ScriptName, str] = {}
        self._waiting: list[tuple[Call, asyncio.Future[Reply]]] = []
        self._free = asyncio.Semaphore(connections)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, call: Call) -> Reply:
        """See Backend."""
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, answer))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._flush)
        return await answer

    async def invalidations(self, stream: str, after: int) -> AsyncIterator[tuple[int, tuple[str, ...]]]:
        """See Backend."""
        try:
            answer: Any = await self._client.xread({stream: f"{after}-0"}, count=512, block=BLOCK_MS)
        except (RedisError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error
        for _, entries in answer:
            for entry in entries:
                yield _event(entry)

    async def history(self, stream: str, after: int, last: int) -> list[tuple[int, tuple[str, ...]]]:
        """See Backend."""
        try:
            answer: Any = await self._client.xrange(stream, f"{after + 1}-0", f"{last}-0", count=MAX_HISTORY)
        except (RedisError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error
        return [_event(entry) for entry in answer]

    async def check(self) -> None:
        """See Backend."""
        await self._client.ping()

    async def check_eviction(self) -> None:
        """See Backend."""
        policy = (await self._client.info("memory")).get("maxmemory_policy", "")
        if policy.startswith("allkeys"):
            raise StoreUnavailableError(
                f"Redis has maxmemory-policy {policy}, and may evict the counters of invalidations: set noeviction or volatile-lru",
                dependency="redis",
            )

    async def close(self) -> None:
        """See Backend."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def _flush(self) -> None:
        batch, self._waiting = self._waiting[:MAX_PIPELINE], self._waiting[MAX_PIPELINE:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        task = asyncio.create_task(self._send(batch), name="redis-pipeline")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, batch: list[tuple[Call, asyncio.Future[Reply]]]) -> None:
        try:
            async with self._free:
                answers = await self._execute([call for call, _ in batch])
                unknown = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
                if unknown:  # a Redis that has restarted: it has run none of them
                    self._shas.clear()
                    for i, answer in zip(unknown, await self._execute([batch[i][0] for i in unknown]), strict=True):
                        answers[i] = answer
        except (RedisError, OSError, TimeoutError) as error:
            answers = [error] * len(batch)
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                failed = _unavailable(answer)
                failed.__cause__ = answer
                future.set_exception(failed)
            else:
                future.set_result(answer)

    async def _execute(self, calls: list[Call]) -> list[Reply | Exception]:
        for name in {call.script for call in calls} - self._shas.keys():
            self._shas[name] = await self._client.script_load(source(name))
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(self._shas[call.script], len(call.keys), *call.keys, *call.args)
        found: list[Reply | Exception] = await pipeline.execute(raise_on_error=False)
        return found


def _event(entry: tuple[bytes, dict[bytes, bytes]]) -> tuple[int, tuple[str, ...]]:
    number, fields = entry
    return int(number.split(b"-")[0]), names_of(fields.get(b"n", b""))


def _unavailable(error: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(f"Redis does not answer ({type(error).__name__})", dependency="redis")
