"""monitor.events: every event that was counted, so that none is counted twice, whoever else writes."""

from collections.abc import Sequence
from typing import NamedTuple

from souk_common.postgres import Session

from souk_monitor.preparing import Prepared

_CLAIM = """
INSERT INTO monitor.events (day, project, event_id, fingerprint)
SELECT day, project, event_id, fingerprint FROM unnest($1::date[], $2::integer[], $3::uuid[], $4::bigint[])
    AS c(day, project, event_id, fingerprint)
ON CONFLICT DO NOTHING RETURNING day, event_id, project
"""
_FIRST = """
SELECT DISTINCT ON (e.event_id, e.project) e.event_id, e.project, f.issue
FROM monitor.events e JOIN monitor.fingerprints f ON f.id = e.fingerprint
WHERE e.event_id = ANY ($1::uuid[]) AND e.day = ANY ($2::date[])
"""
_POINT = """
UPDATE monitor.events e SET fingerprint = o.fingerprint
FROM unnest($1::uuid[], $2::integer[], $3::date[]) AS c(event_id, project, day)
    JOIN monitor.events o ON o.event_id = c.event_id AND o.project = c.project AND o.day IN (c.day - 1, c.day + 1)
WHERE e.event_id = c.event_id AND e.project = c.project AND e.day = c.day
"""


class Claim(NamedTuple):
    """An event to be counted, with the number of its fingerprint."""

    event: Prepared
    fingerprint: int


async def claim(session: Session, events: Sequence[Claim]) -> list[Claim]:
    """Those of the events that are new: whose days have none of theirs yet. Of one that comes several times, the first."""
    once: dict[tuple[str, int], Claim] = {}
    for each in events:
        once.setdefault((each.event.event_id, each.event.project), each)
    claims = sorted((event_id, project, day) for (event_id, project), each in once.items() for day in each.event.days)
    columns = (
        [day for _, _, day in claims],
        [project for _, project, _ in claims],
        [event_id for event_id, _, _ in claims],
        [once[event_id, project].fingerprint for event_id, project, _ in claims],
    )
    rows = await session.fetch("events.claim", _CLAIM, columns)
    if len(rows) == len(claims):
        return list(once.values())
    claimed = {(row["event_id"].hex, row["project"], row["day"]) for row in rows}
    new: list[Claim] = []
    for (event_id, project), each in once.items():
        if all((event_id, project, day) in claimed for day in each.event.days):
            new.append(each)
            claimed.difference_update((event_id, project, day) for day in each.event.days)
    if claimed:  # events that were there, on the other side of midnight
        await session.fetch("events.point", _POINT, [list(column) for column in zip(*sorted(claimed), strict=True)])
    return new


async def issues_of(session: Session, events: Sequence[Prepared]) -> dict[tuple[str, int], int]:
    """The issues of events that were there before, by their ids and projects."""
    if not events:
        return {}
    days = sorted({day for event in events for day in event.days})
    rows = await session.fetch("events.first", _FIRST, ([event.event_id for event in events], days))
    return {(row["event_id"].hex, row["project"]): row["issue"] for row in rows}
