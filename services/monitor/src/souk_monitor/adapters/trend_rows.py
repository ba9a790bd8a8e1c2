"""How the rates of issues go, kept with them, so that they can be sorted by it; and what grows is told of."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from souk_common.postgres import Pool, Session

from souk_monitor.adapters import issue_rows
from souk_monitor.adapters.issue_rows import COLUMNS, Hot, hot
from souk_monitor.issues import HOUR, hour_of, trend_of
from souk_monitor.lifecycle import Change, State, after_spike, end_of_ignoring
from souk_monitor.lifecycle import Counted as CountedIssue
from souk_monitor.trends import HOURS, Direction, Trend

log = structlog.get_logger(__name__)
AT_ONCE = 50
"""Issues of one transaction, and of one turn in the event loop."""
QUIET_MINUTES = 30
"""Issues of which nothing is heard are looked at in turn, each once in so many looks."""
_DUE = """
SELECT id FROM monitor.issues
WHERE id > $1 AND merged_into IS NULL AND (last_seen >= $2 OR trend IN (2, 4, 5) OR id % $4 = $3 OR ignored_until <= $5)
ORDER BY id LIMIT $6
"""
_HOURS = """
SELECT f.issue, h.hour, sum(h.events)::bigint AS events
FROM monitor.fingerprints f JOIN monitor.hours h ON h.fingerprint = f.id
WHERE f.issue = ANY ($1::bigint[]) AND h.hour >= $2 GROUP BY 1, 2
"""
_LOCK = f"""
SELECT {COLUMNS} FROM monitor.issues i WHERE id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608 — of constants
_KEEP = """
UPDATE monitor.issues i SET trend = c.trend, priority = c.priority, expected = c.expected
FROM unnest($1::bigint[], $2::smallint[], $3::double precision[], $4::double precision[]) AS c(id, trend, priority, expected)
WHERE i.id = c.id AND (i.trend <> c.trend OR i.priority <> c.priority OR i.expected <> c.expected)
"""
_TELL = """
UPDATE monitor.issues SET changed = pg_current_xact_id(), told = pg_current_xact_id(), told_change = $2 WHERE id = $1
"""


class TrendRows:
    """The trends in monitor.issues."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def do(self, now: datetime) -> None:
        """Look at all issues that may have changed. PostgresError."""
        turn = int(now.timestamp() // 60) % QUIET_MINUTES
        last = 0
        while True:
            due = (last, now - HOUR, turn, QUIET_MINUTES, now, AT_ONCE)
            issues = [row["id"] for row in await self._pool.fetch("trends.due", _DUE, due)]
            if not issues:
                return
            await self._look_at(issues, now)
            last = issues[-1]

    async def _look_at(self, issues: Sequence[int], now: datetime) -> None:
        hours: dict[int, dict[datetime, int]] = {}
        for row in await self._pool.fetch("trends.hours", _HOURS, (issues, hour_of(now) - HOUR * (HOURS - 1))):
            hours.setdefault(row["issue"], {})[row["hour"]] = row["events"]
        async with self._pool.transaction() as session:
            before = [hot(row) for row in await session.fetch("trends.lock", _LOCK, (issues,))]
            trends = [trend_of(hours.get(each.issue, {}), each.first_seen, now) for each in before]
            after = [replace(each, trend=trend.direction) for each, trend in zip(before, trends, strict=True)]
            columns = (
                [each.issue for each in after],
                [each.trend for each in after],
                [each.priority(now) for each in after],
                [round(trend.expected, 2) for trend in trends],
            )
            await session.fetch("trends.keep", _KEEP, columns)
            for was, each, trend in zip(before, after, trends, strict=True):
                await self._tell(session, each, was.trend, trend, now)

    async def _tell(self, session: Session, issue: Hot, before: Direction, trend: Trend, now: datetime) -> None:
        turned = end_of_ignoring(issue.status, CountedIssue(issue.events, issue.users), now)
        grows = trend.direction is Direction.SPIKE and before is not Direction.SPIKE
        text = f"{trend.rate:.0f} events an hour, where {trend.expected:.1f} were to be expected"
        if turned is None and grows:
            turned = after_spike(issue.status, text)
        if turned is not None:
            await issue_rows.turn(session, issue, turned, actor="", now=now)
        elif grows and issue.status.state is not State.RESOLVED:
            await session.fetch("trends.tell", _TELL, (issue.issue, Change.ESCALATED))
            await issue_rows.note(session, issue.issue, actor="", kind="escalated", text=text, now=now)
