"""Issues as they are read: what is known of each, and how they are asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TypeAlias
from uuid import UUID

from souk_monitor.events import Event
from souk_monitor.exceptions import IssueUnknownError
from souk_monitor.lifecycle import State, Status
from souk_monitor.preparing import Fix
from souk_monitor.projects import NAME
from souk_monitor.trends import HOURS, Direction, Trend, trend

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FIRST, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""The times that can be asked for: from any of them days can be counted, both ways."""
LIVE = frozenset({State.OPEN, State.ACKNOWLEDGED, State.REGRESSED})
"""The states of issues that are to be seen to."""
NOBODY = "none"
"""The assignee of issues that are nobody's."""


class Order(Enum):
    """By what issues are sorted, the most first."""

    LAST_SEEN = "last_seen"
    FIRST_SEEN = "first_seen"
    EVENTS = "events"
    USERS = "users"
    PRIORITY = "priority"


@dataclass(frozen=True, slots=True)
class IssueFilter:
    """Which issues."""

    project: int | None = None
    states: frozenset[State] = LIVE
    search: str = ""
    categories: frozenset[int] = frozenset()
    """The contract's numbers."""
    min_severity: int = 0
    service: str = ""
    environment: str = ""
    release: str = ""
    assignee: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Issue:
    """Events of one cause."""

    issue_id: int
    project: int
    number: int
    title: str
    culprit: str
    type: str
    template: str
    severity: int
    category: int
    fix: Fix
    platform: str
    handled: bool | None
    events: int
    users: int
    first_seen: datetime
    last_seen: datetime
    first_release: str
    last_release: str
    assignee: str
    status: Status
    revision: int
    priority: float = 0.0
    services: Sequence[str] = ()
    environments: Sequence[str] = ()
    trend: Trend | None = None


@dataclass(frozen=True, slots=True)
class FingerprintOf:
    """A fingerprint that goes to an issue."""

    fingerprint: bytes
    version: int
    title: str
    events: int
    by_hand: bool
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Activity:
    """What was done with an issue."""

    time: datetime
    actor: str
    kind: str
    text: str


EventPlace: TypeAlias = tuple[datetime, UUID, int]
"""Where an event is among others: its time, its id, and its project, of which several may have the id."""


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event whose body is kept."""

    event: Event
    project: int
    issue_id: int
    received: datetime
    overflows: bool
    """It was counted in the issue of too many new issues, whatever it is grouped by."""


@dataclass(frozen=True, slots=True)
class Details:
    """An issue and what is around it."""

    issue: Issue
    latest: KeptEvent | None
    hours: Sequence[tuple[datetime, int]]
    days: Sequence[tuple[datetime, int]]
    tags: Mapping[str, Sequence[tuple[str, int]]]
    fingerprints: Sequence[FingerprintOf]
    activity: Sequence[Activity]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events: those of an issue, of a trace, or of an error id, or the one of an id of its own."""

    issue: int | None = None
    trace_id: str = ""
    error_id: str = ""
    event_id: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is read of several issues at once, by their ids."""

    hours: Mapping[int, Mapping[datetime, int]] = field(default_factory=dict)
    services: Mapping[int, Sequence[str]] = field(default_factory=dict)
    environments: Mapping[int, Sequence[str]] = field(default_factory=dict)


def trend_of(hours: Mapping[datetime, int], first_seen: datetime, now: datetime) -> Trend:
    """How the rate of an issue goes. hours: its events by the hour, of eight days."""
    return trend(_counts(hours, HOURS, now), passed=_passed(now), age_hours=max(0.0, (now - first_seen) / HOUR))


def kept_trend(direction: Direction, expected: float, hours: Mapping[datetime, int], first_seen: datetime, now: datetime) -> Trend:
    """The same by what was found the last time that somebody looked. hours: of the last day."""
    counts = tuple(_counts(hours, DAY // HOUR, now))
    rate = counts[-1] + counts[-2] * (1 - _passed(now))
    return Trend(Direction.NEW if now - first_seen < HOUR else direction, rate, expected, counts)


def _counts(hours: Mapping[datetime, int], size: int, now: datetime) -> list[int]:
    """Of so many hours up to this one, which is the last. Mostly there are few that have any."""
    counts = [0] * size
    this = hour_of(now)
    for hour, events in hours.items():
        back = (this - hour) // HOUR
        if 0 <= back < size:
            counts[size - 1 - back] = events
    return counts


def _passed(now: datetime) -> float:
    """The share of this hour that is over."""
    return (now - hour_of(now)) / HOUR


def hour_of(time: datetime) -> datetime:
    """When its hour began."""
    return time.replace(minute=0, second=0, microsecond=0)


def day_of(time: datetime) -> datetime:
    """When its day began, in UTC."""
    return time.replace(hour=0, minute=0, second=0, microsecond=0)


def parse_id(text: str) -> int | tuple[str, int]:
    """An id of an issue, or a short one as (project's name, number). IssueUnknownError where it is neither."""
    if text.isascii() and text.isdecimal() and len(text) < 19:
        return int(text)
    project, dash, number = text.rpartition("-")
    if dash and NAME.fullmatch(project.lower()) and number.isascii() and number.isdecimal() and len(number) < 10:
        return project.lower(), int(number)
    raise IssueUnknownError(text)
