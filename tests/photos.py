"""Photos that are broken, hostile or odd, made from nothing or from good ones."""

import functools
import io
import random
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image
from souk_cli import demo_photos

SIDE = 65535
"""Side of a bomb: over four thousand million pixels in a handful of bytes."""


def encode(picture: Image.Image, form: str, **options: Any) -> bytes:
    """The bytes of a Pillow image."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


@functools.cache
@functools.cache
def one_of_each(width: int = 400, height: int = 300) -> dict[str, bytes]:
    """A good photo in every format that is taken, by name."""
    picture = demo_photos.scene(width, height, 21)
    cut_out = picture.copy()
    cut_out.putalpha(Image.linear_gradient("L").resize((width, height)))
    frames = [picture.quantize(64), picture.transpose(Image.Transpose.ROTATE_180).quantize(64)]
    return {
        "jpeg": encode(picture, "JPEG", quality=90),
        "progressive": encode(picture, "JPEG", quality=90, progressive=True),
        "png": encode(cut_out, "PNG"),
        "webp": encode(picture, "WEBP", quality=85),
        "lossless": encode(cut_out, "WEBP", lossless=True, method=0),
        "animated": encode(picture, "WEBP", save_all=True, append_images=frames[1:], duration=100, method=0),
        "avif": encode(picture, "AVIF", quality=70, speed=9),
        "gif": encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100),
    }


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(side: int = SIDE) -> bytes:
    """A PNG of `side` x `side` with hardly any data."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")


def jpeg_bomb(side: int = SIDE, *, progressive: bool = False) -> bytes:
    """A JPEG that claims `side` x `side`."""
    small = bytearray(encode(Image.new("RGB", (16, 16)), "JPEG", progressive=progressive))
    at = small.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    small[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(small)


def webp_bomb(side: int = 16384) -> bytes:
    """A WebP that claims `side` x `side`, the most that the format has."""
    bits = (side - 1) | (side - 1) << 14
    body = b"VP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", bits) + bytes(5)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def avif_bomb(side: int = SIDE) -> bytes:
    """An AVIF whose size property claims `side` x `side`."""
    small = bytearray(encode(Image.new("RGB", (64, 64)), "AVIF"))
    at = small.index(b"ispe")
    small[at + 8 : at + 16] = struct.pack(">II", side, side)
    return bytes(small)


def avif_mdat_first(photo: bytes, *, padding: int = 0) -> bytes:
    """The same AVIF with its pixels, and `padding` bytes more, before its properties."""
    boxes, at = {}, 0
    while at < len(photo):
        (size,) = struct.unpack_from(">I", photo, at)
        boxes[photo[at + 4 : at + 8]] = bytearray(photo[at : at + size])
        at += size
    meta, mdat = boxes[b"meta"], boxes[b"mdat"] + bytes(padding)
    mdat[:4] = struct.pack(">I", len(mdat))
    at = meta.index(b"iloc") + 4
    version, sizes, items = struct.unpack_from(">B3xHH", meta, at)
    assert (version, sizes) == (0, 0x4400)  # as libavif writes it: offsets and lengths of 4 bytes, no base offsets
    at += 8
    for _ in range(items):
        (extents,) = struct.unpack_from(">H", meta, at + 4)
        at += 6
        for _ in range(extents):
            (offset,) = struct.unpack_from(">I", meta, at)
            struct.pack_into(">I", meta, at, offset - len(meta))
            at += 8
    return bytes(boxes[b"ftyp"] + mdat + meta)


def with_extended_xmp(photo: bytes, segments: int) -> bytes:
    """A JPEG with so many segments of 60 kB, as the depth maps of phones' portraits are."""
    segment = b"\xff\xe1" + struct.pack(">H", 59_998) + b"http://ns.adobe.com/xmp/extension/\0".ljust(59_996, b"x")
    return photo[:2] + segment * segments + photo[2:]


def many_frames_gif(frames: int, side: int = 8) -> bytes:
    """An animation of `frames` tiny pictures."""
    first, *others = (Image.fromarray(np.full((side, side), index % 251, dtype=np.uint8)) for index in range(frames))
    return encode(first, "GIF", save_all=True, append_images=others, duration=20)


def mutations(good: bytes, count: int, seed: int) -> list[bytes]:
    """Damaged copies: bytes changed, runs removed, runs repeated, ends cut off."""
    rng = random.Random(seed)
    return [_mutated(good, rng) for _ in range(count)]


def _mutated(good: bytes, rng: random.Random) -> bytes:
    data = bytearray(good)
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        at = rng.randrange(len(data)) if rng.random() < 0.6 else rng.randrange(min(len(data), 200))
        match rng.randrange(5):
            case 0 | 1:
                data[at] = rng.randrange(256)
            case 2:
                del data[max(at, 50) : at + rng.randrange(1, 20)]
            case 3:
                data[at:at] = data[at : at + rng.randrange(1, 20)]
            case 4:
                del data[max(at, 50) :]
    return bytes(data)
