"""Whether a file ends before its picture does, for the formats whose loaders do not say so."""

import os
import struct
from pathlib import Path
from typing import BinaryIO

_GIF_IMAGE, _GIF_EXTENSION = 0x2C, 0x21


def is_truncated(path: Path, content_type: str) -> bool:
    """True only where bytes are missing for certain. Bytes after the end do no harm, and neither does a GIF's missing trailer."""
    ends_early = {"image/gif": _gif_ends_early, "image/png": _png_ends_early, "image/webp": _webp_ends_early}.get(content_type)
    try:
        with path.open("rb") as file:
            return ends_early is not None and ends_early(file)
    except (struct.error, IndexError):
        return True


def _webp_ends_early(file: BinaryIO) -> bool:
    """RFC 9649: the RIFF header says the length."""
    (length,) = struct.unpack("<4xI", file.read(8))
    return bool(length + 8 > _size(file))


def _png_ends_early(file: BinaryIO) -> bool:
    """Go from chunk to chunk (W3C PNG); struct.error where there is no next one, and IEND has not come."""
    size, at, kind = _size(file), 8, b""
    while kind != b"IEND":
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        at += length + 12
    return at > size


def _gif_ends_early(file: BinaryIO) -> bool:
    """Go from block to block (GIF89a); IndexError where the data ends within one."""
    data = file.read()
    at = 13 + _colours(data[10])
    while at < len(data):
        kind = data[at]
        if kind == _GIF_IMAGE:
            at = _skip_data(data, at + 11 + _colours(data[at + 9]))
        elif kind == _GIF_EXTENSION:
            at = _skip_data(data, at + 2)
        else:
            return False  # the trailer, or what only the decoder can judge
    return False


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _colours(flags: int) -> int:
    """Bytes of the colour table that a header's flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _skip_data(data: bytes, at: int) -> int:
    while length := data[at]:
        at += length + 1
    return at + 1
