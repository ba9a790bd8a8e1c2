"""Rows that a node knows to be committed, so that no transaction has to look for them."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Generic, TypeVar

from souk_monitor.overflow import FINGERPRINT
from souk_monitor.preparing import Prepared

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
REMEMBERED = 100_000
"""Fingerprints, users and releases that a node knows to be there, of each."""


class Recent(OrderedDict[K, V], Generic[K, V]):
    """The newest of what was put in."""

    def remember(self, items: Iterable[tuple[K, V]]) -> None:
        """Put in, and let go of the oldest."""
        self.update(items)
        while len(self) > REMEMBERED:
            self.popitem(last=False)


@dataclass(slots=True)
class KnownRows:
    """What is known to be there."""

    fingerprints: Recent[tuple[int, bytes], int] = field(default_factory=Recent)
    events: Recent[int, int] = field(default_factory=Recent)
    """About how many a fingerprint has."""
    people: Recent[tuple[int, int], None] = field(default_factory=Recent)
    releases: Recent[tuple[int, str], None] = field(default_factory=Recent)
    days: set[date] = field(default_factory=set)
    full: dict[int, datetime] = field(default_factory=dict)
    """Of projects that may open no more issues: until when."""

    def counted_by(self, event: Prepared) -> int:
        """The fingerprint that an event is counted by, as far as is known: its own, or its project's overflow. 0: not known."""
        number = self.fingerprints.get((event.project, event.grouping.fingerprint), 0)
        if not number and event.received < self.full.get(event.project, event.received):
            number = self.fingerprints.get((event.project, FINGERPRINT), 0)
        return number
