"""Values as Redis keeps them: what comes back is what was kept, and anything else is a miss."""

import struct

import google_crc32c
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from souk_cache.values import COMPRESS_FROM_BYTES, Value, decode, encode

TEXT = b"a photo of a lamp, " * 200


def stored(magic: bytes, flags: int, body: bytes, fresh_ms: int = 1000) -> bytes:
    """What a writer of the format would store, the checksum right."""
    header = struct.pack(">4sBII", magic, flags, fresh_ms, 0)
    return header + struct.pack(">I", google_crc32c.value(header + body)) + body


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=2000) | st.none(), st.floats(0, 1e6), st.floats(0, 1e9), st.booleans())
def test_a_value_comes_back_as_it_was_kept(data: bytes | None, fresh_for: float, load: float, compress: bool):
    back = decode(encode(Value(data, fresh_for, load), compress=compress), max_bytes=2000)
    assert back is not None
    assert back.data == data
    assert back.fresh_for == pytest.approx(fresh_for, abs=0.001)
    assert back.load_seconds == pytest.approx(min(load, 3600), abs=0.001)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=3000))
def test_bytes_that_are_not_a_value_are_a_miss_and_never_an_error(garbage: bytes):
    assert decode(garbage, max_bytes=1 << 20) is None
    assert decode(b"SKV1" + garbage, max_bytes=1 << 20) is None


@settings(max_examples=50, deadline=None)
@given(st.sampled_from((TEXT, b"", b"x", None)), st.booleans(), st.data())
def test_a_value_with_a_flipped_bit_is_a_miss(data: bytes | None, compress: bool, draw: st.DataObject):
    kept = bytearray(encode(Value(data, 60.0, 0.25), compress=compress))
    bit = draw.draw(st.integers(0, 8 * len(kept) - 1))
    kept[bit // 8] ^= 1 << bit % 8
    assert decode(bytes(kept), max_bytes=1 << 20) is None


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2000), st.booleans())
def test_a_value_that_is_cut_short_or_goes_on_is_a_miss(length: int, compress: bool):
    kept = encode(Value(TEXT, 60.0), compress=compress)
    assert decode(kept[: min(length, len(kept) - 1)], max_bytes=1 << 20) is None
    assert decode(kept + b"\0" * (length + 1), max_bytes=1 << 20) is None


@pytest.mark.parametrize(("magic", "flags"), [(b"SKV2", 0), (b"skv1", 0), (b"SKV1", 4), (b"SKV1", 128)])
def test_a_value_of_another_version_or_with_unknown_flags_is_a_miss(magic: bytes, flags: int):
    assert decode(stored(b"SKV1", 0, b"lamp"), max_bytes=100) == Value(b"lamp", 1.0)
    assert decode(stored(magic, flags, b"lamp"), max_bytes=100) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not zstd",
        zstandard.ZstdCompressor().compress(TEXT)[:-3],
        zstandard.ZstdCompressor().compress(b"x" * 5000),
        zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 5000),
    ],
    ids=["nothing", "garbage", "cut", "too large, and says so", "too large, and does not say so"],
)
def test_a_compressed_body_that_is_damaged_or_too_large_is_a_miss(body: bytes):
    assert decode(stored(b"SKV1", 2, body), max_bytes=4999) is None


def test_a_value_may_have_as_many_bytes_as_its_limit_and_not_one_more():
    for compress in (False, True):
        kept = encode(Value(TEXT, 60.0), compress=compress)
        assert decode(kept, max_bytes=len(TEXT)) == Value(TEXT, 60.0)
        assert decode(kept, max_bytes=len(TEXT) - 1) is None


def test_only_what_becomes_smaller_is_compressed():
    small, random = b"x" * (COMPRESS_FROM_BYTES - 1), zstandard.ZstdCompressor().compress(bytes(range(256)) * 20) * 40
    assert len(encode(Value(TEXT, 60.0), compress=True)) < len(TEXT) // 10
    assert len(encode(Value(TEXT, 60.0), compress=False)) == len(TEXT) + 17
    assert len(encode(Value(small, 60.0), compress=True)) == len(small) + 17
    for data in (small, random, b""):
        assert decode(encode(Value(data, 60.0), compress=True), max_bytes=1 << 20) == Value(data, 60.0)


def test_nothing_and_no_bytes_are_two_different_values():
    assert decode(encode(Value(None, 1.0), compress=True), max_bytes=0) == Value(None, 1.0)
    assert decode(encode(Value(b"", 1.0), compress=True), max_bytes=0) == Value(b"", 1.0)
