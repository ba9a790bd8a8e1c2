"""What explaining may cost: a bucket of database seconds, filled by a share of those that queries took."""

import time
from collections.abc import Callable

MOST = 60.0
"""Seconds that are saved up at the most."""


class PlanBudget:
    """A token bucket (as in Turner, "New Directions in Communications", 1986) of seconds. Each node has its own, filled by what it
    counted itself, so that all of them together spend no more than the share."""

    def __init__(self, *, share: float, connections: int, clock: Callable[[], float] = time.time) -> None:
        """share: of the database's time, 0 to 1. connections: that this node has; what queries took includes their wait for one,
        and the database cannot have been at more of them at once."""
        self._share = share
        self._connections = connections
        self._clock = clock
        self._counted = 0.0
        self._filled = clock()
        self.left = 0.0
        """Seconds. Less than 0 where something took longer than was left."""
        self.spent = 0.0
        """Seconds, since the node was started."""

    def fill(self, counted: float) -> None:
        """Take the share of what was added. counted: seconds of all queries of this node since it was started."""
        now = self._clock()
        added = min(counted - self._counted, max(0.0, now - self._filled) * self._connections)
        self._counted, self._filled = counted, now
        self.left = min(MOST, self.left + self._share * added)

    def charge(self, seconds: float) -> None:
        """Something took so long."""
        self.left -= seconds
        self.spent += seconds
