"""Bodies of requests: read whole, within limits, however they are compressed."""

import contextlib
import gzip
import os
import zlib
from collections.abc import AsyncIterator, Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from souk_monitor.exceptions import MalformedError, TooLargeError
from souk_monitor.web.bodies import Decompression, collect, decompress, first_line

TEXT = b'{"message": "no stock"}' * 500 + os.urandom(3000)


def raw_deflate(body: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(body) + deflater.flush()


def streamed_zstd(body: bytes) -> bytes:
    """Without the size of its content in its header."""
    deflater = zstandard.ZstdCompressor().compressobj()
    return deflater.compress(body) + deflater.flush()


COMPRESSORS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw": ("deflate", raw_deflate),
    "br": ("br", lambda body: brotli.compress(body, quality=5)),
    "zstd": ("zstd", zstandard.compress),
    "zstd-streamed": ("zstd", streamed_zstd),
}


@pytest.fixture(params=COMPRESSORS)
def compressor(request: pytest.FixtureRequest) -> tuple[str, Callable[[bytes], bytes]]:
    return COMPRESSORS[request.param]


@pytest.mark.parametrize("body", [b"", b"x", TEXT, TEXT * 50])
def test_a_body_is_what_it_was_before_it_was_compressed(compressor: tuple[str, Callable[[bytes], bytes]], body: bytes):
    encoding, compress = compressor
    assert decompress(compress(body), encoding, 10_000_000) == body


def test_a_body_that_ends_too_early_is_malformed(compressor: tuple[str, Callable[[bytes], bytes]]):
    encoding, compress = compressor
    whole = compress(TEXT)
    for cut in (0, 1, len(whole) // 2, len(whole) - 1):
        with pytest.raises(MalformedError):
            decompress(whole[:cut], encoding, 10_000_000)


def test_a_bomb_is_stopped_at_the_limit(compressor: tuple[str, Callable[[bytes], bytes]]):
    encoding, compress = compressor
    bomb = compress(bytes(20_000_000))
    assert len(bomb) < 50_000
    with pytest.raises(TooLargeError):
        decompress(bomb, encoding, 1_000_000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@given(body=st.binary(max_size=80))
def test_whatever_bytes_come_the_answer_is_a_body_or_a_typed_error(encoding: str, body: bytes):
    with contextlib.suppress(MalformedError, TooLargeError):
        assert len(decompress(body, encoding, 1000)) <= 1000


def test_several_encodings_are_undone_from_the_last():
    assert decompress(gzip.compress(brotli.compress(b"x")), "br, gzip", 100) == b"x"
    assert decompress(b"x", "", 100) == decompress(b"x", "identity", 100) == b"x"


def test_the_first_line_is_read_without_the_rest(compressor: tuple[str, Callable[[bytes], bytes]]):
    encoding, compress = compressor
    for body in (b"{}\n" + bytes(20_000_000), b"{}", b"{}\n"):
        assert first_line(compress(body), encoding, 5_000_000) == b"{}"
        assert first_line(body, "", 30_000_000) == b"{}"
        assert first_line(gzip.compress(compress(body)), f"{encoding}, gzip", 5_000_000) == b"{}"
    assert len(first_line(compress(bytes(20_000_000)), encoding, 5_000_000)) < 5_000_000


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_body_that_comes_in_parts_is_the_same(compressor: tuple[str, Callable[[bytes], bytes]], size: int):
    encoding, compress = compressor
    for body in (b"x", bytes(300_000), TEXT):
        sent = gzip.compress(compress(body))
        decompression = Decompression(f"{encoding}, gzip", 10_000_000)
        steps = [step for start in range(0, len(sent), size) for step in decompression.feed(sent[start : start + size])]
        decompression.end()
        assert b"".join(steps) == body


@pytest.mark.parametrize("name", ["gzip", "zstd", "zstd-streamed"])
@pytest.mark.parametrize("between", [b"", b"\0\0"])
def test_members_that_follow_each_other_are_one_body(name: str, between: bytes):
    encoding, compress = COMPRESSORS[name]
    sent = between.join((compress(b"one "), compress(b""), compress(TEXT))) + between
    assert decompress(sent, encoding, 10_000_000) == b"one " + TEXT
    with pytest.raises(TooLargeError):
        decompress(compress(bytes(1000)) * 100, encoding, 99_999)
    with pytest.raises(MalformedError):
        decompress(compress(b"") * 1001, encoding, 1_000_000)


def test_what_is_behind_the_end_is_no_part_that_goes_unseen(compressor: tuple[str, Callable[[bytes], bytes]]):
    encoding, compress = compressor
    with pytest.raises(MalformedError):
        decompress(compress(TEXT) + b"more", encoding, 10_000_000)


def test_more_encodings_than_two_are_malformed():
    body = gzip.compress(gzip.compress(gzip.compress(b"x")))
    with pytest.raises(MalformedError):
        decompress(body, "gzip, gzip, gzip", 1000)


def test_an_encoding_that_is_not_known_is_malformed():
    with pytest.raises(MalformedError, match="compress"):
        decompress(b"x", "compress", 100)


def test_an_uncompressed_body_has_the_limit_too():
    with pytest.raises(TooLargeError):
        decompress(b"x" * 101, "", 100)


async def test_collecting_stops_at_the_limit():
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield bytes(1000)

    with pytest.raises(TooLargeError):
        await collect(endless(), 10_000)
    assert read == 11
