"""Reports, from counts by the hour."""

from datetime import datetime, timedelta

from souk_common.postgres import Pool, Record

from souk_monitor.adapters.issue_reads import IssueRows
from souk_monitor.facets import Kind
from souk_monitor.issues import Issue
from souk_monitor.reports import Report, Span

_OF = """
FROM monitor.hours h JOIN monitor.fingerprints f ON f.id = h.fingerprint
WHERE h.hour >= $1 AND h.hour < $2 AND ($3::integer IS NULL OR f.project = $3)
"""
_TOTAL = f"SELECT coalesce(sum(h.events), 0)::bigint AS events, count(DISTINCT f.issue) AS issues {_OF}"
_STEPS = f"SELECT date_trunc($4, h.hour, 'UTC') AS start, sum(h.events)::bigint AS events {_OF} GROUP BY 1"
_TOP = f"SELECT f.issue, sum(h.events)::bigint AS events {_OF} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $4"
_NEWEST = f"""
SELECT f.issue, sum(h.events)::bigint AS events {_OF}
    AND f.issue IN (SELECT id FROM monitor.issues WHERE first_seen >= $1 AND first_seen < $2 AND merged_into IS NULL)
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $4
"""  # noqa: S608
_CATEGORIES = f"""
SELECT i.category, sum(c.events)::bigint AS events
FROM (SELECT f.issue, sum(h.events) AS events {_OF} GROUP BY 1) AS c JOIN monitor.issues i ON i.id = c.issue
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $4
"""  # noqa: S608
_FACETS = """
SELECT value, sum(events)::bigint AS events FROM monitor.facet_hours
WHERE hour >= $1 AND hour < $2 AND ($3::integer IS NULL OR project = $3) AND kind = $5
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $4
"""
_NEW = """
SELECT count(*) FROM monitor.issues
WHERE first_seen >= $1 AND first_seen < $2 AND ($3::integer IS NULL OR project = $3) AND merged_into IS NULL
"""
_DONE = """
SELECT count(DISTINCT a.issue) FILTER (WHERE a.kind = 'regressed') AS regressed,
    count(DISTINCT a.issue) FILTER (WHERE a.kind = 'resolved') AS resolved
FROM monitor.activity a JOIN monitor.issues i ON i.id = a.issue
WHERE a.time >= $1 AND a.time < $2 AND ($3::integer IS NULL OR i.project = $3)
"""


class ReportSums:
    """Sums of monitor.hours and monitor.facet_hours."""

    def __init__(self, pool: Pool, issues: IssueRows) -> None:
        self._pool = pool
        self._issues = issues

    async def report(self, project: int | None, span: Span, limit: int, now: datetime) -> Report:
        """What went wrong in a span of time. limit: how many things of each kind it names."""
        of = (span.since, span.until, project)
        (total,) = await self._pool.fetch("report.total", _TOTAL, of)
        (before,) = await self._pool.fetch("report.total", _TOTAL, (span.before, span.since, project))
        (done,) = await self._pool.fetch("report.done", _DONE, of)
        unit = "day" if span.step >= timedelta(days=1) else "hour"
        steps = await self._pool.fetch("report.steps", _STEPS, (*of, unit))
        top = await self._pool.fetch("report.top", _TOP, (*of, limit))
        newest = await self._pool.fetch("report.newest", _NEWEST, (*of, limit))
        categories = await self._pool.fetch("report.categories", _CATEGORIES, (*of, limit))
        known = await self._issues.many(sorted({row["issue"] for row in (*top, *newest)}), now)
        return Report(
            span,
            events=total["events"],
            events_before=before["events"],
            issues=total["issues"],
            new_issues=await self._pool.fetchval("report.new", _NEW, of),
            regressed_issues=done["regressed"],
            resolved_issues=done["resolved"],
            counts=_series({row["start"]: row["events"] for row in steps}, span),
            top=_named(top, known),
            newest=_named(newest, known),
            categories=[(row["category"], row["events"]) for row in categories],
            services=await self._facets(of, limit, Kind.SERVICE),
            releases=await self._facets(of, limit, Kind.RELEASE),
        )

    async def _facets(self, of: tuple[datetime, datetime, int | None], limit: int, kind: Kind) -> list[tuple[str, int]]:
        rows = await self._pool.fetch("report.facets", _FACETS, (*of, limit, kind))
        return [(row["value"], row["events"]) for row in rows]


def _named(rows: list[Record], known: dict[int, Issue]) -> list[tuple[Issue, int]]:
    return [(known[row["issue"]], row["events"]) for row in rows if row["issue"] in known]


def _series(counts: dict[datetime, int], span: Span) -> list[tuple[datetime, int]]:
    start = span.since.replace(hour=0) if span.step >= timedelta(days=1) else span.since
    series = []
    while start < span.until:
        series.append((start, counts.get(start, 0)))
        start += span.step
    return series
