"""What stands around every page of the dashboard: whose names it answers to, and what it tells browsers to guard it by.

A page of another site whose name is made to lead here (DNS rebinding) is of one origin with the dashboard to the browser that shows
it; only the Host that it asks for tells. Addresses and the names of this machine itself cannot be made to lead elsewhere.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
INGEST = "/api/"
"""What SDKs send to, by whatever name they know: it takes a key with everything, and shows nothing."""


class Hosts:
    """Names that the dashboard answers to."""

    def __init__(self, allowed: Iterable[str], *, public_url: str = "") -> None:
        """allowed: names without ports; `*.shop.example` is every name under it, and `*` any. public_url: its host is one more."""
        names = {name.lower().rstrip(".") for name in (*allowed, urlsplit(public_url).hostname or "") if name}
        self._any = "*" in names
        self._under = tuple(name[1:] for name in names if name.startswith("*."))
        self._names = names

    def allow(self, host: str) -> bool:
        """Whether to answer where a request says this Host."""
        if self._any:
            return True
        name = _name(host)
        return name in self._names or name == "localhost" or name.endswith((".localhost", *self._under)) or _is_address(name)


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Fence:
    """ASGI middleware: 421 for names that are not ours, and the headers of SECURITY in every answer, but for those to SDKs."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"].startswith(INGEST):
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        host = Headers(scope=scope).get("host", "")
        answer = self._app if self._hosts.allow(host) else _misdirected(host)
        await answer(scope, receive, guarded)


def _misdirected(host: str) -> ASGIApp:
    text = (
        f"Souk's monitor does not answer to the name {host[:200]!r}.\n\n"
        "Open it by its address or by the name that it has. To have it answer to more names, set SOUK_MONITOR_ALLOWED_HOSTS, as "
        '["monitor.example"], or SOUK_MONITOR_PUBLIC_URL.\n'
    )
    return PlainTextResponse(text, 421)
