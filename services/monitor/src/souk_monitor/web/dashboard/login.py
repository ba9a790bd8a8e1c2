"""Logging in with a token, logging out, and the switch between dark and light."""

from math import ceil

import grpc
from souk_common.call import annotate
from souk_common.errors import ServiceError
from starlette.requests import Request
from starlette.responses import Response

from souk_monitor.web.dashboard import forms
from souk_monitor.web.dashboard.attempts import Attempts
from souk_monitor.web.dashboard.face import READ, STATUSES, Guard, check
from souk_monitor.web.dashboard.rendering import THEME, THEMES, Pages
from souk_monitor.web.dashboard.sessions import Sessions

MAX_TOKEN = 1_000
YEAR = 365 * 86_400


class Login:
    """What can be asked for without a session."""

    def __init__(self, sessions: Sessions, attempts: Attempts, guard: Guard, pages: Pages) -> None:
        self._sessions = sessions
        self._attempts = attempts
        self._guard = guard
        self._pages = pages

    async def show(self, request: Request) -> Response:
        """The form; who is logged in goes on."""
        onward = forms.local(request.query_params.get("next", ""))
        visitor = self._guard.visitor(request)
        if visitor is not None:
            return self._pages.go(request, visitor, onward)
        return await self._pages.page(request, None, "login.html", next=onward, refused="")

    async def log_in(self, request: Request) -> Response:
        """A session for a token. Sessions are opened by this site's own form alone."""
        onward = "/"
        try:
            self._guard.check_origin(request)
            form = await forms.read(request)
            onward = forms.local(form.get("next", ""))
            self._count(request)
            visitor = self._sessions.log_in(forms.text(form, "token", MAX_TOKEN))
            annotate(opened=visitor.name)
            check(visitor, READ)
        except ServiceError as error:
            refused = "This token is not known here." if error.code is grpc.StatusCode.UNAUTHENTICATED else error.message
            status = STATUSES.get(error.code, 500)
            response = await self._pages.page(request, None, "login.html", status=status, next=onward, refused=refused)
            if error.retry_delay is not None:
                response.headers["retry-after"] = str(ceil(error.retry_delay))
            return response
        return self._pages.go(request, visitor, onward)

    def _count(self, request: Request) -> None:
        """Raise RESOURCE_EXHAUSTED where it was tried too often; the token is not looked at then."""
        wait = self._attempts.take(request.client.host if request.client is not None else "")
        if wait:
            text = f"It was tried to log in too often. Try again in {ceil(wait)} seconds."
            raise ServiceError(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", text, retry_delay=wait)

    async def log_out(self, request: Request) -> Response:
        """The end of the session, in this browser."""
        visitor = self._guard.visitor(request)
        try:
            self._guard.check_origin(request)
            form = await forms.read(request)
            if visitor is not None:
                forms.check_csrf(form, visitor)
        except ServiceError as error:
            return await self._guard.problem(request, visitor, error)
        return self._pages.forget(self._pages.go(request, None, "/login"))

    async def theme(self, request: Request) -> Response:
        """Dark or light, kept in this browser; for those without scripts."""
        visitor = self._guard.visitor(request)
        try:
            self._guard.check_origin(request)
            form = await forms.read(request)
        except ServiceError as error:
            return await self._guard.problem(request, visitor, error)
        response = self._pages.go(request, visitor, forms.local(form.get("back", "")))
        chosen = form.get("theme", "")
        if chosen in THEMES:
            response.set_cookie(THEME, chosen, YEAR, samesite="strict")
        else:
            response.delete_cookie(THEME, samesite="strict")
        return response
