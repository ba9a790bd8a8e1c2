"""The dashboard put together: its routes, and what ends with the service."""

import secrets
from pathlib import Path

from souk_common.auth import Authenticator
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from souk_monitor.settings import MonitorSettings
from souk_monitor.web.dashboard.actions import Actions
from souk_monitor.web.dashboard.assets import Assets
from souk_monitor.web.dashboard.attempts import Attempts
from souk_monitor.web.dashboard.face import ADMIN, Guard, Parts
from souk_monitor.web.dashboard.issue_pages import IssuePages
from souk_monitor.web.dashboard.live import Streams
from souk_monitor.web.dashboard.login import Login
from souk_monitor.web.dashboard.overview import Overview
from souk_monitor.web.dashboard.project_pages import ProjectPages
from souk_monitor.web.dashboard.rendering import Pages
from souk_monitor.web.dashboard.sessions import Sessions, Visitor

LIVE = "/live"
"""What stays open as long as a page is looked at."""
_NOBODYS = b"nobody logs in"
"""Where auth is off a session proves nothing but that a form is its own visitor's, by what is random in it: every node may know the
key."""


class Dashboard:
    """All pages."""

    def __init__(self, parts: Parts, settings: MonitorSettings) -> None:
        """OSError, ValueError where the auth file cannot be used."""
        self._assets = Assets()
        self._sessions = _sessions(settings)
        self._pages = Pages(self._assets, self._sessions, secure=settings.public_url.startswith("https:"))
        self._guard = Guard(self._sessions, self._pages, settings.public_url)
        self._login = Login(self._sessions, _attempts(settings), self._guard, self._pages)
        self._streams = Streams(parts.watch, parts.projects, most=settings.event_streams)
        self._issues = IssuePages(parts, self._pages)
        self._actions = Actions(parts)
        self._projects = ProjectPages(parts, self._pages)
        self._overview = Overview(parts, self._pages)

    async def drain(self) -> None:
        """End what does not end by itself."""
        await self._streams.end()

    def routes(self) -> list[Route]:
        """All of them."""
        page, action = self._guard.page, self._guard.action
        return [
            Route("/", page(self._overview.show), methods=["GET"]),
            Route("/issues", page(self._issues.index), methods=["GET"]),
            Route("/issues/actions", action(self._actions.many), methods=["POST"]),
            Route("/issues/{issue}", page(self._issues.one), methods=["GET"]),
            Route("/issues/{issue}/grouping", page(self._issues.grouping), methods=["GET"]),
            Route("/issues/{issue}/actions", action(self._actions.one), methods=["POST"]),
            Route("/events", page(self._issues.events), methods=["GET"]),
            Route("/projects", page(self._projects.index), methods=["GET"]),
            Route("/projects", action(self._projects.create, ADMIN), methods=["POST"]),
            Route("/projects/{project}", page(self._projects.one), methods=["GET"]),
            Route("/projects/{project}/keys", action(self._projects.create_key, ADMIN), methods=["POST"]),
            Route("/projects/{project}/keys/revoke", action(self._projects.revoke_key, ADMIN), methods=["POST"]),
            Route(LIVE, page(self._live), methods=["GET"]),
            Route("/login", self._login.show, methods=["GET"]),
            Route("/login", self._login.log_in, methods=["POST"]),
            Route("/logout", self._login.log_out, methods=["POST"]),
            Route("/theme", self._login.theme, methods=["POST"]),
            Route("/static/{name}", self._assets.serve, methods=["GET"]),
        ]

    async def not_found(self, request: Request, error: Exception) -> Response:
        """Where there is no page: told as a page, but not to SDKs."""
        if request.url.path.startswith("/api/") or not isinstance(error, HTTPException):
            return PlainTextResponse("Not Found", 404)
        visitor = self._guard.visitor(request)
        return await self._guard.problem(request, visitor, HTTPException(404, "there is no such page"))

    async def _live(self, request: Request, visitor: Visitor) -> Response:
        return await self._streams.serve(request, lambda: self._sessions.find(visitor.cookie))


def _attempts(settings: MonitorSettings) -> Attempts:
    return Attempts(per_address=settings.logins_per_address, in_all=settings.logins)


def _sessions(settings: MonitorSettings) -> Sessions:
    file: Path | None = settings.auth_file
    key = _NOBODYS if file is None else secrets.token_bytes(32)
    if settings.session_key is not None:
        key = settings.session_key.get_secret_value().encode()
    return Sessions(
        key,
        Authenticator(file) if file is not None else None,
        lifetime=settings.session_lifetime,
        reload_interval=settings.auth_reload_interval,
    )
