"""Counts of services, environments, releases and tags, in PostgreSQL."""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from souk_common.postgres import Pool, Session

from souk_monitor.facets import Counts, Facet, FacetHour, Limits, within

T = TypeVar("T")
REMEMBERED = 2_000
"""Fingerprints whose values a node knows."""
WRITTEN_AT_ONCE = 2_000
_KNOWN = """
SELECT fingerprint, kind, name, value FROM monitor.facets WHERE fingerprint = ANY ($1::bigint[])
"""
_ADD = """
INSERT INTO monitor.facets AS f (fingerprint, kind, name, value, events)
SELECT fingerprint, kind, name, value, events
FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[], $5::bigint[]) AS c(fingerprint, kind, name, value, events)
ON CONFLICT (fingerprint, kind, name, value) DO UPDATE SET events = f.events + excluded.events
"""
_ADD_HOURS = """
INSERT INTO monitor.facet_hours AS f (project, kind, value, hour, events)
SELECT project, kind, value, hour, events
FROM unnest($1::integer[], $2::smallint[], $3::text[], $4::timestamptz[], $5::bigint[]) AS c(project, kind, value, hour, events)
ON CONFLICT (project, kind, value, hour) DO UPDATE SET events = f.events + excluded.events
"""


class FacetTables:
    """monitor.facets and monitor.facet_hours."""

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits
        self._known: OrderedDict[int, set[tuple[int, str, str]]] = OrderedDict()

    async def write(self, counts: Counts) -> None:
        """Add what was counted, all of it or nothing. PostgresError."""
        facets = sorted(counts.facets)
        async with self._pool.transaction() as session:
            for some in _parts(facets):
                await self._add(session, Counter({facet: counts.facets[facet] for facet in some}))
            for hours in _parts(sorted(counts.hours)):
                await _add_hours(session, hours, counts)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _add(self, session: Session, counted: Counter[Facet]) -> None:
        unknown = sorted({facet.fingerprint for facet in counted} - self._known.keys())
        for number in unknown:
            self._known[number] = set()
        for row in await session.fetch("facets.known", _KNOWN, (unknown,)) if unknown else ():
            self._known[row["fingerprint"]].add((row["kind"], row["name"], row["value"]))
        kept = within(counted, self._known, self._limits)
        columns = [list(column) for column in zip(*sorted(kept), strict=True)]
        if columns:
            await session.fetch("facets.add", _ADD, (*columns, [kept[facet] for facet in sorted(kept)]))


async def _add_hours(session: Session, hours: list[FacetHour], counts: Counts) -> None:
    columns = [list(column) for column in zip(*hours, strict=True)]
    await session.fetch("facet_hours.add", _ADD_HOURS, (*columns, [counts.hours[hour] for hour in hours]))


def _parts(items: Iterable[T]) -> Iterable[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, WRITTEN_AT_ONCE)):
        yield part
