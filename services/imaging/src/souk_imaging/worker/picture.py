"""One photo, decoded once: upright, its sizes each made from the nearest larger one, in 8 bit sRGB."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyvips

from souk_imaging import sniff
from souk_imaging.exceptions import ImageTruncatedError
from souk_imaging.photos import Limits
from souk_imaging.worker.wholeness import is_truncated

ENLARGED_SOURCE = 2.0
"""A size is made from the smallest picture there is that is at least this much wider."""
_PIECE_BYTES = 64 * 1024
_ANIMATED_TYPES = ("image/gif", "image/webp")

Image = Any
"""pyvips.Image, which has no types."""


def probe(path: Path, limits: Limits) -> sniff.Header:
    """What the header tells, by our reading and by libvips', both within the limits; has_alpha is still a promise.

    Raises PhotoError, or pyvips.Error where the header is damaged. Decodes nothing.
    """
    header = _read_header(path, limits)
    sniff.check(header, limits)
    if is_truncated(path, header.content_type):
        raise ImageTruncatedError("the photo ends before its pixels do")
    opened = _open(path, replace(header, frames=1))
    frames = _get(opened, "n-pages", 1) if header.content_type in _ANIMATED_TYPES else 1
    width, height = opened.width, opened.get_page_height()
    if frames == 1 and _get(opened, "orientation", 1) >= 5:
        width, height = height, width
    header = replace(header, width=width, height=height, frames=frames, has_alpha=bool(opened.hasalpha()))
    sniff.check(header, limits)
    return header


def _read_header(path: Path, limits: Limits) -> sniff.Header:
    reader = sniff.HeaderReader(limits.max_metadata_bytes)
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            if header := reader.feed(piece):
                return header
    return reader.end()


def _open(path: Path, header: sniff.Header, **options: Any) -> Image:
    if header.frames > 1:
        options["n"] = -1
    # "warning" would refuse photos that whole families of cameras make
    fail_on = "error" if header.content_type == "image/jpeg" else "truncated"
    return pyvips.Image.new_from_file(str(path), access="sequential", fail_on=fail_on, **options)


def _get(picture: Image, name: str, default: int) -> int:
    return int(picture.get(name)) if picture.get_typeof(name) else default


class Picture:
    """The pixels of a photo, and the sizes made of it so far."""

    def __init__(self, whole: Image, frames: int) -> None:
        self._whole = whole
        """All frames, one below the other."""
        self._frames = frames
        self._sizes: list[Image] = []
        self.decodes = 0
        """How often a file was decoded for it."""

    @classmethod
    def decode(cls, path: Path, header: sniff.Header, largest: tuple[int, int]) -> "Picture":
        """The whole photo, or less of it where a JPEG can be decoded smaller and still be twice as large as `largest`; cropped to
        the shape of `largest`. pyvips.Error where the photo is damaged."""
        options = {}
        if header.content_type == "image/jpeg":
            room = min(header.width / largest[0], header.height / largest[1]) / ENLARGED_SOURCE
            options["shrink"] = next((shrink for shrink in (8, 4, 2) if shrink <= room), 1)
        whole = _open(path, header, **options).copy_memory()
        if header.frames == 1 and _get(whole, "orientation", 1) != 1:
            whole = whole.autorot().copy_memory()
        if whole.hasalpha() and _is_opaque(whole):
            whole = whole.extract_band(0, n=whole.bands - 1)
        picture = cls(whole, header.frames)
        picture.decodes = 1
        picture._crop(*largest)
        return picture

    @property
    def has_alpha(self) -> bool:
        """A pixel is not opaque."""
        return bool(self._whole.hasalpha())

    @property
    def moves(self) -> bool:
        """It is an animation."""
        return self._frames > 1

    def still(self) -> "Picture":
        """The first frame."""
        return Picture(self._frame(0), 1)

    def size(self, width: int, height: int) -> Image:
        """The photo in this size, in memory and in sRGB. Ask for sizes from the largest down."""
        if self.moves:
            return self._animation(width, height)
        source = next((each for each in reversed(self._sizes) if each.width >= ENLARGED_SOURCE * width), None)
        resized = _srgb(_resized(self._whole, width, height)) if source is None else _resized(source, width, height)
        self._sizes.append(resized.copy_memory())
        return self._sizes[-1]

    def _frame(self, index: int) -> Image:
        high = self._whole.height // self._frames
        return self._whole.crop(0, index * high, self._whole.width, high) if self.moves else self._whole

    def _crop(self, width: int, height: int) -> None:
        """Cut to the shape of width x height around what draws the eye, every frame alike."""
        first = self._frame(0)
        wide, high = min(first.width, round(first.height * width / height)), min(first.height, round(first.width * height / width))
        if first.width - wide <= 1 and first.height - high <= 1:
            return
        chosen = first.smartcrop(wide, high, interesting="attention")
        left, top = -chosen.xoffset, -chosen.yoffset
        frames = [self._frame(index).crop(left, top, wide, high) for index in range(self._frames)]
        whole = pyvips.Image.arrayjoin(frames, across=1).copy_memory() if self.moves else frames[0].copy_memory()
        self._whole = whole

    def _animation(self, width: int, height: int) -> Image:
        frames = [_srgb(_resized(self._frame(index), width, height)) for index in range(self._frames)]
        joined = pyvips.Image.arrayjoin(frames, across=1).copy_memory().copy()
        joined.set_type(pyvips.GValue.gint_type, "page-height", height)
        for name in ("delay", "loop"):
            if self._whole.get_typeof(name):
                joined.set_type(self._whole.get_typeof(name), name, self._whole.get(name))
        return joined


def _is_opaque(picture: Image) -> bool:
    """Whether an alpha band hides nothing: every GIF has one, and most PNGs that an editor wrote."""
    most = 65535 if picture.format == "ushort" else 255
    return bool(picture[picture.bands - 1].min() >= most)


def _resized(picture: Image, width: int, height: int) -> Image:
    if (picture.width, picture.height) == (width, height):
        return picture
    across, down = width / picture.width, height / picture.height
    if not picture.hasalpha():
        return picture.resize(across, vscale=down)
    # transparent pixels have a colour too, which must not run into their neighbours
    return picture.premultiply().resize(across, vscale=down).unpremultiply().cast(picture.format)


def _srgb(picture: Image) -> Image:
    """8 bit sRGB, by the photo's own profile where it has one that fits its pixels."""
    cmyk = picture.interpretation == "cmyk"
    own = picture.get("icc-profile-data") if picture.get_typeof("icc-profile-data") else b""
    if cmyk or (own and not _is_srgb(own)):
        picture = picture.icc_transform(
            "srgb",
            embedded=True,
            input_profile="cmyk" if cmyk else "srgb",  # where its own is missing or broken
            intent="relative",
            black_point_compensation=True,
            depth=8,
        )
    return picture.colourspace("srgb").cast("uchar")


def _is_srgb(profile: bytes) -> bool:
    """Whether a profile's description says that it is the one that everything is brought to."""
    return b"sRGB IEC61966-2.1" in profile or "sRGB IEC61966-2.1".encode("utf-16-be") in profile
