"""Page tokens: opaque, and good only for the filter they were given for."""

import base64
import binascii
import hashlib
from collections.abc import Sequence


def page_token(position: str, owner: str, tags: Sequence[str]) -> str:
    """The token of a position in a list; empty at its end."""
    if not position:
        return ""
    return base64.urlsafe_b64encode(f"{_filter(owner, tags)}{position}".encode()).decode().rstrip("=")


def page_position(token: str, owner: str, tags: Sequence[str]) -> str:
    """The position of a token; ValueError where it is malformed or was given for another filter."""
    if not token:
        return ""
    try:
        plain = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("malformed") from error
    fingerprint = _filter(owner, tags)
    position = plain.removeprefix(fingerprint)
    if position == plain or position.count("~") != 2 or not position.replace("~", "").replace(".", "").isalnum():
        raise ValueError("of another filter")
    return position


def _filter(owner: str, tags: Sequence[str]) -> str:
    return hashlib.sha256(repr((owner, sorted(set(tags)))).encode()).hexdigest()[:16]
