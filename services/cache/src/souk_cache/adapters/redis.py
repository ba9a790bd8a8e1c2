"""The shared state in Redis, by redis-py. Calls that are made in one turn of the event loop go out as one pipeline."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.maint_notifications import MaintNotificationsConfig

from souk_cache.adapters.redis_pipe import Pipe
from souk_cache.exceptions import StoreUnavailableError
from souk_cache.scripts import Call, Reply, names_of

NO_NOTIFICATIONS = MaintNotificationsConfig(enabled=False)
"""With them, redis-py hands out connections that the server has closed meanwhile."""
SHARED = 64
"""With so many calls under way on every connection, another one is opened."""
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
            socket_timeout=None,  # see _answer
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),  # a script that may have run is repeated by who knows whether that is right
            health_check_interval=0,
            maint_notifications_config=NO_NOTIFICATIONS,
        )
        self._pool = redis.ConnectionPool.from_url(
            url,
            socket_timeout=None,  # a pipe looks at the time by itself
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            maint_notifications_config=NO_NOTIFICATIONS,
        )
        self._timeout = timeout
        self._connections = connections
        self._pipes: list[Pipe] = []

    async def run(self, call: Call) -> Reply:
        """See Backend."""
        try:
            answer = await self._pipe().send(call)
            if isinstance(answer, NoScriptError):  # it was not run, and this pipe takes no more
                answer = await self._pipe().send(call)
        except (RedisError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error
        if isinstance(answer, Exception):
            raise _unavailable(answer) from answer
        return answer

    async def invalidations(self, stream: str, after: int) -> AsyncIterator[tuple[int, tuple[str, ...]]]:
        """See Backend."""
        try:
            reading = self._client.xread({stream: f"{after}-0"}, count=512, block=BLOCK_MS)
            answer: Any = await self._answer(reading, more=BLOCK_MS / 1000)
        except (RedisError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error
        for _, entries in answer:
            for entry in entries:
                yield _event(entry)

    async def history(self, stream: str, after: int, last: int) -> list[tuple[int, tuple[str, ...]]]:
        """See Backend."""
        try:
            answer: Any = await self._answer(self._client.xrange(stream, f"{after + 1}-0", f"{last}-0", count=MAX_HISTORY))
        except (RedisError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error
        return [_event(entry) for entry in answer]

    async def check(self) -> None:
        """See Backend."""
        await self._answer(self._client.ping())

    async def check_eviction(self) -> None:
        """See Backend."""
        policy = (await self._answer(self._client.info("memory"))).get("maxmemory_policy", "")
        if policy.startswith("allkeys"):
            raise StoreUnavailableError(
                f"Redis has maxmemory-policy {policy}, and may evict the counters of invalidations: set noeviction or volatile-lru",
                dependency="redis",
            )

    async def close(self) -> None:
        """See Backend."""
        await asyncio.gather(*(pipe.close() for pipe in self._pipes))
        await self._client.aclose()

    async def _answer(self, command: Awaitable[Any], *, more: float = 0.0) -> Any:
        """TimeoutError where it does not come in time, with the connection that it may need first. more: seconds that Redis waits
        before it answers.

        redis-py's own limit (socket_timeout) sends by asyncio.wait_for, which in
        Python 3.11 loses a cancellation that comes when it has just sent: a listener went on, and its node did not end."""
        async with asyncio.timeout(self._timeout + more):
            return await command

    def _pipe(self) -> Pipe:
        """The first that is not busy: so calls of one turn of the event loop go together."""
        for pipe in self._pipes:
            if pipe.under_way < SHARED and not pipe.closed:
                return pipe
        self._pipes = [pipe for pipe in self._pipes if pipe.under_way or not pipe.closed]
        usable = [pipe for pipe in self._pipes if not pipe.closed]
        if len(usable) < self._connections:
            connection: redis.Connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
            self._pipes.append(Pipe(connection, timeout=self._timeout))
            return self._pipes[-1]
        return min(usable, key=lambda pipe: pipe.under_way)


def _event(entry: tuple[bytes, dict[bytes, bytes]]) -> tuple[int, tuple[str, ...]]:
    number, fields = entry
    return int(number.split(b"-")[0]), names_of(fields.get(b"n", b""))


def _unavailable(error: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(f"Redis does not answer ({type(error).__name__})", dependency="redis")
