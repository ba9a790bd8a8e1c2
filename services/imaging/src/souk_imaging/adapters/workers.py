"""The pool of worker processes: one job each, killed when it takes too long or too much, replaced when it dies."""

import asyncio
import contextlib
import heapq
import itertools
import time
from collections.abc import AsyncGenerator

import structlog
from souk_common.telemetry.process import resident_bytes

from souk_imaging.adapters.worker_process import WorkerProcess
from souk_imaging.exceptions import ImagingError, WorkerCrashedError, WorkerOutOfMemoryError, WorkerTimedOutError
from souk_imaging.photos import Event, Finished, Job, Priority
from souk_imaging.worker import wire

log = structlog.get_logger(__name__)

RESTART_SECONDS = 1.0
"""Between attempts to start a worker where it does not start."""
MEMORY_CHECK_SECONDS = 0.05
JOBS_PER_WORKER = 500
"""A worker is replaced after so many photos, whatever it may have leaked."""


class WorkerPool:
    """Implements PhotoProcessor. Open it as a context manager; leaving it ends every worker."""

    def __init__(self, *, size: int, concurrency: int, timeout: float, max_memory_bytes: int) -> None:
        self._size = size
        self._concurrency = concurrency
        self._timeout = timeout
        self._max_memory = max_memory_bytes
        self._idle: list[WorkerProcess] = []
        self._all: set[WorkerProcess] = set()
        self._waiting: list[tuple[Priority, int, asyncio.Future[WorkerProcess]]] = []
        self._numbers = itertools.count()
        self._keepers: list[asyncio.Task[None]] = []
        self._closed = False
        self.restarts = 0
        """Workers replaced since the start."""

    async def __aenter__(self) -> "WorkerPool":
        async def add() -> None:
            self._all.add(await WorkerProcess.start(self._concurrency))

        try:
            started = await asyncio.gather(*(add() for _ in range(self._size)), return_exceptions=True)
            for failure in filter(None, started):
                raise failure
        except BaseException:
            await asyncio.gather(*(worker.end() for worker in self._all))
            raise
        self._keepers = [asyncio.create_task(self._keep(worker), name=f"worker-{worker.pid}") for worker in self._all]
        self._idle.extend(self._all)
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

    async def _next_line(self, worker: WorkerProcess, deadline: float) -> bytes:
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

    async def _watch_memory(self, worker: WorkerProcess) -> None:
        while True:
            if resident_bytes(worker.pid) > self._max_memory:
                worker.over_memory = True
                worker.kill()
                return
            await asyncio.sleep(MEMORY_CHECK_SECONDS)

    async def _acquire(self, priority: Priority) -> WorkerProcess:
        if self._closed:
            raise _stopping()
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
        future: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._numbers), future))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give(future.result())
            self._waiting = [entry for entry in self._waiting if entry[2] is not future]
            heapq.heapify(self._waiting)
            raise

    def _release(self, worker: WorkerProcess, *, well: bool) -> None:
        worker.retired = well and worker.jobs >= JOBS_PER_WORKER
        if well and worker.alive and not worker.retired:
            self._give(worker)
        else:
            worker.kill()

    def _give(self, worker: WorkerProcess) -> None:
        """Hand a worker to the first who waits, or keep it for the next."""
        while self._waiting:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(worker)
                return
        self._idle.append(worker)

    async def _keep(self, worker: WorkerProcess) -> None:
        """See to it that there is a worker in this place: whenever it is gone, for whatever reason, start another."""
        try:
            while True:
                await worker.gone()
                self._all.discard(worker)
                if worker in self._idle:
                    self._idle.remove(worker)
                self.restarts += 1
                tell = log.info if worker.retired else log.warning
                tell(
                    "a worker is replaced",
                    pid=worker.pid,
                    status=worker.exit_status,
                    jobs=worker.jobs,
                    image_id=worker.image_id,
                    last_words=worker.last_words.decode(errors="replace"),
                )
                worker = await self._start_anew()
                self._all.add(worker)
                self._give(worker)
        finally:
            await worker.end()
            self._all.discard(worker)

    async def _start_anew(self) -> WorkerProcess:
        while True:
            try:
                return await WorkerProcess.start(self._concurrency)
            except (OSError, RuntimeError, TimeoutError) as error:
                log.warning("a worker could not be started", detail=str(error))
                await asyncio.sleep(RESTART_SECONDS)


def _stopping() -> WorkerCrashedError:
    return WorkerCrashedError("no worker takes this photo: the service is stopping")
