"""Hits in memory as the bytes of their messages, without a message: building one costs ten times what finding the value does.

`hit` is what pb.Result says of the entry, as a field of the message around it; the tests compare it with protobuf's own encoding.
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterable

from google.protobuf.message import Message
from souk.cache.v1 import cache_pb2 as pb

from souk_cache.memory import Entry

RESULT = b"\x0a"
"""Tag of field 1: the result in GetResponse, and each of the results in BatchGetResponse."""
ITEM_RESULT = b"\x12"
"""Tag of field 2: the result in GetStreamResponse.Item."""
ITEM_ERROR = b"\x1a"
"""Tag of field 3: the error in GetStreamResponse.Item."""
MAX_FRAME = 64
"""Bytes that `hit` puts around a value, at the most."""
MAX_HEADS = 20_000
"""Sizes of values whose heads are kept."""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


_HIT_STATE = b"\x10" + _varint(pb.FRESHNESS_FRESH) + b"\x20" + _varint(pb.LEVEL_MEMORY)
_NEGATIVE_STATE = b"\x08" + _varint(pb.FRESHNESS_FRESH) + b"\x18" + _varint(pb.LEVEL_MEMORY)
_SECONDS = [b"\x08" + _varint(second) if second else b"" for second in range(3600)]
_NANOS = [b"\x10" + _varint(ms * 1_000_000) if ms else b"" for ms in range(1000)]
_HIT_AGES = [b"\x1a" + bytes((size,)) for size in range(32)]
_NEGATIVE_AGES = [b"\x12" + bytes((size,)) for size in range(32)]
_heads: dict[tuple[bytes, int, int], bytes] = {}


def hit(entry: Entry, now: float, tag: bytes = RESULT) -> bytes:
    """The result of a fresh entry in memory, its age to the millisecond, as a field with this tag."""
    ms = int((now - entry.stored) * 1000)
    seconds, ms = divmod(max(ms, 0), 1000)
    age = (_SECONDS[seconds] if seconds < 3600 else b"\x08" + _varint(seconds)) + _NANOS[ms]
    data = entry.data
    if data is None:
        body = b"".join((_NEGATIVE_STATE, _NEGATIVE_AGES[len(age)], age))
        return b"".join((tag, _varint(len(body) + 2), b"\x12", _varint(len(body)), body))
    version = b"\x28" + _varint(int(entry.version)) if entry.version else b""
    size = len(data)
    tail = len(age) + len(version)
    head = _heads.get((tag, size, tail)) or _head(tag, size, tail)
    return b"".join((head, data, _HIT_STATE, version, _HIT_AGES[len(age)], age))


def hits_bytes(entries: Iterable[Entry]) -> int:
    """Bytes that `hit` makes of these entries in all, at the most: known before any is made."""
    return sum([len(entry.data or b"") + MAX_FRAME for entry in entries])


def field(tag: bytes, message: Message) -> bytes:
    """Any message, as a field with this tag."""
    body = message.SerializeToString()
    return b"".join((tag, _varint(len(body)), body))


def item(number: int, outcome: bytes) -> bytes:
    """The item of a GetStreamResponse: its id, and its outcome, which is a field already."""
    told = b"\x08" + _varint(number) if number else b""
    return b"".join((b"\x0a", _varint(len(told) + len(outcome)), told, outcome))


def _head(tag: bytes, size: int, tail: int) -> bytes:
    """All before the value."""
    value = b"\x0a" + _varint(size) if size else b""
    body = len(value) + size + len(_HIT_STATE) + 2 + tail
    wrapped = b"\x0a" + _varint(body)
    head = b"".join((tag, _varint(len(wrapped) + body), wrapped, value))
    if len(_heads) >= MAX_HEADS:
        _heads.clear()
    _heads[tag, size, tail] = head
    return head
