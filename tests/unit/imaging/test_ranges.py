"""Byte ranges, against RFC 9110."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_imaging.web.ranges import ByteRange, UnsatisfiableRangeError, parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-499", ByteRange(0, 500)),
        ("bytes=500-999", ByteRange(500, 500)),
        ("bytes=-500", ByteRange(9500, 500)),
        ("bytes=9500-", ByteRange(9500, 500)),
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=-1", ByteRange(9999, 1)),
        ("bytes=-20000", ByteRange(0, 10000)),
        ("bytes=0-99999", ByteRange(0, 10000)),
        (None, None),
        ("", None),
        ("bytes=-", None),
        ("bytes=5-1", None),
        ("bytes=0-1,3-4", None),
        ("pages=1-2", None),
        ("bytes=a-b", None),
    ],
)
def test_ranges_of_ten_thousand_bytes(header: str | None, expected: ByteRange | None) -> None:
    assert parse_range(header, 10_000) == expected


@pytest.mark.parametrize("header", ["bytes=10000-", "bytes=10001-20000", "bytes=-0"])
def test_a_range_without_a_byte_is_unsatisfiable(header: str) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range(header, 10_000)


@given(st.text(max_size=40) | st.from_regex(r"bytes=\d*-\d*", fullmatch=True), st.integers(0, 10_000))
def test_a_range_is_always_within_the_representation(header: str, size: int) -> None:
    try:
        found = parse_range(header, size)
    except UnsatisfiableRangeError:
        return
    if found is not None:
        assert 0 <= found.offset < found.offset + found.length <= size
