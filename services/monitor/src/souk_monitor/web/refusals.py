"""What Sentry's SDKs are told in place of an id, and the headers by which browsers may read it."""

import math
from collections.abc import Mapping

import structlog
from souk_common import errors
from souk_common.postgres import PostgresError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from souk_monitor.exceptions import (
    KeyInvalidError,
    MalformedError,
    NotTakenError,
    ProjectUnknownError,
    QuotaExceededError,
    StoreUnavailableError,
    TooLargeError,
)

log = structlog.get_logger(__name__)
_EXPOSED = "X-Sentry-Error, X-Sentry-Rate-Limits, Retry-After"


class RefusedError(Exception):
    """What an SDK is told in place of an id."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def cors(request: Request) -> dict[str, str]:
    """Any site may read the answer: whether it may report is the project's to say, and its key is public."""
    origin = request.headers.get("origin")
    if origin is None:
        return {}
    return {"access-control-allow-origin": origin, "access-control-expose-headers": _EXPOSED, "vary": "Origin"}


def refusal(error: Exception) -> Response:
    """The answer to a request that failed so; where nobody foresaw it, 500 that shows nothing but an id."""
    refused = error if isinstance(error, RefusedError) else _refused(error)
    headers = {"x-sentry-error": refused.detail.encode("ascii", "replace").decode().replace("\n", " ")[:500], **refused.headers}
    return JSONResponse({"detail": refused.detail}, status_code=refused.status, headers=headers)


def _refused(error: Exception) -> RefusedError:
    match error:
        case ProjectUnknownError() | KeyInvalidError():
            # the same for both, so that nobody learns which projects there are
            return RefusedError(401, "there is no such project, or its key is wrong or revoked")
        case MalformedError():
            return RefusedError(400, str(error))
        case TooLargeError():
            return RefusedError(413, str(error))
        case QuotaExceededError():
            return RefusedError(429, str(error), come_again(error.retry_delay))
        case StoreUnavailableError() | PostgresError():
            delay: float = getattr(error, "retry_delay", None) or 1.0
            return RefusedError(503, "the database does not answer", {"retry-after": str(_seconds(delay))})
        case NotTakenError():
            return RefusedError(429, str(error), come_again(error.retry_delay))
    told = errors.internal(errors.new_error_id())
    log.error("unforeseen error", **told.metadata, method="sentry", exc_info=error)
    return RefusedError(500, told.message)


def come_again(delay: float) -> dict[str, str]:
    """The headers that say when: https://develop.sentry.dev/sdk/expected-features/rate-limiting/."""
    seconds = _seconds(delay)
    return {"retry-after": str(seconds), "x-sentry-rate-limits": f"{seconds}:error;default:key"}


def _seconds(delay: float) -> int:
    return max(1, math.ceil(delay))
