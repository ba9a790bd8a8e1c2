"""The cache service beside dbopt, and what the database says without either: the texts of the shipped queries, run by plain SQL."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import processes
import souk_dbopt
from processes import ServiceProcess
from redis_servers import RedisServer, redis_server

QUERIES = Path(souk_dbopt.__file__).parent / "queries"
_PARAMETER = re.compile(r"(?<![:\w]):([a-z][a-z0-9_]*)")
Connection = asyncpg.Connection


@contextlib.asynccontextmanager
async def cache_service(folder: Path, redis: RedisServer | None = None, **settings: Any) -> AsyncIterator[ServiceProcess]:
    """A cache with a Redis, in processes of their own, while the body runs."""
    async with contextlib.AsyncExitStack() as stack:
        redis = redis or await stack.enter_async_context(redis_server(folder))
        cache = await processes.start_service("cache", folder, "cache", redis_url=redis.url, partition=folder.name, **settings)
        stack.push_async_callback(processes.stop, cache)
        yield cache


async def told(owner: Connection, timeout: float = 20.0) -> None:
    """Return when the cache has been told of everything that is committed."""
    async with asyncio.timeout(timeout):
        while await owner.fetchval("SELECT EXISTS (SELECT FROM souk.outbox)"):
            await asyncio.sleep(0.002)


class Oracle:
    """What a query returns, by its text and plain SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._texts: dict[str, tuple[str, list[str]]] = {}

    async def rows(self, name: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        if name not in self._texts:
            self._texts[name] = self._read(name)
        text, names = self._texts[name]
        given = [json.dumps(value) if isinstance(value := parameters.get(each), dict) else value for each in names]
        found = await self._connection.fetchval(f"SELECT coalesce(json_agg(q), '[]')::text FROM ({text}) q", *given)
        rows: list[dict[str, Any]] = json.loads(found)
        return rows

    def _read(self, name: str) -> tuple[str, list[str]]:
        lines = (QUERIES / f"{name}.sql").read_text().splitlines()
        text = "\n".join(line.split("--")[0] for line in lines)
        names = list(dict.fromkeys(_PARAMETER.findall(text)))
        return _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", text), names
