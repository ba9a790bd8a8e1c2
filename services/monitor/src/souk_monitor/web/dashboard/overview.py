"""The first page: what went wrong, in numbers."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from souk_monitor.issues import DAY, Issue
from souk_monitor.projects import Project
from souk_monitor.reports import Report, Span
from souk_monitor.web.dashboard.face import Parts
from souk_monitor.web.dashboard.queries import MAX_TEXT, SPANS
from souk_monitor.web.dashboard.rendering import Pages
from souk_monitor.web.dashboard.sessions import Visitor

LIMIT = 8
"""Things of each kind that are named."""
FRESH = timedelta(seconds=2)
"""How old a report may be that is shown; pages ask again later than that after a change."""
WITHIN = ("24h", "7d", "30d")


@dataclass(slots=True)
class _Kept:
    """A report that was made a moment ago."""

    making: asyncio.Lock = field(default_factory=asyncio.Lock)
    report: Report | None = None


class Overview:
    """Shows the report of a span of time."""

    def __init__(self, parts: Parts, pages: Pages) -> None:
        self._tracker = parts.tracker
        self._projects = parts.projects
        self._pages = pages
        self._kept: dict[tuple[int | None, str], _Kept] = {}

    async def show(self, request: Request, visitor: Visitor) -> Response:
        """The report of ?within= (24h, 7d, 30d) and ?project=."""
        now = datetime.now(UTC)
        within = request.query_params.get("within", "")
        within = within if within in WITHIN else WITHIN[0]
        name = request.query_params.get("project", "")[:MAX_TEXT]
        project = await self._projects.known(name) if name else None
        report = await self._report(project, within, now)
        return await self._pages.page(
            request,
            visitor,
            "overview.html",
            section="overview",
            report=report,
            by_day=report.span.step >= DAY,
            change=_change(report.events, report.events_before),
            within=within,
            spans=WITHIN,
            project_name=name,
            projects=[each.name for each in self._projects.all()],
            short_id=self._short_id,
        )

    async def _report(self, project: Project | None, within: str, now: datetime) -> Report:
        """One for all who look within a few seconds: it sums what a whole shop did."""
        kept = self._kept.setdefault((project.number if project is not None else None, within), _Kept())
        async with kept.making:
            if kept.report is None or now - kept.report.span.until >= FRESH:
                kept.report = await self._tracker.report(project, Span.of(now - SPANS[within], None, now), LIMIT)
            return kept.report

    def _short_id(self, issue: Issue) -> str:
        return f"{self._projects.name_of(issue.project).upper()}-{issue.number}"


def _change(events: int, before: int) -> str:
    """How events compare with those of the span before."""
    if not before:
        return "none before" if events else ""
    change = round(100 * (events - before) / before)
    return f"{change:+,} %" if change <= 1000 else f"{events / before:.0f} × before"
