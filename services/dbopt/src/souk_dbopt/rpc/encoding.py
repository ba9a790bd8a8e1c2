"""What ExecuteQuery answers as the bytes of its message: building the message and encoding it took a tenth of the call.

Tests compare it with protobuf's own encoding. https://protobuf.dev/programming-guides/encoding/
"""

from souk_dbopt.executing import Rows
from souk_dbopt.rpc.mapping import SOURCES, token

_NANOS = 1_000_000_000
_ONE = [bytes((number,)) for number in range(1 << 7)]
_COUNT = [b"", *(b"\x10" + one for one in _ONE[1:])]
"""The second field with a small number, which is left out where that is 0."""
_SOURCE = {role: bytes((0x20, source, 0x2A)) for role, source in SOURCES.items()}
"""The source, and the tag of the time, which follows it."""


def rows(found: Rows) -> bytes:
    """An ExecuteQueryResponse."""
    text, at = found.text.encode(), token(found.position).encode()
    count, nanos = found.count, round(found.seconds * _NANOS)
    if nanos < _NANOS:
        time = b"\x10" + _varint(nanos) if nanos else b""
    else:
        seconds, nanos = divmod(nanos, _NANOS)
        time = b"\x08" + _varint(seconds) + (b"\x10" + _varint(nanos) if nanos else b"")
    parts = (
        b"\x0a",
        _varint(len(text)),
        text,
        _COUNT[count] if count < len(_COUNT) else b"\x10" + _varint(count),
        b"\x1a" + _varint(len(at)) + at if at else b"",
        _SOURCE[found.role],
        _ONE[len(time)],
        time,
        b"\x30\x01" if found.repeated else b"",
    )
    return b"".join(parts)


def _varint(number: int) -> bytes:
    if number < 1 << 7:
        return _ONE[number]
    if number < 1 << 14:
        return bytes((number & 127 | 128, number >> 7))
    if number < 1 << 21:
        return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14))
    if number < 1 << 28:
        return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14 & 127 | 128, number >> 21))
    return bytes((number & 127 | 128,)) + _varint(number >> 7)
