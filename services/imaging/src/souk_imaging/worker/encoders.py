"""A picture in memory into a file of one format. No metadata is written, whatever the picture carries."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from souk_imaging.images import Format
from souk_imaging.profiles import Encoding

Image = Any
"""pyvips.Image, which has no types."""
_WHITE = [255, 255, 255]


@dataclass(frozen=True, slots=True)
class Made:
    """One variant's file."""

    path: Path
    size_bytes: int
    sha256: str
    """In hexadecimal."""
    seconds: float
    """What encoding took."""


def save(picture: Image, output: Path, encoding: Encoding) -> Made:
    """Write `<width>.<extension>` into the folder `output`; under this name it is never seen incomplete. pyvips.Error where
    that fails."""
    start = time.perf_counter()
    path = output / f"{picture.width}.{encoding.format.value}"
    partial = path.with_suffix(".partial" + path.suffix)
    _SAVERS[encoding.format](picture, str(partial), encoding)
    with partial.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = file.tell()
    partial.rename(path)
    return Made(path, size_bytes, digest, time.perf_counter() - start)


def _jpeg(picture: Image, path: str, encoding: Encoding) -> None:
    opaque = picture.flatten(background=_WHITE) if picture.hasalpha() else picture
    # mozjpeg's optimize_scans is left out: half of the whole encode's time again, for 0.6 % of the bytes
    opaque.jpegsave(
        path,
        Q=encoding.quality,
        keep="none",
        interlace=True,
        optimize_coding=True,
        trellis_quant=True,
        overshoot_deringing=True,
        quant_table=3,
    )


def _webp(picture: Image, path: str, encoding: Encoding) -> None:
    picture.webpsave(path, Q=encoding.quality, effort=encoding.effort, keep="none")


def _avif(picture: Image, path: str, encoding: Encoding) -> None:
    picture.heifsave(
        path, Q=encoding.quality, effort=encoding.effort, keep="none", compression="av1", bitdepth=8, subsample_mode="on", tune="iq"
    )


def _png(picture: Image, path: str, encoding: Encoding) -> None:
    picture.pngsave(path, compression=encoding.effort, filter="all", keep="none")  # unfiltered, a photo is half as large again


_SAVERS = {Format.JPEG: _jpeg, Format.WEBP: _webp, Format.AVIF: _avif, Format.PNG: _png}
