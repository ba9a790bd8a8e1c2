"""Slow calls as they happen, for those who watch."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from souk_dbopt.routing import Role

NOBODY = float("inf")


@dataclass(frozen=True, slots=True)
class SlowCall:
    """A call that took its time."""

    fingerprint: str
    end_time: float
    """Seconds since 1970."""
    seconds: float
    rows: int
    parameters: str
    """A JSON object, without those that are sensitive."""
    role: Role | None
    """Of the server that answered; None where none did."""
    trace_id: str
    """32 hexadecimal digits, or nothing."""


class SlowCalls:
    """Those who watch the slow calls of a node."""

    def __init__(self, *, threshold: float, max_waiting: int, trace_id: Callable[[], str]) -> None:
        """threshold: seconds from which on a call is slow, for who says nothing else. max_waiting: calls that wait to be taken by
        one who watches. trace_id: of the trace that is under way."""
        self._default = threshold
        self._max_waiting = max_waiting
        self._watchers: set[SlowCallWatcher] = set()
        self.trace_id = trace_id
        self.threshold = NOBODY
        """Seconds from which on somebody wants to be told; the hot path looks at this alone."""

    def __len__(self) -> int:
        return len(self._watchers)

    def watch(self, *, threshold: float | None = None, fingerprint: str = "") -> "SlowCallWatcher":
        """The calls from now on that took so many seconds; of one query, or of all. Open it as a context manager."""
        return SlowCallWatcher(self, self._default if threshold is None else threshold, fingerprint, self._max_waiting)

    def tell(self, call: SlowCall) -> None:
        """A call is over."""
        for watcher in self._watchers:
            if call.seconds >= watcher.threshold and watcher.fingerprint in ("", call.fingerprint):
                watcher.tell(call)

    def _joined(self, watcher: "SlowCallWatcher") -> None:
        self._watchers.add(watcher)
        self._look()

    def _left(self, watcher: "SlowCallWatcher") -> None:
        self._watchers.discard(watcher)
        self._look()

    def _look(self) -> None:
        self.threshold = min((each.threshold for each in self._watchers), default=NOBODY)


class SlowCallWatcher:
    """One who watches. Iterate over it for (call, how many before it were missed); a slow one delays nobody, and misses some."""

    def __init__(self, owner: SlowCalls, threshold: float, fingerprint: str, max_waiting: int) -> None:
        self._owner = owner
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[SlowCall, int]] = deque()
        self._missed = 0
        self._come = asyncio.Event()
        self.threshold = threshold
        self.fingerprint = fingerprint

    def __enter__(self) -> Self:
        self._owner._joined(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._owner._left(self)

    def tell(self, call: SlowCall) -> None:
        """Have it told of a call, unless too many wait already."""
        if len(self._waiting) >= self._max_waiting:
            self._missed += 1
            return
        self._waiting.append((call, self._missed))
        self._missed = 0
        self._come.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[SlowCall, int]:
        while not self._waiting:
            self._come.clear()
            await self._come.wait()
        return self._waiting.popleft()
