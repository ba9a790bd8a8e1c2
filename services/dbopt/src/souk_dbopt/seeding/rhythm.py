"""When things happen in a marketplace: more from month to month, less at night, most on Sundays."""

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate

from souk_dbopt.seeding.chance import TWO_32, Dice

DAYS = 730
"""How long the marketplace has been open."""
GROWTH = 5.0
"""So many times as much happens on the last day as on the first."""
BY_WEEKDAY = (1.0, 0.95, 0.95, 1.0, 0.9, 1.1, 1.3)
BY_HOUR = (8, 5, 3, 2, 2, 3, 6, 14, 25, 36, 44, 48, 52, 50, 46, 45, 48, 54, 64, 78, 86, 74, 48, 22)
DAY_MICROSECONDS = 86_400_000_000
_HOUR_MICROSECONDS = DAY_MICROSECONDS // 24
_MINUTES = tuple(f" {minute // 60:02d}:{minute % 60:02d}:" for minute in range(24 * 60))


class Rhythm:
    """Turns the age of the marketplace, from 0 where it opens up to 1 at the end, into times.

    Ages grow evenly with what happens: from 0.8 to 0.9 as many orders are placed as from 0.1 to 0.2, in fewer days.
    The end is 00:00 UTC of the day `end`.
    """

    def __init__(self, end: date, seed: int) -> None:
        self._start = end - timedelta(days=DAYS)
        dice = Dice(seed, "days")
        weights = [
            (1 + (GROWTH - 1) * day / (DAYS - 1))
            * BY_WEEKDAY[(self._start + timedelta(days=day)).weekday()]
            * (0.9 + 0.2 * (dice.bits(day) % TWO_32) / TWO_32)
            for day in range(DAYS)
        ]
        self._days = _shares(weights)
        self._hours = _shares(BY_HOUR)
        self._names = [(self._start + timedelta(days=day)).isoformat() for day in range(DAYS)]
        opened = datetime.combine(self._start, datetime.min.time(), UTC)
        self._opened = int(opened.timestamp()) * 1_000_000

    def moment(self, age: float) -> int:
        """Microseconds since the marketplace opened. It never falls as the age grows."""
        day = min(DAYS - 1, bisect_right(self._days, age) - 1)
        within = (age - self._days[day]) / (self._days[day + 1] - self._days[day])
        hour = min(23, bisect_right(self._hours, within) - 1)
        part = (within - self._hours[hour]) / (self._hours[hour + 1] - self._hours[hour])
        return day * DAY_MICROSECONDS + min(DAY_MICROSECONDS - 1, int((hour + part) * _HOUR_MICROSECONDS))

    def text(self, age: float) -> str:
        """The time as PostgreSQL reads it, with time zone."""
        day, microseconds = divmod(self.moment(age), DAY_MICROSECONDS)
        minute, microseconds = divmod(microseconds, 60_000_000)
        second, microseconds = divmod(microseconds, 1_000_000)
        return f"{self._names[day]}{_MINUTES[minute]}{second:02d}.{microseconds:06d}+00"

    def unix_milliseconds(self, age: float) -> int:
        """Milliseconds since 1970."""
        return (self._opened + self.moment(age)) // 1000

    def days_left(self, age: float) -> float:
        """Days from then to the end."""
        return DAYS - self.moment(age) / DAY_MICROSECONDS


def _shares(weights: list[float] | tuple[int, ...]) -> list[float]:
    """Where the share of each begins, and 1 in the end."""
    total = sum(weights)
    return [0.0, *(each / total for each in accumulate(weights[:-1])), 1.0]
