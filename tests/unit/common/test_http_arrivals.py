"""Who sends slowly over HTTP keeps nobody out."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from souk_common.http import HttpServer, Measured
from souk_common.settings import ServiceSettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


async def echo(request: Request) -> Response:
    return PlainTextResponse(await request.body())


async def headers(request: Request) -> Response:
    """What of a request an application goes by."""
    await request.body()
    names = ("host", "transfer-encoding", "authorization", "x-forwarded-for")
    said = [request.headers[name] for name in names if name in request.headers]
    return PlainTextResponse("|".join([*said, request.client.host if request.client else ""]))


def measured(most: int, goes_on: asyncio.Event | None = None) -> Measured:
    async def slow(_: Request) -> Response:
        if goes_on is not None:
            await goes_on.wait()
        return PlainTextResponse(b"slow")

    app = Starlette(routes=[Route("/", echo, methods=["POST"]), Route("/slow", slow), Route("/headers", headers, methods=["POST"])])
    return Measured(app, ServiceSettings(max_http_requests=most, log_success_ratio=0.0))


class Body:
    """One that begins, and does not go on before it may."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ends = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"a"
        self.begun.set()
        await self.ends.wait()
        yield b"b"


async def test_of_too_many_requests_the_oldest_that_waits_for_its_body_gives_way() -> None:
    transport = httpx.ASGITransport(measured(3), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service.example") as client:
        bodies = [Body() for _ in range(10)]
        slow = []
        for body in bodies:
            slow.append(asyncio.create_task(client.post("/", content=body)))
            await body.begun.wait()
        assert (await client.post("/", content=b"quick")).text == "quick"
        assert all(response.status_code >= 400 for response in await asyncio.gather(*slow[:8]))
        for body in bodies:
            body.ends.set()
        assert [(await task).text for task in slow[8:]] == ["ab", "ab"]


async def test_where_nobody_waits_for_a_body_one_too_many_is_told_to_come_again() -> None:
    at_work, goes_on = asyncio.Event(), asyncio.Event()

    async def work(scope: Any, receive: Any, send: Any) -> None:
        at_work.set()
        await goes_on.wait()
        await Response()(scope, receive, send)

    app = Measured(work, ServiceSettings(max_http_requests=1, log_success_ratio=0.0))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service.example") as client:
        first = asyncio.create_task(client.get("/"))
        await at_work.wait()
        assert (await client.get("/")).status_code == 503
        goes_on.set()
        assert (await first).status_code == 200


@pytest.fixture
def goes_on() -> asyncio.Event:
    """When a slow answer does."""
    return asyncio.Event()


@contextlib.asynccontextmanager
async def serving(goes_on: asyncio.Event, head_timeout: float) -> AsyncIterator[tuple[str, int]]:
    server = HttpServer(measured(100, goes_on), grace=1.0, head_timeout=head_timeout, head_bytes=10_000)
    host, _, port = server.bind("127.0.0.1", 0).rpartition(":")
    await server.open()
    yield host, int(port)
    await server.close()


@pytest.fixture
async def address(goes_on: asyncio.Event) -> AsyncIterator[tuple[str, int]]:
    async with serving(goes_on, 0.05) as bound:
        yield bound


@pytest.fixture
async def patient(goes_on: asyncio.Event) -> AsyncIterator[tuple[str, int]]:
    """An address where a head may take its time."""
    async with serving(goes_on, 30.0) as bound:
        yield bound


HEAD = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"POST / HT", HEAD[:-2]])
@pytest.mark.parametrize("is_first", [True, False])
async def test_a_connection_on_which_a_head_does_not_come_in_time_is_closed(
    address: tuple[str, int], sent: bytes, is_first: bool
) -> None:
    reader, writer = await asyncio.open_connection(*address)
    if not is_first:
        writer.write(HEAD + b"quick")
        assert (await reader.readuntil(b"quick")).startswith(b"HTTP/1.1 200")
        sent = sent or b"P"  # without a byte it may stay for as long as it is kept alive
    writer.write(sent)
    assert not await reader.read()
    writer.close()


async def send_until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, more: bytes) -> None:
    """TimeoutError where the server goes on to take it."""
    async with asyncio.timeout(10):
        while not (reader.at_eof() or reader.exception()):
            writer.write(more)
            await asyncio.sleep(0)
            with contextlib.suppress(TimeoutError, ConnectionError):
                await asyncio.wait_for(reader.read(1000), 0.001)
    writer.close()


TOO_LONG = [
    b"GET /" + b"a" * 20_000,
    b"GET / HTTP/1.1\r\na: " + b"b" * 20_000,
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 3000,
]


@pytest.mark.parametrize("sent", TOO_LONG)
@pytest.mark.parametrize("is_first", [True, False])
async def test_a_head_that_is_too_long_is_refused(patient: tuple[str, int], sent: bytes, is_first: bool) -> None:
    reader, writer = await asyncio.open_connection(*patient)
    if not is_first:
        writer.write(HEAD + b"quick")
        assert (await reader.readuntil(b"quick")).startswith(b"HTTP/1.1 200")
    writer.write(sent)
    assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
    writer.close()


@pytest.mark.parametrize("sent", TOO_LONG)
@pytest.mark.parametrize("before", [b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n", HEAD + b"quick"])
async def test_a_head_that_is_too_long_ends_the_connection_whatever_it_came_with(
    patient: tuple[str, int], before: bytes, sent: bytes
) -> None:
    reader, writer = await asyncio.open_connection(*patient)
    writer.write(before + sent)
    await send_until_closed(reader, writer, sent[-12_000:])


async def test_requests_that_come_together_are_no_long_head(patient: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*patient)
    writer.write((HEAD + b"quick") * 2000 + HEAD[:20])
    for _ in range(2000):
        assert (await reader.readuntil(b"quick")).startswith(b"HTTP/1.1 200")
    writer.write(HEAD[20:] + b"quick")
    assert (await reader.readuntil(b"quick")).startswith(b"HTTP/1.1 200")
    writer.close()


@pytest.mark.parametrize("sent", [b"\r\n", b"\r\n" * 100])
async def test_blank_lines_keep_no_connection_open(address: tuple[str, int], sent: bytes) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(HEAD + b"quick")
    assert (await reader.readuntil(b"quick")).startswith(b"HTTP/1.1 200")
    writer.write(sent)
    assert not await reader.read()
    writer.close()


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\na\x00: b\r\n\r\n", b"GET \xff HTTP/1.1\r\n\r\n", b"GET http:// HTTP/1.1\r\n\r\n"],
)
async def test_what_is_no_request_is_answered_so(patient: tuple[str, int], sent: bytes) -> None:
    reader, writer = await asyncio.open_connection(*patient)
    writer.write(sent)
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()


UPGRADE = b"connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n" + UPGRADE + b"\r\n3\r\nqui\r\n2\r\nck\r\n0\r\n\r\n"
SIZED = HEAD[:-2] + UPGRADE + b"\r\nquick"


@pytest.mark.parametrize("sent", [SIZED, CHUNKED, SIZED + HEAD + b"quick", CHUNKED + CHUNKED])
@pytest.mark.parametrize("size", [1, 7, 40, 1000])
async def test_a_request_for_another_protocol_is_answered_in_this_one_with_its_body(
    patient: tuple[str, int], goes_on: asyncio.Event, sent: bytes, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    goes_on.set()
    reader, writer = await asyncio.open_connection(*patient)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(2):
        for start in range(0, len(sent), size):
            writer.write(sent[start : start + size])
            await writer.drain()
            await asyncio.sleep(0)
        for _ in range(sent.count(b"POST")):
            assert (await reader.readuntil(b"quick")).startswith(b"HTTP/1.1 200")
    writer.write(b"GET /slow HTTP/1.1\r\nhost: a\r\n" + UPGRADE + b"\r\n")
    assert (await reader.readuntil(b"slow")).startswith(b"HTTP/1.1 200")
    assert not caplog.records
    writer.close()


BEGUN = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "sent", [BEGUN + b"2\r\nab\r\n0\r\n", BEGUN + b"2\r\nab\r\n0\r\na: ", BEGUN + b"2;", BEGUN + b"2\r\nab\r\n2;"]
)
async def test_what_is_around_a_body_is_not_taken_without_end(patient: tuple[str, int], sent: bytes) -> None:
    reader, writer = await asyncio.open_connection(*patient)
    writer.write(sent)
    more = b"a: b\r\n" * 1000 if sent.endswith(b"\n") else b"a" * 6000
    await send_until_closed(reader, writer, more)


async def test_what_is_behind_a_body_is_no_part_of_its_head(patient: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*patient)
    head = b"POST /headers HTTP/1.1\r\nhost: a \t \r\ntransfer-encoding: chunked\r\n\r\n"
    writer.write(head + b"2\r\nab\r\n0\r\nauthorization: evil\r\nx-forwarded-for: 6.6.6.6\r\n\r\n")
    assert b"a|chunked|127.0.0.1" in await reader.readuntil(b"127.0.0.1")
    writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n" + UPGRADE + b"\r\n",
        BEGUN + b"nonsense\r\n",
    ],
)
async def test_a_request_that_is_wrong_is_answered_so(
    patient: tuple[str, int], sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection(*patient)
    writer.write(sent)
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    assert "Fatal error" not in caplog.text
    writer.close()


async def test_nonsense_behind_a_request_is_no_answer_to_it(patient: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*patient)
    writer.write(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n\0nonsense")
    assert not await reader.read()
    writer.close()


async def test_many_requests_for_another_protocol_may_come_in_one_message(patient: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*patient)
    writer.write(SIZED * 1000)
    for _ in range(1000):
        assert (await reader.readuntil(b"quick")).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_request_that_is_begun_early_cuts_off_no_answer(address: tuple[str, int], goes_on: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\nPOST / HT")
    other, idle = await asyncio.open_connection(*address)
    assert await other.read() == b""  # as long as a head may take
    writer.write(b"TP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nquick")
    goes_on.set()
    assert (await reader.readuntil(b"slow")).startswith(b"HTTP/1.1 200")
    assert (await reader.readuntil(b"quick")).startswith(b"HTTP/1.1 200")
    writer.close()
    idle.close()


async def test_a_body_may_take_longer_than_a_head(address: tuple[str, int]) -> None:
    other, idle = await asyncio.open_connection(*address)
    reader, writer = await asyncio.open_connection(*address)
    writer.write(HEAD)
    assert await other.read() == b""  # as long as a head may take
    writer.write(b"quick")
    assert (await reader.readuntil(b"quick")).startswith(b"HTTP/1.1 200")
    writer.close()
    idle.close()
