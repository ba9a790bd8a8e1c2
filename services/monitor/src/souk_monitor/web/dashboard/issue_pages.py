"""Pages of issues: the list, one issue with an event of it, its events, why they are one issue."""

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from souk_common.paging import page_position, page_token
from starlette.requests import Request
from starlette.responses import Response

from souk_monitor import positions
from souk_monitor.events import Event
from souk_monitor.exceptions import EventUnknownError, IssueUnknownError
from souk_monitor.explaining import explain
from souk_monitor.issues import Details, EventFilter, EventPlace, Issue, KeptEvent
from souk_monitor.web.dashboard import queries, stacks
from souk_monitor.web.dashboard.face import WRITE, Parts
from souk_monitor.web.dashboard.paging import BACK_TOKEN, PAGE_TOKEN, page_of
from souk_monitor.web.dashboard.queries import IssueQuery
from souk_monitor.web.dashboard.rendering import Pages
from souk_monitor.web.dashboard.sessions import Visitor

PAGE, EVENTS_PAGE = 50, 30
MAX_CRUMBS, MAX_CONTEXTS = 50, 30
_ID = re.compile(r"[0-9a-f]{32}")
_ERROR_ID = re.compile(r"[0-9a-f]{16}")
"""Of a Souk service."""
_SHORT_ID = re.compile(r"[a-z][a-z0-9-]{0,49}-[1-9][0-9]{0,9}")


class IssuePages:
    """Shows issues."""

    def __init__(self, parts: Parts, pages: Pages) -> None:
        self._tracker = parts.tracker
        self._projects = parts.projects
        self._rules = parts.rules
        self._pages = pages

    async def index(self, request: Request, visitor: Visitor) -> Response:
        """The list. What is looked for may be an id: then that is shown."""
        query = IssueQuery.of(request.query_params)
        if found := await self._named(query.get("q").lower()):
            return self._pages.go(request, visitor, found)
        project = await queries.number_of(self._projects, query.get("project"))
        bound_to = ("dashboard", project, *sorted(query.said.items()))
        wanted, order = query.filter(project, datetime.now(UTC)), query.order

        def read(token: str) -> tuple[Any, int] | None:
            return positions.issue(page_position(token, *bound_to), order)

        page = await page_of(
            request.query_params,
            read=read,
            after=lambda place, size: self._tracker.page(wanted, order, place, size),
            before=lambda place, size: self._tracker.before(wanted, order, place, size),
            size=PAGE,
        )

        def token(known: Issue | None) -> str:
            return page_token(positions.of_issue(known, order), *bound_to) if known is not None else ""

        return await self._pages.page(
            request,
            visitor,
            "issues.html",
            section="issues",
            query=query,
            issues=[self.row(issue) for issue in page.shown],
            first=query.url() if page.first else "",
            previous=query.url(**{BACK_TOKEN: token(page.first)}) if page.first else "",
            next=query.url(**{PAGE_TOKEN: token(page.last)}) if page.last else "",
            pairs=[(each.name, each.name) for each in self._projects.all()],
            choices=queries,
            writable=visitor.may(WRITE),
            request_id=secrets.token_hex(8),
        )

    async def _named(self, text: str) -> str:
        """Where an id of an issue, a trace or an error leads; empty where it is none."""
        if _SHORT_ID.fullmatch(text):
            try:
                return f"/issues/{await self._tracker.issues.find(text)}"
            except IssueUnknownError:
                return ""
        if _ID.fullmatch(text):
            if await self._tracker.events.page(EventFilter(trace_id=text), None, 1):
                return f"/events?{urlencode({'trace': text})}"
            return await self._event_named(text)
        return f"/events?{urlencode({'error': text})}" if _ERROR_ID.fullmatch(text) and await self._is_error(text) else ""

    async def _event_named(self, event_id: str) -> str:
        for kept in await self._tracker.events.page(EventFilter(event_id=event_id), None, 1):
            return f"/issues/{kept.issue_id}?event={event_id}"
        return f"/events?{urlencode({'error': event_id})}" if await self._is_error(event_id) else ""

    async def _is_error(self, error_id: str) -> bool:
        return bool(await self._tracker.events.page(EventFilter(error_id=error_id), None, 1))

    def row(self, issue: Issue) -> Mapping[str, Any]:
        """An issue with the name of its project."""
        project = self._projects.name_of(issue.project)
        return {"issue": issue, "project": project, "short_id": f"{project.upper()}-{issue.number}"}

    async def one(self, request: Request, visitor: Visitor) -> Response:
        """An issue, with its newest event or the one that ?event= names."""
        details = await self._tracker.details(request.path_params["issue"])
        kept = await self._event(request, details)
        newer, older = await self._neighbours(details, kept) if kept is not None else (None, None)
        return await self._pages.page(
            request,
            visitor,
            "issue.html",
            section="issues",
            **self.row(details.issue),
            details=details,
            kept=kept,
            newer=newer,
            older=older,
            exceptions=self._stack(details, kept),
            crumbs=_crumbs(kept.event) if kept is not None else [],
            contexts=_contexts(kept.event) if kept is not None else [],
            user=_user(kept.event) if kept is not None else "",
            writable=visitor.may(WRITE),
            request_id=secrets.token_hex(8),
        )

    async def _event(self, request: Request, details: Details) -> KeptEvent | None:
        wanted = request.query_params.get("event", "")
        if not wanted:
            return details.latest
        if not _ID.fullmatch(wanted):
            raise EventUnknownError(wanted)
        kept = await self._tracker.events.one(details.issue.project, wanted)
        if kept.issue_id != details.issue.issue_id:
            raise EventUnknownError(wanted)
        return kept

    async def _neighbours(self, details: Details, kept: KeptEvent) -> tuple[KeptEvent | None, KeptEvent | None]:
        issue = details.issue.issue_id
        place = positions.event(positions.of_event(kept))
        if place is None:
            return None, None
        is_latest = details.latest is not None and details.latest.event.event_id == kept.event.event_id
        newer = [] if is_latest else await self._tracker.events.before(EventFilter(issue=issue), place, 1)
        older = await self._tracker.events.page(EventFilter(issue=issue), place, 1)
        return newer[0] if newer else None, older[0] if older else None

    def _stack(self, details: Details, kept: KeptEvent | None) -> list[stacks.Shown]:
        if kept is None:
            return []
        return stacks.shown(kept.event, self._rules(self._projects.numbered(details.issue.project)))

    async def events(self, request: Request, visitor: Visitor) -> Response:
        """Events of an issue, of a trace, or with an error id."""
        params = request.query_params
        wanted, title, back = await self._which(params.get("issue", ""), params.get("trace", "").lower(), params.get("error", ""))
        bound_to = ("dashboard", wanted)

        def read(token: str) -> EventPlace | None:
            return positions.event(page_position(token, *bound_to))

        page = await page_of(
            params,
            read=read,
            after=lambda place, size: self._tracker.events.page(wanted, place, size),
            before=lambda place, size: self._tracker.events.before(wanted, place, size),
            size=EVENTS_PAGE,
        )
        issues = await self._tracker.many(sorted({kept.issue_id for kept in page.shown}))
        here = {name: value for name, value in params.items() if name not in (PAGE_TOKEN, BACK_TOKEN)}

        def url(name: str, known: KeptEvent | None) -> str:
            if known is None:
                return ""
            return f"/events?{urlencode({**here, name: page_token(positions.of_event(known), *bound_to)})}"

        return await self._pages.page(
            request,
            visitor,
            "events.html",
            section="issues",
            title=title,
            back=back,
            events=[(kept, self.row(issues[kept.issue_id])) for kept in page.shown if kept.issue_id in issues],
            first=f"/events?{urlencode(here)}" if page.first else "",
            previous=url(BACK_TOKEN, page.first),
            next=url(PAGE_TOKEN, page.last),
        )

    async def _which(self, issue: str, trace: str, error: str) -> tuple[EventFilter, str, str]:
        if issue:
            number = await self._tracker.issues.find(issue[: queries.MAX_TEXT])
            known = (await self._tracker.many([number]))[number]
            return EventFilter(issue=number), f"Events of {self.row(known)['short_id']}", f"/issues/{number}"
        if _ID.fullmatch(trace):
            return EventFilter(trace_id=trace), f"Errors of the trace {trace}", "/issues"
        if 0 < len(error) <= queries.MAX_TEXT and "\0" not in error:
            return EventFilter(error_id=error), f"Errors with the id {error}", "/issues"
        raise EventUnknownError(trace or error)

    async def grouping(self, request: Request, visitor: Visitor) -> Response:
        """Why events are one issue, and its fingerprints, which can be split off."""
        details = await self._tracker.details(request.path_params["issue"])
        kept = await self._event(request, details)
        project = self._projects.numbered(details.issue.project)
        found = self._tracker.explain_kept(project, kept) if kept is not None else None
        return await self._pages.page(
            request,
            visitor,
            "grouping.html",
            section="issues",
            **self.row(details.issue),
            details=details,
            kept=kept,
            grouping=found.grouping if found is not None else None,
            component=explain(kept.event, self._rules(project), overflows=kept.overflows) if kept is not None else None,
            writable=visitor.may(WRITE),
            request_id=secrets.token_hex(8),
        )


def _crumbs(event: Event) -> list[Mapping[str, str]]:
    """The last things that the program did, the newest first."""
    found = event.contexts.get("breadcrumbs")
    values = found.get("values") if isinstance(found, Mapping) else found
    crumbs = [crumb for crumb in values if isinstance(crumb, Mapping)] if isinstance(values, list | tuple) else []
    return [_crumb(crumb) for crumb in reversed(crumbs[-MAX_CRUMBS:])]


def _crumb(crumb: Mapping[str, Any]) -> Mapping[str, str]:
    data = crumb.get("data")
    told = ", ".join(f"{name}={value}" for name, value in stacks.variables(data)) if isinstance(data, Mapping) else ""
    return {
        "time": stacks.said(crumb.get("timestamp") or ""),
        "category": stacks.said(crumb.get("category") or crumb.get("type") or ""),
        "level": stacks.said(crumb.get("level") or ""),
        "text": " ".join(part for part in (stacks.said(crumb.get("message") or ""), told) if part),
    }


def _contexts(event: Event) -> list[tuple[str, list[tuple[str, str]]]]:
    """(name, names and values) of what else is known of an event."""
    named = {**event.contexts, "extra": event.extra}
    return [
        (str(name), stacks.variables(stacks.flat(value)))
        for name, value in list(named.items())[:MAX_CONTEXTS]
        if value and name != "breadcrumbs"
    ]


def _user(event: Event) -> str:
    """Whom it happened to, with all that is known of them."""
    user = event.user
    if user is None:
        return ""
    more = (f"{name}: {value}" for name, value in stacks.variables(stacks.flat(user.extra)))
    return ", ".join((*filter(None, (user.id, user.username, user.email, user.ip_address)), *more))
