"""What is past its time, removed from PostgreSQL: days of bodies and events, counts by the hour, issues, releases, request ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import structlog
from souk_common.postgres import LockTimeoutError, Pool

from souk_monitor.adapters import old_issues, release_table, requests
from souk_monitor.projects import Project

log = structlog.get_logger(__name__)
REMOVED_AT_ONCE = 5_000
MAKE_AHEAD = (timedelta(0), timedelta(days=1))
_DAYS = "SELECT day FROM monitor.days()"
_DROP = "SELECT monitor.drop_day($1)"
_MAKE = "SELECT monitor.make_day($1)"
_THIN = """
DELETE FROM monitor.bodies WHERE day = $1 AND project = $2 AND ctid = ANY (ARRAY(
    SELECT ctid FROM monitor.bodies WHERE day = $1 AND project = $2 LIMIT $3
)) RETURNING true
"""
_HOURS = """
DELETE FROM monitor.hours WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM monitor.hours WHERE hour < $1 ORDER BY hour LIMIT $2 FOR UPDATE SKIP LOCKED
)) RETURNING true
"""
_FACET_HOURS = """
DELETE FROM monitor.facet_hours WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM monitor.facet_hours WHERE hour < $1 ORDER BY hour LIMIT $2 FOR UPDATE SKIP LOCKED
)) RETURNING true
"""
_ACTIVITY = """
DELETE FROM monitor.activity WHERE id = ANY (ARRAY(
    SELECT id FROM monitor.activity WHERE time < $1 ORDER BY time LIMIT $2 FOR UPDATE SKIP LOCKED
)) RETURNING true
"""
ACTIVITY_KEPT = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long things are kept."""

    bodies: timedelta
    counts: timedelta
    requests: timedelta
    issues: timedelta
    """That are put away, after their last event. Never less than bodies are kept."""
    open_issues: timedelta | None = None
    """The same of others. Never less than those that are put away. None: they stay."""
    releases: timedelta | None = None
    """After they were seen first. None: they stay."""


class Upkeep:
    """Removes what is past its time, and makes the days that are to come."""

    def __init__(self, pool: Pool, retention: Retention, projects: Callable[[], Sequence[Project]]) -> None:
        """projects: all that there are, with what they say of their retention."""
        self._pool = pool
        self._retention = retention
        self._projects = projects

    async def do(self, now: datetime) -> None:
        """All of it. PostgresError: the rest is done the next time."""
        for ahead in MAKE_AHEAD:
            await self._pool.fetch("days.make", _MAKE, ((now + ahead).date(),))
        await self._drop_days(now)
        await self._remove("hours.forget", _HOURS, now - self._retention.counts)
        await self._remove("facet_hours.forget", _FACET_HOURS, now - self._retention.counts)
        await self._remove("activity.forget", _ACTIVITY, now - ACTIVITY_KEPT)
        await self._remove_issues(now)
        if self._retention.releases is not None:
            await release_table.forget(self._pool, now - self._retention.releases)
        await requests.forget(self._pool, self._retention.requests.total_seconds())

    async def _drop_days(self, now: datetime) -> None:
        """A day more than is said stays, since an event may be stored that was on time when it came."""
        kept = self._kept()
        longest = max([*kept.values(), self._retention.bodies])
        for row in await self._pool.fetch("days", _DAYS):
            day: date = row["day"]
            age = now.date() - day - timedelta(days=1)
            if age > longest:
                await self._drop(day)
                continue
            for project, time in kept.items():
                if age > time:
                    await self._remove_bodies(day, project)

    def _kept(self) -> dict[int, timedelta]:
        """How long bodies of each project are kept."""
        return {project.number: project.options.retention or self._retention.bodies for project in self._projects()}

    async def _remove_issues(self, now: datetime) -> None:
        """Days of events say which fingerprint each is of, so that no fingerprint goes before them."""
        longest = max([*self._kept().values(), self._retention.bodies]) + timedelta(days=3)
        kept = max(self._retention.issues, longest)
        removed = await old_issues.remove(self._pool, old_issues.PUT_AWAY, now - kept)
        if self._retention.open_issues is not None:
            removed += await old_issues.remove(self._pool, old_issues.LIVE, now - max(self._retention.open_issues, kept))
        if removed:
            log.info("issues were removed", issues=removed)

    async def _drop(self, day: date) -> None:
        try:
            await self._pool.fetch("days.drop", _DROP, (day,))
            log.info("a day of events was dropped", day=day.isoformat())
        except LockTimeoutError:
            log.warning("a day of events is in use, and is dropped the next time", day=day.isoformat())

    async def _remove_bodies(self, day: date, project: int) -> None:
        while await self._pool.fetch("bodies.thin", _THIN, (day, project, REMOVED_AT_ONCE)):
            pass

    async def _remove(self, key: str, sql: str, before: datetime) -> None:
        while await self._pool.fetch(key, sql, (before, REMOVED_AT_ONCE)):
            pass
