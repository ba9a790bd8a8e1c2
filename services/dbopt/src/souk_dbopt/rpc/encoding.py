"""What ExecuteQuery answers as the bytes of its message: building the message and encoding it took a tenth of the call.

Tests compare it with protobuf's own encoding. https://protobuf.dev/programming-guides/encoding/
"""

from souk_dbopt.executing import Rows
from souk_dbopt.rpc.mapping import SOURCES, token

_NANOS = 1_000_000_000


def rows(found: Rows) -> bytes:
    """An ExecuteQueryResponse."""
    text, at = found.text.encode(), token(found.position).encode()
    seconds, nanos = divmod(round(found.seconds * _NANOS), _NANOS)
    time = (b"\x08" + _varint(seconds) if seconds else b"") + (b"\x10" + _varint(nanos) if nanos else b"")
    parts = [b"\x0a", _varint(len(text)), text]
    if found.count:
        parts += (b"\x10", _varint(found.count))
    if at:
        parts += (b"\x1a", _varint(len(at)), at)
    parts += (b"\x20", _varint(SOURCES[found.role]), b"\x2a", _varint(len(time)), time)
    if found.repeated:
        parts.append(b"\x30\x01")
    return b"".join(parts)


def _varint(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
