"""A value as Redis keeps it: a header, then the caller's bytes. What is not one of these is a miss, never an error.

4 bytes  "SKV1"
1 byte   flags: 1 negative (it is known that there is nothing), 2 compressed with zstd
4 bytes  milliseconds that it is fresh, big-endian
4 bytes  milliseconds that loading it took, big-endian; 0: not known
4 bytes  CRC-32C of all of the above and of what follows, big-endian
the rest: the caller's bytes
"""

import struct
from dataclasses import dataclass

import google_crc32c
import zstandard

_HEADER = struct.Struct(">4sBII")
_CHECKSUM = struct.Struct(">I")
_BODY_AT = _HEADER.size + _CHECKSUM.size
_MAGIC = b"SKV1"
_NEGATIVE, _COMPRESSED = 1, 2
COMPRESS_FROM_BYTES = 1024
"""Smaller values gain nothing."""
MAX_LOAD_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Value:
    """What a key has: bytes, or the knowledge that there is nothing."""

    data: bytes | None
    """None: negative."""
    fresh_for: float
    """Seconds since it was stored in which it is fresh."""
    load_seconds: float = 0.0
    """How long loading it took; 0: not known."""

    @property
    def weight(self) -> int:
        """Bytes, for bounds."""
        return len(self.data or b"")


def encode(value: Value, *, compress: bool) -> bytes:
    """A value as Redis keeps it."""
    body, flags = value.data or b"", 0
    if value.data is None:
        flags |= _NEGATIVE
    elif compress and len(body) >= COMPRESS_FROM_BYTES:
        smaller = zstandard.ZstdCompressor(level=3).compress(body)
        if len(smaller) < len(body):
            body, flags = smaller, flags | _COMPRESSED
    load_ms = min(round(value.load_seconds * 1000), MAX_LOAD_MS)
    header = _HEADER.pack(_MAGIC, flags, round(value.fresh_for * 1000), load_ms)
    return b"".join((header, _CHECKSUM.pack(_checksum(header, body)), body))


def decode(stored: bytes, *, max_bytes: int) -> Value | None:
    """The value; None where the bytes are not one, are damaged, or would have more than `max_bytes`."""
    if len(stored) < _BODY_AT:
        return None
    magic, flags, fresh_ms, load_ms = _HEADER.unpack_from(stored)
    if magic != _MAGIC or flags & ~(_NEGATIVE | _COMPRESSED):
        return None
    body = stored[_BODY_AT:]
    if _CHECKSUM.unpack_from(stored, _HEADER.size) != (_checksum(stored[: _HEADER.size], body),):
        return None
    if flags & _COMPRESSED:
        try:
            if zstandard.frame_content_size(body) > max_bytes:
                return None
            body = zstandard.ZstdDecompressor().decompress(body, max_output_size=max_bytes)
        except zstandard.ZstdError:
            return None
    if len(body) > max_bytes:
        return None
    return Value(None if flags & _NEGATIVE else body, fresh_ms / 1000, load_ms / 1000)


def _checksum(header: bytes, body: bytes) -> int:
    checksum: int = google_crc32c.extend(google_crc32c.value(header), body)
    return checksum
