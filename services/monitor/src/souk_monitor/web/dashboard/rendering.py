"""Templates made into answers."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from souk_monitor.web.dashboard import pictures, words
from souk_monitor.web.dashboard.assets import Assets
from souk_monitor.web.dashboard.sessions import COOKIE, Sessions, Visitor

THEME = "souk_theme"
THEMES = ("light", "dark")
_OF_PATHS = "/%#?=@[]!$&'()*+,;:"
NOTICES: Mapping[str, str] = {
    "acknowledge": "Acknowledged.",
    "resolve": "Resolved.",
    "ignore": "Ignored.",
    "reopen": "Open again.",
    "assign": "Assigned.",
    "comment": "Your comment is kept.",
    "merge": "Merged into this issue.",
    "split": "Split: this is the new issue.",
    "key": "A new key is made.",
    "revoke": "The key is revoked.",
    "project": "The project is made.",
}


class Pages:
    """Renders pages."""

    def __init__(self, assets: Assets, sessions: Sessions, *, secure: bool) -> None:
        """secure: browsers are to send the cookie over TLS only."""
        self._sessions = sessions
        self._secure = secure
        self._environment = Environment(
            loader=PackageLoader("souk_monitor.web.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(
            asset=assets.url, words=words, spark=pictures.spark, bars=pictures.bars, share=pictures.share, notices=NOTICES
        )
        self._environment.filters.update(moment=moment, clock=words.clock, short=words.short)

    async def page(self, request: Request, visitor: Visitor | None, name: str, *, status: int = 200, **values: Any) -> Response:
        """A page. Rendered in a thread, so that a large one does not stop the calls of others."""
        theme = request.cookies.get(THEME, "")
        shared = {
            "visitor": visitor,
            "need_login": self._sessions.need_login,
            "theme": theme if theme in THEMES else "",
            "path": request.url.path,
            "here": here(request),
            "notice": NOTICES.get(request.query_params.get("did", ""), ""),
            "now": datetime.now(UTC),
            "section": "",
        }
        template = self._environment.get_template(name)
        body = await asyncio.to_thread(template.render, {**shared, **values})
        return self.finish(Response(body, status, media_type="text/html; charset=utf-8"), request, visitor)

    def go(self, request: Request, visitor: Visitor | None, path: str) -> Response:
        """On to another page, by GET."""
        return self.finish(Response(status_code=303, headers={"location": quote(path, safe=_OF_PATHS)}), request, visitor)

    def finish(self, response: Response, request: Request, visitor: Visitor | None) -> Response:
        """With the session, where it is new."""
        if visitor is not None and request.cookies.get(COOKIE) != visitor.cookie:
            lifetime = self._sessions.lifetime
            response.set_cookie(COOKIE, visitor.cookie, lifetime, httponly=True, samesite="strict", secure=self._secure)
        return response

    def forget(self, response: Response) -> Response:
        """The end of a session."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=self._secure)
        return response


def here(request: Request) -> str:
    """The page that is shown, with its filter, as a path to come back to."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "did"]
    return f"{request.url.path}?{urlencode(kept)}" if kept else request.url.path


def moment(time: datetime, now: datetime) -> Markup:
    """A time as how long ago it was, and in full where the mouse rests."""
    return Markup('<time datetime="{}" title="{}">{}</time>').format(time.isoformat(), words.clock(time), words.ago(time, now))
