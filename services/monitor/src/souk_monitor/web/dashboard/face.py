"""What pages stand on, and the guard before each: who looks, whether he may, and what he is told when something goes wrong."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

import grpc
import structlog
from souk_common.call import CURRENT
from souk_common.errors import ServiceError, internal, new_error_id, translate
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from souk_monitor.errors import ERRORS
from souk_monitor.in_app import InAppRules
from souk_monitor.projects import Project, ProjectOptions, Projects
from souk_monitor.tracker import Request as Known
from souk_monitor.tracker import Tracker
from souk_monitor.watching import Watch
from souk_monitor.web.dashboard import forms
from souk_monitor.web.dashboard.forms import Form
from souk_monitor.web.dashboard.rendering import Pages, here
from souk_monitor.web.dashboard.sessions import COOKIE, Sessions, Visitor

log = structlog.get_logger(__name__)
READ, WRITE, ADMIN = "monitor.read", "monitor.write", "monitor.admin"
Code = grpc.StatusCode
STATUSES = {
    Code.INVALID_ARGUMENT: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.FAILED_PRECONDITION: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.UNAVAILABLE: 503,
}
Endpoint = Callable[[Request], Awaitable[Response]]
Page = Callable[[Request, Visitor], Awaitable[Response]]
Action = Callable[[Request, Visitor, Form], Awaitable[str]]
"""Does what a form says; the path to go on to."""


class ProjectChanges(Protocol):
    """Where projects are changed; as in rpc/projects.py."""

    async def create(self, name: str, options: ProjectOptions, request: Known) -> None:
        """Make a project with a key. ProjectExistsError, RequestIdReusedError."""

    async def create_key(self, project: str, label: str, request: Known) -> str:
        """Make one more key; the public key. ProjectUnknownError, RequestIdReusedError."""

    async def revoke_key(self, project: str, public_key: str) -> None:
        """End a key. KeyUnknownError."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the dashboard stands on: the core, as the rpcs have it."""

    tracker: Tracker
    projects: Projects
    changes: ProjectChanges
    watch: Watch
    rules: Callable[[Project], InAppRules]
    public_url: str


class Guard:
    """Lets requests through to pages."""

    def __init__(self, sessions: Sessions, pages: Pages, public_url: str) -> None:
        """public_url: of this site; empty where it is not known."""
        self._sessions = sessions
        self._public_url = public_url
        self._pages = pages

    def page(self, show: Page, scope: str = READ) -> Endpoint:
        """A page that is shown to those who have a scope."""

        async def guarded(request: Request) -> Response:
            if COOKIE not in request.cookies and request.headers.get("sec-fetch-site") == "cross-site":
                # a link of another site comes without the cookie: the page is asked for again, by itself
                return await self._pages.page(request, None, "again.html")
            visitor = self.visitor(request)
            if visitor is None:
                return self._pages.go(request, None, f"/login?{urlencode({'next': here(request)})}")
            try:
                check(visitor, scope)
                return await show(request, visitor)
            except Exception as error:  # noqa: BLE001 — the edge
                return await self.problem(request, visitor, error)

        return guarded

    def action(self, act: Action, scope: str = WRITE) -> Endpoint:
        """A form that those may send who have a scope, and were shown it."""

        async def guarded(request: Request) -> Response:
            visitor = self.visitor(request)
            try:
                self.check_origin(request)
                form = await forms.read(request)
                if visitor is None:
                    raise ServiceError(Code.UNAUTHENTICATED, "CREDENTIALS_MISSING", "your session is over: log in again")
                forms.check_csrf(form, visitor)
                check(visitor, scope)
                return self._pages.go(request, visitor, await act(request, visitor, form))
            except ClientDisconnect:
                raise
            except Exception as error:  # noqa: BLE001 — the edge
                return await self.problem(request, visitor, error)

        return guarded

    def check_origin(self, request: Request) -> None:
        """Raise PERMISSION_DENIED where another site sent the request."""
        forms.check_origin(request, self._public_url)

    def visitor(self, request: Request) -> Visitor | None:
        """Who looks; where auth is off, somebody. None: he must log in."""
        found = self._sessions.find(request.cookies.get(COOKIE, ""))
        if found is None and not self._sessions.need_login:
            found = self._sessions.anonymous()
        call = CURRENT.get()
        if found is not None and call is not None:
            call.principal = found.principal
        return found

    async def problem(self, request: Request, visitor: Visitor | None, error: Exception) -> Response:
        """What is told when something goes wrong."""
        if isinstance(error, HTTPException):
            return await self._told(request, visitor, error.status_code, error.detail)
        told = error if isinstance(error, ServiceError) else translate(error, ERRORS)
        if told is None:
            error_id = new_error_id()
            log.error("a page failed", error_id=error_id, exc_info=error)
            told = internal(error_id)
        response = await self._told(request, visitor, STATUSES.get(told.code, 500), told.message)
        if told.retry_delay is not None:
            response.headers["retry-after"] = str(max(1, round(told.retry_delay)))
        return response

    async def _told(self, request: Request, visitor: Visitor | None, status: int, message: str) -> Response:
        return await self._pages.page(request, visitor, "problem.html", status=status, code=status, message=message)


def check(visitor: Visitor, scope: str) -> None:
    """Raise PERMISSION_DENIED where the visitor lacks a scope."""
    if not visitor.may(scope):
        raise ServiceError(Code.PERMISSION_DENIED, "SCOPE_MISSING", f"{visitor.name} lacks the scope {scope}")
