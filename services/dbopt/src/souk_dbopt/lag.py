"""How far a replica is behind its primary, by where the primary was when."""

from collections import deque

SPAN = 2.0
"""Times the lag at which a replica takes no reads: for so long it is known when the primary was where."""
LEAST_SPAN = 60.0
"""Seconds."""
PLACES = 600
"""That are kept of the span, at the most: lag is true to a six-hundredth of it."""


class PrimaryLog:
    """Places that the primary had reached, kept for a time, however often they are looked at.

    A replica is behind since the primary was first further than it is. One that is behind for longer than is kept is behind for at
    least as long.
    """

    def __init__(self, max_lag: float) -> None:
        """max_lag: seconds of lag that must be told apart from less."""
        self._span = max(LEAST_SPAN, max_lag * SPAN)
        self._places: deque[tuple[float, int]] = deque()
        """(when, place), each further than the one before."""
        self._newest = (0.0, -1)

    def add(self, now: float, lsn: int) -> None:
        """The primary is there. After a failover that may be less far than the one before had been."""
        places = self._places
        while places and places[-1][1] > lsn:
            places.pop()
        self._newest = (now, lsn)
        if not places or (lsn > places[-1][1] and now - places[-1][0] >= self._span / PLACES):
            places.append(self._newest)
        while len(places) > 1 and now - places[1][0] >= self._span:
            places.popleft()

    def behind(self, now: float, lsn: int) -> tuple[float | None, int]:
        """(seconds, bytes) that a replica that has replayed up to there is behind. None: nothing is known of the primary."""
        if not self._places:
            return None, 0
        newest = self._newest
        further = next((when for when, written in (*self._places, newest) if written > lsn), None)
        return (0.0 if further is None else now - further), max(0, newest[1] - lsn)
