"""The rows of issues as they change: with events, and by what people do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from souk_common.postgres import Record, Session

from souk_monitor.issues import HOUR
from souk_monitor.lifecycle import State, Status, Transition
from souk_monitor.trends import Direction, priority

COLUMNS = """
i.id, i.project, i.events, i.users, i.severity, i.trend, i.first_seen, i.last_seen, i.state, i.resolved_at, i.resolved_release,
i.resolved_next, i.ignored_until, i.ignored_events, i.ignored_users
"""
"""What `hot` takes."""
_COUNT = f"""
WITH locked AS MATERIALIZED (
    SELECT id FROM monitor.issues WHERE id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE
)
UPDATE monitor.issues i SET
    events = i.events + c.events,
    users = coalesce(c.users, i.users),
    severity = greatest(i.severity, c.severity),
    handled = CASE WHEN c.last_seen >= i.last_seen THEN c.handled ELSE i.handled END,
    first_seen = least(i.first_seen, c.first_seen),
    last_seen = greatest(i.last_seen, c.last_seen),
    first_release = CASE WHEN c.first_release <> '' AND (i.first_release = '' OR c.first_seen < i.first_seen)
                         THEN c.first_release ELSE i.first_release END,
    last_release = CASE WHEN c.last_release <> '' AND (i.last_release = '' OR c.last_seen >= i.last_seen)
                        THEN c.last_release ELSE i.last_release END,
    changed = pg_current_xact_id()
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::boolean[], $6::timestamptz[], $7::timestamptz[],
            $8::text[], $9::text[])
        AS c(id, events, users, severity, handled, first_seen, last_seen, first_release, last_release)
    JOIN locked USING (id)
WHERE i.id = c.id
RETURNING {COLUMNS}
"""  # noqa: S608 — of constants
_TURN = """
UPDATE monitor.issues SET state = $2, resolved_at = $3, resolved_release = $4, resolved_next = $5, ignored_until = $6,
    ignored_events = $7, ignored_users = $8, revision = revision + 1, changed = pg_current_xact_id(), told = pg_current_xact_id(),
    told_change = $9, priority = $10
WHERE id = $1
"""
_RANK = """
UPDATE monitor.issues i SET priority = c.priority FROM unnest($1::bigint[], $2::double precision[]) AS c(id, priority)
WHERE i.id = c.id
"""
_NOTE = "INSERT INTO monitor.activity (issue, time, actor, kind, text) VALUES ($1, $2, $3, $4, $5)"


class Tallied(Protocol):
    """Events of an issue that came together."""

    events: int
    severity: int
    handled: bool | None
    first_seen: datetime | None
    last_seen: datetime | None
    first_release: str
    last_release: str


@dataclass(frozen=True, slots=True)
class Hot:
    """What of an issue events can change."""

    issue: int
    project: int
    events: int
    users: int
    severity: int
    trend: Direction
    """As it was found the last time that somebody looked."""
    first_seen: datetime
    last_seen: datetime
    status: Status

    def priority(self, now: datetime) -> float:
        """How urgent it is."""
        direction = Direction.NEW if now - self.first_seen < HOUR else self.trend
        quiet = max(timedelta(0), now - self.last_seen) / HOUR
        regressed = self.status.state is State.REGRESSED
        return round(priority(self.severity, direction, self.users, quiet, regressed=regressed), 3)


async def count(session: Session, tallies: Mapping[int, Tallied], users: Mapping[int, int]) -> list[Hot]:
    """Count events by issue, in the order of their ids; the issues as they are now. users: of those where they have changed."""
    each = tallies.values()
    columns = (
        list(tallies),
        [tally.events for tally in each],
        [users.get(issue) for issue in tallies],
        [tally.severity for tally in each],
        [tally.handled for tally in each],
        [tally.first_seen for tally in each],
        [tally.last_seen for tally in each],
        [tally.first_release for tally in each],
        [tally.last_release for tally in each],
    )
    return [hot(row) for row in await session.fetch("issues.count", _COUNT, columns)]


def hot(row: Record) -> Hot:
    """Of a row with these columns."""
    return Hot(
        row["id"],
        row["project"],
        row["events"],
        row["users"],
        row["severity"],
        Direction(row["trend"]),
        row["first_seen"],
        row["last_seen"],
        status(row),
    )


def status(row: Record) -> Status:
    """Of a row with its columns."""
    return Status(
        State(row["state"]),
        row["resolved_at"],
        row["resolved_release"],
        row["resolved_next"],
        row["ignored_until"],
        row["ignored_events"],
        row["ignored_users"],
    )


async def rank(session: Session, issues: Sequence[Hot], now: datetime) -> None:
    """Keep how urgent issues are."""
    if issues:
        await session.fetch("issues.rank", _RANK, ([each.issue for each in issues], [each.priority(now) for each in issues]))


async def turn(session: Session, issue: Hot, turned: Transition, *, actor: str, now: datetime) -> None:
    """Change the state of an issue that is locked."""
    new = turned.status
    resolved = (new.resolved_at, new.resolved_release, new.resolved_next)
    ignored = (new.ignored_until, new.ignored_events, new.ignored_users)
    urgent = replace(issue, status=new).priority(now)
    await session.fetch("issues.turn", _TURN, (issue.issue, new.state, *resolved, *ignored, turned.change, urgent))
    await note(session, issue.issue, actor=actor, kind=turned.kind, text=turned.text, now=now)


async def note(session: Session, issue: int, *, actor: str, kind: str, text: str, now: datetime) -> None:
    """Keep what was done with an issue."""
    await session.fetch("activity.note", _NOTE, (issue, now, actor, kind, text))
