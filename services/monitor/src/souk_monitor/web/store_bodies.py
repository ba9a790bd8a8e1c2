"""Bodies of requests to the store endpoint: an event as SDKs of many years wrote it down.

Raven of Node, PHP, Ruby, Go, Java, Python and Erlang sends base64 of JSON that is compressed with zlib, and says nothing of it in
its headers; raven-js 1 and others send a form, or the query of a URL, with the one field `sentry_data`.
"""

import binascii
from urllib.parse import unquote_to_bytes

from souk_monitor.web.bodies import decompress

_FIELD = b"sentry_data="
_GZIP = b"\x1f\x8b"
_SPACE = b" \t\r\n"


def event_text(body: bytes, limit: int) -> bytes:
    """The JSON of an event, if it is one; a body that is none of these as it is.

    TooLargeError as soon as it is over `limit` bytes; MalformedError where it is compressed, and cannot be decompressed.
    """
    text = body.strip(_SPACE)
    if text.startswith(b"{"):
        return text
    at = 0 if text.startswith(_FIELD) else text.find(b"&" + _FIELD) + 1
    if text.startswith(_FIELD, at):
        text = _of_form(text[at + len(_FIELD) :].partition(b"&")[0])
    if _encoding(text):
        return decompress(text, _encoding(text), limit)
    decoded = _of_base64(text)
    if _encoding(decoded):
        return decompress(decoded, _encoding(decoded), limit)
    return decoded if decoded.lstrip(_SPACE).startswith(b"{") else text


def _of_form(value: bytes) -> bytes:
    """The value of a field. A plus stands for a space, but in base64 that was not escaped."""
    text = unquote_to_bytes(value.replace(b"+", b" ")).strip(_SPACE)
    return text if text.startswith(b"{") else unquote_to_bytes(value)


def _of_base64(text: bytes) -> bytes:
    """Of one line or more, with padding or without; empty where it is none."""
    digits = text.translate(None, _SPACE).rstrip(b"=")
    try:
        return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4), strict_mode=True)
    except binascii.Error:
        return b""


def _encoding(data: bytes) -> str:
    """By which it is compressed, as it begins: RFC 1950 and 1952; empty where by none."""
    if data.startswith(_GZIP):
        return "gzip"
    return "deflate" if data[:1] == b"x" and int.from_bytes(data[:2]) % 31 == 0 else ""
