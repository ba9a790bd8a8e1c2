"""The way of events into the store: made ready, queued, committed in groups."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from types import TracebackType
from typing import NamedTuple, Protocol, Self, TypeAlias

import structlog
from souk_common.postgres import (
    ConflictError,
    ConstraintError,
    InvalidDataError,
    LockTimeoutError,
    MisuseError,
    PostgresError,
    ProgramLimitError,
    StatementTimeoutError,
    UnavailableError,
)

from souk_monitor.events import Event
from souk_monitor.exceptions import QueueFullError, QuotaExceededError, StoreUnavailableError
from souk_monitor.preparing import Prepared, Preparer
from souk_monitor.projects import Project
from souk_monitor.quotas import Quotas

log = structlog.get_logger(__name__)
TURN_SECONDS = 0.005
"""Events are made ready for so long before others have their turn in the event loop."""
RETRY_SECONDS = 1.0
DATA_ERRORS = (InvalidDataError, ConstraintError, MisuseError, ProgramLimitError)
"""Those that one event of a batch is to blame for."""
PASSING_ERRORS = (UnavailableError, ConflictError, LockTimeoutError, StatementTimeoutError)
"""Those that a second attempt may not meet."""


class Stored(NamedTuple):
    """An event that is committed."""

    event_id: str
    issue_id: str
    new_issue: bool
    """The issue is new with it. Never of a repeat."""
    repeated: bool
    """It was stored before, and is counted once."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that cannot be stored; a repeat would not help."""

    event_id: str
    reason: str
    """A name of ErrorReason without its prefix, as MALFORMED."""
    message: str


Outcome: TypeAlias = Stored | Rejected


class Events(Protocol):
    """Events in their order, each made as it is asked for: one that is made ready at once is still in the processor's caches, and
    of a list of large ones the first would not be."""

    def __len__(self) -> int:
        """How many there are, with those that turn out to be none."""

    def __iter__(self) -> Iterator[Event | Rejected]:
        """Each event, or why it is none."""


class EventStore(Protocol):
    """Where events are kept."""

    async def write(self, events: Sequence[Prepared]) -> list[Stored]:
        """Store events in one transaction, each once; what became of them, in their order. PostgresError: none is surely stored."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The limits of what waits."""

    events: int = 20_000
    bytes: int = 64 * 1024 * 1024
    writers: int = 2
    """Transactions at once."""
    batch_events: int = 500
    batch_bytes: int = 8 * 1024 * 1024
    delay: float = 0.01
    """Seconds that an event waits for others."""
    patience: float = 3.0
    """Seconds that events are tried to be stored again."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """The events of a call that wait together."""

    events: list[Prepared]
    size: int
    answer: "asyncio.Future[list[Outcome]]"


class Counts:
    """What the pipeline has done."""

    def __init__(self) -> None:
        self.stored = 0
        self.repeated = 0
        self.rejected = 0
        self.turned_away = 0
        """For a full queue or a quota."""
        self.failed = 0
        """Because the database did not answer."""
        self.batches = 0


class Pipeline:
    """Stores events. Open it as a context manager; leaving it stores what waits, and takes no more."""

    def __init__(
        self,
        store: EventStore,
        preparer: Preparer,
        queue: Queue = Queue(),
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._preparer = preparer
        self._queue = queue
        self._clock = clock
        self._now = now
        self._quotas: Quotas[int] = Quotas(clock)
        self._waiting: deque[_Waiting] = deque()
        self._came = asyncio.Event()
        self._writers: list[asyncio.Task[None]] = []
        self._closing = False
        self._down = False
        self.counts = Counts()
        self.events = 0
        """That wait or are being stored."""
        self.bytes = 0

    async def __aenter__(self) -> Self:
        self._writers = [asyncio.create_task(self._write(), name=f"write-events-{n}") for n in range(self._queue.writers)]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing = True
        self._came.set()
        await asyncio.gather(*self._writers)

    async def submit(self, project: Project, events: Events) -> list[Outcome]:
        """Scrub, group, classify and store events, and return when they are committed; the outcomes are in their order.

        QueueFullError, QuotaExceededError: nothing of the call is stored. StoreUnavailableError: what is stored is not known. A
        repeat with the same event ids counts nothing twice.
        """
        return await self.submit_all([(project, events)])

    async def submit_all(self, parts_of: Sequence[tuple[Project, Events]]) -> list[Outcome]:
        """`submit` for the events of several projects: the quota of one turns all of them away, before any is stored."""
        count = sum(len(events) for _, events in parts_of)
        if self._closing or self.events + count > self._queue.events or self.bytes >= self._queue.bytes:
            self.counts.turned_away += count
            raise QueueFullError(self._drain_seconds())
        self._take_quotas(parts_of, count)
        self.events += count
        size = 0
        try:
            ready = [each for project, events in parts_of for each in await self._prepare(project, events)]
            prepared = [each for each in ready if isinstance(each, Prepared)]
            size = sum(len(each.body) for each in prepared)
            self.bytes += size
            parts = [self._enqueue(part) for part in self._parts(prepared)]
            answers = await asyncio.gather(*(part.answer for part in parts))
        finally:
            self.events -= count
            self.bytes -= size
        stored = chain.from_iterable(answers)
        return [each if isinstance(each, Rejected) else next(stored) for each in ready]

    def _take_quotas(self, parts_of: Sequence[tuple[Project, Events]], count: int) -> None:
        """Of all projects, or of none."""
        for number, (project, events) in enumerate(parts_of):
            wait = self._quotas.take(project.number, len(events), project.options.events_per_minute)
            if wait:
                for taken, its in parts_of[:number]:
                    self._quotas.give_back(taken.number, len(its))
                self.counts.turned_away += count
                raise QuotaExceededError(project.name, wait)

    async def _prepare(self, project: Project, events: Events) -> list[Prepared | Rejected]:
        ready: list[Prepared | Rejected] = []
        received = self._now()
        start = time.perf_counter()
        for event in events:
            ready.append(event if isinstance(event, Rejected) else self._preparer.prepare(project, event, received))
            if time.perf_counter() - start > TURN_SECONDS:
                await asyncio.sleep(0)
                start = time.perf_counter()
        self._quotas.give_back(project.number, sum(isinstance(each, Rejected) for each in ready))
        return ready

    def _parts(self, events: list[Prepared]) -> list[list[Prepared]]:
        """In pieces that a transaction takes whole."""
        parts: list[list[Prepared]] = []
        size = 0
        for event in events:
            is_full = not parts or len(parts[-1]) == self._queue.batch_events
            if is_full or (size and size + len(event.body) > self._queue.batch_bytes):
                parts.append([])
                size = 0
            parts[-1].append(event)
            size += len(event.body)
        return parts

    def _enqueue(self, events: list[Prepared]) -> _Waiting:
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(events, sum(len(event.body) for event in events), answer)
        self._waiting.append(waiting)
        self._came.set()
        return waiting

    def _drain_seconds(self) -> float:
        """When there may be room again."""
        return RETRY_SECONDS * (3 if self._down else 1)

    # Writing

    async def _write(self) -> None:
        while True:
            await self._came.wait()
            if not self._waiting:
                if self._closing:
                    return
                self._came.clear()
                continue
            if not self._closing and not self._is_full():
                await asyncio.sleep(self._queue.delay)
            batch = self._take()
            if batch:
                await self._answer(batch)

    def _is_full(self) -> bool:
        return sum(len(waiting.events) for waiting in self._waiting) >= self._queue.batch_events

    def _take(self) -> list[_Waiting]:
        """The next batch: calls whose callers still wait."""
        batch: list[_Waiting] = []
        events = size = 0
        while self._waiting:
            first = self._waiting[0]
            if batch and (events + len(first.events) > self._queue.batch_events or size + first.size > self._queue.batch_bytes):
                break
            self._waiting.popleft()
            if not first.answer.done():
                batch.append(first)
                events += len(first.events)
                size += first.size
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        events = [event for waiting in batch for event in waiting.events]
        try:
            outcomes = await self._store_all(events)
        except PostgresError as error:
            self._tell(error)
            self.counts.failed += len(events)
            _fail(batch, StoreUnavailableError(self._drain_seconds()))
            return
        except Exception as error:  # noqa: BLE001 — it is raised where they are awaited, and the writer goes on for others
            _fail(batch, error)
            return
        self._tell(None)
        first = 0
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_result(outcomes[first : first + len(waiting.events)])
            first += len(waiting.events)

    async def _store_all(self, events: list[Prepared]) -> list[Outcome]:
        """All of them, but for those that the database does not take, which are found by halves."""
        try:
            stored = await self._store_patiently(events)
        except DATA_ERRORS as error:
            if len(events) == 1:
                self.counts.rejected += 1
                log.warning("an event was not stored", event_id=events[0].event_id, problem=str(error))
                return [Rejected(events[0].event_id, "MALFORMED", "the store does not take it")]
            half = len(events) // 2
            return [*await self._store_all(events[:half]), *await self._store_all(events[half:])]
        self.counts.batches += 1
        repeated = sum(each.repeated for each in stored)
        self.counts.repeated += repeated
        self.counts.stored += len(stored) - repeated
        return list(stored)

    async def _store_patiently(self, events: list[Prepared]) -> list[Stored]:
        """Again where that may help. A commit that was done and not answered for does no harm: events are counted once."""
        deadline = self._clock() + self._queue.patience
        pause = 0.05
        while True:
            try:
                return await self._store.write(events)
            except PASSING_ERRORS:
                if self._closing or self._clock() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _tell(self, error: PostgresError | None) -> None:
        """The log has it once when events cannot be stored, and once when they can again."""
        down = error is not None
        if down != self._down:
            self._down = down
            tell = log.warning if down else log.info
            tell("events", stored=not down, problem=str(error or ""))


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
            waiting.answer.exception()  # its caller may have gone
