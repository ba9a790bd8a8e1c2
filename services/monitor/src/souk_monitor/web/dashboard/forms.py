"""Forms as browsers send them: read up to a limit, and refused where they come from elsewhere."""

import hmac
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import grpc
from souk_common.errors import FieldViolation, ServiceError, invalid_fields
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request

from souk_monitor.exceptions import TooLargeError
from souk_monitor.issues import END, FIRST
from souk_monitor.web.bodies import collect
from souk_monitor.web.dashboard.sessions import Visitor

Form = ImmutableMultiDict[str, str]
MAX_BYTES, MAX_FIELDS = 64 * 1024, 1_000
CSRF = "csrf"


async def read(request: Request) -> Form:
    """The fields of a form. ServiceError INVALID_ARGUMENT where it is none, or too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise bad("content-type", "must be application/x-www-form-urlencoded")
    try:
        body = await collect(request.stream(), MAX_BYTES)
        return Form(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except TooLargeError:
        raise bad("form", f"must have {MAX_BYTES:,} bytes at the most") from None
    except ValueError as error:
        raise bad("form", f"must be a form: {error}") from None


def check_origin(request: Request, public_url: str) -> None:
    """Raise PERMISSION_DENIED where another site sent the request, by the headers that scripts cannot set.

    public_url: that of this site, which a proxy may have made another Host of.
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    ours = (request.headers.get("host", ""), urlsplit(public_url).netloc)
    if site not in ("same-origin", "none") or (origin is not None and (urlsplit(origin).netloc or origin) not in ours):
        raise denied("the form was sent by another site")


def check_csrf(form: Form, visitor: Visitor) -> None:
    """Raise PERMISSION_DENIED where the form is not one that this visitor was shown."""
    if not hmac.compare_digest(form.get(CSRF, "").encode(), visitor.csrf.encode()):
        raise denied("the page is too old: load it again, and repeat what you did")


def local(path: str, otherwise: str = "/") -> str:
    """A path of this site; `otherwise` in place of one that would lead elsewhere."""
    inside = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if inside else otherwise


def text(form: Form, name: str, limit: int, *, needed: bool = False) -> str:
    """What somebody wrote. INVALID_ARGUMENT."""
    value = form.get(name, "").strip()
    if len(value) > limit or "\0" in value:
        raise bad(name, f"must have {limit:,} characters at the most")
    if needed and not value:
        raise bad(name, "must be given")
    return value


def number(form: Form, name: str) -> int:
    """A number of things; 0 where none is given. INVALID_ARGUMENT."""
    value = form.get(name, "").strip()
    if value and not (value.isascii() and value.isdecimal() and len(value) < 16):
        raise bad(name, "must be a whole number")
    return int(value or 0)


def time(form: Form, name: str) -> datetime | None:
    """A time of <input type=datetime-local>, in UTC. INVALID_ARGUMENT."""
    value = form.get(name, "").strip()
    if not value:
        return None
    try:
        told = datetime.fromisoformat(value).replace(tzinfo=UTC)
    except ValueError:
        raise bad(name, "must be a time, as 2031-05-04T12:00") from None
    if not FIRST <= told < END:
        raise bad(name, f"must be a time from {FIRST.year} to {END.year - 1}")
    return told


def bad(field: str, description: str) -> ServiceError:
    """INVALID_ARGUMENT of one field."""
    return invalid_fields([FieldViolation(field, description)])


def denied(text: str) -> ServiceError:
    """PERMISSION_DENIED of a form that came from elsewhere."""
    return ServiceError(grpc.StatusCode.PERMISSION_DENIED, "FORM_REFUSED", text)
