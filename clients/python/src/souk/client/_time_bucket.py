"""Keys of figures over time: `<what>@<start>/<duration>`, by which the cache knows whether a bucket is closed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

_FIRST = datetime(1970, 1, 5, tzinfo=UTC)
"""A Monday: weeks begin on Mondays."""


@dataclass(frozen=True, slots=True)
class TimeBucket:
    """One span of time for which something is counted."""

    key: str
    """For a namespace with `time_buckets`, as views:seller:7@2026-11-25T10:00Z/PT1H."""
    start: datetime
    """In UTC, included."""
    end: datetime
    """In UTC, excluded."""


def time_bucket(what: str, at: datetime, every: timedelta | Literal["month", "year"]) -> TimeBucket:
    """The bucket that a moment is in, of those that follow one another without a gap.

    what: what is counted, as views:seller:7. at: with a time zone; buckets are in UTC. every: whole seconds. Buckets are counted
    from a Monday, 1970-01-05T00:00Z: hours begin on the hour, days at midnight, weeks on Mondays. ValueError where one cannot be.
    """
    if at.tzinfo is None:
        raise ValueError("the time needs a time zone: datetime.now(UTC)")
    if not what or "@" in what:
        raise ValueError("what is counted needs a name without @")
    moment = at.astimezone(UTC)
    if every == "month":
        start = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        end, length = (start + timedelta(days=31)).replace(day=1), "P1M"
    elif every == "year":
        start = moment.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
        end, length = start.replace(year=start.year + 1), "P1Y"
    elif isinstance(every, timedelta) and every >= timedelta(seconds=1) and not every.microseconds:
        start = moment - (moment - _FIRST) % every
        end, length = start + every, _duration(every)
    else:
        raise ValueError('the length must be whole seconds, "month" or "year"')
    seconds = f":{start:%S}" if start.second else ""
    return TimeBucket(f"{what}@{start:%Y-%m-%dT%H:%M}{seconds}Z/{length}", start, end)


def _duration(length: timedelta) -> str:
    """As ISO 8601 writes it."""
    minutes, seconds = divmod(length.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days = f"{length.days}D" if length.days else ""
    time = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if number)
    return f"P{days}{'T' if time else ''}{time}"
