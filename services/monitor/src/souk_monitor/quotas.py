"""How much a project may send: a bucket that fills evenly and holds what may come in a minute (token bucket)."""

from collections.abc import Callable

MINUTE = 60.0


class Quotas:
    """The buckets of all projects, on this node."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: seconds, that never go back."""
        self._clock = clock
        self._buckets: dict[int, tuple[float, float]] = {}
        """By project: (events that may still come, when that was)."""

    def take(self, project: int, events: int, per_minute: int) -> float:
        """Count events, and return 0; or take none, and return in how many seconds as many may come. per_minute 0: no limit.

        A call with more events than may come in a minute passes where the bucket is full, and leaves a debt.
        """
        if per_minute <= 0:
            return 0.0
        now, rate = self._clock(), per_minute / MINUTE
        left, then = self._buckets.get(project, (float(per_minute), now))
        left = min(float(per_minute), left + (now - then) * rate)
        wanted = min(events, per_minute)
        if left < wanted:
            self._buckets[project] = (left, now)
            return (wanted - left) / rate
        self._buckets[project] = (left - events, now)
        return 0.0
