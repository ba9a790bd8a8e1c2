"""Messages with texts that are no UTF-8, which protobuf's parser refuses as a whole: mended, so that one record harms no other.

https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Generator

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

MOST_FIELDS = 50_000
"""Of the messages that the parser refuses, which are looked at one by one: what has more of them is refused."""
_TRIED = 3
"""Levels of messages (a resource, a scope, a record) that the parser is asked about before they are looked into."""
_DEEPEST = 100
"""Messages within each other, as the parser has them."""
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
"""Ways that a field is written, as its tag says."""


def mended(body: bytes, kind: Descriptor) -> Generator[None, None, bytes]:
    """A message with U+FFFD for what is no UTF-8 in its texts, a part of the work at each step; DecodeError: it is none."""
    return bytes((yield from _Mending().message(memoryview(body), kind, 0)))


class _Mending:
    """Of one message, and all within it."""

    def __init__(self) -> None:
        self._fields = 0

    def message(self, body: memoryview, kind: Descriptor, depth: int) -> Generator[None, None, memoryview]:
        """The same bytes where nothing is to be mended."""
        yield
        if depth and depth <= _TRIED and _is_read(body, kind):
            return body
        if depth > _DEEPEST:
            raise DecodeError("messages are nested too deep")
        parts: list[bytes | memoryview] = []
        at = 0
        while at < len(body):
            start = at
            tag, at = _number(body, at)
            self._count()
            if tag & 7 != _LENGTH:
                at = _after(body, at, tag & 7)
                parts.append(body[start:at])
                continue
            length, at = _number(body, at)
            inner, at = body[at : at + length], at + length
            if len(inner) != length:
                raise DecodeError("a field ends behind its message")
            made = yield from self._field(inner, kind.fields_by_number.get(tag >> 3), depth)
            parts += [body[start:at]] if made is inner else [_written(tag), _written(len(made)), made]
        yield
        return memoryview(b"".join(parts))

    def _field(self, body: memoryview, field: FieldDescriptor | None, depth: int) -> Generator[None, None, memoryview]:
        if field is not None and field.type == FieldDescriptor.TYPE_STRING:
            return _text(body)
        if field is not None and field.message_type is not None:
            return (yield from self.message(body, field.message_type, depth + 1))
        return body

    def _count(self) -> None:
        self._fields += 1
        if self._fields > MOST_FIELDS:
            raise DecodeError("too much of it would have to be mended")


def _is_read(body: memoryview, kind: Descriptor) -> bool:
    try:
        GetMessageClass(kind).FromString(bytes(body))
    except DecodeError:
        return False
    return True


def _text(body: memoryview) -> memoryview:
    try:
        str(body, "utf-8")
    except UnicodeDecodeError:
        return memoryview(str(body, "utf-8", "replace").encode())
    return body


def _after(body: memoryview, at: int, way: int) -> int:
    """Where a field ends that is no text and no message."""
    if way == _VARINT:
        return _number(body, at)[1]
    at += {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(way, len(body) + 1)
    if at > len(body):
        raise DecodeError("a field ends behind its message, or is written in no way that there is")
    return at


def _number(body: memoryview, at: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    number = 0
    for index, byte in enumerate(body[at : at + 10]):
        number |= (byte & 127) << 7 * index
        if byte < 128:
            return number, at + index + 1
    raise DecodeError("a number has no end")


def _written(number: int) -> bytes:
    """A varint."""
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)
