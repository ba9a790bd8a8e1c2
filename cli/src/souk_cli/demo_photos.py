"""Photographs that nobody took: pictures with the statistics of photos, in the files that cameras, phones and editors write."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageDraw, ImageFilter, PngImagePlugin

from souk_cli.demo_profiles import display_p3_profile, srgb_profile

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]

SECRETS = (
    b"Souk Demo Camera",
    b"2026:05:04 03:02:01",
    b"souk-demo-xmp",
    b"souk-demo-iptc",
    b"souk-demo-comment",
    b"souk-demo-icc",
)
"""Planted in the metadata of the photos; none may be found in a variant."""
MARKS = {"top left": (220, 30, 30), "top right": (30, 200, 40), "bottom left": (40, 60, 220)}
"""Colours of the corners of an upright `oriented` photo."""
MARK_SHARE = 0.12
"""Side of a corner mark, of the photo's shorter side."""
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera stores an upright picture by EXIF orientation."""
_TWELVE = (4032, 3024)
_TWENTY_FOUR = (6000, 4000)
_SMALL = (1600, 1200)


@dataclass(frozen=True, slots=True)
class DemoPhoto:
    """One file, and what is special about it."""

    name: str
    path: Path
    description: str


def scene(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture like a photo of things on a table: light that falls off, soft edges, cloth, and the noise of a sensor.

    The same for the same seed. Its spectrum falls as that of natural images does (amplitude about 1/f; Field 1987), so that it
    costs an encoder what a photo costs.
    """
    rng = np.random.default_rng(seed)
    luma = _clouds(rng, width, height, octaves=10) * 36 + _light(rng, width, height)
    colours = Image.fromarray(_tint(rng, max(width // 8, 8), max(height // 8, 8)))
    _draw_things(colours, rng)
    colours = colours.filter(ImageFilter.GaussianBlur(max(width, height) / 4000)).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(colours, dtype=np.float32)
    pixels *= (luma / 128)[:, :, None]
    pixels += (_grain(rng, width, height) * 5.0)[:, :, None]
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))


def _clouds(rng: np.random.Generator, width: int, height: int, *, octaves: int) -> Plane:
    """1/f noise: one random grid per octave, each half as strong and twice as fine."""
    total = Image.new("F", (3, 3))
    for octave in range(octaves):
        cells = 3 * 2**octave / max(width, height)
        shape = (min(max(round(height * cells), 1), height), min(max(round(width * cells), 1), width))
        grid = rng.standard_normal(shape).astype(np.float32)
        coarser = total.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
        total = Image.fromarray(np.asarray(coarser) + grid * np.float32(0.66**octave))
    return np.asarray(total.resize((width, height), Image.Resampling.BICUBIC))


def _light(rng: np.random.Generator, width: int, height: int) -> Plane:
    """Light from one side."""
    across, down = rng.uniform(-0.5, 0.5, 2)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light: Plane = 138 + 40 * (np.float32(across) * x + np.float32(down) * y) - 22 * (x * x + y * y)
    return light


def _tint(rng: np.random.Generator, width: int, height: int) -> Pixels:
    base = rng.integers(90, 190, 3)
    drift = np.stack([_clouds(rng, width, height, octaves=3) * 14 for _ in range(3)], axis=-1)
    tint: Pixels = np.clip(drift + base, 0, 255).astype(np.uint8)
    return tint


def _draw_things(picture: Image.Image, rng: np.random.Generator) -> None:
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    for _ in range(40):
        x, y = rng.uniform(-0.1, 1, 2) * (width, height)
        w, h = rng.uniform(0.02, 0.3, 2) * min(width, height)
        shape = draw.ellipse if rng.random() < 0.6 else draw.rectangle
        shape((x, y, x + w, y + h), fill=tuple(int(v) for v in rng.integers(20, 245, 3)))


def _grain(rng: np.random.Generator, width: int, height: int) -> Plane:
    """Sensor noise, from a tile that is shifted for every repeat."""
    tile = rng.standard_normal((509, 512)).astype(np.float32)
    rows = [np.roll(tile, int(rng.integers(512)), axis=1) for _ in range(-(-height // 509))]
    column = np.concatenate(rows)[:height]
    return np.concatenate([np.roll(column, int(rng.integers(509)), axis=0) for _ in range(-(-width // 512))], axis=1)[:, :width]


# Files


def camera_jpeg(path: Path, *, size: tuple[int, int] = _TWELVE, seed: int = 1, progressive: bool = False) -> DemoPhoto:
    """A JPEG as a camera writes it: EXIF with GPS, XMP, IPTC, a comment."""
    picture = scene(*size, seed)
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + struct.pack(">I", 19) + b"\x1c\x02\x78\x00\x0esouk-demo-iptc\x00"
    picture.save(
        path,
        quality=90,
        progressive=progressive,
        exif=_exif(),
        xmp=_XMP,
        comment=b"souk-demo-comment",
        extra=b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc,
    )
    kind = "progressive " if progressive else ""
    return DemoPhoto(path.stem, path, f"{size[0] * size[1] / 1e6:.0f} MP {kind}JPEG of a camera, with GPS, XMP, IPTC and a comment")


def oriented_jpeg(path: Path, orientation: int, *, size: tuple[int, int] = (1200, 800), seed: int = 2) -> DemoPhoto:
    """A photo taken with the camera held in one of eight ways; `size` is upright, with a mark in three corners."""
    upright = scene(*size, seed)
    side = round(min(size) * MARK_SHARE)
    right, bottom = size[0] - side, size[1] - side
    corners = {"top left": (0, 0), "top right": (right, 0), "bottom left": (0, bottom)}
    for corner, (x, y) in corners.items():
        upright.paste(MARKS[corner], (x, y, x + side, y + side))
    stored = upright.transpose(_STORED[orientation]) if orientation in _STORED else upright
    stored.save(path, quality=92, exif=_exif(orientation))
    return DemoPhoto(path.stem, path, f"EXIF orientation {orientation}, marked corners")


def cmyk_jpeg(path: Path, *, size: tuple[int, int] = _SMALL, seed: int = 3) -> DemoPhoto:
    """For print, without a profile."""
    scene(*size, seed).convert("CMYK").save(path, quality=92)
    return DemoPhoto(path.stem, path, "CMYK JPEG without a profile, as from a print shop")


def display_p3_jpeg(path: Path, *, size: tuple[int, int] = _SMALL, seed: int = 4) -> DemoPhoto:
    """As phones make them: wider colours, and a profile that says so."""
    scene(*size, seed).save(path, quality=92, icc_profile=display_p3_profile())
    return DemoPhoto(path.stem, path, "Display P3 JPEG with its ICC profile, as from a phone")


def transparent_png(path: Path, *, size: tuple[int, int] = _SMALL, seed: int = 5) -> DemoPhoto:
    """A thing cut out, with a soft edge."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "souk-demo-comment")
    _cut_out(scene(*size, seed)).save(path, pnginfo=text, exif=_exif(), icc_profile=srgb_profile(), compress_level=3)
    return DemoPhoto(path.stem, path, "PNG with a soft transparent edge")


def _cut_out(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    mask = Image.new("L", (width // 4, height // 4))
    ImageDraw.Draw(mask).ellipse((width // 40, height // 40, width // 4 - width // 40, height // 4 - height // 40), fill=255)
    picture.putalpha(mask.filter(ImageFilter.GaussianBlur(5)).resize((width, height), Image.Resampling.BILINEAR))
    return picture


def webp(path: Path, *, size: tuple[int, int] = _SMALL, seed: int = 6) -> DemoPhoto:
    """With everything WebP can carry."""
    scene(*size, seed).save(path, quality=85, method=2, exif=_exif(), xmp=_XMP, icc_profile=display_p3_profile())
    return DemoPhoto(path.stem, path, "WebP with EXIF, XMP and a Display P3 profile")


def avif(path: Path, *, size: tuple[int, int] = _SMALL, seed: int = 7) -> DemoPhoto:
    """With everything AVIF can carry."""
    scene(*size, seed).save(path, quality=70, speed=9, exif=_exif(), xmp=_XMP, icc_profile=display_p3_profile())
    return DemoPhoto(path.stem, path, "AVIF with EXIF, XMP and a Display P3 profile")


def animated_webp(path: Path, *, size: tuple[int, int] = (480, 360), frames: int = 6, seed: int = 8) -> DemoPhoto:
    """A picture that moves past."""
    first, *others = _moving(size, frames, seed)
    first.save(
        path, save_all=True, append_images=others, duration=_durations(frames), loop=3, quality=80, method=0, exif=_exif(), xmp=_XMP
    )
    return DemoPhoto(path.stem, path, f"animated WebP, {frames} frames, three loops")


def animated_gif(path: Path, *, size: tuple[int, int] = (480, 360), frames: int = 6, seed: int = 9) -> DemoPhoto:
    """The same as GIF, with its 256 colours and a comment."""
    first, *others = (frame.quantize(128) for frame in _moving(size, frames, seed))
    first.save(path, save_all=True, append_images=others, duration=_durations(frames), loop=3, comment=b"souk-demo-comment")
    return DemoPhoto(path.stem, path, f"animated GIF, {frames} frames, three loops")


def _moving(size: tuple[int, int], frames: int, seed: int) -> list[Image.Image]:
    width, height = size
    wide = scene(width + 16 * frames, height, seed)
    return [wide.crop((16 * index, 0, 16 * index + width, height)) for index in range(frames)]


def _durations(frames: int) -> list[int]:
    """In milliseconds, no two neighbours alike."""
    return [80 + 40 * (index % 3) for index in range(frames)]


def _exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Souk Demo Camera"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.DateTime] = "2026:05:04 03:02:01"
    gps: dict[int, Any] = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef] = "N"
    gps[ExifTags.GPS.GPSLatitude] = (41.0, 0.0, 38.9)
    gps[ExifTags.GPS.GPSLongitudeRef] = "E"
    gps[ExifTags.GPS.GPSLongitude] = (28.0, 58.0, 4.4)
    return exif


_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="souk-demo-xmp"/></rdf:RDF></x:xmpmeta>'
)


def write_all(folder: Path) -> tuple[DemoPhoto, ...]:
    """One of each into the folder, which is made where it is not there. About ten seconds of work."""
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Callable[[], DemoPhoto]] = [
        lambda: camera_jpeg(folder / "camera-12mp.jpg"),
        lambda: camera_jpeg(folder / "camera-24mp.jpg", size=_TWENTY_FOUR, seed=10),
        lambda: camera_jpeg(folder / "progressive-12mp.jpg", seed=11, progressive=True),
        lambda: cmyk_jpeg(folder / "cmyk.jpg"),
        lambda: display_p3_jpeg(folder / "display-p3.jpg"),
        lambda: transparent_png(folder / "transparent.png"),
        lambda: webp(folder / "phone.webp"),
        lambda: avif(folder / "phone.avif"),
        lambda: animated_webp(folder / "animated.webp"),
        lambda: animated_gif(folder / "animated.gif"),
    ]
    photos = [make() for make in made]
    return (*photos, *(oriented_jpeg(folder / f"orientation-{number}.jpg", number) for number in range(1, 9)))
