"""The endpoints that Sentry's SDKs send to: POST /api/<project's number>/envelope/, /store/ and /security/, and GET /store/."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from souk_common.call import annotate
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from souk_monitor.decoding.envelopes import Envelope, public_key_of
from souk_monitor.decoding.lenient import parse_object
from souk_monitor.decoding.sentry import Reports, envelope_reports, security_reports, store_reports
from souk_monitor.decoding.sentry_events import set_address
from souk_monitor.exceptions import ProjectUnknownError, TooLargeError
from souk_monitor.ingest import Pipeline, Rejected
from souk_monitor.limits import DEFAULT, Limits, fit
from souk_monitor.projects import Project, Projects
from souk_monitor.web.arriving import Arriving
from souk_monitor.web.bodies import decompress, first_line, is_compressed
from souk_monitor.web.reading import GaveWayError, Reading, TooSlowError
from souk_monitor.web.refusals import RefusedError, come_again, cors, refusal
from souk_monitor.web.room import FullError, Room
from souk_monitor.web.store_bodies import event_text
from souk_monitor.web.streamed import Sizes, StreamedEnvelope, read_envelope

_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "X-Sentry-Auth, Authorization, Content-Type, Content-Encoding, Accept, Origin, Referer, "
    "Sentry-Trace, Baggage, Traceparent, X-Requested-With",
    "access-control-max-age": "86400",
}
_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAAAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
"""A picture of nothing, for a browser that reports by asking for one."""
MEBIBYTE = 1024 * 1024
_MAX_DIGITS = 18
_READ_AT_ONCE, _LARGE_AT_ONCE = 128 * 1024, 2
"""Bytes of a body, decompressed, that are read without giving others a turn; and how many larger ones are read at once."""


@dataclass(frozen=True, slots=True)
class SentryOptions:
    """What a request may be."""

    max_bytes: int = 4 * MEBIBYTE
    """As it is sent; of one with more that is not kept, its events, where it is not compressed."""
    max_decompressed_bytes: int = 16 * MEBIBYTE
    """Of its events."""
    max_whole_bytes: int = 100 * MEBIBYTE
    """With all that is not kept, before it is decompressed and then; never less than of its events."""
    max_in_flight: int = 1000
    """Requests whose bodies are here, and are decoded and stored at once; one more is told to come again."""
    max_in_flight_bytes: int = 16 * MEBIBYTE
    """Of their bodies, and of their events once these are known; where so many are here one more is told to come again."""
    max_large: int = 32
    """Large bodies that wait to be decoded or are; one more is told to come again."""
    body_timeout: float = 10.0
    """Seconds that a body may take, or each `max_bytes` of it."""
    max_reading: int = 1000
    """Bodies on their way in."""
    max_reading_bytes: int = 64 * MEBIBYTE
    """Of them that are here."""
    limits: Limits = field(default_factory=lambda: DEFAULT)


def routes(projects: Projects, pipeline: Pipeline, options: SentryOptions) -> list[Route]:
    """The routes, with a slash at the end and without."""
    face = _Face(projects, pipeline, options)
    return [
        Route(f"/api/{{number}}/{name}{slash}", face.guarded(decode), methods=["POST", "OPTIONS", *more])
        for name, decode, more in (("envelope", _envelope, ()), ("store", _store, ("GET",)), ("security", _security, ()))
        for slash in ("/", "")
    ]


Endpoint = Callable[[Request], Awaitable[Response]]


Decode = Callable[[bytes, str, Sizes, datetime], Reports]
"""What reads a body: its bytes, their encoding, what it may have, and when it was received."""


def _envelope(body: bytes, encoding: str, sizes: Sizes, received: datetime) -> Reports:
    return envelope_reports(read_envelope(body, encoding, sizes), received)


def _store(body: bytes, encoding: str, sizes: Sizes, received: datetime) -> Reports:
    """Of an SDK from before there were envelopes."""
    return store_reports(event_text(decompress(body, encoding, sizes.kept), sizes.kept), received)


def _security(body: bytes, encoding: str, sizes: Sizes, received: datetime) -> Reports:
    """Of a browser by itself, as a policy of the site tells it."""
    return security_reports(decompress(body, encoding, sizes.kept), received)


def _read(body: bytes | Envelope, encoding: str, sizes: Sizes, decode: Decode) -> Reports:
    """What is in a body, of which some may be read already."""
    received = datetime.now(UTC)
    if isinstance(body, bytes):
        return decode(body, encoding, sizes, received)
    if _size(body) > sizes.kept:
        raise TooLargeError(sizes.kept)
    return envelope_reports(body, received)


def _size(body: bytes | Envelope) -> int:
    return len(body) if isinstance(body, bytes) else sum(len(item.payload) for item in body.items)


class _Face:
    def __init__(self, projects: Projects, pipeline: Pipeline, options: SentryOptions) -> None:
        self._projects = projects
        self._pipeline = pipeline
        self._options = options
        self._room = Room(options.max_in_flight, options.max_in_flight_bytes)
        self._waiting = Room(options.max_large, options.max_large * options.max_bytes)
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        whole = max(options.max_whole_bytes, options.max_decompressed_bytes)
        self._sizes_as_sent, self._sizes_decompressed = (
            (Sizes(whole, kept), Sizes(min(whole, _READ_AT_ONCE), min(kept, _READ_AT_ONCE)))
            for kept in (options.max_bytes, options.max_decompressed_bytes)
        )
        self._reading = Reading(
            seconds=options.body_timeout,
            part_bytes=options.max_bytes,
            most=options.max_reading,
            most_bytes=options.max_reading_bytes,
        )

    def guarded(self, decode: Decode) -> Endpoint:
        """The endpoint: its errors as answers, with the headers that every answer has."""

        async def guarded(request: Request) -> Response:
            if request.method == "OPTIONS":
                return Response(status_code=204, headers={**_PREFLIGHT, **cors(request)})
            try:
                response = await self._answer(request, decode)
            except Exception as error:  # noqa: BLE001 — also what nobody foresaw: a browser reads only answers with these headers
                response = refusal(error)
            response.headers.update(cors(request))
            return response

        return guarded

    async def _answer(self, request: Request, decode: Decode) -> Response:
        key = key_of(request)
        if not key and decode is not _envelope:
            raise _no_key()
        project = await self._project(request, key) if key else None  # before a byte of the body is kept
        encoding = request.headers.get("content-encoding", "")
        body = await self._body(request, project, decode, encoding)
        try:
            with self._room.place(_size(body)) as place:
                if project is None:
                    project = await self._project_of(request, body, encoding)
                reports = await self._reports(body, encoding, decode)
                place.holds(min(reports.bytes, len(reports.events) * self._options.limits.body))
                del body  # not kept while the events are stored
                for event in reports.events:
                    set_address(event, request.client.host if request.client is not None else "")
                    if decode is _security:
                        event.release = request.query_params.get("sentry_release", "")
                        event.environment = request.query_params.get("sentry_environment", "")
                await self._submit(project, reports)
        except FullError:
            raise RefusedError(429, "too many requests at once", come_again(1.0)) from None
        if decode is _store and request.method == "GET":
            return Response(_PIXEL, media_type="image/gif")
        return JSONResponse({"id": reports.event_id} if reports.event_id else {})

    async def _reports(self, body: bytes | Envelope, encoding: str, decode: Decode) -> Reports:
        """What is in a body; a large one is read beside the event loop, few at once. FullError: too many wait for that."""
        sizes, small = self._sizes(encoding, decode)
        try:
            return _read(body, encoding, small, decode)
        except TooLargeError:
            if small == sizes:
                raise

        def read() -> Reports:
            reports = _read(body, encoding, sizes, decode)
            received = datetime.now(UTC)
            for event in reports.events:  # here, because it takes long for what is large
                fit(event, received, self._options.limits)
            return reports

        with self._waiting.place(_size(body)):
            async with self._large:
                return await asyncio.to_thread(read)

    def _sizes(self, encoding: str, decode: Decode) -> tuple[Sizes, Sizes]:
        """What a body may have, and one that is read without giving others a turn."""
        return self._sizes_as_sent if decode is _envelope and not is_compressed(encoding) else self._sizes_decompressed

    async def _project_of(self, request: Request, body: bytes | Envelope, encoding: str) -> Project:
        """By the key that the header of an envelope names, which may go on."""
        if isinstance(body, bytes):
            options = self._options
            line = first_line(body, encoding, max(options.max_bytes, options.max_decompressed_bytes, _READ_AT_ONCE))
            body = Envelope(parse_object(line, "the header of the envelope"))
        key = public_key_of(body.header)
        if not key:
            raise _no_key()
        return await self._project(request, key)

    async def _project(self, request: Request, key: str) -> Project:
        project = await self._projects.by_number_and_key(_number(request), key)
        allowed, origin = project.options.allowed_origins, request.headers.get("origin")
        if allowed is not None and origin is not None and "*" not in allowed and origin not in allowed:
            raise RefusedError(403, "the project does not take reports from this site")
        return project

    async def _body(self, request: Request, project: Project | None, decode: Decode, encoding: str) -> bytes | Envelope:
        """A body, sent by somebody who has a project's key, or is not known yet; who sends a long one is, before it is read on."""
        if decode is _store and request.method == "GET":
            return bytes(request.scope["query_string"])
        options = self._options
        most = max(options.max_whole_bytes, options.max_bytes) if decode is _envelope else options.max_bytes
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length[:20]) > most:
            raise TooLargeError(most)

        async def opens(begun: bytes) -> StreamedEnvelope:
            if project is None:
                await self._project_of(request, begun, encoding)
            sizes, _ = self._sizes(encoding, decode)
            return StreamedEnvelope(begun, encoding, sizes, most_bytes=most, turns=self._large)

        arriving = Arriving(options.max_bytes, opens if decode is _envelope else None)
        try:
            await self._reading.read(request.stream(), arriving, project.number if project is not None else None)
        except ClientDisconnect:
            raise RefusedError(400, "the request ended too early") from None
        except TooSlowError:
            raise RefusedError(408, f"the body was not there within {options.body_timeout:g} s") from None
        except GaveWayError:
            raise RefusedError(429, "too many requests at once", come_again(1.0)) from None
        return arriving.body

    async def _submit(self, project: Project, reports: Reports) -> None:
        annotate(project=project.name, events=len(reports.events), dropped=dict(reports.dropped) or None)
        if not reports.events:
            return
        for outcome in await self._pipeline.submit(project, reports.events):
            if isinstance(outcome, Rejected):
                raise RefusedError(400, outcome.message)


def _no_key() -> RefusedError:
    return RefusedError(401, "the request names no key: X-Sentry-Auth, sentry_key or the envelope's dsn does")


def _number(request: Request) -> int:
    """Of the project that the path names."""
    text: str = request.path_params["number"]
    if not (text.isascii() and text.isdigit()):
        raise RefusedError(404, "a project is named by its number here")
    if len(text) > _MAX_DIGITS:
        raise ProjectUnknownError(text[:_MAX_DIGITS])
    return int(text)


def key_of(request: Request) -> str:
    """The public key that the headers or the query of a request name; empty where there is none."""
    for name in ("x-sentry-auth", "authorization"):
        scheme, _, fields = request.headers.get(name, "").partition(" ")
        if scheme.lower() == "sentry":
            for field_ in fields.split(","):
                field_name, _, value = field_.partition("=")
                if field_name.strip() == "sentry_key":
                    return value.strip()
    return request.query_params.get("sentry_key", "")
