"""How values of a type become the bytes that the cache keeps."""

import json
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message
from souk.client._errors import CodecError

T = TypeVar("T")
M = TypeVar("M", bound=Message)


class Codec(Protocol[T]):
    """Two functions that undo each other."""

    def encode(self, value: T, /) -> bytes:
        """The bytes of a value."""

    def decode(self, data: bytes, /) -> T:
        """The value of the bytes; CodecError where they are not one."""


class _Bytes:
    def encode(self, value: bytes, /) -> bytes:
        return value

    def decode(self, data: bytes, /) -> bytes:
        return data


class _Json:
    def encode(self, value: Any, /) -> bytes:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    def decode(self, data: bytes, /) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            raise CodecError(f"not JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class _MessageCodec(Generic[M]):
    kind: type[M]

    def encode(self, value: M, /) -> bytes:
        return value.SerializeToString(deterministic=True)

    def decode(self, data: bytes, /) -> M:
        try:
            return self.kind.FromString(data)
        except DecodeError as error:
            raise CodecError(f"not a {self.kind.DESCRIPTOR.full_name}: {error}") from error


BYTES: Codec[bytes] = _Bytes()
"""Bytes as they are."""
JSON: Codec[Any] = _Json()
"""What JSON can say: None, bool, int, float, str, list, dict."""


def message(kind: type[M]) -> Codec[M]:
    """Protobuf messages of one type."""
    return _MessageCodec(kind)
