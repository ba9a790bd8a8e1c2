"""The way of events into the store: scrubbed, grouped, classified, queued, committed in groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from souk_monitor.events import Event
from souk_monitor.projects import Project


@dataclass(frozen=True, slots=True)
class Stored:
    """An event that is committed."""

    event_id: str
    issue_id: str
    new_issue: bool
    """The issue is new with it."""
    repeated: bool
    """It was stored before, and is counted once."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that cannot be stored; a repeat would not help."""

    event_id: str
    reason: str
    """A name of ErrorServiceReason without its prefix, as MALFORMED."""
    message: str


Outcome: TypeAlias = Stored | Rejected


class Pipeline(Protocol):
    """Stores events."""

    async def submit(self, project: Project, events: Sequence[Event]) -> list[Outcome]:
        """Scrub, group, classify and store events, and return when they are committed; the outcomes are in their order.

        QueueFullError, QuotaExceededError, StoreUnavailableError: nothing of the call is surely stored, and a repeat with the same
        event ids counts nothing twice.
        """
