"""The hottest keys of each namespace, kept in Redis so that a node which starts knows what to warm.

One sorted set for each namespace, of all nodes. A key's score falls with its rank and grows with the time, so that scores of
different times compare as they are (forward decay: Cormode et al., ICDE 2009): a key is worth half after HALF_LIFE.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from souk_cache.exceptions import StoreUnavailableError
from souk_cache.protocol import ALIAS

log = structlog.get_logger(__name__)
HALF_LIFE = 3600.0
WRITE_EVERY = 60.0
"""Seconds between two writings."""
KEPT_SECONDS = 30 * 86400
CHUNK = 500
"""Keys in one command, so that neither this node nor Redis stands still for long."""


class HotKeys:
    """Open it as a context manager: it writes every minute, and when it is left."""

    def __init__(
        self,
        url: str,
        *,
        partition: str,
        timeout: float,
        cluster: bool = False,
        keep: int,
        hottest: Callable[[], Iterable[str]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """keep: keys of each namespace at the most. hottest: what this node reads most, as <namespace>:<key>, the hottest first."""
        client: type[redis.Redis] | type[redis.RedisCluster] = redis.RedisCluster if cluster else redis.Redis
        self._client: redis.Redis | redis.RedisCluster = client.from_url(
            url, max_connections=2, socket_timeout=None, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )
        self._timeout = timeout
        self._prefix = f"souk:{{{partition}}}:hot:"
        self._keep = keep
        self._hottest = hottest
        self._clock = clock
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "HotKeys":
        self._writing = asyncio.create_task(self._write_regularly(), name="cache-hot-keys")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        with contextlib.suppress(StoreUnavailableError):
            await self.write()
        await self._client.aclose()

    async def of(self, namespace: str, count: int) -> list[str]:
        """The hottest keys of a namespace on all nodes, the hottest first. StoreUnavailableError."""
        try:
            found: Any = await self._answer(self._client.zrevrange(self._prefix + namespace, 0, count - 1))
        except (RedisError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error
        return [key.decode(errors="replace") for key in found]

    async def write(self) -> None:
        """Add what this node reads most now. StoreUnavailableError."""
        now = self._clock() / HALF_LIFE
        try:
            for namespace, keys in _by_namespace(self._hottest()).items():
                name = self._prefix + namespace
                for first in range(0, len(keys), CHUNK):
                    chunk = enumerate(keys[first : first + CHUNK], start=first + 1)
                    scores = {key: now - math.log2(rank) for rank, key in chunk}
                    await self._answer(self._client.zadd(name, scores, gt=True))
                await self._answer(self._client.zremrangebyrank(name, 0, -self._keep - 1))
                await self._answer(self._client.expire(name, KEPT_SECONDS))
        except (RedisError, OSError, TimeoutError) as error:
            raise _unavailable(error) from error

    async def _answer(self, command: Awaitable[Any]) -> Any:
        """TimeoutError where it does not come in time. A limit of redis-py's own loses cancellations (see RedisBackend)."""
        try:
            async with asyncio.timeout(self._timeout):
                return await command
        except TimeoutError:
            await self._client.aclose()  # another server may have its place in the cluster: the next command looks
            raise

    async def _write_regularly(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY)
            try:
                await self.write()
            except StoreUnavailableError as error:
                log.info("the hottest keys are not written", detail=error.message)


def _by_namespace(full_keys: Iterable[str]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for full in full_keys:
        namespace, colon, key = full.partition(":")
        if colon and ALIAS not in namespace:
            found.setdefault(namespace, []).append(key)
    return found


def _unavailable(error: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(f"Redis does not answer ({type(error).__name__})", dependency="redis")
