"""Page tokens: opaque, and good only for the filter that they were given for."""

import base64
import binascii
import hashlib

import grpc

from souk_common.errors import FieldViolation, ServiceError

_FILTER_LENGTH = 16


def page_token(position: str, *bound_to: object) -> str:
    """The token of a position in a list; empty at its end. bound_to: what the list is filtered by, as it prints."""
    if not position:
        return ""
    return base64.urlsafe_b64encode(f"{_filter(bound_to)}{position}".encode()).decode().rstrip("=")


def page_position(token: str, *bound_to: object) -> str:
    """The position of a token; empty for the empty one. INVALID_PAGE_TOKEN where it is malformed, or of another filter.

    Whoever takes the trouble can make one for any position: check what it says.
    """
    if not token:
        return ""
    try:
        plain = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise page_token_refused() from error
    if plain[:_FILTER_LENGTH] != _filter(bound_to) or len(plain) == _FILTER_LENGTH:
        raise page_token_refused()
    return plain[_FILTER_LENGTH:]


def page_token_refused() -> ServiceError:
    """INVALID_ARGUMENT with INVALID_PAGE_TOKEN."""
    text = "must be the next_page_token of a page with the same filter"
    return ServiceError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
        f"page_token {text}",
        violations=[FieldViolation("page_token", text)],
    )


def _filter(bound_to: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(bound_to).encode()).hexdigest()[:_FILTER_LENGTH]
