"""What the first bytes tell, and that no bytes break the reading."""

import io
import struct

import pictures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from souk_imaging import sniff
from souk_imaging.exceptions import ImagingError, PhotoError
from souk_imaging.photos import Limits

LIMITS = Limits(max_bytes=10**7, max_pixels=10**6, max_progressive_pixels=10**5, max_frames=10)


def made(form: str, mode: str = "RGB", **options: object) -> bytes:
    return pictures.encode(Image.new(mode, (123, 45)), form, **options)


def moving(form: str) -> bytes:
    return pictures.encode(Image.new("RGB", (123, 45)), form, save_all=True, append_images=[Image.new("RGB", (123, 45), "red")])


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return made("JPEG", exif=exif)


SAMPLES = {
    "jpeg": made("JPEG"),
    "progressive": made("JPEG", progressive=True),
    "grey": made("JPEG", "L"),
    "cmyk": made("JPEG", "CMYK"),
    "png": made("PNG"),
    "png-alpha": made("PNG", "RGBA"),
    "gif": made("GIF", "P"),
    "webp": made("WEBP"),
    "webp-lossless": made("WEBP", lossless=True),
    "webp-alpha": made("WEBP", "RGBA", lossless=True),
    "webp-moving": moving("WEBP"),
    "avif": made("AVIF"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_format_and_size_are_read_as_soon_as_the_bytes_are_there(name: str) -> None:
    data = SAMPLES[name]
    header = sniff.read_header(data, complete=True)
    assert header is not None
    with Image.open(io.BytesIO(data)) as oracle:
        assert (header.width, header.height) == oracle.size
        assert header.content_type == f"image/{str(oracle.format).lower()}"
    assert header.progressive == (name == "progressive")
    seen = [sniff.read_header(data[:length], complete=False) for length in range(len(data))]
    known = [each for each in seen if each is not None]
    assert all(each == header for each in known)
    assert seen.index(known[0]) < 1024 if known else name == "gif"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_of_a_jpeg_is_that_of_the_upright_picture(orientation: int) -> None:
    header = sniff.read_header(oriented(orientation), complete=True)
    assert header is not None
    assert (header.width, header.height) == ((45, 123) if orientation >= 5 else (123, 45))


def test_alpha_is_told_where_the_header_tells_it() -> None:
    told = {name: sniff.read_header(data, complete=True) for name, data in SAMPLES.items()}
    assert {name for name, header in told.items() if header and header.has_alpha} >= {"png-alpha", "webp-alpha"}
    assert not told["png"].has_alpha  # type: ignore[union-attr]


def test_more_bytes_are_asked_for_behind_long_metadata() -> None:
    photo = made("JPEG")
    padding = b"\xff\xe2" + struct.pack(">H", 65_000) + b"\0" * 64_998
    long = photo[:2] + padding * 2 + photo[2:]
    assert sniff.read_header(long[:65_536], complete=False) is None
    header = sniff.read_header(long, complete=False)
    assert header is not None
    assert (header.width, header.height) == (123, 45)


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_but_what_is_promised(data: bytes) -> None:
    for complete in (True, False):
        try:
            header = sniff.read_header(data, complete=complete)
        except PhotoError:
            continue
        assert header is not None or not complete


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(SAMPLES)), st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=8), st.integers(0, 700)
)
def test_no_mutation_of_a_photo_raises_anything_but_what_is_promised(
    name: str, changes: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(SAMPLES[name][: length or None])
    for position, value in changes:
        if position < len(data):
            data[position] = value
    try:
        header = sniff.read_header(bytes(data), complete=True)
        if header is not None:
            sniff.check(header, LIMITS)
    except ImagingError as error:
        assert error.message
