"""How much may come from whom: a bucket for each that fills evenly and holds what may come in a minute (token bucket)."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

MINUTE = 60.0
K = TypeVar("K", bound=Hashable)


class Quotas(Generic[K]):
    """The buckets of all who send, on this node."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: seconds, that never go back."""
        self._clock = clock
        self._buckets: dict[K, tuple[float, float]] = {}
        """By who sends: (how many may still come, when that was)."""

    def __len__(self) -> int:
        """How many are known."""
        return len(self._buckets)

    def clear(self) -> None:
        """Know nobody any more."""
        self._buckets.clear()

    def take(self, sender: K, events: int, per_minute: int) -> float:
        """Count events, and return 0; or take none, and return in how many seconds as many may come. per_minute 0: no limit.

        A call with more events than may come in a minute passes where the bucket is full, and leaves a debt.
        """
        if per_minute <= 0:
            return 0.0
        now, rate = self._clock(), per_minute / MINUTE
        left, then = self._buckets.get(sender, (float(per_minute), now))
        left = min(float(per_minute), left + (now - then) * rate)
        wanted = min(events, per_minute)
        if left < wanted:
            self._buckets[sender] = (left, now)
            return (wanted - left) / rate
        self._buckets[sender] = (left - events, now)
        return 0.0

    def give_back(self, sender: K, events: int) -> None:
        """Events that were counted do not come."""
        if sender in self._buckets:
            left, then = self._buckets[sender]
            self._buckets[sender] = (left + events, then)
