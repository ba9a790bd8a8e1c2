"""One worker process: started, spoken to line by line, killed."""

import asyncio
import contextlib
import os
import sys

START_SECONDS = 30.0
_MAX_LINE = 256 * 1024
_LAST_WORDS = 2048


class WorkerProcess:
    """One worker process, from its start to its end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("a worker without pipes")
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self.pid = process.pid
        self.jobs = 0
        self.image_id = ""
        """Of its last job."""
        self.retired = False
        """It has done its share, and ends well."""
        self.over_memory = False
        self.last_words = b""
        """The end of what it wrote to standard error."""

    @classmethod
    async def start(cls, concurrency: int) -> "WorkerProcess":
        """A new one, ready for its first job. OSError, RuntimeError or TimeoutError where it does not start."""
        environment = {
            **os.environ,
            "MALLOC_ARENA_MAX": "2",
            "VIPS_CONCURRENCY": str(concurrency),
            "VIPS_WARNING": "0",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "souk_imaging.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_LINE,
            env=environment,
        )
        worker = cls(process)
        try:
            ready = await worker.line(asyncio.get_running_loop().time() + START_SECONDS)
            if not ready.endswith(b"\n"):
                await worker.gone()
                raise RuntimeError(f"a worker process ended before it was ready: {worker.last_words.decode(errors='replace')}")
        except BaseException:
            await worker.end()
            raise
        return worker

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.returncode is None

    @property
    def exit_status(self) -> int | None:
        """Negative: the signal it died of."""
        return self._process.returncode

    async def send(self, line: bytes) -> None:
        """Give it a job."""
        self._stdin.write(line)
        await self._stdin.drain()

    async def line(self, deadline: float) -> bytes:
        """Its next line; not a whole one where it has died or says too much. TimeoutError at the deadline, in the loop's time."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self._stdout.readline()
        except (ValueError, ConnectionError):
            return b""

    async def gone(self) -> None:
        """Wait until it has ended."""
        while words := await self._stderr.read(_LAST_WORDS):
            self.last_words = (self.last_words + words)[-_LAST_WORDS:]
        await self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """End it, and wait until it is gone."""
        self.kill()
        await self._process.wait()
