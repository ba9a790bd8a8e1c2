"""Who gets which connection, and when: free ones, and a bounded queue of those who wait, first come, first served.

It knows nothing of PostgreSQL and does no I/O.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from souk_common.postgres.errors import AcquireTimeoutError, PoolFullError, PostgresError
from souk_common.telemetry.metrics import Buckets

MIN_RETRY_SECONDS = 0.01
WEIGHT = 0.05
"""Of the latest use in the mean seconds of a use."""


class Slot(Protocol):
    """What is lent: it carries when it was handed out last, and given back last."""

    taken: float
    used: float


T = TypeVar("T", bound=Slot)
Waiter = asyncio.Future[T]


class Slots(Generic[T]):
    """Lends what it is given, each to one caller at a time. While somebody waits, nothing is free.

    max_waiting: callers that wait at once; the next is refused. timeout: seconds that one waits.
    """

    def __init__(self, *, name: str, size: int, max_waiting: int, timeout: float, clock: Callable[[], float]) -> None:
        self._name = name
        self._size = size
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._clock = clock
        self._waiters: deque[tuple[Waiter[T], float]] = deque()
        self.free: list[T] = []
        """The one that was used last is at the end, and is lent first: the others may go when they idle."""
        self.service_seconds = 0.0
        """The mean of late uses, from the hand-out to the return."""
        self.waits = Buckets()
        """Seconds that callers waited, of those who had to and got one."""
        self.acquired = 0
        self.refused = 0
        self.timeouts = 0

    @property
    def waiting(self) -> int:
        """Callers that wait."""
        return len(self._waiters)

    def take(self) -> T | None:
        """A free one, at once; None: `join` the queue. The hot path."""
        if not self.free:
            return None
        slot = self.free.pop()
        slot.taken = self._clock()
        self.acquired += 1
        return slot

    def join(self) -> Waiter[T]:
        """Wait in the queue: await what is returned, and `leave` if that ends with an exception."""
        if len(self._waiters) >= self._max_waiting:
            self.refused += 1
            text = f"{len(self._waiters)} callers wait for one of {self._size} connections, and no more may"
            raise PoolFullError(text, pool=self._name, retry_delay=self.retry_delay())
        waiter: Waiter[T] = asyncio.get_running_loop().create_future()
        self._waiters.append((waiter, self._clock()))
        return waiter

    def leave(self, waiter: Waiter[T]) -> T | None:
        """The one who awaited it was interrupted. What it had been handed already is returned: give it on."""
        for position, (queued, _) in enumerate(self._waiters):
            if queued is waiter:
                del self._waiters[position]
                return None
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            return waiter.result()
        return None

    def give(self, slot: T, now: float) -> None:
        """Lend it to who has waited longest, or keep it free."""
        while self._waiters:
            waiter, since = self._waiters.popleft()
            if not waiter.done():  # else its task is canceled, and has not run yet
                slot.taken = now
                self.acquired += 1
                self.waits.record(now - since)
                waiter.set_result(slot)
                return
        self.free.append(slot)

    def end_use(self, slot: T) -> float:
        """A caller is done with it: learn how long a use takes. The time it is."""
        slot.used = now = self._clock()
        self.service_seconds += (now - slot.taken - self.service_seconds) * WEIGHT
        return now

    def withdraw(self, slot: T) -> bool:
        """Take it out of what is free; False where it is not."""
        if slot not in self.free:
            return False
        self.free.remove(slot)
        return True

    def expire(self) -> float | None:
        """Fail those who have waited for too long. Seconds until the next will have; None where nobody waits."""
        now = self._clock()
        while self._waiters:
            waiter, since = self._waiters[0]
            rest = since + self._timeout - now
            if rest > 0:
                return rest
            self._waiters.popleft()
            if not waiter.done():
                self.timeouts += 1
                text = f"none of {self._size} connections came free within {self._timeout:g} s"
                waiter.set_exception(AcquireTimeoutError(text, pool=self._name, retry_delay=self.retry_delay()))
        return None

    def fail_all(self, error: Callable[[], PostgresError]) -> None:
        """Fail all who wait, each with an error of its own."""
        waiters, self._waiters = self._waiters, deque()
        for waiter, _ in waiters:
            if not waiter.done():
                waiter.set_exception(error())

    def retry_delay(self) -> float:
        """Seconds until the queue of now will have been served, at the pace of late."""
        return min(self._timeout, max(MIN_RETRY_SECONDS, (len(self._waiters) + 1) * self.service_seconds / self._size))
