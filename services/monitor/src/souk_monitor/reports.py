"""What went wrong in a span of time, in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from souk_monitor.issues import DAY, HOUR, Issue, hour_of

BY_DAY_ABOVE = timedelta(days=4)


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when: whole hours, but for the end."""

    since: datetime
    until: datetime

    @classmethod
    def of(cls, since: datetime | None, until: datetime | None, now: datetime) -> "Span":
        """What was asked for; the last 24 hours where nothing was."""
        end = until or now
        return cls(hour_of(since or end - DAY), end)

    @property
    def before(self) -> datetime:
        """When the span of the same length before it begins."""
        return hour_of(self.since - (self.until - self.since))

    @property
    def step(self) -> timedelta:
        """Of its counts."""
        return DAY if self.until - self.since > BY_DAY_ABOVE else HOUR


@dataclass(frozen=True, slots=True)
class Report:
    """What went wrong."""

    span: Span
    events: int
    events_before: int
    issues: int
    new_issues: int
    regressed_issues: int
    resolved_issues: int
    counts: Sequence[tuple[datetime, int]]
    top: Sequence[tuple[Issue, int]]
    newest: Sequence[tuple[Issue, int]]
    categories: Sequence[tuple[int, int]]
    services: Sequence[tuple[str, int]]
    releases: Sequence[tuple[str, int]]
