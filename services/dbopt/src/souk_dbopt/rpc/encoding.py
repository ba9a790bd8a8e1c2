"""What ExecuteQuery answers as the bytes of its message: building the message and encoding it took a tenth of the call.

Tests compare it with protobuf's own encoding. https://protobuf.dev/programming-guides/encoding/
"""

from souk_dbopt.executing import Rows
from souk_dbopt.rpc.mapping import SOURCES, token

_NANOS = 1_000_000_000
_SOURCE = {role: bytes((0x20, source, 0x2A)) for role, source in SOURCES.items()}
"""The source, and the tag of the time, which follows it."""


def rows(found: Rows) -> bytes:
    """An ExecuteQueryResponse."""
    text, at = found.text.encode(), token(found.position).encode()
    nanos = round(found.seconds * _NANOS)
    time = b""
    if nanos >= _NANOS:
        seconds, nanos = divmod(nanos, _NANOS)
        time = b"\x08" + _varint(seconds)
    if nanos:
        time += b"\x10" + _varint(nanos)
    count = b"\x10" + _varint(found.count) if found.count else b""
    place = b"\x1a%b%b" % (_varint(len(at)), at) if at else b""
    end = b"\x30\x01" if found.repeated else b""
    return b"\x0a%b%b%b%b%b%b%b%b" % (_varint(len(text)), text, count, place, _SOURCE[found.role], _varint(len(time)), time, end)


def _varint(number: int) -> bytes:
    if number < 1 << 7:
        return bytes((number,))
    if number < 1 << 14:
        return bytes((number & 127 | 128, number >> 7))
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
