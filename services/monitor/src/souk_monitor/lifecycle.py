"""What is to become of an issue: its states, what people do with it, and what events that come do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from souk_monitor.releases import is_later, is_same


class State(IntEnum):
    """Where an issue is. The numbers are the contract's and the database's."""

    OPEN = 1
    ACKNOWLEDGED = 2
    RESOLVED = 3
    REGRESSED = 4
    IGNORED = 5

    @property
    def waits_for_events(self) -> bool:
        """Whether events that come may change it."""
        return self in (State.RESOLVED, State.IGNORED)


class Change(IntEnum):
    """What happened to an issue, for those who watch. The numbers are the contract's and the database's."""

    NEW = 1
    REGRESSED = 2
    ESCALATED = 3
    EVENTS = 4
    UPDATED = 5
    MERGED = 6


@dataclass(frozen=True, slots=True)
class Status:
    """What is to become of an issue, and until when."""

    state: State = State.OPEN
    resolved_at: datetime | None = None
    resolved_release: str = ""
    """RESOLVED: only this release and later ones count. Empty: any."""
    resolved_next: bool = False
    """RESOLVED: only releases after resolved_release count."""
    ignored_until: datetime | None = None
    ignored_events: int | None = None
    """IGNORED: until the issue has so many."""
    ignored_users: int | None = None


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Somebody looks after it."""


@dataclass(frozen=True, slots=True)
class Resolve:
    """It is mended."""

    in_release: str = ""
    in_next_release: bool = False


@dataclass(frozen=True, slots=True)
class Ignore:
    """It is not to be heard of."""

    until_time: datetime | None = None
    until_events: int = 0
    """Until so many more have come. 0: however many."""
    until_users: int = 0


@dataclass(frozen=True, slots=True)
class Reopen:
    """It is open again."""


Action = Acknowledge | Resolve | Ignore | Reopen


@dataclass(frozen=True, slots=True)
class Counted:
    """What an issue has, with the events that came just now."""

    events: int
    users: int
    newest_release: str = ""
    """The latest of the package that it was seen in."""


@dataclass(frozen=True, slots=True)
class Came:
    """Events of an issue of one release that came just now."""

    release: str
    last_time: datetime


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state."""

    status: Status
    change: Change
    kind: str
    """As it is called in the activity."""
    text: str = ""


def act(action: Action, counted: Counted, now: datetime) -> Transition:
    """What somebody does with an issue."""
    match action:
        case Acknowledge():
            return Transition(Status(State.ACKNOWLEDGED), Change.UPDATED, "acknowledged")
        case Resolve():
            release = counted.newest_release if action.in_next_release else action.in_release
            status = Status(
                State.RESOLVED,
                resolved_at=now,
                resolved_release=release,
                resolved_next=action.in_next_release and bool(release),
            )
            return Transition(status, Change.UPDATED, "resolved", f"after {release}" if status.resolved_next else release)
        case Ignore():
            status = Status(
                State.IGNORED,
                ignored_until=action.until_time,
                ignored_events=counted.events + action.until_events if action.until_events else None,
                ignored_users=counted.users + action.until_users if action.until_users else None,
            )
            return Transition(status, Change.UPDATED, "ignored", _until(action))
        case Reopen():
            return Transition(Status(State.OPEN), Change.UPDATED, "reopened")


def after_events(
    status: Status, counted: Counted, came: Sequence[Came], first_seen: Mapping[str, datetime], now: datetime
) -> Transition | None:
    """What events do to an issue that came just now; None where it stays as it is. first_seen: of the releases concerned."""
    if status.state is State.RESOLVED:
        for each in came:
            if _regresses(status, each, first_seen):
                return Transition(Status(State.REGRESSED), Change.REGRESSED, "regressed", each.release)
        return None
    return end_of_ignoring(status, counted, now)


def end_of_ignoring(status: Status, counted: Counted, now: datetime) -> Transition | None:
    """An issue that was ignored until now is open again."""
    if status.state is not State.IGNORED:
        return None
    if status.ignored_until is not None and now >= status.ignored_until:
        return Transition(Status(), Change.UPDATED, "reopened", "its time is over")
    if status.ignored_events is not None and counted.events >= status.ignored_events:
        return Transition(Status(), Change.ESCALATED, "escalated", f"{counted.events} events")
    if status.ignored_users is not None and counted.users >= status.ignored_users:
        return Transition(Status(), Change.ESCALATED, "escalated", f"{counted.users} users")
    return None


def after_merge(status: Status, others: Sequence[Status]) -> Transition | None:
    """An issue that others go into is not put away, where one of them is not: nothing is resolved or ignored by the way."""
    states = {other.state for other in others}
    if status.state in (State.OPEN, State.REGRESSED):
        return None
    for state in (State.REGRESSED, State.OPEN, State.ACKNOWLEDGED):
        if state in states and state is not status.state:
            return Transition(Status(state), Change.UPDATED, "reopened", f"one that was merged into it is {state.name.lower()}")
    return None


def after_spike(status: Status, text: str) -> Transition | None:
    """An issue that grows far beyond what was to be expected is not ignored any longer, whatever it was to be ignored until."""
    if status.state is not State.IGNORED:
        return None
    return Transition(Status(), Change.ESCALATED, "escalated", text)


def _regresses(status: Status, came: Came, first_seen: Mapping[str, datetime]) -> bool:
    if status.resolved_at is not None and came.last_time < status.resolved_at:
        return False  # it happened before, and was only late
    if not status.resolved_release:
        return True
    if not came.release:
        return False
    if is_same(came.release, status.resolved_release):
        return not status.resolved_next
    if status.resolved_at is not None:  # a mended release may report nothing: what is new since then came after it
        named = min(status.resolved_at, first_seen.get(status.resolved_release, status.resolved_at))
        first_seen = {**first_seen, status.resolved_release: named}
    return is_later(came.release, status.resolved_release, first_seen)


def _until(action: Ignore) -> str:
    told = [f"until {action.until_time:%Y-%m-%d %H:%M} UTC"] if action.until_time is not None else []
    told += [f"{action.until_events} more events"] if action.until_events else []
    told += [f"{action.until_users} more users"] if action.until_users else []
    return " or ".join(told)
