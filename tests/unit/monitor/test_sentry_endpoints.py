"""What Sentry's SDKs are answered over HTTP."""

import asyncio
import base64
import contextlib
import gzip
import json
import os
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import brotli
import httpx
import pytest
import structlog
import zstandard
from souk_common.postgres import UnavailableError
from souk_monitor.events import Event
from souk_monitor.exceptions import QueueFullError, QuotaExceededError, StoreUnavailableError
from souk_monitor.ingest import Outcome, Rejected, Stored
from souk_monitor.projects import Project, ProjectKey, ProjectOptions, Projects
from souk_monitor.web.sentry import SentryOptions, routes
from starlette.applications import Starlette

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY, REVOKED = "a" * 32, "b" * 32
ID = "0123456789abcdef0123456789abcdef"
SHOP = Project(7, "shop", NOW, keys=(ProjectKey(KEY, "", NOW), ProjectKey(REVOKED, "", NOW, NOW)))
CLOSED = Project(8, "closed", NOW, keys=(ProjectKey(KEY, "", NOW),), disabled=True)
AUTH = {"x-sentry-auth": f"Sentry sentry_version=7, sentry_client=test/1, sentry_key={KEY}"}
EVENT = json.dumps({"event_id": ID, "message": "no stock"}).encode()
ENVELOPE = b'{"event_id":"%s"}\n{"type":"event"}\n%s\n' % (ID.encode(), EVENT)
URL = "/api/7/envelope/"


class Table:
    """Projects that are there."""

    def __init__(self, *projects: Project) -> None:
        self.projects = projects
        self.problem: Exception | None = None

    async def all(self) -> Sequence[Project]:
        if self.problem is not None:
            raise self.problem
        return self.projects


class Store:
    """A pipeline that keeps what it gets, or answers as it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.problem: Exception | None = None
        self.rejects = False
        self.gate: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def submit(self, project: Project, events: Sequence[Event]) -> list[Outcome]:
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.problem is not None:
            raise self.problem
        if self.rejects:
            return [Rejected(event.event_id, "MALFORMED", "it cannot be kept") for event in events]
        self.events += events
        return [Stored(event.event_id, "1", new_issue=True, repeated=False) for event in events]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def table() -> Table:
    return Table(SHOP, CLOSED)


@pytest.fixture
async def http(store: Store, table: Table) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(store, table) as client:
        yield client


@contextlib.asynccontextmanager
async def serving(store: Store, table: Table, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    projects: Any = Projects(table, default="shop", interval=300)
    app = Starlette(routes=routes(projects, store, SentryOptions(**options)))
    app.router.redirect_slashes = False
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://monitor.example") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "body"),
    [("/api/7/envelope/", ENVELOPE), ("/api/7/envelope", ENVELOPE), ("/api/7/store/", EVENT), ("/api/7/store", EVENT)],
)
async def test_an_event_is_stored_and_its_id_is_answered(http: httpx.AsyncClient, store: Store, path: str, body: bytes):
    response = await http.post(path, content=body, headers=AUTH)
    assert (response.status_code, response.json()) == (200, {"id": ID})
    assert [(event.event_id, event.message) for event in store.events] == [(ID, "no stock")]


PEER = "127.0.0.1"
"""That of who sends."""
INFERS: dict[str, Any] = {"settings": {"infer_ip": "auto"}}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"user": {"ip_address": "{{auto}}"}}, ("", PEER)),
        ({"user": {"id": "ana", "ip_address": "{{auto}}"}}, ("ana", PEER)),
        ({"user": {"id": "ana", "ip_address": "203.0.113.9"}, "sdk": INFERS}, ("ana", "203.0.113.9")),
        ({"user": {"id": "ana"}, "sdk": INFERS}, ("ana", PEER)),
        ({"sdk": INFERS}, ("", PEER)),
        ({"user": {"id": "ana"}, "sdk": {"settings": {"infer_ip": "never"}}}, ("ana", "")),
        ({"user": {"id": "ana"}}, ("ana", "")),
        ({}, None),
    ],
)
async def test_a_user_has_the_address_of_who_sends_where_the_sdk_asks_for_it(
    http: httpx.AsyncClient, store: Store, sent: dict[str, Any], expected: tuple[str, str] | None
):
    body = json.dumps({"event_id": ID, "message": "no stock", **sent}).encode()
    assert (await http.post("/api/7/store/", content=body, headers=AUTH)).status_code == 200
    (event,) = store.events
    assert (event.user and (event.user.id, event.user.ip_address)) == expected


@pytest.mark.parametrize(
    ("url", "headers", "header"),
    [
        (URL, AUTH, b"{}"),
        (URL, {"authorization": f"Sentry sentry_key={KEY}"}, b"{}"),
        (URL, {"x-sentry-auth": f"Sentry sentry_version = 7 , sentry_key = {KEY} "}, b"{}"),
        (f"{URL}?sentry_key={KEY}&sentry_version=7", {}, b"{}"),
        (URL, {}, b'{"dsn": "https://%s@monitor.example/7"}' % KEY.encode()),
    ],
)
async def test_the_key_may_be_in_a_header_the_query_or_the_envelope(
    http: httpx.AsyncClient, store: Store, url: str, headers: dict[str, str], header: bytes
):
    response = await http.post(url, content=ENVELOPE.replace(ENVELOPE.split(b"\n")[0], header), headers=headers)
    assert response.status_code == 200
    assert len(store.events) == 1


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        (URL, {}),
        (URL, {"x-sentry-auth": "Sentry sentry_key="}),
        (URL, {"x-sentry-auth": "Basic abc"}),
        (f"{URL}?sentry_key=nobody", {}),
        (f"{URL}?sentry_key={REVOKED}", {}),
        (f"/api/8/envelope/?sentry_key={KEY}", {}),
        (f"/api/99/envelope/?sentry_key={KEY}", {}),
    ],
)
async def test_without_a_key_that_holds_nothing_is_stored(http: httpx.AsyncClient, store: Store, url: str, headers: dict[str, str]):
    response = await http.post(url, content=ENVELOPE, headers=headers)
    assert response.status_code == 401
    assert response.headers["x-sentry-error"]
    assert not store.events


@pytest.mark.parametrize("digits", [18, 19, 5000])
async def test_a_number_that_no_project_has_is_answered_as_any_other(http: httpx.AsyncClient, digits: int):
    response = await http.post(f"/api/{'9' * digits}/envelope/", content=ENVELOPE, headers={**AUTH, "origin": "https://a.example"})
    assert response.status_code == 401
    assert response.headers["x-sentry-error"]
    assert response.headers["access-control-allow-origin"] == "https://a.example"


@pytest.mark.parametrize(
    "path",
    ["/api/shop/envelope/", "/api/-7/envelope/", "/api/٧/envelope/", "/api/7/other/", "/api//envelope/", "/api/7/envelope/x"],
)
async def test_other_paths_are_not_there(http: httpx.AsyncClient, path: str):
    assert (await http.post(path, content=ENVELOPE, headers=AUTH)).status_code == 404


async def test_items_that_are_no_errors_are_taken_and_forgotten(http: httpx.AsyncClient, store: Store):
    response = await http.post(URL, content=b'{}\n{"type":"session"}\n{}\n{"type":"tomorrow"}\n{}', headers=AUTH)
    assert (response.status_code, response.json()) == (200, {})
    assert not store.events


@pytest.mark.parametrize("body", [b"", b"{", b'{}\n{"type":"event"}\n{', b'{}\n{"type":"event","length":999}\n{}', b"\xff" * 50])
async def test_what_is_malformed_is_answered_with_what_is_wrong(http: httpx.AsyncClient, store: Store, body: bytes):
    response = await http.post(URL, content=body, headers=AUTH)
    assert response.status_code == 400
    assert response.headers["x-sentry-error"]
    assert response.json()["detail"]
    assert not store.events


async def test_an_envelope_of_which_one_event_is_broken_is_not_stored_by_halves(http: httpx.AsyncClient, store: Store):
    body = b'{}\n{"type":"event"}\n{"message":"fine"}\n{"type":"event"}\n[]'
    assert (await http.post(URL, content=body, headers=AUTH)).status_code == 400
    assert not store.events


async def test_bodies_may_be_compressed(http: httpx.AsyncClient, store: Store):
    headers = {**AUTH, "content-encoding": "gzip"}
    assert (await http.post(URL, content=gzip.compress(ENVELOPE), headers=headers)).status_code == 200
    assert (await http.post(URL, content=ENVELOPE, headers=headers)).status_code == 400
    assert len(store.events) == 1


LIMITS = {"max_bytes": 5000, "max_decompressed_bytes": 20_000, "max_whole_bytes": 100_000}


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b'{"message":"%s"}' % bytes(6000), ""),
        (b'{"message":"%s"}' % bytes(21_000), "gzip"),
        (b'{"message":"%s"}' % bytes(1_000_000), "gzip"),
    ],
)
@pytest.mark.parametrize(
    "head", [b"", b'{}\n{"type":"event"}\n', b'{}\n{"type":"attachment","length":10}\n0123456789\n{"type":"event"}\n']
)
async def test_an_event_that_is_too_large_is_refused_before_and_after_decompression(
    store: Store, table: Table, head: bytes, body: bytes, encoding: str
):
    async with serving(store, table, **LIMITS) as http:
        content = gzip.compress(head + body) if encoding else head + body
        path = URL if head else "/api/7/store/"
        response = await http.post(path, content=content, headers={**AUTH, "content-encoding": encoding})
    assert response.status_code == 413
    assert not store.events


COMPRESSORS = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}


def with_attachment(data: bytes, *, measured: bool = True, first: bool = False) -> bytes:
    """An envelope with an event, and with an item that is none."""
    head = json.dumps({"type": "attachment", "filename": "a.log", **({"length": len(data)} if measured else {})}).encode()
    items = [head + b"\n" + data + b"\n", b'{"type":"event","length":%d}\n%s\n' % (len(EVENT), EVENT)]
    return b'{"dsn":"https://%s@monitor.example/7"}\n' % KEY.encode() + b"".join(items if first else reversed(items))


@pytest.mark.parametrize("encoding", COMPRESSORS)
@pytest.mark.parametrize("headers", [AUTH, {}], ids=["key", "dsn"])
@pytest.mark.parametrize("way", [{}, {"first": True}, {"first": True, "measured": False}])
@pytest.mark.parametrize("data", [os.urandom(60_000).replace(b"\n", b" "), b"a,b,c " * 10_000], ids=["random", "text"])
async def test_an_error_is_not_lost_for_what_is_attached_to_it(
    store: Store, table: Table, data: bytes, way: dict[str, bool], headers: dict[str, str], encoding: str
):
    async with serving(store, table, **LIMITS) as http:
        body = COMPRESSORS[encoding](with_attachment(data, **way))
        response = await http.post(URL, content=body, headers={**headers, "content-encoding": encoding})
    assert (response.status_code, response.json()) == (200, {"id": ID})
    assert [event.message for event in store.events] == ["no stock"]


@pytest.mark.parametrize(
    ("data", "encoding"), [(bytes(100_000), ""), (bytes(101_000), "gzip"), (bytes(10_000_000), "zstd"), (os.urandom(100_000), "br")]
)
async def test_the_whole_with_what_is_attached_has_a_limit_before_and_after_decompression(
    store: Store, table: Table, data: bytes, encoding: str
):
    async def in_parts() -> AsyncIterator[bytes]:
        body = COMPRESSORS[encoding](with_attachment(data))
        for start in range(0, len(body), 3000):
            yield body[start : start + 3000]

    async with serving(store, table, **LIMITS) as http:
        for content in (COMPRESSORS[encoding](with_attachment(data)), in_parts()):
            response = await http.post(URL, content=content, headers={**AUTH, "content-encoding": encoding})
            assert response.status_code == 413
    assert not store.events


@pytest.mark.parametrize(
    "body",
    [
        with_attachment(bytes(20_000))[:-10],
        with_attachment(bytes(20_000)) + b"{",
        with_attachment(bytes(20_000)) + b'{"type":"event"}\n[]',
        b"x" * 20_000,
        b'{"type":"attachment"}\n' + bytes(90_000),
    ],
)
async def test_a_long_envelope_that_is_malformed_is_answered_so_and_gives_nothing_by_halves(
    store: Store, table: Table, body: bytes
):
    async with serving(store, table, **LIMITS) as http:
        for content, encoding in (
            (body, ""),
            (gzip.compress(body, 0), "gzip"),
            (gzip.compress(body, 0)[:-9], "gzip"),
            (body, "gzip"),
        ):
            response = await http.post(URL, content=content, headers={**AUTH, "content-encoding": encoding})
            assert (response.status_code, bool(response.headers["x-sentry-error"])) == (400, True)
    assert not store.events


@pytest.mark.parametrize("headers", [{}, {"x-sentry-auth": f"Sentry sentry_key={REVOKED}"}])
async def test_of_a_long_body_no_more_is_read_than_it_takes_to_know_its_key(store: Store, table: Table, headers: dict[str, str]):
    body = Body(b'{"dsn":"https://%s@monitor.example/7"}\n{"type":"attachment"}\n' % REVOKED.encode(), bytes(6000), bytes(6000))
    async with serving(store, table, **LIMITS) as http:
        assert (await http.post(URL, content=body, headers=headers)).status_code == 401
    assert not body.asked.is_set()


RAVEN = base64.b64encode(zlib.compress(EVENT))
"""As Raven of most languages sends an event."""
QUERY = {"sentry_version": "4", "sentry_client": "raven-js/1.3.0", "sentry_key": KEY}


@pytest.mark.parametrize(
    ("body", "kind"), [(RAVEN, "application/octet-stream"), (b"sentry_data=" + RAVEN, "application/x-www-form-urlencoded")]
)
async def test_an_event_of_an_old_sdk_is_stored(http: httpx.AsyncClient, store: Store, body: bytes, kind: str):
    response = await http.post("/api/7/store/", content=body, headers={**AUTH, "content-type": kind})
    assert (response.status_code, response.json()) == (200, {"id": ID})
    assert [event.message for event in store.events] == ["no stock"]


@pytest.mark.parametrize("path", ["/api/7/store/", "/api/7/store"])
@pytest.mark.parametrize("data", [EVENT.decode(), RAVEN.decode()])
async def test_a_browser_may_report_by_asking_for_a_picture(http: httpx.AsyncClient, store: Store, path: str, data: str):
    response = await http.get(path, params={**QUERY, "sentry_data": data})
    assert (response.status_code, response.headers["content-type"]) == (200, "image/gif")
    assert response.content.startswith(b"GIF89a")
    assert [event.event_id for event in store.events] == [ID]


@pytest.mark.parametrize(
    ("params", "status"), [(QUERY, 400), ({**QUERY, "sentry_data": "no event"}, 400), ({"sentry_data": EVENT.decode()}, 401)]
)
async def test_a_picture_that_says_no_event_is_refused(http: httpx.AsyncClient, store: Store, params: dict[str, str], status: int):
    response = await http.get("/api/7/store/", params=params)
    assert response.status_code == status
    assert response.headers["x-sentry-error"]
    assert not store.events


@pytest.mark.parametrize("kind", ["application/csp-report", "application/reports+json", "application/json"])
async def test_a_browser_reports_what_a_policy_forbids(http: httpx.AsyncClient, store: Store, kind: str):
    url = f"/api/7/security/?sentry_key={KEY}&sentry_release=shop@1.2&sentry_environment=staging"
    report = b'{"csp-report":{"document-uri":"https://shop.example","blocked-uri":"https://evil.example","violated-directive":"img-src"}}'
    headers = {"content-type": kind, "origin": "https://shop.example"}
    asked = await http.options(url, headers={**headers, "access-control-request-headers": "content-type"})
    assert "Content-Type" in asked.headers["access-control-allow-headers"]
    response = await http.post(url, content=report, headers=headers)
    (event,) = store.events
    assert (response.status_code, response.json()) == (200, {"id": event.event_id})
    assert (event.message, event.release, event.environment) == ("Blocked 'image' from 'evil.example'", "shop@1.2", "staging")


async def test_a_bomb_within_base64_is_stopped(http: httpx.AsyncClient):
    bomb = base64.b64encode(zlib.compress(b'{"message":"%s"}' % bytes(40_000_000)))
    assert (await http.post("/api/7/store/", content=bomb, headers=AUTH)).status_code == 413


@pytest.mark.parametrize(
    ("problem", "status", "delay"),
    [
        (QuotaExceededError("shop", 12.3), 429, "13"),
        (QueueFullError(0.2), 429, "1"),
        (StoreUnavailableError(2.0), 503, "2"),
        (UnavailableError("gone"), 503, "1"),
    ],
)
async def test_an_sdk_is_told_when_to_come_again(
    http: httpx.AsyncClient, store: Store, problem: Exception, status: int, delay: str
):
    store.problem = problem
    response = await http.post(URL, content=ENVELOPE, headers=AUTH)
    assert (response.status_code, response.headers["retry-after"]) == (status, delay)
    if status == 429:
        assert response.headers["x-sentry-rate-limits"] == f"{delay}:error;default:key"


async def test_where_projects_cannot_be_read_the_sdk_comes_again(http: httpx.AsyncClient, table: Table):
    table.problem = UnavailableError("gone")
    response = await http.post(URL, content=ENVELOPE, headers=AUTH)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


async def test_an_event_that_the_store_rejects_is_answered_so(http: httpx.AsyncClient, store: Store):
    store.rejects = True
    response = await http.post(URL, content=ENVELOPE, headers=AUTH)
    assert (response.status_code, response.headers["x-sentry-error"]) == (400, "it cannot be kept")


async def test_what_nobody_foresaw_is_answered_with_an_id_that_the_log_has_and_a_browser_may_read(
    http: httpx.AsyncClient, store: Store
):
    store.problem = ZeroDivisionError("secret detail")
    with structlog.testing.capture_logs() as lines:
        response = await http.post(URL, content=ENVELOPE, headers={**AUTH, "origin": "https://shop.example"})
    assert response.status_code == 500
    assert response.headers["access-control-allow-origin"] == "https://shop.example"
    assert "secret" not in response.text
    (line,) = lines
    assert line["error_id"] in response.headers["x-sentry-error"]
    assert line["exc_info"] is store.problem


@pytest.mark.parametrize("depth", [100, 980, 1000, 1020, 1100, 100_000])
async def test_however_deep_an_event_is_nested_the_answer_is_typed(http: httpx.AsyncClient, depth: int):
    nested = b"[" * depth + b"]" * depth
    for field in (b"extra", b"message", b"release", b"tags"):
        body = b'{}\n{"type":"event"}\n{"%s":%s}' % (field, nested)
        response = await http.post(URL, content=body, headers={**AUTH, "origin": "https://shop.example"})
        assert response.status_code in (200, 400)
        assert response.headers["access-control-allow-origin"] == "https://shop.example"


@pytest.mark.parametrize("limit", [{"max_in_flight": 2}, {"max_in_flight_bytes": 2 * len(EVENT)}])
async def test_of_more_requests_than_may_be_in_flight_one_is_told_to_come_again(store: Store, table: Table, limit: dict[str, int]):
    store.gate = asyncio.Event()
    async with serving(store, table, **limit) as http, asyncio.TaskGroup() as group:
        posts = [group.create_task(http.post(URL, content=ENVELOPE, headers=AUTH)) for _ in range(3)]
        done, _ = await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result().status_code for task in done] == [429]
        store.gate.set()
    assert sorted(task.result().status_code for task in posts) == [200, 200, 429]


async def test_a_request_in_flight_has_the_bytes_of_its_events_until_they_are_stored(store: Store, table: Table):
    store.gate = asyncio.Event()
    event = b'{"message":"%s"}' % (b"long " * 2000)
    small, compressed = gzip.compress(b'{}\n{"type":"event"}\n' + event), {**AUTH, "content-encoding": "gzip"}
    async with serving(store, table, max_in_flight_bytes=len(event)) as http, asyncio.TaskGroup() as group:
        first = group.create_task(http.post(URL, content=small, headers=compressed))
        await store.asked.wait()
        assert (await http.post(URL, content=ENVELOPE, headers=AUTH)).status_code == 429
        store.gate.set()
    assert first.result().status_code == 200
    async with serving(store, table, max_in_flight_bytes=len(event)) as http:
        for _ in range(3):
            assert (await http.post(URL, content=small, headers=compressed)).status_code == 200


async def test_what_is_not_kept_of_a_request_keeps_nobody_out(store: Store, table: Table):
    store.gate = asyncio.Event()
    body = b'{}\n{"type":"event"}\n{"message":"m"}\n{"type":"attachment","length":3000000}\n' + bytes(3_000_000)
    async with serving(store, table, max_in_flight_bytes=100_000) as http, asyncio.TaskGroup() as group:
        first = group.create_task(http.post(URL, content=body, headers=AUTH))
        await store.asked.wait()
        second = group.create_task(http.post(URL, content=ENVELOPE, headers=AUTH))
        await asyncio.wait([second], timeout=0.2)
        store.gate.set()
    assert [first.result().status_code, second.result().status_code] == [200, 200]


async def test_of_too_many_large_bodies_one_is_told_to_come_again_and_small_ones_are_taken(store: Store, table: Table):
    large = gzip.compress(b'{}\n{"type":"event"}\n{"message":"%s"}' % (b"long " * 100_000), 1)
    headers = {**AUTH, "content-encoding": "gzip"}
    async with serving(store, table, max_large=3) as client:
        answers = await asyncio.gather(
            *(client.post(URL, content=large, headers=headers) for _ in range(20)), client.post(URL, content=ENVELOPE, headers=AUTH)
        )
    codes = [answer.status_code for answer in answers]
    assert codes[-1] == 200
    assert set(codes[:-1]) == {200, 429}
    assert codes[:-1].count(200) >= 3


class Body:
    """One of which nothing comes but what is there."""

    def __init__(self, *chunks: bytes) -> None:
        self.asked = asyncio.Event()
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        self.asked.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("headers", [{}, AUTH])
async def test_those_who_send_nothing_keep_nobody_out(store: Store, table: Table, headers: dict[str, str]):
    async with serving(store, table, max_in_flight=2, max_reading=4) as http:
        bodies = [Body(b'{"dsn"') for _ in range(20)]
        idle = [asyncio.create_task(http.post(URL, content=body, headers=headers)) for body in bodies]
        for body in bodies:
            await body.asked.wait()
        for own in (AUTH, {"authorization": f"Sentry sentry_key={KEY}"}):
            assert (await http.post(URL, content=ENVELOPE, headers=own)).status_code == 200
        assert {response.status_code for response in await asyncio.gather(*idle[:16])} == {429}
        for task in idle:
            task.cancel()
        await asyncio.gather(*idle, return_exceptions=True)


async def test_a_body_that_does_not_come_is_answered_in_time(store: Store, table: Table):
    async with serving(store, table, body_timeout=0.001) as http:
        response = await http.post(URL, content=Body(ENVELOPE[:20]), headers={**AUTH, "origin": "https://shop.example"})
    assert response.status_code == 408
    assert response.headers["x-sentry-error"]
    assert response.headers["access-control-allow-origin"] == "https://shop.example"


@pytest.mark.parametrize(("path", "headers"), [("/api/7/store/", {}), (URL, {"x-sentry-auth": f"Sentry sentry_key={REVOKED}"})])
async def test_of_who_has_no_right_to_report_no_byte_is_read(http: httpx.AsyncClient, path: str, headers: dict[str, str]):
    body = Body(b"{}")
    assert (await http.post(path, content=body, headers=headers)).status_code == 401
    assert not body.asked.is_set()


async def test_of_an_envelope_with_a_key_that_is_unknown_only_the_first_line_is_decompressed(http: httpx.AsyncClient):
    bomb = b'{"dsn": "https://%s@monitor.example/7"}\n' % REVOKED.encode() + bytes(40_000_000)
    response = await http.post(URL, content=gzip.compress(bomb), headers={"content-encoding": "gzip"})
    assert response.status_code == 401


async def test_browsers_may_ask_and_report(http: httpx.AsyncClient, store: Store):
    origin = {"origin": "https://shop.example"}
    asked = await http.options(URL, headers={**origin, "access-control-request-method": "POST"})
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == "https://shop.example"
    assert "X-Sentry-Auth" in asked.headers["access-control-allow-headers"]
    told = await http.post(f"{URL}?sentry_key={KEY}", content=ENVELOPE, headers=origin)
    assert told.headers["access-control-allow-origin"] == "https://shop.example"
    refused = await http.post(URL, content=ENVELOPE, headers=origin)
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"
    assert "X-Sentry-Error" in refused.headers["access-control-expose-headers"]


@pytest.mark.parametrize(("origin", "status"), [("https://shop.example", 200), ("https://other.example", 403), (None, 200)])
async def test_only_sites_of_the_project_may_report(store: Store, origin: str | None, status: int):
    shop = replace(SHOP, options=ProjectOptions(allowed_origins=("https://shop.example",)))
    async with serving(store, Table(shop)) as http:
        headers = {**AUTH, **({"origin": origin} if origin else {})}
        assert (await http.post(URL, content=ENVELOPE, headers=headers)).status_code == status
