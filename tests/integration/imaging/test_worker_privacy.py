"""No variant carries anything but pixels, whatever the photo carried."""

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import making
import pytest
from PIL import Image
from souk_cli import demo_photos
from souk_imaging.images import Format

MAKERS: dict[str, Callable[[Path], demo_photos.DemoPhoto]] = {
    "jpg": lambda path: demo_photos.camera_jpeg(path, size=(900, 600)),
    "p3.jpg": lambda path: demo_photos.display_p3_jpeg(path, size=(900, 600)),
    "png": lambda path: demo_photos.transparent_png(path, size=(500, 400)),
    "webp": lambda path: demo_photos.webp(path, size=(900, 600)),
    "avif": lambda path: demo_photos.avif(path, size=(900, 600)),
    "animated.webp": lambda path: demo_photos.animated_webp(path, size=(240, 160), frames=3),
    "gif": lambda path: demo_photos.animated_gif(path, size=(240, 160), frames=3),
}
SIGNS = (
    b"Exif\0\0",
    b"MM\0*",
    b"II*\0",
    b"adobe",
    b"Adobe",
    b"Photoshop",
    b"xmpmeta",
    b"ICC_PROFILE",
    b"acsp",
    b"libvips",
    b"mozjpeg",
)
"""How metadata of each kind begins."""


@pytest.mark.parametrize("kind", MAKERS)
async def test_a_variant_carries_no_metadata_of_any_kind(tmp_path: Path, kind: str) -> None:
    photo = MAKERS[kind](tmp_path / f"photo.{kind}")
    assert any(secret in photo.path.read_bytes() for secret in demo_photos.SECRETS)
    async with making.open_pool() as pool:
        outcome = await making.run(pool, making.job(tmp_path, photo.path))
    assert outcome.files
    for (form, width), data in outcome.files.items():
        for sign in (*demo_photos.SECRETS, *SIGNS):
            assert sign not in data, (form, width, sign)
        assert set(_parts(form, data)) <= PARTS[form], (form, width)
        with outcome.picture(form, width) as picture:
            picture.load()
            assert not dict(picture.getexif())
            assert not {"exif", "xmp", "XML:com.adobe.xmp", "icc_profile", "comment", "photoshop", "adobe"} & set(picture.info)


PARTS = {
    Format.JPEG: {"DB", "C2", "C4", "DA", "D9", "E0"},  # E0: JFIF, which says only that it is a JPEG
    Format.PNG: {"IHDR", "IDAT", "IEND", "pHYs", "bKGD"},
    Format.WEBP: {"VP8 ", "VP8L", "VP8X", "ALPH", "ANIM", "ANMF"},
    Format.AVIF: {"ftyp", "meta", "mdat"},
}


def _parts(form: Format, data: bytes) -> Iterator[str]:
    """The kinds of segments, chunks or boxes that a file is made of."""
    match form:
        case Format.JPEG:
            for marker in re.finditer(rb"\xff([\x01-\xcf\xd8-\xfe])", data):
                if marker[1] != b"\xd8":
                    yield marker[1].hex().upper()
        case Format.PNG:
            at = 8
            while at < len(data):
                (length,) = struct.unpack_from(">I", data, at)
                yield data[at + 4 : at + 8].decode()
                at += length + 12
        case Format.WEBP:
            at = 12
            while at < len(data):
                (length,) = struct.unpack_from("<I", data, at + 4)
                yield data[at : at + 4].decode()
                at += 8 + length + length % 2
        case Format.AVIF:
            at = 0
            while at < len(data):
                (length,) = struct.unpack_from(">I", data, at)
                yield data[at + 4 : at + 8].decode()
                at += length


async def test_one_pixel_variants_are_readable_by_others(tmp_path: Path) -> None:
    photo = demo_photos.camera_jpeg(tmp_path / "photo.jpg", size=(1, 1))
    async with making.open_pool() as pool:
        outcome = await making.run(pool, making.job(tmp_path, photo.path))
    for form, width in outcome.files:
        with outcome.picture(form, width) as picture:
            assert isinstance(picture, Image.Image)
            assert picture.size == (1, 1)
