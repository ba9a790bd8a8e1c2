"""How much of the time warming takes: a small share while others read and the process is busy, more where it would be idle, and all
of it alone."""

import time
from collections.abc import Callable
from pathlib import Path

SHARE, IDLE_SHARE = 0.08, 0.2
"""Of this thread's time while others read: where the process has no time left, and the most, where it has. With half of the time,
the median of 200 reads a second took 30 % longer; with a fifth 5 to 10 %."""
BUSY = 0.75
"""The process is left to others from this share of its processor on."""
LOOK_EVERY = 0.05
"""Seconds between two looks at how busy it is."""
QUIET_AFTER = 0.1
"""Seconds without a read after which nobody reads."""
_STEP_UP, _STEP_DOWN = 1.2, 0.6
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def processor() -> float:
    """The share of one processor that this process may use: less than 1 where its container has a smaller quota."""
    try:
        quota, period = _QUOTA.read_text().split()
        return min(1.0, int(quota) / int(period))
    except (OSError, ValueError):  # no cgroup of version 2, or "max"
        return 1.0


class Pace:
    """Told of what was spent, says how long to pause."""

    def __init__(
        self,
        *,
        capacity: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        """capacity: of a processor, that this process may use. used: seconds of CPU that it has used."""
        self.share = SHARE
        self._capacity = capacity
        self._clock = clock
        self._used = used
        self._reads = 0
        self._read_at = float("-inf")
        self._looked = clock(), used()

    @property
    def alone(self) -> bool:
        """Nobody reads."""
        return self._clock() - self._read_at >= QUIET_AFTER

    def pause(self, spent: float, reads: int) -> float:
        """Seconds to leave to others after a step that cost them `spent` seconds. reads: how many there were, since ever."""
        now = self._clock()
        if reads != self._reads:
            self._reads, self._read_at = reads, now
        at, used = self._looked
        if now - at >= LOOK_EVERY:
            total = self._used()
            busy = (total - used) / (now - at) / self._capacity
            self.share = max(SHARE, self.share * _STEP_DOWN) if busy >= BUSY else min(IDLE_SHARE, self.share * _STEP_UP)
            self._looked = now, total
        return 0.0 if self.alone else spent * (1 / self.share - 1)
