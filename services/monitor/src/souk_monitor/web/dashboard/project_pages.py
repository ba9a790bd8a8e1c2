"""Pages of projects: their DSNs and keys."""

import secrets
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response

from souk_monitor.projects import NAME, ProjectOptions, dsn
from souk_monitor.tracker import Request as Known
from souk_monitor.web.dashboard import forms
from souk_monitor.web.dashboard.face import ADMIN, Parts
from souk_monitor.web.dashboard.forms import Form
from souk_monitor.web.dashboard.rendering import Pages
from souk_monitor.web.dashboard.sessions import Visitor

MAX_LABEL = 200


class ProjectPages:
    """Shows projects, and makes them and their keys."""

    def __init__(self, parts: Parts, pages: Pages) -> None:
        self._projects = parts.projects
        self._changes = parts.changes
        self._public_url = parts.public_url
        self._pages = pages

    async def index(self, request: Request, visitor: Visitor) -> Response:
        """All of them."""
        await self._projects.refresh()
        return await self._pages.page(
            request,
            visitor,
            "projects.html",
            section="projects",
            projects=self._projects.all(),
            default=self._projects.default,
            changeable=visitor.may(ADMIN),
            request_id=secrets.token_hex(8),
        )

    async def one(self, request: Request, visitor: Visitor) -> Response:
        """One, with its keys and how to report to it."""
        await self._projects.refresh()
        project = await self._projects.known(request.path_params["project"])
        url = self._public_url or f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"
        return await self._pages.page(
            request,
            visitor,
            "project.html",
            section="projects",
            project=project,
            keys=[(key, dsn(url, project.number, key.public_key)) for key in project.keys],
            guessed=not self._public_url,
            changeable=visitor.may(ADMIN),
            request_id=secrets.token_hex(8),
        )

    async def create(self, request: Request, visitor: Visitor, form: Form) -> str:
        """A project with a key."""
        name = forms.text(form, "name", 50, needed=True)
        if not NAME.fullmatch(name):
            raise forms.bad("name", "must be small letters, digits and -, beginning with a letter, 50 at the most")
        await self._changes.create(name, ProjectOptions(), _known(form, visitor, name))
        await self._projects.refresh()
        return f"/projects/{name}?did=project"

    async def create_key(self, request: Request, visitor: Visitor, form: Form) -> str:
        """One more key."""
        name = (await self._projects.known(request.path_params["project"])).name
        await self._changes.create_key(name, forms.text(form, "label", MAX_LABEL), _known(form, visitor, name))
        return f"/projects/{name}?did=key"

    async def revoke_key(self, request: Request, visitor: Visitor, form: Form) -> str:
        """The end of a key."""
        name = (await self._projects.known(request.path_params["project"])).name
        await self._changes.revoke_key(name, forms.text(form, "key", MAX_LABEL, needed=True))
        return f"/projects/{name}?did=revoke"


def _known(form: Form, visitor: Visitor, name: str) -> Known:
    said = sha256(repr(sorted(item for item in form.multi_items() if item[0] != forms.CSRF)).encode()).digest()
    page = forms.text(form, "request_id", 64)
    return Known(visitor.name, f"web-{page}-{name}-{said.hex()[:16]}" if page.isalnum() else "", said)
