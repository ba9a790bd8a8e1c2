"""What the first bytes tell, and that no bytes break the reading."""

import contextlib
import io
import itertools
import struct
import tracemalloc

import photos
import pictures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from souk_imaging import sniff
from souk_imaging.exceptions import (
    FormatNotSupportedError,
    ImageCorruptError,
    ImageTruncatedError,
    ImagingError,
    NotAnImageError,
    PhotoError,
    TooManyFramesError,
    TooManyPixelsError,
    TooMuchMetadataError,
)
from souk_imaging.photos import Limits
from souk_imaging.sniff import Header

LIMITS = Limits(max_bytes=10**7, max_metadata_bytes=10**6, max_pixels=10**6, max_progressive_pixels=10**5, max_frames=10)
FEW = Limits(max_bytes=10**7, max_metadata_bytes=10**6, max_pixels=10**6, max_progressive_pixels=500_000, max_frames=10)


def read_header(data: bytes, *, complete: bool) -> Header | None:
    """What a reader says after these bytes."""
    reader = sniff.HeaderReader(LIMITS.max_metadata_bytes)
    header = reader.feed(data)
    return reader.end() if complete and header is None else header


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
STARTS = [*(data[:20] for data in SAMPLES.values()), b"\0\0\0\x20ftypavif", b"\xff\xd8\xff\xe1"]


@pytest.mark.parametrize("name", SAMPLES)
def test_format_and_size_are_read_as_soon_as_the_bytes_are_there(name: str) -> None:
    data = SAMPLES[name]
    header = read_header(data, complete=True)
    assert header is not None
    with Image.open(io.BytesIO(data)) as oracle:
        assert (header.width, header.height) == oracle.size
        assert header.content_type == f"image/{str(oracle.format).lower()}"
    assert header.progressive == (name == "progressive")
    seen = [read_header(data[:length], complete=False) for length in range(len(data))]
    known = [each for each in seen if each is not None]
    assert all(each == header for each in known)
    assert seen.index(known[0]) < 1024 if known else name == "gif"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_of_a_jpeg_is_that_of_the_upright_picture(orientation: int) -> None:
    header = read_header(oriented(orientation), complete=True)
    assert header is not None
    assert (header.width, header.height) == ((45, 123) if orientation >= 5 else (123, 45))


def test_alpha_is_told_where_the_header_tells_it() -> None:
    told = {name: read_header(data, complete=True) for name, data in SAMPLES.items()}
    assert {name for name, header in told.items() if header and header.has_alpha} >= {"png-alpha", "webp-alpha"}
    assert not told["png"].has_alpha  # type: ignore[union-attr]


def test_more_bytes_are_asked_for_behind_long_metadata() -> None:
    photo = made("JPEG")
    padding = b"\xff\xe2" + struct.pack(">H", 65_000) + b"\0" * 64_998
    long = photo[:2] + padding * 2 + photo[2:]
    assert read_header(long[:65_536], complete=False) is None
    header = read_header(long, complete=False)
    assert header is not None
    assert (header.width, header.height) == (123, 45)


@given(st.sampled_from(sorted(SAMPLES)), st.lists(st.integers(1, 300), min_size=1, max_size=20))
def test_the_pieces_in_which_bytes_come_change_nothing(name: str, lengths: list[int]) -> None:
    data, reader = SAMPLES[name], sniff.HeaderReader(LIMITS.max_metadata_bytes)
    position, header = 0, None
    for length in itertools.cycle(lengths):
        header = reader.feed(data[position : position + length])
        position += length
        if header or position >= len(data):
            break
    assert (header or reader.end()) == read_header(data, complete=True)


@pytest.mark.parametrize("piece", [1000, 1 << 20])
@pytest.mark.parametrize("fill", [b"", b"\xff" * 50_000])
def test_metadata_of_a_jpeg_may_be_as_long_as_the_limit_whatever_the_pieces(fill: bytes, piece: int) -> None:
    photo = photos.with_extended_xmp(made("JPEG"), 8)
    begins = photo.index(b"\xff\xc0")
    photo = photo[:begins] + fill + photo[begins:]

    def read(limit: int) -> Header | None:
        reader = sniff.HeaderReader(limit)
        pieces = (photo[position : position + piece] for position in range(0, len(photo), piece))
        return next(filter(None, map(reader.feed, pieces)), None)

    assert read(begins) == Header("image/jpeg", 123, 45)
    with pytest.raises(TooMuchMetadataError) as caught:
        read(begins - 1)
    assert caught.value.metadata == {"limit_bytes": str(begins - 1)}


def test_metadata_is_not_kept() -> None:
    photo = photos.with_extended_xmp(made("JPEG"), 100)
    reader = sniff.HeaderReader(len(photo))
    tracemalloc.start()
    try:
        for position in range(0, 5_900_000, 1000):
            assert reader.feed(photo[position : position + 1000]) is None
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_more_segments_than_any_photo_has_are_damage() -> None:
    with pytest.raises(ImageCorruptError):
        read_header(b"\xff\xd8" + b"\xff\xe0\0\2" * 100_000, complete=False)


def test_the_pixels_of_an_avif_may_come_before_its_properties() -> None:
    header = read_header(photos.avif_mdat_first(made("AVIF")), complete=False)
    assert header == Header("image/avif", 123, 45)
    long = photos.avif_mdat_first(made("AVIF"), padding=2 * LIMITS.max_metadata_bytes)
    assert read_header(long, complete=False) == header
    with pytest.raises(TooMuchMetadataError):
        read_header(long.replace(b"mdat", b"free", 1), complete=False)


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_but_what_is_promised(data: bytes) -> None:
    for complete in (True, False):
        try:
            header = read_header(data, complete=complete)
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
    header = None
    with contextlib.suppress(ImagingError):
        header = read_header(bytes(data), complete=True)
        if header is not None:
            sniff.check(header, LIMITS)
            assert header.width * header.height <= LIMITS.max_pixels


@pytest.mark.parametrize("name", SAMPLES)
def test_a_photo_that_ends_within_its_header_is_truncated(name: str) -> None:
    data = SAMPLES[name]
    seen = [read_header(data[:length], complete=False) for length in range(len(data) + 1)]
    unknown = next(length for length, header in enumerate(seen) if header)
    for length in range(unknown):
        try:
            header = read_header(data[:length], complete=True)
        except (ImageTruncatedError, NotAnImageError):
            continue
        assert header == seen[unknown]  # the photo is shorter than what is waited for at first


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_orientation_is_read_in_either_byte_order(order: str) -> None:
    tiff = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    header = read_header(made("JPEG", exif=b"Exif\0\0" + tiff), complete=True)
    assert header is not None
    assert (header.width, header.height) == (45, 123)


def test_a_jpeg_s_size_is_of_the_photo_and_not_of_its_thumbnail() -> None:
    thumbnail = photos.encode(Image.new("RGB", (16, 8)), "JPEG")
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 0) + bytes(4) + thumbnail
    photo = photos.encode(Image.new("RGB", (300, 200)), "JPEG", exif=exif)
    assert photo.index(thumbnail) < photo.rindex(b"\xff\xc0")
    assert read_header(photo, complete=True) == Header("image/jpeg", 300, 200)


def test_a_header_of_a_moving_webp_says_that_it_moves() -> None:
    header = read_header(SAMPLES["webp-moving"], complete=True)
    assert header is not None
    assert header.frames > 1


def test_the_alpha_of_an_avif_is_told() -> None:
    header = read_header(made("AVIF", "RGBA"), complete=True)
    assert header == Header("image/avif", 123, 45, has_alpha=True)


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heix", "image/heic"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "a video or another ISO media file"),
        (moving("AVIF"), "an animated AVIF"),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0avifavis", "an animated AVIF"),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (b"MM\0*\0\0\0\x08", "image/tiff"),
        (b"BM\x46\0\0\0", "image/bmp"),
        (b"8BPS\0\x01", "image/vnd.adobe.photoshop"),
        (b"\xff\x0a\xfa\x1f", "image/jxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
        (b"\0\0\1\0\1\0", "image/x-icon"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"<svg xmlns=", "image/svg+xml"),
        (b"\xef\xbb\xbf\n <?xml version='1.0'?><svg", "image/svg+xml"),
    ],
)
def test_a_format_that_is_not_taken_is_named(start: bytes, found: str) -> None:
    with pytest.raises(FormatNotSupportedError) as caught:
        read_header(start + bytes(64), complete=False)
    assert caught.value.metadata == {"found": found, "supported": sniff.SUPPORTED}
    assert found in caught.value.message


@pytest.mark.parametrize("start", [b"", b"\0", b"hello world", b"<html><body>", b"PK\3\4", b"\x7fELF", b"RIFF\0\0\0\0WAVEfmt "])
def test_what_is_no_image_is_said_to_be_none(start: bytes) -> None:
    with pytest.raises(NotAnImageError):
        read_header(start + bytes(64 if start else 0), complete=True)


@pytest.mark.parametrize("bomb", [photos.png_bomb(), photos.jpeg_bomb(), photos.webp_bomb(), photos.avif_bomb()])
def test_a_bomb_is_known_by_its_header(bomb: bytes) -> None:
    header = read_header(bomb, complete=True)
    assert header is not None
    with pytest.raises(TooManyPixelsError) as caught:
        sniff.check(header, FEW)
    assert caught.value.metadata == {"limit_pixels": "1000000", "pixels": str(header.width * header.height)}


def test_limits_hold_to_the_pixel() -> None:
    sniff.check(Header("image/jpeg", 1000, 1000), FEW)
    with pytest.raises(TooManyPixelsError):
        sniff.check(Header("image/jpeg", 1000, 1001), FEW)
    sniff.check(Header("image/jpeg", 1000, 500, progressive=True), FEW)
    with pytest.raises(TooManyPixelsError):
        sniff.check(Header("image/jpeg", 1000, 501, progressive=True), FEW)
    sniff.check(Header("image/gif", 100, 100, frames=10), FEW)
    with pytest.raises(TooManyFramesError) as caught:
        sniff.check(Header("image/gif", 100, 100, frames=11), FEW)
    assert caught.value.metadata == {"limit_frames": "10", "frames": "11"}
    with pytest.raises(TooManyPixelsError):
        sniff.check(Header("image/gif", 400, 300, frames=10), FEW)
    for width, height in ((0, 5), (5, 0)):
        with pytest.raises(ImageCorruptError):
            sniff.check(Header("image/png", width, height), FEW)


@given(st.sampled_from(STARTS), st.binary(max_size=400), st.booleans())
def test_no_bytes_after_a_good_beginning_raise_anything_but_what_is_promised(start: bytes, rest: bytes, complete: bool) -> None:
    try:
        header = read_header(start + rest, complete=complete)
    except (NotAnImageError, FormatNotSupportedError, ImageTruncatedError, ImageCorruptError, TooMuchMetadataError):
        return
    assert header is not None or not complete
