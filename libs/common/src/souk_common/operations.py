"""Operations: work that goes on after its call has returned. Those of one node, at work and over, bounded in number and time."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping
from contextvars import Context
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count
from typing import Any

import grpc
import structlog

from souk_common.errors import ErrorTable, ServiceError, internal, new_error_id, shutting_down, translate
from souk_common.telemetry import names
from souk_common.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)
PROGRESS_EVERY = 0.5
"""Seconds between two looks at how far an operation is, for who watches it."""
RETRY_SECONDS = 5.0
"""When to come again where a node has as many operations as it takes."""


class State(Enum):
    """Where an operation is."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OVER = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an operation is. `counts` say what came of the units that are done with."""

    total: int = 0
    done: int = 0
    unit: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """What an operation does."""

    method: str
    """The rpc that asks for it, as "souk.cache.v1.CacheService/Warm"."""
    target: str
    """What it is about."""
    run: Callable[[], Coroutine[Any, Any, None]]
    """Does it, in a task without the context of the call. Lets go of what it holds where it is cancelled; what it raises is what
    the operation fails with."""
    look: Callable[[], Progress]
    """Tells how far it is; asked while it runs, and once when it has ended."""
    time_limit: float
    """Seconds after which it is cancelled."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as it is at one moment. Times are in seconds since the epoch."""

    operation_id: str
    number: int
    """Grows with each operation of its node."""
    method: str
    target: str
    principal: str
    state: State
    create_time: float
    deadline_time: float
    start_time: float | None = None
    end_time: float | None = None
    progress: Progress = field(default_factory=Progress)
    error: ServiceError | None = None
    """Why it did not succeed."""

    @property
    def over(self) -> bool:
        """It has ended, and changes no more."""
        return self.state in OVER


@dataclass(eq=False, slots=True)
class _Entry:
    operation: Operation
    look: Callable[[], Progress] | None
    request: tuple[str, str]
    """(principal, request_id)"""
    fingerprint: bytes
    task: asyncio.Task[None] | None = None
    alarm: asyncio.TimerHandle | None = None
    why: ServiceError | None = None
    """Why it is being stopped. A task is cancelled once, so that nothing cuts its tidying short."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> Operation:
        return self.operation if self.look is None else replace(self.operation, progress=self.look())

    def change(self, **fields: Any) -> None:
        self.operation = replace(self.operation, **fields)
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Operations:
    """The operations of one node. Open it as a context manager; leaving it ends them."""

    def __init__(
        self,
        node: str,
        errors: ErrorTable,
        *,
        max_active: int,
        max_kept: int,
        retention: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """max_active: operations at work at once. max_kept, retention: so many that are over are kept, for so many seconds.
        clock: seconds since the epoch.
        """
        self.node = node
        self.life = secrets.token_hex(8)
        """Of this registry alone; another one may be of the same node, after a restart."""
        self._errors = errors
        self._max_active = max_active
        self._max_kept = max_kept
        self._retention = retention
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        """By id, the oldest first."""
        self._requests: dict[tuple[str, str], _Entry] = {}
        self._active: set[_Entry] = set()
        self._over: dict[str, _Entry] = {}
        """By id, in the order in which they ended."""
        self._numbers = count(1)
        self._ended: dict[tuple[str, str], int] = {}
        """(method, state) -> how many."""
        self._draining = False

    async def __aenter__(self) -> "Operations":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain()

    def register(self, metrics: Metrics) -> None:
        """Export how many there are."""
        metrics.gauge(names.OPERATIONS_ACTIVE, "{operation}", "Operations at work.", lambda: len(self._active))
        metrics.counters(
            names.OPERATIONS_ENDED,
            "{operation}",
            "Operations that are over, by what asked for them and how they ended.",
            lambda: [
                (number, {names.METHOD: method, names.OPERATION_STATE: state}) for (method, state), number in self._ended.items()
            ],
        )

    def start(self, work: Work, *, principal: str = "", request_id: str = "", fingerprint: bytes = b"") -> Operation:
        """Take an operation, and let it begin; the first one where this principal has used this request_id before.

        ServiceError: REQUEST_ID_REUSED where that was with another fingerprint, TOO_MANY_OPERATIONS, SHUTTING_DOWN.
        """
        self._forget()
        request = (principal, request_id)
        first = self._requests.get(request) if request_id else None
        if first is not None:
            if first.fingerprint != fingerprint:
                raise _request_id_reused()
            return first.now()
        if self._draining:
            raise shutting_down()
        if len(self._active) >= self._max_active:
            raise _too_many(self._max_active)
        now = self._clock()
        operation = Operation(
            f"{self.node}/{secrets.token_hex(8)}",
            next(self._numbers),
            work.method,
            work.target,
            principal,
            State.PENDING,
            create_time=now,
            deadline_time=now + work.time_limit,
        )
        entry = _Entry(operation, work.look, request, fingerprint)
        self._entries[operation.operation_id] = entry
        self._active.add(entry)
        if request_id:
            self._requests[request] = entry
        # In a context of its own: the call's deadline and trace end with the call.
        task = asyncio.create_task(self._run(entry, work), name=f"operation-{operation.operation_id}", context=Context())
        entry.task = task
        entry.alarm = asyncio.get_running_loop().call_later(work.time_limit, self._stop, entry, _deadline_exceeded())
        task.add_done_callback(lambda task: self._end(entry, task))
        return entry.now()

    def get(self, operation_id: str) -> Operation:
        """An operation as it is now. ServiceError: OPERATION_NOT_FOUND, OPERATION_ELSEWHERE."""
        return self._entry(operation_id).now()

    def list(self, states: Collection[State], *, before: int | None, size: int) -> list[Operation]:
        """Up to `size` operations in one of `states` (none: all), the newest first, whose number is smaller than `before`."""
        self._forget()
        found: list[Operation] = []
        for entry in reversed(self._entries.values()):
            operation = entry.operation
            if (before is None or operation.number < before) and (not states or operation.state in states):
                found.append(entry.now())
                if len(found) == size:
                    break
        return found

    async def cancel(self, operation_id: str, *, principal: str = "") -> Operation:
        """Stop an operation, and return it when it is over. One that is over stays as it is. ServiceError as get."""
        entry = self._entry(operation_id)
        self._stop(entry, _cancelled(principal))
        if entry.task is not None:
            await asyncio.wait({entry.task})
        return entry.now()

    async def watch(self, operation_id: str) -> AsyncGenerator[Operation, None]:
        """An operation as it is now, then when it has changed, until it is over. ServiceError as get."""
        entry = self._entry(operation_id)
        told: Operation | None = None
        while True:
            changed = entry.changed
            now = entry.now()
            if now != told:
                told = now
                yield now
            if now.over:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROGRESS_EVERY):
                    await changed.wait()

    async def drain(self) -> None:
        """End every operation because the node stops, and take no more."""
        self._draining = True
        tasks = [entry.task for entry in self._active if entry.task is not None]
        for entry in list(self._active):
            self._stop(entry, _node_stopped())
        if tasks:
            await asyncio.wait(tasks)

    # Inside

    async def _run(self, entry: _Entry, work: Work) -> None:
        entry.change(state=State.RUNNING, start_time=self._clock())
        await work.run()

    def _stop(self, entry: _Entry, why: ServiceError) -> None:
        if entry.why is None and entry.task is not None and not entry.task.done():
            entry.why = why
            entry.task.cancel()

    def _end(self, entry: _Entry, task: asyncio.Task[None]) -> None:
        error = self._error(entry, task)
        state = State.SUCCEEDED
        if error is not None:
            state = State.CANCELLED if error.reason == "OPERATION_CANCELLED" else State.FAILED
        progress = entry.look() if entry.look is not None else Progress()
        entry.look = entry.task = None
        if entry.alarm is not None:
            entry.alarm.cancel()
        entry.change(state=state, end_time=self._clock(), progress=progress, error=error)
        operation = entry.operation
        self._active.discard(entry)
        self._over[operation.operation_id] = entry
        counted = (operation.method, state.name)
        self._ended[counted] = self._ended.get(counted, 0) + 1
        self._forget()
        tell = log.warning if state is State.FAILED else log.info
        tell(
            names.EVENT_OPERATION,
            operation=operation.operation_id,
            method=operation.method,
            target=operation.target,
            principal=operation.principal,
            state=state.name,
            reason=error.reason if error else "",
            duration_ms=round(((operation.end_time or 0.0) - operation.create_time) * 1000),
            total=progress.total,
            **progress.counts,
        )

    def _error(self, entry: _Entry, task: asyncio.Task[None]) -> ServiceError | None:
        raised = entry.why if task.cancelled() else task.exception()
        if raised is None and not task.cancelled():
            return None
        told = translate(raised, self._errors) if isinstance(raised, Exception) else None
        if told is None:
            told = internal(new_error_id())
            log.error("unforeseen error", error_id=told.metadata["error_id"], method=entry.operation.method, exc_info=raised)
        return told

    def _entry(self, operation_id: str) -> _Entry:
        self._forget()
        entry = self._entries.get(operation_id)
        if entry is not None:
            return entry
        node, _, _ = operation_id.rpartition("/")
        raise _elsewhere(node, self.node) if node and node != self.node else _not_found(operation_id)

    def _forget(self) -> None:
        """Let go of what is over for too long, or too much."""
        limit = self._clock() - self._retention
        while self._over:
            operation_id, entry = next(iter(self._over.items()))
            if len(self._over) <= self._max_kept and (entry.operation.end_time or 0.0) > limit:
                return
            del self._over[operation_id], self._entries[operation_id]
            self._requests.pop(entry.request, None)


def _not_found(operation_id: str) -> ServiceError:
    text = f"there is no operation {operation_id} here, or it is forgotten"
    return ServiceError(grpc.StatusCode.NOT_FOUND, "OPERATION_NOT_FOUND", text)


def _elsewhere(node: str, here: str) -> ServiceError:
    text = f"the operation is of the node {node}, and this is {here}"
    return ServiceError(grpc.StatusCode.NOT_FOUND, "OPERATION_ELSEWHERE", text, metadata={"node": node, "answered_by": here})


def _cancelled(principal: str) -> ServiceError:
    text = "the operation was cancelled"
    return ServiceError(grpc.StatusCode.CANCELLED, "OPERATION_CANCELLED", text, metadata={"principal": principal})


def _deadline_exceeded() -> ServiceError:
    text = "the operation took longer than it may; what was not done is left"
    return ServiceError(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", text)


def _node_stopped() -> ServiceError:
    text = "the node of the operation was stopped; what was not done is left"
    return ServiceError(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", text)


def _too_many(limit: int) -> ServiceError:
    text = f"this node has {limit} operations at work and takes no more"
    return ServiceError(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_OPERATIONS",
        text,
        metadata={"limit": str(limit)},
        retry_delay=RETRY_SECONDS,
    )


def _request_id_reused() -> ServiceError:
    text = "the request_id was used before, for another request"
    return ServiceError(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED", text)
