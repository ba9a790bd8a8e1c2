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

from souk_imaging.exceptions import WorkerCrashedError, WorkerOutOfMemoryError, WorkerTimedOutError
from souk_imaging.photos import Event, Finished, Job, Priority
from souk_imaging.worker import wire

log = structlog.get_logger(__name__)

START_SECONDS = 30.0
MEMORY_CHECK_SECONDS = 0.05
JOBS_PER_WORKER = 500
"""A worker is replaced after so many photos, whatever it may have leaked."""
_MAX_LINE = 256 * 1024


class _Worker:
    """One worker process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a worker without pipes")
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self.pid = process.pid
        self.jobs = 0
        self.out_of_memory = False

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.returncode is None

    async def send(self, line: bytes) -> None:
        """Give it a job."""
        self._stdin.write(line)
        await self._stdin.drain()

    async def line(self, deadline: float) -> bytes:
        """Its next line; empty where it has died. TimeoutError at the deadline, in the loop's time."""
        async with asyncio.timeout_at(deadline):
            return await self._stdout.readline()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> int:
        """End it, wait until it is gone, and return its exit status: negative for the signal that ended it."""
        self.kill()
        return await self._process.wait()


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
        self._replacing: set[asyncio.Task[None]] = set()
        self._closing = False
        self.restarts = 0

    async def __aenter__(self) -> "WorkerPool":
        try:
            await asyncio.gather(*(self._add_worker() for _ in range(self._size)))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        for task in self._replacing:
            task.cancel()
        await asyncio.gather(*self._replacing, return_exceptions=True)
        await asyncio.gather(*(worker.end() for worker in self._all))

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
        whole = False
        try:
            worker.jobs += 1
            with contextlib.suppress(ConnectionError):  # it is dead: that is seen by its missing line
                await worker.send(wire.dump_job(job))
            while not whole:
                line = await self._next_line(worker, deadline)
                try:
                    event = wire.load_event(line, queue_seconds=queue_seconds)
                except ValueError:
                    raise WorkerCrashedError("the worker process spoke nonsense over this photo") from None
                except Exception:
                    whole = True  # the photo is at fault, and the worker is well
                    raise
                whole = isinstance(event, Finished)
                yield event
        finally:
            watch.cancel()
            self._release(worker, healthy=whole)

    async def _next_line(self, worker: _Worker, deadline: float) -> bytes:
        try:
            line = await worker.line(deadline)
        except TimeoutError:
            raise WorkerTimedOutError(
                f"the photo took longer than {self._timeout:g} s", limit_seconds=round(self._timeout)
            ) from None
        except (ValueError, ConnectionError):
            line = b""
        if line.endswith(b"\n"):
            return line
        if worker.out_of_memory:
            raise WorkerOutOfMemoryError(
                f"the photo took more than {self._max_memory >> 20} MiB of memory", limit_bytes=self._max_memory
            )
        raise WorkerCrashedError("the worker process died over this photo")

    async def _watch_memory(self, worker: _Worker) -> None:
        while True:
            if resident_bytes(worker.pid) > self._max_memory:
                worker.out_of_memory = True
                worker.kill()
                return
            await asyncio.sleep(MEMORY_CHECK_SECONDS)

    # Who works

    async def _acquire(self, priority: Priority) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            self._replace(worker)
        future: asyncio.Future[_Worker] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._numbers), future))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._give(future.result())
            self._waiting = [entry for entry in self._waiting if entry[2] is not future]
            heapq.heapify(self._waiting)
            raise

    def _release(self, worker: _Worker, *, healthy: bool) -> None:
        if healthy and worker.alive and worker.jobs < JOBS_PER_WORKER:
            self._give(worker)
            return
        worker.kill()
        self._replace(worker)

    def _give(self, worker: _Worker) -> None:
        while self._waiting:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(worker)
                return
        self._idle.append(worker)

    def _replace(self, worker: _Worker) -> None:
        if self._closing:
            return
        self.restarts += 1

        async def replace() -> None:
            status = await worker.end()
            self._all.discard(worker)
            log.info("a worker is replaced", pid=worker.pid, status=status, jobs=worker.jobs)
            while True:
                try:
                    return await self._add_worker()
                except (OSError, RuntimeError, TimeoutError) as error:
                    log.warning("a worker could not be started", detail=str(error))
                    await asyncio.sleep(1.0)

        task = asyncio.create_task(replace(), name=f"worker-replace-{worker.pid}")
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _add_worker(self) -> None:
        environment = {
            **os.environ,
            "MALLOC_ARENA_MAX": "2",
            "VIPS_CONCURRENCY": str(self._concurrency),
            "VIPS_WARNING": "0",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "souk_imaging.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_MAX_LINE,
            env=environment,
        )
        worker = _Worker(process)
        self._all.add(worker)
        try:
            ready = await worker.line(asyncio.get_running_loop().time() + START_SECONDS)
            if not ready.endswith(b"\n"):
                raise RuntimeError("a worker process ended before it was ready")
        except BaseException:
            self._all.discard(worker)
            await worker.end()
            raise
        self._give(worker)
