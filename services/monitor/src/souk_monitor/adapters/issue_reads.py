"""Issues read from PostgreSQL: from counts that are kept with them, never from events."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from souk_common.postgres import Pool, Record

from souk_monitor.adapters.event_reads import EventRows
from souk_monitor.adapters.issue_rows import status
from souk_monitor.exceptions import IssueUnknownError
from souk_monitor.facets import Kind
from souk_monitor.issues import (
    DAY,
    HOUR,
    NOBODY,
    Activity,
    Details,
    EventFilter,
    FingerprintOf,
    Issue,
    IssueFilter,
    Order,
    Surroundings,
    day_of,
    hour_of,
    kept_trend,
    parse_id,
)
from souk_monitor.preparing import Fix
from souk_monitor.searching import query
from souk_monitor.trends import Direction

ACTIVITIES, FINGERPRINTS, TAGS, TAG_VALUES = 100, 200, 50, 10
SERVICES, ENVIRONMENTS = 50, 20
DAYS = 30
_COLUMNS = """
i.id, i.project, i.number, i.state, i.severity, i.category, i.platform, i.handled, i.events, i.users, i.first_seen, i.last_seen,
i.first_release, i.last_release, i.assignee, i.resolved_at, i.resolved_release, i.resolved_next, i.ignored_until, i.ignored_events,
i.ignored_users, i.revision, i.priority, i.trend, i.expected,
t.title, t.culprit, t.type, t.template, t.fix_rule, t.fix_text, t.fix_evidence
"""
_PAGE = """
SELECT {columns}
FROM (SELECT * FROM monitor.issues i WHERE {conditions} ORDER BY i.{order} {way}, i.id {way} LIMIT {size}) i
    JOIN monitor.issue_texts t ON t.issue = i.id
ORDER BY i.{order} DESC, i.id DESC
"""
_MANY = f"SELECT {_COLUMNS} FROM monitor.issues i JOIN monitor.issue_texts t ON t.issue = i.id WHERE i.id = ANY ($1::bigint[])"  # noqa: S608 — of constants
_BY_ID = "SELECT coalesce(merged_into, id) FROM monitor.issues WHERE id = $1"
_BY_NUMBER = """
SELECT coalesce(i.merged_into, i.id) FROM monitor.issues i JOIN monitor.projects p ON p.number = i.project
WHERE p.name = $1 AND i.number = $2
"""
_HOURS = """
SELECT f.issue, h.hour, sum(h.events)::bigint AS events
FROM monitor.fingerprints f JOIN monitor.hours h ON h.fingerprint = f.id
WHERE f.issue = ANY ($1::bigint[]) AND h.hour >= $2 GROUP BY 1, 2
"""
_PLACES = """
SELECT f.issue, a.kind, a.value, sum(a.events) AS events
FROM monitor.fingerprints f JOIN monitor.facets a ON a.fingerprint = f.id
WHERE f.issue = ANY ($1::bigint[]) AND a.kind IN (1, 2) AND a.value <> '' GROUP BY 1, 2, 3 ORDER BY 4 DESC, 3
"""
_TAGS = """
SELECT name, value, events FROM (
    SELECT a.name, a.value, sum(a.events)::bigint AS events,
        row_number() OVER (PARTITION BY a.name ORDER BY sum(a.events) DESC, a.value) AS place
    FROM monitor.fingerprints f JOIN monitor.facets a ON a.fingerprint = f.id
    WHERE f.issue = $1 AND a.kind = 4 AND a.value <> '' GROUP BY 1, 2
) AS placed WHERE place <= $2 ORDER BY name, place
"""
_FINGERPRINTS = """
SELECT fingerprint, version, title, events, by_hand, last_seen FROM monitor.fingerprints
WHERE issue = $1 ORDER BY events DESC, id LIMIT $2
"""
_OF_FINGERPRINT = "SELECT fingerprint, issue FROM monitor.fingerprints WHERE project = $1 AND fingerprint = ANY ($2::bytea[])"
_ACTIVITY = "SELECT time, actor, kind, text FROM monitor.activity WHERE issue = $1 ORDER BY id DESC LIMIT $2"

_OF_PLACE = """
SELECT f.issue FROM monitor.facets a JOIN monitor.fingerprints f ON f.id = a.fingerprint WHERE a.value = {} AND a.kind =
"""


class IssueRows:
    """monitor.issues and what belongs to them."""

    def __init__(self, pool: Pool, events: EventRows) -> None:
        self._pool = pool
        self._events = events

    async def find(self, wanted: str) -> int:
        """The number of an issue by its id or its short id; of one that was merged, that of the other. IssueUnknownError."""
        parsed = parse_id(wanted)
        if isinstance(parsed, int):
            found = await self._pool.fetchval("issues.by_id", _BY_ID, (parsed,))
        else:
            found = await self._pool.fetchval("issues.by_number", _BY_NUMBER, parsed)
        if found is None:
            raise IssueUnknownError(wanted)
        number: int = found
        return number

    async def page(self, wanted: IssueFilter, order: Order, after: tuple[Any, int] | None, size: int, now: datetime) -> list[Issue]:
        """Up to `size` issues in their order. after: the key and the id of the last one of the page before."""
        return await self._page(wanted, order, after, size, now)

    async def before(self, wanted: IssueFilter, order: Order, place: tuple[Any, int], size: int, now: datetime) -> list[Issue]:
        """Up to `size` issues that come next before one, in their order. place: the key and the id of that one."""
        return await self._page(wanted, order, place, size, now, back=True)

    async def _page(
        self, wanted: IssueFilter, order: Order, place: tuple[Any, int] | None, size: int, now: datetime, *, back: bool = False
    ) -> list[Issue]:
        conditions, arguments = _conditions(wanted)
        if place is not None:
            arguments += place
            conditions.append(f"(i.{order.value}, i.id) {'>' if back else '<'} (${len(arguments) - 1}, ${len(arguments)})")
        arguments.append(size)
        way = {"order": order.value, "way": "ASC" if back else "DESC", "size": f"${len(arguments)}"}
        sql = _PAGE.format(columns=_COLUMNS, conditions=" AND ".join(conditions), **way)
        return await self._complete(await self._pool.fetch(sql, sql, arguments), now)

    async def many(self, issues: Sequence[int], now: datetime) -> dict[int, Issue]:
        """Issues by their ids."""
        if not issues:
            return {}
        found = await self._complete(await self._pool.fetch("issues.many", _MANY, (issues,)), now)
        return {issue.issue_id: issue for issue in found}

    async def one(self, issue: int, now: datetime) -> Issue:
        """An issue. IssueUnknownError."""
        found = await self.many([issue], now)
        if issue not in found:
            raise IssueUnknownError(str(issue))
        return found[issue]

    async def details(self, issue: int, now: datetime) -> Details:
        """An issue and what is around it. IssueUnknownError."""
        known = await self.one(issue, now)
        latest = await self._events.page(EventFilter(issue=issue), None, 1)
        counts = await self._hours([issue], day_of(now) - DAY * (DAYS - 1))
        hours = counts.get(issue, {})
        days: dict[datetime, int] = {}
        for hour, events in hours.items():
            days[day_of(hour)] = days.get(day_of(hour), 0) + events
        tags: dict[str, list[tuple[str, int]]] = {}
        for row in await self._pool.fetch("facets.tags", _TAGS, (issue, TAG_VALUES)):
            tags.setdefault(row["name"], []).append((row["value"], row["events"]))
        fingerprints = await self._pool.fetch("fingerprints.of", _FINGERPRINTS, (issue, FINGERPRINTS))
        activity = await self._pool.fetch("activity.of", _ACTIVITY, (issue, ACTIVITIES))
        return Details(
            known,
            latest[0] if latest else None,
            _series(hours, hour_of(now), HOUR, 24),
            _series(days, day_of(now), DAY, DAYS),
            dict(sorted(tags.items(), key=lambda tag: -sum(events for _, events in tag[1]))[:TAGS]),
            [FingerprintOf(*row.values()) for row in fingerprints],
            [Activity(*row.values()) for row in activity],
        )

    async def of_fingerprint(self, project: int, fingerprints: Sequence[bytes]) -> int | None:
        """The issue that the first of these goes to that is known."""
        rows = await self._pool.fetch("fingerprints.issue", _OF_FINGERPRINT, (project, fingerprints))
        known: dict[bytes, int] = {row["fingerprint"]: row["issue"] for row in rows}
        return next((known[each] for each in fingerprints if each in known), None)

    async def _complete(self, rows: Sequence[Record], now: datetime) -> list[Issue]:
        around = await self._around([row["id"] for row in rows], now)
        return [_with(row, around, now) for row in rows]

    async def _around(self, issues: list[int], now: datetime) -> Surroundings:
        if not issues:
            return Surroundings()
        hours = await self._hours(issues, hour_of(now) - DAY)
        services: dict[int, list[str]] = {}
        environments: dict[int, list[str]] = {}
        for row in await self._pool.fetch("facets.places", _PLACES, (issues,)):
            places = services if row["kind"] == Kind.SERVICE else environments
            places.setdefault(row["issue"], []).append(row["value"])
        return Surroundings(hours, services, environments)

    async def _hours(self, issues: list[int], since: datetime) -> dict[int, dict[datetime, int]]:
        hours: dict[int, dict[datetime, int]] = {}
        for row in await self._pool.fetch("hours.of", _HOURS, (issues, since)):
            hours.setdefault(row["issue"], {})[row["hour"]] = row["events"]
        return hours


def _conditions(wanted: IssueFilter) -> tuple[list[str], list[Any]]:
    """Of the statement, with its arguments."""
    arguments: list[Any] = [sorted(wanted.states)]
    conditions = ["i.merged_into IS NULL", "i.state = ANY ($1::smallint[])"]

    def add(condition: str, argument: Any) -> None:
        arguments.append(argument)
        conditions.append(condition.format(f"${len(arguments)}"))

    if wanted.project is not None:
        add("i.project = {}", wanted.project)
    if text := query(wanted.search):
        add("i.id IN (SELECT issue FROM monitor.issue_texts WHERE words @@ to_tsquery('simple', {}))", text)
    if wanted.categories:
        add("i.category = ANY ({}::smallint[])", sorted(wanted.categories))
    if wanted.min_severity:
        add("i.severity >= {}", wanted.min_severity)
    for kind, value in ((Kind.SERVICE, wanted.service), (Kind.ENVIRONMENT, wanted.environment)):
        if value:
            add(f"i.id IN ({_OF_PLACE} {kind.value})", value)
    if wanted.release:
        seen = _OF_PLACE.format("{0}")  # known some seconds later than the first and the last
        add(f"({{0}} IN (i.first_release, i.last_release) OR i.id IN ({seen} {Kind.RELEASE.value}))", wanted.release)
    if wanted.assignee:
        add("i.assignee = {}", "" if wanted.assignee == NOBODY else wanted.assignee)
    if wanted.since is not None:
        add("i.last_seen >= {}", wanted.since)
    return conditions, arguments


def _issue(row: Record) -> Issue:
    return Issue(
        issue_id=row["id"],
        project=row["project"],
        number=row["number"],
        title=row["title"],
        culprit=row["culprit"],
        type=row["type"],
        template=row["template"],
        severity=row["severity"],
        category=row["category"],
        fix=Fix(row["fix_rule"], row["fix_text"], row["fix_evidence"]),
        platform=row["platform"],
        handled=row["handled"],
        events=row["events"],
        users=row["users"],
        first_seen=row["first_seen"],
        last_seen=row["last_seen"],
        first_release=row["first_release"],
        last_release=row["last_release"],
        assignee=row["assignee"],
        status=status(row),
        revision=row["revision"],
        priority=row["priority"],
    )


def _with(row: Record, around: Surroundings, now: datetime) -> Issue:
    number, first_seen = row["id"], row["first_seen"]
    return replace(
        _issue(row),
        services=around.services.get(number, ())[:SERVICES],
        environments=around.environments.get(number, ())[:ENVIRONMENTS],
        trend=kept_trend(Direction(row["trend"]), row["expected"], around.hours.get(number, {}), first_seen, now),
    )


def _series(counts: dict[datetime, int], last: datetime, step: timedelta, length: int) -> list[tuple[datetime, int]]:
    """With those that have none, the oldest first."""
    times = [last - step * back for back in range(length - 1, -1, -1)]
    return [(time, counts.get(time, 0)) for time in times]
