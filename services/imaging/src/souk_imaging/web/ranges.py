"""Byte ranges (RFC 9110, 14): one range is served, of several the whole."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=\s*(\d{0,19})-(\d{0,19})\s*")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a representation."""

    offset: int
    length: int

    def content_range(self, size: int) -> str:
        """The Content-Range header."""
        return f"bytes {self.offset}-{self.offset + self.length - 1}/{size}"


class UnsatisfiableRangeError(ValueError):
    """No byte of the representation is in the range: 416."""


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The one range that a Range header asks of `size` bytes.

    None where there is none, or one that is to be ignored (malformed, another unit, several); UnsatisfiableRangeError where it
    lies behind the end.
    """
    match = _RANGE.fullmatch(header) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise UnsatisfiableRangeError(header)
        return ByteRange(size - length, length)
    offset = int(first)
    end = int(last) if last else size - 1
    if last and end < offset:
        return None
    if offset >= size:
        raise UnsatisfiableRangeError(header)
    return ByteRange(offset, min(end, size - 1) - offset + 1)
