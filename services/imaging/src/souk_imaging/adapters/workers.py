"""The pool of worker processes: one job each, killed when it takes too long or too much, replaced when it dies."""

import asyncio
import contextlib
import heapq
import itertools
import os
import sys
import time
from collections.abc import AsyncGenerator

import structlog
from souk_common.telemetry.process import resident_bytes

from souk_imaging.exceptions import ImagingError, WorkerCrashedError, WorkerOutOfMemoryError, WorkerTimedOutError
from souk_imaging.photos import Event, Finished, Job, Priority
from souk_imaging.worker import wire

log = structlog.get_logger(__name__)

START_SECONDS = 30.0
RESTART_SECONDS = 1.0
"""Between attempts to start a worker where it does not start."""
MEMORY_CHECK_SECONDS = 0.05
JOBS_PER_WORKER = 500
"""A worker is replaced after so many photos, whatever it may have leaked."""
_MAX_LINE = 256 * 1024
_LAST_WORDS = 2048


class _Worker:
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
    async def start(cls, concurrency: int) -> "_Worker":
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


class WorkerPool:
    """Implements PhotoProcessor. Open it as a context manager; leaving it ends every worker."""

    def __init__(self, *, size: int, concurrency: int, timeout: float, max_memory_bytes: int) -> None:
        self._size = size
        self._concurrency = concurrency
        self._timeout = timeout
        self._max_memory = max_memory_bytes
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._waiting: list[tuple[Priority, int, asyncio.Future[_Worker]]] = []
        self._numbers = itertools.count()
        self._keepers: list[asyncio.Task[None]] = []
        self._closed = False
        self.restarts = 0
        """Workers replaced since the start."""

    async def __aenter__(self) -> "WorkerPool":
        first = await asyncio.gather(*(_Worker.start(self._concurrency) for _ in range(self._size)), return_exceptions=True)
        failed = [each for each in first if isinstance(each, BaseException)]
        started = [each for each in first if isinstance(each, _Worker)]
        if failed:
            await asyncio.gather(*(worker.end() for worker in started))
            raise failed[0]
        self._keepers = [asyncio.create_task(self._keep(worker), name=f"worker-{worker.pid}") for worker in started]
        self._all.update(started)
        self._idle.extend(started)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for *_rank, future in self._waiting:
            if not future.done():
                future.set_exception(_stopping())
        self._waiting.clear()

    @property
    def busy(self) -> int:
        """Workers at work."""
        return len(self._all) - len(self._idle)

    @property
    def queued(self) -> int:
        """Jobs that wait for a worker."""
        return len(self._waiting)

    @property
    def pids(self) -> list[int]:
        """The processes there are."""
        return [worker.pid for worker in self._all]

    async def process(self, job: Job) -> AsyncGenerator[Event, None]:
        """See PhotoProcessor."""
        queued = time.monotonic()
        worker = await self._acquire(job.priority)
        queue_seconds = time.monotonic() - queued
        deadline = asyncio.get_running_loop().time() + self._timeout
        watch = asyncio.create_task(self._watch_memory(worker), name=f"worker-memory-{worker.pid}")
        well = False
        try:
            worker.jobs += 1
            worker.image_id = job.image_id
            with contextlib.suppress(ConnectionError):  # it is dead: that is seen by its missing line
                await worker.send(wire.dump_job(job))
            while not well:
                event = wire.load_event(await self._next_line(worker, deadline), job.output, queue_seconds=queue_seconds)
                if isinstance(event, ImagingError):
                    well = True  # the photo is at fault
                    raise event
                well = isinstance(event, Finished)
                yield event
        except wire.NonsenseError:
            raise WorkerCrashedError("the worker process spoke nonsense over this photo") from None
        finally:
            watch.cancel()
            self._release(worker, well=well)

    async def _next_line(self, worker: _Worker, deadline: float) -> bytes:
        try:
            line = await worker.line(deadline)
        except TimeoutError:
            raise WorkerTimedOutError(
                f"the photo took longer than {self._timeout:g} s", limit_seconds=f"{self._timeout:g}"
            ) from None
        if line.endswith(b"\n"):
            return line
        if worker.over_memory:
            raise WorkerOutOfMemoryError(
                f"the photo took more than {self._max_memory >> 20} MiB of memory", limit_bytes=self._max_memory
            )
        raise WorkerCrashedError("the worker process died over this photo")

    async def _watch_memory(self, worker: _Worker) -> None:
        while True:
            if resident_bytes(worker.pid) > self._max_memory:
                worker.over_memory = True
                worker.kill()
                return
            await asyncio.sleep(MEMORY_CHECK_SECONDS)

    async def _acquire(self, priority: Priority) -> _Worker:
        if self._closed:
            raise _stopping()
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
        future: asyncio.Future[_Worker] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._numbers), future))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give(future.result())
            self._waiting = [entry for entry in self._waiting if entry[2] is not future]
            heapq.heapify(self._waiting)
            raise

    def _release(self, worker: _Worker, *, well: bool) -> None:
        worker.retired = well and worker.jobs >= JOBS_PER_WORKER
        if well and worker.alive and not worker.retired:
            self._give(worker)
        else:
            worker.kill()

    def _give(self, worker: _Worker) -> None:
        """Hand a worker to the first who waits, or keep it for the next."""
        while self._waiting:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(worker)
                return
        self._idle.append(worker)

    async def _keep(self, worker: _Worker) -> None:
        """See to it that there is a worker in this place: whenever it is gone, for whatever reason, start another."""
        try:
            while True:
                await worker.gone()
                self._all.discard(worker)
                if worker in self._idle:
                    self._idle.remove(worker)
                self.restarts += 1
                if not worker.retired:
                    log.warning(
                        "a worker process has ended",
                        image_id=worker.image_id,
                        pid=worker.pid,
                        exit_status=worker.exit_status,
                        last_words=worker.last_words.decode(errors="replace"),
                    )
                worker = await self._start_anew()
                self._all.add(worker)
                self._give(worker)
        finally:
            await worker.end()
            self._all.discard(worker)

    async def _start_anew(self) -> _Worker:
        while True:
            try:
                return await _Worker.start(self._concurrency)
            except (OSError, RuntimeError, TimeoutError) as error:
                log.warning("a worker could not be started", detail=str(error))
                await asyncio.sleep(RESTART_SECONDS)


def _stopping() -> WorkerCrashedError:
    return WorkerCrashedError("no worker takes this photo: the service is stopping")
