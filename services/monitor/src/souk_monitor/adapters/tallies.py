"""Events of a batch added up by fingerprint or by issue, so that each row is written once for all of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from souk_monitor.preparing import Prepared


@dataclass(slots=True)
class Tally:
    """Events of one fingerprint or one issue in a batch."""

    events: int = 0
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    first_release: str = ""
    last_release: str = ""
    severity: int = 0
    handled: bool | None = None
    releases: dict[str, datetime] = field(default_factory=dict)
    """By release, when the last happened."""

    def add(self, event: Prepared) -> None:
        """One more."""
        self.events += 1
        time = event.time
        if self.first_seen is None or time < self.first_seen:
            self.first_seen, self.first_release = time, event.release or self.first_release
        if self.last_seen is None or time >= self.last_seen:
            self.last_seen, self.last_release = time, event.release or self.last_release
            self.handled = event.handled
        self.severity = max(self.severity, event.severity)
        self.releases[event.release] = max(time, self.releases.get(event.release, time))

    def add_all(self, other: "Tally") -> None:
        """All of another fingerprint."""
        if other.first_seen is None or other.last_seen is None:
            return
        self.events += other.events
        if self.first_seen is None or other.first_seen < self.first_seen:
            self.first_seen, self.first_release = other.first_seen, other.first_release or self.first_release
        if self.last_seen is None or other.last_seen >= self.last_seen:
            self.last_seen, self.last_release = other.last_seen, other.last_release or self.last_release
            self.handled = other.handled
        self.severity = max(self.severity, other.severity)
        for release, time in other.releases.items():
            self.releases[release] = max(time, self.releases.get(release, time))


def tallied(events: Iterable[tuple[Prepared, int]]) -> dict[int, Tally]:
    """Events by the numbers that they come with, in their order."""
    tallies: dict[int, Tally] = {}
    for event, number in events:
        tallies.setdefault(number, Tally()).add(event)
    return dict(sorted(tallies.items()))


def columns(tallies: dict[int, Tally]) -> Sequence[list[object]]:
    """Counts, times and releases, as arrays for a query."""
    each = tallies.values()
    return (
        [tally.events for tally in each],
        [tally.first_seen for tally in each],
        [tally.last_seen for tally in each],
        [tally.first_release for tally in each],
        [tally.last_release for tally in each],
    )
