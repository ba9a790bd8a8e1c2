"""Events made ready to be stored: whatever can be done without the database, so that transactions are short."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from souk_monitor.events import Event, Level
from souk_monitor.facets import Kind
from souk_monitor.grouping import Grouping, others
from souk_monitor.people import people
from souk_monitor.projects import Project

MIDNIGHT_MARGIN = timedelta(hours=1)
"""An event within so much of midnight is known in both days: clocks of one occurrence may differ, and a repeat of a report
that says no time has that of its arrival."""
SEVERITIES = {Level.DEBUG: 1, Level.INFO: 2, Level.WARNING: 3, Level.ERROR: 4, Level.FATAL: 5}
"""The contract's numbers."""


class Fix(NamedTuple):
    """What may help."""

    rule: str = ""
    text: str = ""
    evidence: str = ""


class Understanding(NamedTuple):
    """What rules say of an event. category: the contract's number."""

    category: int = 0
    severity: int = 0
    """The contract's number. 0: as the reporter says."""
    fix: Fix = Fix()


@dataclass(slots=True)
class Prepared:
    """An event that only has to be stored."""

    project: int
    event_id: str
    time: datetime
    received: datetime
    grouping: Grouping
    understanding: Understanding
    severity: int
    platform: str
    handled: bool | None
    release: str
    person: int | None
    people: list[int]
    trace_id: str
    error_id: str
    body: bytes
    named: list[tuple[int, str, str]] = field(default_factory=list)
    """(kind, name, value) that it is counted by."""
    others: tuple[str, ...] = ()
    """What else an issue is found by that it opens."""

    @property
    def hour(self) -> datetime:
        """The hour that it happened in."""
        return self.time.replace(minute=0, second=0, microsecond=0)

    @property
    def days(self) -> tuple[date, ...]:
        """The days of UTC that it is known in, the one it happened in among them."""
        first, last = (self.time - MIDNIGHT_MARGIN).date(), (self.time + MIDNIGHT_MARGIN).date()
        return (first,) if first == last else (first, last)


@dataclass(frozen=True, slots=True)
class Preparer:
    """Makes events ready."""

    fit: Callable[[Event, datetime], bytes]
    """Cuts an event that was received then to its limits; its body."""
    scrub: Callable[[Project, Event, bytes], bytes]
    """Takes secrets and personal data out of an event with this body; the body of what is left."""
    judge: Callable[[Project, Event], tuple[Grouping, Understanding]]
    """Where it belongs, and what the rules say of it."""

    def prepare(self, project: Project, event: Event, received: datetime) -> Prepared:
        """One event of a project."""
        event.time = event.time.astimezone(UTC)
        event.service = event.service or project.service
        body = self.fit(event, received)
        known_by = people(project.secret, event.user)  # of which only hashes stay, where what they are made of is not kept
        body = self.scrub(project, event, body)
        grouping, understanding = self.judge(project, event)
        last = event.exceptions[-1] if event.exceptions else None
        return Prepared(
            project=project.number,
            event_id=event.event_id,
            time=event.time,
            received=received,
            grouping=grouping,
            understanding=understanding,
            severity=understanding.severity or SEVERITIES[event.level],
            platform=event.platform,
            handled=last.handled if last is not None else None,
            release=event.release,
            person=known_by[0] if known_by else None,
            people=known_by,
            trace_id=event.trace_id,
            error_id=event.error_id,
            body=body,
            named=_named(event),
            others=others(event),
        )


def _named(event: Event) -> list[tuple[int, str, str]]:
    named: list[tuple[int, str, str]] = [
        (Kind.SERVICE, "", event.service),
        (Kind.ENVIRONMENT, "", event.environment),
        (Kind.RELEASE, "", event.release),
    ]
    return named + [(Kind.TAG, name, value) for name, value in event.tags.items()]
