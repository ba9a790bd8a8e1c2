"""The origin behind browsers and CDNs: immutable URLs of variants, and one URL per image that negotiates."""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from souk_common.call import annotate
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from souk_imaging.exceptions import (
    ImageFailedError,
    ImageNotFoundError,
    ImageNotReadyError,
    ImagingError,
    NoAcceptableVariantError,
    StoreUnavailableError,
    VariantNotFoundError,
)
from souk_imaging.gallery import Client, Gallery
from souk_imaging.images import Format, is_image_id, parse_variant_name
from souk_imaging.library import variant_key
from souk_imaging.selection import density
from souk_imaging.store import ObjectStore
from souk_imaging.web.ranges import UnsatisfiableRangeError, parse_range

IMMUTABLE = "public, max-age=31536000, immutable"
VARY = "Accept, DPR, Width, Save-Data, Sec-CH-DPR, Sec-CH-Width"
MAX_WIDTH = 65_535
_METHODS = "GET, HEAD, OPTIONS"


@dataclass(frozen=True, slots=True)
class OriginOptions:
    """How the origin answers."""

    cors_origins: tuple[str, ...] = ("*",)
    """Sites whose scripts may read pictures; `*` for all."""
    negotiated_max_age: int = 300
    """Seconds that a cache may keep the choice of a negotiated URL."""
    stale_while_revalidate: int = 86_400
    """Seconds for which it may go on with an old choice while it asks for a new one."""


class ProblemError(Exception):
    """An error as application/problem+json (RFC 9457)."""

    def __init__(self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """What is sent."""
        return JSONResponse(
            {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail},
            status_code=self.status,
            media_type="application/problem+json",
            headers={"cache-control": "no-store", **self.headers},
        )


def origin(gallery: Gallery, store: ObjectStore, options: OriginOptions) -> Starlette:
    """The ASGI application."""
    pages = _Origin(gallery, store, options)
    app = Starlette(
        routes=[
            Route("/i/{image_id}/{name}", pages.guarded(pages.variant), methods=["GET", "OPTIONS"]),
            Route("/i/{image_id}", pages.guarded(pages.negotiated), methods=["GET", "OPTIONS"]),
            Route("/healthz", _alive, methods=["GET"]),
        ],
        exception_handlers={404: _no_such_page, 405: _no_such_method},
    )
    app.router.redirect_slashes = False
    return app


async def _alive(_: Request) -> Response:
    return Response(b"ok\n", media_type="text/plain")


async def _no_such_page(_: Request, __: Exception) -> Response:
    return ProblemError(404, "Not Found", "there is nothing under this path").response()


async def _no_such_method(_: Request, __: Exception) -> Response:
    return ProblemError(405, "Method Not Allowed", f"only {_METHODS}", {"allow": _METHODS}).response()


Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class _Origin:
    def __init__(self, gallery: Gallery, store: ObjectStore, options: OriginOptions) -> None:
        self._gallery = gallery
        self._store = store
        self._options = options

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint with the headers that every answer has, and its errors as problems."""

        async def guarded(request: Request) -> Response:
            try:
                response = self._preflight() if request.method == "OPTIONS" else await endpoint(request)
            except ProblemError as problem:
                response = problem.response()
            except ImagingError as error:
                response = _problem_of(error).response()
            self._add_common(request, response)
            return response

        return guarded

    async def variant(self, request: Request) -> Response:
        """GET /i/{image_id}/{name}: what is behind the URL never changes, so that no manifest is read."""
        image_id, name = request.path_params["image_id"], request.path_params["name"]
        parsed = parse_variant_name(name) if is_image_id(image_id) else None
        if parsed is None:
            raise _not_found()
        form, digest = parsed
        return await self._send(request, image_id, name, form, digest, {"cache-control": IMMUTABLE})

    async def negotiated(self, request: Request) -> Response:
        """GET /i/{image_id}?w=&dpr=: the variant that suits the client, under the image's own URL."""
        image_id = request.path_params["image_id"]
        if not is_image_id(image_id):
            raise _not_found()
        variant = await self._gallery.select(image_id, _client(request))
        annotate(variant=variant.name)
        age, stale = self._options.negotiated_max_age, self._options.stale_while_revalidate
        headers = {
            "cache-control": f"public, max-age={age}, stale-while-revalidate={stale}",
            "content-location": f"/i/{variant_key(image_id, variant.name)}",
            "vary": VARY,
        }
        return await self._send(request, image_id, variant.name, variant.format, variant.digest, headers)

    async def _send(
        self, request: Request, image_id: str, name: str, form: Format, digest: str, headers: Mapping[str, str]
    ) -> Response:
        etag = f'"{digest}"'
        common = {**headers, "etag": etag, "accept-ranges": "bytes"}
        info, exists = await asyncio.gather(self._store.info(variant_key(image_id, name)), self._gallery.has(image_id))
        if info is None or not exists:
            raise _not_found()
        if _matches(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=common)
        # a range is of GET alone (RFC 9110, 14.2)
        ranged = request.method == "GET" and request.headers.get("if-range", etag) == etag
        wanted = request.headers.get("range") if ranged else None
        try:
            part = parse_range(wanted, info.size)
        except UnsatisfiableRangeError:
            title = "Range Not Satisfiable"
            raise ProblemError(
                416, title, f"the picture has {info.size} bytes", {"content-range": f"bytes */{info.size}"}
            ) from None
        common |= {"content-length": str(part.length if part else info.size), "content-disposition": "inline"}
        if part:
            common["content-range"] = part.content_range(info.size)
        status = 206 if part else 200
        if request.method == "HEAD":
            return Response(status_code=status, headers=common, media_type=form.content_type)
        offset, length = (part.offset, part.length) if part else (0, info.size)
        pieces = self._gallery.read(image_id, name, offset=offset, limit=length)
        first = await anext(pieces, b"")  # what cannot be opened is an error, and not a broken body
        if len(first) == length:  # most pictures; a stream has a task group of its own
            await pieces.aclose()
            return Response(first, status_code=status, headers=common, media_type=form.content_type)
        return StreamingResponse(_with(first, pieces), status_code=status, headers=common, media_type=form.content_type)

    def _preflight(self) -> Response:
        return Response(
            status_code=204,
            headers={
                "allow": _METHODS,
                "access-control-allow-methods": _METHODS,
                "access-control-allow-headers": "Range, If-None-Match, If-Range",
                "access-control-max-age": "86400",
            },
        )

    def _add_common(self, request: Request, response: Response) -> None:
        headers = response.headers
        headers["x-content-type-options"] = "nosniff"
        headers["cross-origin-resource-policy"] = "cross-origin"
        allowed = self._options.cors_origins
        if "*" in allowed:
            headers["access-control-allow-origin"] = "*"
        elif allowed:
            headers.add_vary_header("Origin")
            if request.headers.get("origin") in allowed:
                headers["access-control-allow-origin"] = request.headers["origin"]
        headers["access-control-expose-headers"] = "Content-Location, Content-Range, ETag"


async def _with(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece


def _client(request: Request) -> Client:
    """What the query and the client hints say; the query is stronger."""
    query, headers = request.query_params, request.headers
    dpr = _number("dpr", query.get("dpr") or headers.get("sec-ch-dpr") or headers.get("dpr"), density, 1.0)
    width = _number("w", query.get("w"), _width, 0)
    if not width:
        # the hint is in device pixels already
        width = _number("Width", headers.get("sec-ch-width") or headers.get("width"), _width, 0) / dpr
    save_data = headers.get("save-data", "").strip().lower() == "on"
    return Client(headers.get("accept", ""), math.ceil(width), dpr, save_data)


def _number(name: str, text: str | None, taken_as: Callable[[float], float], default: float) -> float:
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    try:
        return taken_as(value)
    except ValueError as error:
        raise ProblemError(400, "Bad Request", f"{name} {error}") from None


def _width(pixels: float) -> float:
    if not 0 <= pixels <= MAX_WIDTH:
        raise ValueError(f"must be a number from 0 to {MAX_WIDTH}")
    return pixels


def _matches(header: str | None, etag: str) -> bool:
    """If-None-Match, compared weakly (RFC 9110, 13.1.2)."""
    if header is None:
        return False
    return any(candidate.strip().removeprefix("W/") in (etag, "*") for candidate in header.split(","))


def _not_found() -> ProblemError:
    return ProblemError(404, "Not Found", "there is no such picture")


def _problem_of(error: ImagingError) -> ProblemError:
    match error:
        case ImageNotFoundError() | VariantNotFoundError():
            return _not_found()
        case ImageFailedError():
            return ProblemError(404, "Not Found", error.message)
        case ImageNotReadyError():
            return ProblemError(503, "Service Unavailable", "the picture is being made", {"retry-after": "1"})
        case NoAcceptableVariantError():
            return ProblemError(406, "Not Acceptable", error.message, {"vary": VARY})
        case StoreUnavailableError():
            return ProblemError(503, "Service Unavailable", "the pictures cannot be read at the moment", {"retry-after": "2"})
        case _:
            return ProblemError(500, "Internal Server Error", "the picture cannot be served")
