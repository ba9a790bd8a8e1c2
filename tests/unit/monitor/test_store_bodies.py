"""Events as old SDKs write them down: compressed, in base64, in forms and in URLs."""

import base64
import contextlib
import gzip
import json
import zlib
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_monitor.exceptions import MalformedError, TooLargeError
from souk_monitor.web.store_bodies import event_text

LIMIT = 100_000
EVENT = json.dumps({"message": "50% + 7 é & more=less", "extra": {"digits": "~?>" * 300}}, ensure_ascii=False).encode()


def packed(body: bytes) -> bytes:
    """As Raven of most languages sends it."""
    return base64.b64encode(zlib.compress(body))


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "JSON": bytes,
    "JSON between spaces": lambda body: b"\n\t " + body + b" \r\n",
    "base64 of zlib": packed,
    "base64 of zlib, no padding": lambda body: packed(body).rstrip(b"="),
    "base64 of zlib, in lines": lambda body: base64.encodebytes(zlib.compress(body)),
    "base64 of zlib, in lines of Windows": lambda body: base64.encodebytes(zlib.compress(body)).replace(b"\n", b"\r\n"),
    "base64 of gzip": lambda body: base64.b64encode(gzip.compress(body)),
    "base64": base64.b64encode,
    "base64 of JSON between spaces": lambda body: base64.b64encode(b" \n" + body + b"\n"),
    "zlib": zlib.compress,
    "zlib, little": lambda body: zlib.compress(body, 1),
    "zlib, much": lambda body: zlib.compress(body, 9),
    "gzip": gzip.compress,
    "a form of JSON": lambda body: b"sentry_data=" + quote_plus(body).encode(),
    "a form of JSON, by JavaScript": lambda body: b"sentry_data=" + quote(body).encode(),
    "a form of base64 of zlib": lambda body: b"sentry_data=" + quote_plus(packed(body)).encode(),
    "a form of base64 of zlib, not escaped": lambda body: b"sentry_data=" + packed(body),
    "one field of many": lambda body: b"sentry_key=a&sentry_data=" + quote_plus(packed(body)).encode() + b"&sentry_version=4",
    "a form of base64, in lines": lambda body: b"sentry_data=" + quote_plus(base64.encodebytes(zlib.compress(body))).encode(),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[[bytes], bytes]:
    return WAYS[request.param]


@pytest.mark.parametrize("event", [EVENT, b"{}", b'{"message": "no stock"}'])
def test_an_event_is_read_however_it_is_written_down(way: Callable[[bytes], bytes], event: bytes):
    assert event_text(way(event), LIMIT).strip() == event


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"text"',
        b"null",
        b"7",
        b"<html></html>",
        b"sentry_data=",
        b"sentry_key=7",
        b"a=b=c",
        base64.b64encode(b"no event"),
        b"<<<<" + base64.b64encode(b"{  }"),
    ],
)
def test_what_is_none_of_these_is_left_to_who_reads_it(body: bytes):
    assert not event_text(body, LIMIT).startswith(b"{")


@pytest.mark.parametrize("compress", [zlib.compress, gzip.compress])
@pytest.mark.parametrize(
    "encode", [bytes, base64.b64encode, lambda body: b"sentry_data=" + quote_plus(base64.b64encode(body)).encode()]
)
def test_a_bomb_or_what_ends_too_early_is_refused(compress: Callable[[bytes], bytes], encode: Callable[[bytes], bytes]):
    with pytest.raises(TooLargeError):
        event_text(encode(compress(bytes(20_000_000))), LIMIT)
    with pytest.raises(MalformedError):
        event_text(encode(compress(EVENT)[:-5]), LIMIT)


@given(
    st.binary(max_size=60)
    | st.binary(max_size=30).map(base64.b64encode)
    | st.binary(max_size=60).map(lambda body: b"sentry_data=" + body)
)
def test_whatever_bytes_come_the_answer_is_a_text_or_a_typed_error(body: bytes):
    with contextlib.suppress(MalformedError, TooLargeError):
        assert isinstance(event_text(body, 1000), bytes)
