"""What the first bytes of a file tell: its format, its pixels, and whether it can be taken. Reads bytes, decodes nothing, trusts
nothing."""

import re
import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from souk_imaging.exceptions import (
    FormatNotSupportedError,
    ImageCorruptError,
    ImageTruncatedError,
    NotAnImageError,
    TooManyFramesError,
    TooManyPixelsError,
    TooMuchMetadataError,
)
from souk_imaging.photos import Limits

SUPPORTED = "image/avif, image/gif, image/jpeg, image/png, image/webp"
ENOUGH_FOR_TYPE = 32
_MAX_BOXES = 512
_MAX_SEGMENTS = 8_192
_FILL = re.compile(rb"\xff*")
_MAX_BRANDS_BYTES = 256

# ISO base media brands, by what they are
_AVIF_BRANDS = {b"avif", b"avis"}
_MOVING_BRANDS = {b"avis", b"msf1"}
"""As the first brand: the file is an animation, of which libvips reads nothing."""
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_OTHERS = (
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"BM", "image/bmp"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\xff\x0a", "image/jxl"),
    (b"\0\0\0\x0cJXL ", "image/jxl"),
    (b"\0\0\0\x0cjP  ", "image/jp2"),
    (b"\0\0\1\0", "image/x-icon"),
    (b"%PDF-", "application/pdf"),
    (b"<svg", "image/svg+xml"),
    (b"<?xml", "image/svg+xml"),
)


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a photo tells."""

    content_type: str
    width: int
    """Upright, in pixels."""
    height: int
    has_alpha: bool = False
    """As far as the header tells."""
    progressive: bool = False
    frames: int = 1
    """As far as the header tells."""


class _NeedMoreError(Exception):
    """The bytes end before the header does."""


_T = TypeVar("_T")
_Steps: TypeAlias = Generator[None, None, _T]
"""A reading that yields wherever it waits for more bytes."""


class _Incoming:
    """The bytes of a file as they come. What was taken or skipped is not kept."""

    def __init__(self) -> None:
        self.position = 0
        """Of the next byte, in the file."""
        self._waiting = bytearray()
        self._ended = False

    def add(self, data: bytes) -> None:
        self._waiting += data

    def end(self) -> None:
        self._ended = True

    def start(self) -> _Steps[bytes]:
        """The first bytes, which stay; fewer than ENOUGH_FOR_TYPE only where the file has no more."""
        while len(self._waiting) < ENOUGH_FOR_TYPE and not self._ended:
            yield
        return bytes(self._waiting[:ENOUGH_FOR_TYPE])

    def peek(self, count: int) -> _Steps[bytes]:
        """The next bytes, which stay."""
        while len(self._waiting) < count:
            yield from self._wait()
        return bytes(self._waiting[:count])

    def take(self, count: int) -> _Steps[bytes]:
        """The next bytes."""
        data = yield from self.peek(count)
        self._drop(count)
        return data

    def skip(self, count: int) -> _Steps[None]:
        """Go past the next bytes."""
        while count > len(self._waiting):
            count -= len(self._waiting)
            self._drop(len(self._waiting))
            yield from self._wait()
        self._drop(count)

    def skip_fill(self) -> _Steps[None]:
        """Go past every 0xFF."""
        while (fill := len(_FILL.match(self._waiting)[0])) == len(self._waiting):  # type: ignore[index]
            self._drop(fill)
            yield from self._wait()
        self._drop(fill)

    def _wait(self) -> _Steps[None]:
        if self._ended:
            raise _NeedMoreError
        yield

    def _drop(self, count: int) -> None:
        del self._waiting[:count]
        self.position += count


class HeaderReader:
    """Reads the header of a photo from its bytes as they come, in pieces of any size.

    Goes past metadata without keeping it; of that, `max_metadata_bytes` may come before the header.
    """

    def __init__(self, max_metadata_bytes: int) -> None:
        self._incoming = _Incoming()
        self._steps = _read(self._incoming, max_metadata_bytes)

    def feed(self, data: bytes) -> Header | None:
        """The header, once its last byte is there; None before. Not to be called after it.

        Raises NotAnImageError, FormatNotSupportedError, TooMuchMetadataError or ImageCorruptError, and nothing else, whatever the
        bytes are.
        """
        self._incoming.add(data)
        try:
            next(self._steps)
        except StopIteration as read:
            header: Header = read.value
            return header
        return None

    def end(self) -> Header:
        """The header of a file that has no more bytes. Raises as `feed`, and ImageTruncatedError."""
        self._incoming.end()
        try:
            header = self.feed(b"")
        except (_NeedMoreError, struct.error, IndexError):
            header = None
        if header is None:
            raise ImageTruncatedError("the photo ends before its header does")
        return header


def check(header: Header, limits: Limits) -> None:
    """Raise where a photo is over a limit, or has no pixels."""
    if header.width <= 0 or header.height <= 0:
        raise ImageCorruptError("the photo has no pixels")
    if header.frames > limits.max_frames:
        raise TooManyFramesError(
            f"a photo may have at most {limits.max_frames} frames, not {header.frames}",
            limit_frames=limits.max_frames,
            frames=header.frames,
        )
    pixels = header.width * header.height * header.frames
    limit = limits.max_progressive_pixels if header.progressive else limits.max_pixels
    if pixels > limit:
        kind = "progressive photo" if header.progressive else "photo"
        raise TooManyPixelsError(f"a {kind} may have at most {limit:,} pixels, not {pixels:,}", limit_pixels=limit, pixels=pixels)


def _read(incoming: _Incoming, limit: int) -> _Steps[Header]:
    data = yield from incoming.start()
    if data.startswith(b"\xff\xd8\xff"):
        return (yield from _jpeg(incoming, limit))
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        width, height = struct.unpack_from("<HH", data, 6)
        return Header("image/gif", width, height)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[4:8] == b"ftyp":
        return (yield from _iso(incoming, limit))
    lead = data.lstrip(b"\xef\xbb\xbf \t\r\n") if data[:1] in b"\xef \t\r\n<" else data
    for magic, found in _OTHERS:
        if lead.startswith(magic):
            raise _not_supported(found)
    raise NotAnImageError("the bytes are no image that is known here")


def _not_supported(found: str) -> FormatNotSupportedError:
    return FormatNotSupportedError(f"{found} is not taken; send one of {SUPPORTED}", found=found, supported=SUPPORTED)


def _too_much(limit: int) -> TooMuchMetadataError:
    return TooMuchMetadataError(f"a photo may have at most {limit:,} bytes of metadata before its header", limit_bytes=limit)


def _jpeg(incoming: _Incoming, limit: int) -> _Steps[Header]:
    """ITU-T T.81, annex B: segments up to the frame header."""
    yield from incoming.skip(2)
    turned = False
    for _ in range(_MAX_SEGMENTS):
        if incoming.position > limit:
            raise _too_much(limit)
        if (yield from incoming.peek(1)) != b"\xff":
            raise ImageCorruptError("the photo's JPEG segments are damaged")
        yield from incoming.skip_fill()
        (marker,) = yield from incoming.take(1)
        if marker in (0x01, *range(0xD0, 0xD8)):
            continue
        if marker in (0xD9, 0xDA):
            raise ImageCorruptError("the photo's JPEG data begins before its frame header")
        (length,) = struct.unpack(">H", (yield from incoming.take(2)))
        body = length - 2
        if body < 0:
            raise ImageCorruptError("the photo's JPEG segments are damaged")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">xHH", (yield from incoming.take(5)))
            if turned:
                width, height = height, width
            return Header("image/jpeg", width, height, progressive=marker in (0xC2, 0xC6, 0xCA, 0xCE))
        if marker == 0xE1 and (yield from incoming.peek(min(body, 6))) == b"Exif\0\0":
            turned = _exif_turns((yield from incoming.take(body))) or turned
        else:
            yield from incoming.skip(body)
    raise ImageCorruptError("the photo's JPEG segments are damaged")


def _exif_turns(segment: bytes) -> bool:
    """Whether an EXIF orientation exchanges width and height. Damaged EXIF turns nothing."""
    if segment[:6] != b"Exif\0\0" or segment[6:8] not in (b"II", b"MM"):
        return False
    tiff = segment[6:]
    order = "<" if tiff[:2] == b"II" else ">"
    try:
        (offset,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, offset)
        for index in range(count):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, offset + 2 + 12 * index)
            if tag == 0x0112 and kind == 3:
                return bool(5 <= value <= 8)
    except struct.error:
        return False
    return False


def _png(data: bytes) -> Header:
    """W3C PNG: IHDR comes first."""
    if len(data) < 16:
        raise _NeedMoreError
    if data[12:16] != b"IHDR":
        raise ImageCorruptError("the photo's PNG header is damaged")
    width, height, _, colour = struct.unpack_from(">IIBB", data, 16)
    return Header("image/png", width, height, has_alpha=colour in (4, 6))


def _webp(data: bytes) -> Header:
    """RFC 9649: a lossy, lossless or extended chunk comes first."""
    kind = data[12:16]
    if len(kind) < 4:
        raise _NeedMoreError
    if kind == b"VP8X":
        flags = data[20]
        wide, high = data[24:27], data[27:30]
        if len(high) < 3:
            raise _NeedMoreError
        width, height = int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1
        return Header("image/webp", width, height, has_alpha=bool(flags & 0x10), frames=2 if flags & 0x02 else 1)
    if kind == b"VP8L":
        if data[20] != 0x2F:
            raise ImageCorruptError("the photo's WebP header is damaged")
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header("image/webp", (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1, has_alpha=bool(bits >> 28 & 1))
    if kind == b"VP8 ":
        if data[23:26] != b"\x9d\x01\x2a" and len(data) >= 26:
            raise ImageCorruptError("the photo's WebP header is damaged")
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("image/webp", width & 0x3FFF, height & 0x3FFF)
    raise ImageCorruptError("the photo's WebP header is damaged")


def _iso(incoming: _Incoming, limit: int) -> _Steps[Header]:
    """ISO/IEC 14496-12 and 23008-12: the brands, then the box with the picture's properties. The pixels may come before it."""
    (size,) = struct.unpack(">I", (yield from incoming.peek(4)))
    size = min(size, _MAX_BRANDS_BYTES)
    data = yield from incoming.peek(max(size, 12))
    brands = {data[at : at + 4] for at in (8, *range(16, size, 4))}
    if not brands & _AVIF_BRANDS:
        raise _not_supported("image/heic" if brands & _HEIC_BRANDS else "a video or another ISO media file")
    if data[8:12] in _MOVING_BRANDS:
        raise _not_supported("an animated AVIF")
    metadata = 0
    for _ in range(_MAX_BOXES):
        size, kind = struct.unpack(">I4s", (yield from incoming.take(8)))
        head = 8
        if size == 1:
            (size,) = struct.unpack(">Q", (yield from incoming.take(8)))
            head = 16
        if size < head:
            raise ImageCorruptError("the photo's AVIF boxes are damaged")
        metadata += 0 if kind == b"mdat" else size
        if metadata > limit:
            raise _too_much(limit)
        if kind == b"meta":
            return _avif((yield from incoming.take(size - head)))
        yield from incoming.skip(size - head)
    raise ImageCorruptError("the photo's AVIF boxes are damaged")


def _avif(meta: bytes) -> Header:
    """ISO/IEC 23008-12: the picture's properties, in iprp/ipco."""
    sizes, turned, alpha = [], False, False
    try:
        for kind, body in _all_boxes(_box(_box(meta[4:], b"iprp"), b"ipco")):
            if kind == b"ispe":
                sizes.append(struct.unpack_from(">II", body, 4))
            elif kind == b"irot" and body:
                turned = bool(body[0] & 1)
            elif kind == b"auxC":
                alpha = alpha or b":alpha" in body or b"auxid:1" in body
    except struct.error:  # the box is whole, so no more bytes will mend what is in it
        raise ImageCorruptError("the photo's AVIF boxes are damaged") from None
    if not sizes:
        raise ImageCorruptError("the photo's AVIF header has no size")
    width, height = max(sizes, key=lambda each: each[0] * each[1])
    if turned:
        width, height = height, width
    return Header("image/avif", width, height, has_alpha=alpha)


def _box(data: bytes, wanted: bytes) -> bytes:
    """The body of the first box of this kind."""
    for kind, body in _all_boxes(data):
        if kind == wanted:
            return body
    raise ImageCorruptError("the photo's AVIF boxes are damaged")


def _all_boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
            head = 16
        if size < head:
            raise ImageCorruptError("the photo's AVIF boxes are damaged")
        yield kind, data[position + head : position + size]
        position += size
