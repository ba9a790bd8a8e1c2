"""Keys of figures over time, `<what>@<start>/<duration>`: how long a bucket's value is fresh depends on whether it is closed."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from souk_cache.exceptions import TimeBucketUnreadableError

EXAMPLE = "views:seller:7@2026-11-25T10:00Z/PT1H"
_INTERVAL = re.compile(
    r"(?P<start>\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2})?)Z"
    r"/P(?:(?P<years>\d{1,3})Y)?(?:(?P<months>\d{1,3})M)?(?:(?P<weeks>\d{1,3})W)?(?:(?P<days>\d{1,4})D)?"
    r"(?:T(?:(?P<hours>\d{1,5})H)?(?:(?P<minutes>\d{1,7})M)?(?:(?P<seconds>\d{1,9})S)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class TimeBucket:
    """A span of time for which something is counted. Seconds of the Unix epoch."""

    end: float
    """Excluded."""

    def fresh_for(self, ttl: float, *, loaded: float, stored: float, grace: float) -> float:
        """Seconds since it was stored in which a value is fresh.

        loaded: when its source was read. What was read before the bucket's end is fresh until then, what was read within the grace
        after that until the grace is over, and only what was read later for the TTL: late events are counted by then.
        """
        if loaded < self.end:
            return max(0.0, min(ttl, self.end - stored))
        if loaded < self.end + grace:
            return max(0.0, min(ttl, self.end + grace - stored))
        return ttl


def bucket_of(key: str) -> TimeBucket:
    """The bucket that a key ends with; TimeBucketUnreadableError, which says why, where it ends with none."""
    what, at, interval = key.rpartition("@")
    found = _INTERVAL.fullmatch(interval)
    if not at or not what or found is None:
        raise _unreadable(key, "it does not end with @<start>/<duration>")
    try:
        start = datetime.fromisoformat(found["start"]).replace(tzinfo=UTC)
    except ValueError:
        raise _unreadable(key, f"there is no time {found['start']}Z") from None
    years, months, weeks, days, hours, minutes, seconds = (int(length or 0) for length in found.groups()[1:])
    if (years or months) and start.day > 28:
        raise _unreadable(key, "what lasts months begins on a day that every month has")
    try:
        year, month = divmod(start.year * 12 + start.month - 1 + years * 12 + months, 12)
        end = start.replace(year=year, month=month + 1)
        end += timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except (ValueError, OverflowError):
        raise _unreadable(key, "it ends after the year 9999") from None
    if end == start:
        raise _unreadable(key, "it has no length")
    return TimeBucket(end.timestamp())


def _unreadable(key: str, problem: str) -> TimeBucketUnreadableError:
    shown = key if len(key) <= 100 else f"{key[:100]}…"
    return TimeBucketUnreadableError(
        f"{shown!r} has no time bucket: {problem}; write it as {EXAMPLE}", field="key", problem=problem, example=EXAMPLE
    )
