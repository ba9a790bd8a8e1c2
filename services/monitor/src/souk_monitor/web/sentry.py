"""The endpoints that Sentry's SDKs send to: POST /api/<project's number>/envelope/ and /store/."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from souk_common import errors
from souk_common.call import annotate
from souk_common.postgres import PostgresError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from souk_monitor.decoding.lenient import parse_object
from souk_monitor.decoding.sentry import Reports, envelope_reports, parse_envelope, public_key_of, store_reports
from souk_monitor.decoding.sentry_events import set_address
from souk_monitor.exceptions import (
    KeyInvalidError,
    MalformedError,
    MonitorError,
    NotTakenError,
    ProjectUnknownError,
    QuotaExceededError,
    StoreUnavailableError,
    TooLargeError,
)
from souk_monitor.ingest import Pipeline, Rejected
from souk_monitor.limits import DEFAULT, Limits, fit
from souk_monitor.projects import Project, Projects
from souk_monitor.web.bodies import decompress, first_line
from souk_monitor.web.reading import GaveWayError, Reading, TooSlowError
from souk_monitor.web.room import FullError, Room

log = structlog.get_logger(__name__)
_EXPOSED = "X-Sentry-Error, X-Sentry-Rate-Limits, Retry-After"
_PREFLIGHT = {
    "access-control-allow-methods": "POST, OPTIONS",
    "access-control-allow-headers": "X-Sentry-Auth, Authorization, Content-Type, Content-Encoding, Accept, Origin, Referer, "
    "Sentry-Trace, Baggage, Traceparent, X-Requested-With",
    "access-control-max-age": "86400",
}
MEBIBYTE = 1024 * 1024
_MAX_DIGITS = 18
_READ_AT_ONCE, _LARGE_AT_ONCE = 128 * 1024, 2
"""Bytes of a body, decompressed, that are read without giving others a turn; and how many larger ones are read at once."""


@dataclass(frozen=True, slots=True)
class SentryOptions:
    """What a request may be."""

    max_bytes: int = 4 * MEBIBYTE
    """As it is sent."""
    max_decompressed_bytes: int = 16 * MEBIBYTE
    max_in_flight: int = 1000
    """Requests whose bodies are here, and are decoded and stored at once; one more is told to come again."""
    max_in_flight_bytes: int = 16 * MEBIBYTE
    """Of their bodies, and of their events once these are known; where so many are here one more is told to come again."""
    max_large: int = 32
    """Large bodies that wait to be decoded or are; one more is told to come again."""
    body_timeout: float = 10.0
    """Seconds that a body may take."""
    max_reading: int = 1000
    """Bodies on their way in."""
    max_reading_bytes: int = 64 * MEBIBYTE
    """Of them that are here."""
    limits: Limits = field(default_factory=lambda: DEFAULT)


class RefusedError(Exception):
    """What an SDK is told in place of an id."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def routes(projects: Projects, pipeline: Pipeline, options: SentryOptions) -> list[Route]:
    """The routes, with a slash at the end and without."""
    face = _Face(projects, pipeline, options)
    return [
        Route(f"/api/{{number}}/{name}{slash}", face.guarded(decode), methods=["POST", "OPTIONS"])
        for name, decode in (("envelope", _envelope), ("store", _store))
        for slash in ("/", "")
    ]


Endpoint = Callable[[Request], Awaitable[Response]]
Decode = Callable[[bytes, datetime], Reports]


def _envelope(body: bytes, received: datetime) -> Reports:
    return envelope_reports(parse_envelope(body), received)


def _store(body: bytes, received: datetime) -> Reports:
    """Of an SDK from before there were envelopes."""
    return store_reports(body, received)


class _Face:
    def __init__(self, projects: Projects, pipeline: Pipeline, options: SentryOptions) -> None:
        self._projects = projects
        self._pipeline = pipeline
        self._options = options
        self._room = Room(options.max_in_flight, options.max_in_flight_bytes)
        self._waiting = Room(options.max_large, options.max_large * options.max_bytes)
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._reading = Reading(seconds=options.body_timeout, most=options.max_reading, most_bytes=options.max_reading_bytes)

    def guarded(self, decode: Decode) -> Endpoint:
        """The endpoint: its errors as answers, with the headers that every answer has."""

        async def guarded(request: Request) -> Response:
            if request.method == "OPTIONS":
                return Response(status_code=204, headers={**_PREFLIGHT, **_cors(request)})
            try:
                response = await self._answer(request, decode)
            except RefusedError as refused:
                response = _refusal(refused)
            except (MonitorError, PostgresError) as error:
                response = _refusal(_refused(error))
            except Exception as error:  # noqa: BLE001 — nobody foresaw it, and a browser reads only answers with these headers
                response = _refusal(_unforeseen(error))
            response.headers.update(_cors(request))
            return response

        return guarded

    async def _answer(self, request: Request, decode: Decode) -> Response:
        key = key_of(request)
        if not key and decode is not _envelope:
            raise _no_key()
        project = await self._project(request, key) if key else None  # before a byte of the body is kept
        body = await self._body(request, project)
        try:
            with self._room.place(len(body)) as place:
                encoding = request.headers.get("content-encoding", "")
                if project is None:
                    project = await self._project_of(request, body, encoding)
                reports = await self._reports(body, encoding, decode)
                place.holds(min(reports.bytes, len(reports.events) * self._options.limits.body))
                del body  # not kept while the events are stored
                for event in reports.events:
                    set_address(event, request.client.host if request.client is not None else "")
                await self._submit(project, reports)
        except FullError:
            raise RefusedError(429, "too many requests at once", _come_again(1.0)) from None
        return JSONResponse({"id": reports.event_id} if reports.event_id else {})

    async def _reports(self, body: bytes, encoding: str, decode: Decode) -> Reports:
        """What is in a body; a large one is read beside the event loop, few at once. FullError: too many wait for that."""
        limit = self._options.max_decompressed_bytes
        try:
            return decode(decompress(body, encoding, min(limit, _READ_AT_ONCE)), datetime.now(UTC))
        except TooLargeError:
            if limit <= _READ_AT_ONCE:
                raise

        def read() -> Reports:
            received = datetime.now(UTC)
            reports = decode(decompress(body, encoding, limit), received)
            for event in reports.events:  # here, because it takes long for what is large
                fit(event, received, self._options.limits)
            return reports

        with self._waiting.place(len(body)):
            async with self._large:
                return await asyncio.to_thread(read)

    async def _project_of(self, request: Request, body: bytes, encoding: str) -> Project:
        """By the key that the header of an envelope names."""
        line = first_line(body, encoding, self._options.max_decompressed_bytes)
        key = public_key_of(parse_object(line, "the header of the envelope"))
        if not key:
            raise _no_key()
        return await self._project(request, key)

    async def _project(self, request: Request, key: str) -> Project:
        project = await self._projects.by_number_and_key(_number(request), key)
        allowed, origin = project.options.allowed_origins, request.headers.get("origin")
        if allowed is not None and origin is not None and "*" not in allowed and origin not in allowed:
            raise RefusedError(403, "the project does not take reports from this site")
        return project

    async def _body(self, request: Request, project: Project | None) -> bytes:
        """As it is sent, by somebody who has a project's key, or is not known yet."""
        limit = self._options.max_bytes
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length[:20]) > limit:
            raise TooLargeError(limit)
        try:
            return await self._reading.read(request.stream(), limit, project.number if project is not None else None)
        except ClientDisconnect:
            raise RefusedError(400, "the request ended too early") from None
        except TooSlowError:
            raise RefusedError(408, f"the body was not there within {self._options.body_timeout:g} s") from None
        except GaveWayError:
            raise RefusedError(429, "too many requests at once", _come_again(1.0)) from None

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
                field_name, _, value = field_.strip().partition("=")
                if field_name == "sentry_key":
                    return value
    return request.query_params.get("sentry_key", "")


def _cors(request: Request) -> dict[str, str]:
    """Any site may read the answer: whether it may report is the project's to say, and its key is public."""
    origin = request.headers.get("origin")
    if origin is None:
        return {}
    return {"access-control-allow-origin": origin, "access-control-expose-headers": _EXPOSED, "vary": "Origin"}


def _refusal(refused: RefusedError) -> Response:
    headers = {"x-sentry-error": refused.detail.encode("ascii", "replace").decode().replace("\n", " ")[:500], **refused.headers}
    return JSONResponse({"detail": refused.detail}, status_code=refused.status, headers=headers)


def _refused(error: MonitorError | PostgresError) -> RefusedError:
    match error:
        case ProjectUnknownError() | KeyInvalidError():
            # the same for both, so that nobody learns which projects there are
            return RefusedError(401, "there is no such project, or its key is wrong or revoked")
        case MalformedError():
            return RefusedError(400, str(error))
        case TooLargeError():
            return RefusedError(413, str(error))
        case QuotaExceededError():
            return RefusedError(429, str(error), _come_again(error.retry_delay))
        case StoreUnavailableError() | PostgresError():
            delay: float = getattr(error, "retry_delay", None) or 1.0
            return RefusedError(503, "the database does not answer", {"retry-after": str(_seconds(delay))})
        case NotTakenError():
            return RefusedError(429, str(error), _come_again(error.retry_delay))
    return _unforeseen(error)


def _unforeseen(error: Exception) -> RefusedError:
    """500 that shows nothing but an id."""
    told = errors.internal(errors.new_error_id())
    log.error("unforeseen error", **told.metadata, method="sentry", exc_info=error)
    return RefusedError(500, told.message)


def _come_again(delay: float) -> dict[str, str]:
    """https://develop.sentry.dev/sdk/expected-features/rate-limiting/."""
    seconds = _seconds(delay)
    return {"retry-after": str(seconds), "x-sentry-rate-limits": f"{seconds}:error;default:key"}


def _seconds(delay: float) -> int:
    return max(1, math.ceil(delay))
