"""The shared state in a Redis Cluster: each partition on the server that has its slot."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio as redis
import structlog
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, RedisError

from souk_cache.adapters.redis import RedisBackend
from souk_cache.exceptions import StoreUnavailableError
from souk_cache.scripts import Call, Reply

log = structlog.get_logger(__name__)
LOOK_AGAIN = 0.2
"""Seconds between two looks at which server has which slot."""


class RedisClusterBackend:
    """A cluster, one server of which `url` names.

    Who has what is asked anew when a server does not answer, or says that it moved. Until one answers, the plan before holds, so
    that the partitions of the other servers go on.
    """

    def __init__(self, url: str, *, timeout: float, connections: int, keys: tuple[str, ...]) -> None:
        """keys: one of each partition, for `check`."""
        self._url = urlsplit(url)
        self._timeout = timeout
        self._connections = connections
        self._keys = keys
        self._named = self._url.netloc.rpartition("@")[2]
        self._masters: list[tuple[int, int, str]] = []
        """First slot, last slot, host:port."""
        self._addresses: list[str] = []
        """Of all servers that the plan names."""
        self._servers: dict[str, RedisBackend] = {}
        self._looking = asyncio.Lock()
        self._looked = float("-inf")

    async def run(self, call: Call) -> Reply:
        """See Backend."""
        server = await self._of(call.keys[0])
        try:
            return await server.run(call)
        except StoreUnavailableError as error:
            await self._look()
            if not isinstance(error.__cause__, MovedError | AskError):
                raise  # the script may have run
        return await (await self._of(call.keys[0])).run(call)

    async def invalidations(self, stream: str, after: int) -> AsyncIterator[tuple[int, tuple[str, ...]]]:
        """See Backend."""
        server = await self._of(stream)
        async for event in server.invalidations(stream, after):
            yield event

    async def history(self, stream: str, after: int, last: int) -> list[tuple[int, tuple[str, ...]]]:
        """See Backend."""
        return await (await self._of(stream)).history(stream, after, last)

    async def check(self) -> None:
        """See Backend: every server that a partition is on."""
        for server in {await self._of(key) for key in self._keys}:
            await server.check()

    async def check_eviction(self) -> None:
        """See Backend."""
        for server in {await self._of(key) for key in self._keys}:
            await server.check_eviction()

    async def close(self) -> None:
        """See Backend."""
        await asyncio.gather(*(server.close() for server in self._servers.values()))

    async def _of(self, key: str) -> RedisBackend:
        if not self._masters:
            await self._look()
        slot = key_slot(key.encode())
        for first, last, address in self._masters:
            if first <= slot <= last:
                server = self._servers.get(address)
                if server is None:
                    server = RedisBackend(self._url_of(address), timeout=self._timeout, connections=self._connections)
                    self._servers[address] = server
                return server
        raise StoreUnavailableError("no server of the Redis Cluster is known to have this partition", dependency="redis")

    async def _look(self) -> None:
        """Ask who has what, but not all the time."""
        async with self._looking:
            if time.monotonic() - self._looked < LOOK_AGAIN:
                return
            for address in dict.fromkeys([*self._addresses, self._named]):
                try:
                    client = redis.Redis.from_url(self._url_of(address), socket_timeout=None, socket_connect_timeout=self._timeout)
                    async with client, asyncio.timeout(self._timeout):  # a limit of redis-py's own loses cancellations
                        plan: Any = await client.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
                except (RedisError, OSError, TimeoutError) as error:
                    log.info("a server of the Redis Cluster does not answer", server=address, detail=type(error).__name__)
                    continue
                self._take(plan)
                break
            self._looked = time.monotonic()

    def _take(self, plan: Any) -> None:
        """Remember a plan: first slot, last slot, then [host, port, …] of the master and of its replicas."""
        self._masters = [(first, last, _address(servers[0])) for first, last, *servers in plan]
        self._addresses = [_address(server) for _, _, *servers in plan for server in servers]

    def _url_of(self, address: str) -> str:
        login, at, _ = self._url.netloc.rpartition("@")
        return self._url._replace(netloc=f"{login}{at}{address}", path="").geturl()


def _address(server: Any) -> str:
    host = server[0].decode()
    return f"[{host}]:{server[1]}" if ":" in host else f"{host}:{server[1]}"
