"""What events are counted by besides their issue: services, environments, releases, tags. Counted here, written every few seconds.

These counts are for looking at, not for billing: a node that is killed loses the last seconds of them. That of an issue's events,
its hours and its users are committed with the events.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """What is counted. The numbers are the database's."""

    SERVICE = 1
    ENVIRONMENT = 2
    RELEASE = 3
    TAG = 4


class Facet(NamedTuple):
    """A value of something that events of a fingerprint had."""

    fingerprint: int
    kind: int
    name: str
    """Of the tag; empty for the other kinds."""
    value: str


class FacetHour(NamedTuple):
    """A value of something that events of a project had in an hour."""

    project: int
    kind: int
    value: str
    hour: datetime


OTHER = ""
"""The value that those beyond the limit are counted as."""
MAX_NAME, MAX_VALUE = 100, 200
"""Characters that are kept of them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many there may be of one fingerprint."""

    tags: int = 100
    values: int = 100
    """Of one tag, and of releases."""


class Counts:
    """What was counted since it was written last."""

    def __init__(self) -> None:
        self.facets: Counter[Facet] = Counter()
        self.hours: Counter[FacetHour] = Counter()

    def add(self, fingerprint: int, project: int, hour: datetime, named: Iterable[tuple[int, str, str]]) -> None:
        """Count one event. named: (kind, name of the tag, value); empty values are not counted."""
        for kind, name, value in named:
            if value:
                kept = value[:MAX_VALUE]
                self.facets[Facet(fingerprint, kind, name[:MAX_NAME], kept)] += 1
                if kind in (Kind.SERVICE, Kind.RELEASE):
                    self.hours[FacetHour(project, kind, kept, hour)] += 1

    def add_all(self, other: "Counts") -> None:
        """Count what others have counted, as after they could not write it."""
        self.facets.update(other.facets)
        self.hours.update(other.hours)

    def __len__(self) -> int:
        return len(self.facets) + len(self.hours)


def within(counted: Counter[Facet], known: dict[int, set[tuple[int, str, str]]], limits: Limits) -> Counter[Facet]:
    """The same with what is beyond the limits as OTHER. known: what each fingerprint has; it learns."""
    kept: Counter[Facet] = Counter()
    for facet, events in counted.items():
        has = known.setdefault(facet.fingerprint, set())
        key = (facet.kind, facet.name, facet.value)
        if key not in has and not _has_room(has, facet, limits):
            if facet.kind == Kind.TAG and not any(kind == facet.kind and name == facet.name for kind, name, _ in has):
                continue  # one tag more than are counted
            facet = facet._replace(value=OTHER)
        has.add((facet.kind, facet.name, facet.value))
        kept[facet] += events
    return kept


def _has_room(has: set[tuple[int, str, str]], facet: Facet, limits: Limits) -> bool:
    of_name = sum(kind == facet.kind and name == facet.name for kind, name, _ in has)
    if facet.kind == Kind.TAG and not of_name:
        return len({name for kind, name, _ in has if kind == Kind.TAG}) < limits.tags
    return of_name < limits.values
