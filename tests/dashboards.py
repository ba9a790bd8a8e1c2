"""The dashboard as one who has only HTTP sees it: pages, their forms, and what is sent with them."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx
from monitor_serving import Monitor


@dataclass
class Form:
    """A form of a page."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Reader(HTMLParser):
    """Reads what a page holds, as a browser without scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attributes}
        self.tags.append((tag, known))
        if tag == "a":
            self.links.append(known.get("href", ""))
        if tag == "form":
            self.forms.append(Form(known.get("action", ""), known.get("method", "get")))
        if tag == "input" and self.forms and known.get("type") == "hidden":
            self.forms[-1].fields.append((known["name"], known.get("value", "")))
        if tag == "button" and self.forms and "name" in known:
            self.forms[-1].buttons.append((known["name"], known.get("value", "")))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def form(self, action: str, *, having: str = "") -> Form:
        """The first form of an action, which says something hidden."""
        return next(
            form for form in self.forms if form.action == action and (not having or having in [value for _, value in form.fields])
        )


@dataclass
class Visit:
    """A browser without scripts: it keeps cookies, and sends what forms hold."""

    client: httpx.AsyncClient

    async def get(self, path: str, **options: Any) -> tuple[httpx.Response, Reader]:
        response = await self.client.get(path, **options)
        return response, Reader(response.text)

    async def page(self, path: str) -> Reader:
        response, page = await self.get(path)
        assert response.status_code == 200, (response.status_code, page.text)
        return page

    async def send(self, form: Form, *more: tuple[str, str], **options: Any) -> httpx.Response:
        names = {name for name, _ in more}
        fields = [(name, value) for name, value in form.fields if name not in names] + list(more)
        return await self.post(form.action, fields, **options)

    async def post(self, path: str, fields: list[tuple[str, str]], **options: Any) -> httpx.Response:
        headers = {"content-type": "application/x-www-form-urlencoded", **options.pop("headers", {})}
        return await self.client.post(path, content=str(httpx.QueryParams(fields)), headers=headers, **options)


@contextlib.asynccontextmanager
async def visiting(monitor: Monitor, headers: Mapping[str, str] | None = None) -> AsyncIterator[Visit]:
    """One who looks while the body runs."""
    async with httpx.AsyncClient(base_url=f"http://{monitor.server.addresses.http}", headers=headers, timeout=20) as client:
        yield Visit(client)
