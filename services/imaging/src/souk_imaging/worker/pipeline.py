"""One photo into its variants: one decode, upright, sRGB, every size from the nearest larger one, encoders in parallel."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyvips

from souk_imaging import sniff
from souk_imaging.exceptions import (
    ImageCorruptError,
    ImageTruncatedError,
    ImagingError,
    TooManyBytesError,
)
from souk_imaging.images import Format
from souk_imaging.photos import Encoded, Finished, Job, Probed
from souk_imaging.profiles import Encoding
from souk_imaging.worker import memory, wire

ENCODERS = os.cpu_count() or 1
"""Encoders at work at once."""
ENLARGED_SOURCE = 2.0
"""A size is made from the smallest picture there is that is at least this much wider."""
_LOADERS = ("VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadWebp", "VipsForeignLoadHeif", "VipsForeignLoadNsgif")
_TRUNCATED = (
    "premature end",
    "truncated",
    "unexpected end",
    "end of file",
    "read error",
    "not enough",
    "too short",
    "insufficient data",
    "eof",
)
_COST = {Format.AVIF: 8, Format.WEBP: 3, Format.PNG: 2, Format.JPEG: 1}
_HEADER_BYTES = 4 * 1024 * 1024

Emit = Callable[[wire.Message], None]
Image = Any
"""pyvips.Image, which has no types."""


@dataclass(frozen=True, slots=True)
class _Task:
    encoding: Encoding
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Made:
    path: Path
    size_bytes: int
    sha256: str
    seconds: float


def set_up() -> None:
    """Let libvips load the formats that are taken and no others, and keep nothing between photos."""
    pyvips.cache_set_max(0)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for loader in _LOADERS:
        pyvips.operation_block_set(loader, False)


def run(job: Job, emit: Emit) -> None:
    """Do one job and emit its events; what is wrong with the photo is an event too, and never in libvips' words."""
    memory.reset_peak()
    try:
        _run(job, emit)
    except ImagingError as error:
        emit(wire.failed(error))
    except pyvips.Error as error:
        emit(wire.failed(_told(error)))
    finally:
        memory.trim()


def _run(job: Job, emit: Emit) -> None:
    start = time.perf_counter()
    size_bytes, sha256 = _digest(job.source)
    if size_bytes > job.limits.max_bytes:
        raise TooManyBytesError(f"a photo may have at most {job.limits.max_bytes:,} bytes", limit_bytes=job.limits.max_bytes)
    header = _probe(job)
    encodings = job.profile.encodings(has_alpha=header.has_alpha, frames=header.frames)
    sizes = job.profile.sizes(header.width, header.height)
    tasks = [_Task(encoding, width, height) for width, height in sizes for encoding in encodings]
    planned = tuple((task.encoding.format, task.width, task.height) for task in tasks)
    emit(
        wire.probed(
            Probed(header.content_type, header.width, header.height, header.frames, header.has_alpha, size_bytes, sha256, planned)
        )
    )
    probed = time.perf_counter()

    picture = _Picture(job.source, header, sizes)
    decoded = time.perf_counter()
    original_bytes = size_bytes if sizes[0] == (header.width, header.height) else None
    for encoded in _publish(_encode(job, picture, tasks), encodings, sizes, original_bytes):
        emit(wire.encoded(encoded))
    emit(
        wire.finished(
            Finished(
                queue_seconds=0.0,
                probe_seconds=probed - start,
                decode_seconds=decoded - probed,
                worker_seconds=time.perf_counter() - start,
                decodes=picture.decodes,
                peak_memory_bytes=memory.peak_bytes(),
            )
        )
    )


def _digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _probe(job: Job) -> sniff.Header:
    """What libvips reads in the header, checked against the limits before anything is decoded."""
    with job.source.open("rb") as file:
        said = sniff.read_header(file.read(_HEADER_BYTES), complete=True)
    if said is None:
        raise ImageTruncatedError("the photo ends before its header does")
    sniff.check(said, job.limits)
    opened = _open(job.source, said)
    width, height = opened.width, opened.get_page_height()
    if opened.get_typeof("orientation") and opened.get("orientation") >= 5:
        width, height = height, width
    frames = opened.get("n-pages") if opened.get_typeof("n-pages") and said.content_type in ("image/gif", "image/webp") else 1
    alpha = bool(opened.hasalpha())
    if said.content_type == "image/gif" and frames == 1:
        alpha = alpha and _is_transparent(job.source)
    header = sniff.Header(said.content_type, width, height, alpha, said.progressive, frames)
    sniff.check(header, job.limits)
    return header


def _is_transparent(path: Path) -> bool:
    """libvips gives every GIF an alpha band; one still frame is small enough to look."""
    return bool(pyvips.Image.new_from_file(str(path))[3].min() < 255)


def _open(path: Path, header: sniff.Header, **options: Any) -> Image:
    if header.content_type in ("image/gif", "image/webp") and header.frames > 1:
        options["n"] = -1
    fail_on = "error" if header.content_type == "image/jpeg" else "truncated"
    return pyvips.Image.new_from_file(str(path), access="sequential", fail_on=fail_on, **options)


class _Picture:
    """The decoded photo, and the sizes made of it so far."""

    def __init__(self, path: Path, header: sniff.Header, sizes: tuple[tuple[int, int], ...]) -> None:
        self._header = header
        self.decodes = 0
        self._whole = self._decode(path, sizes[0])
        self._sizes: list[Image] = []

    def _decode(self, path: Path, largest: tuple[int, int]) -> Image:
        options = {}
        if self._header.content_type == "image/jpeg":
            room = min(self._header.width / largest[0], self._header.height / largest[1]) / ENLARGED_SOURCE
            options["shrink"] = next(shrink for shrink in (8, 4, 2, 1) if shrink <= room or shrink == 1)
        picture = _open(path, self._header, **options)
        if self._header.frames == 1:
            picture = picture.copy_memory()
            self.decodes += 1
            return picture.autorot()
        self.decodes += 1
        return picture.copy_memory()

    def first_frame(self) -> "_Picture":
        """The same photo without movement."""
        still = object.__new__(_Picture)
        still._header = sniff.Header(self._header.content_type, self._header.width, self._header.height, self._header.has_alpha)
        still.decodes = 0
        still._whole = self._whole.crop(0, 0, self._whole.width, self._whole.get_page_height())
        still._sizes = []
        return still

    def size(self, width: int, height: int) -> Image:
        """The photo in this size, cropped to its shape, in memory and in sRGB. Sizes are asked for from the largest down."""
        if self._header.frames > 1:
            return self._animation(width, height)
        made = next((p for p in reversed(self._sizes) if p.width >= ENLARGED_SOURCE * width), None)
        picture = _srgb(_resized(self._whole, width, height)) if made is None else _resized(made, width, height)
        picture = picture.copy_memory()
        self._sizes.append(picture)
        return picture

    def _animation(self, width: int, height: int) -> Image:
        high = self._whole.get_page_height()
        frames = [self._whole.crop(0, index * high, self._whole.width, high) for index in range(self._header.frames)]
        joined = pyvips.Image.arrayjoin([_srgb(_resized(frame, width, height)) for frame in frames], across=1).copy_memory()
        joined = joined.copy()
        joined.set_type(pyvips.GValue.gint_type, "page-height", height)
        for name in ("delay", "loop"):
            if self._whole.get_typeof(name):
                joined.set_type(self._whole.get_typeof(name), name, self._whole.get(name))
        return joined


def _resized(picture: Image, width: int, height: int) -> Image:
    """Scaled to cover width x height, and cropped around what draws the eye where the shape differs."""
    scale = max(width / picture.width, height / picture.height)
    alpha = picture.hasalpha()
    if scale != 1:
        form = picture.format
        source = picture.premultiply() if alpha else picture
        down = (
            source.resize(width / picture.width, vscale=height / picture.height)
            if _same_shape(picture, width, height)
            else source.resize(scale)
        )
        picture = down.unpremultiply().cast(form) if alpha else down
    if (picture.width, picture.height) == (width, height):
        return picture
    return picture.smartcrop(min(width, picture.width), min(height, picture.height), interesting="attention")


def _same_shape(picture: Image, width: int, height: int) -> bool:
    """Whether the shapes differ by no more than rounding to whole pixels."""
    return bool(abs(picture.height * width / picture.width - height) <= 1)


def _srgb(picture: Image) -> Image:
    """8 bit sRGB, by the photo's own profile where it has one."""
    if picture.interpretation == "cmyk":
        profile = {} if picture.get_typeof("icc-profile-data") else {"input_profile": "cmyk"}
        picture = picture.icc_transform("srgb", embedded=not profile, intent="relative", black_point_compensation=True, **profile)
    elif picture.get_typeof("icc-profile-data") and not _is_srgb(picture.get("icc-profile-data")):
        picture = picture.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True, depth=8)
    return picture.colourspace("srgb").cast("uchar")


def _is_srgb(profile: bytes) -> bool:
    """Whether a profile's description says that it is the one that everything is brought to."""
    return b"sRGB IEC61966-2.1" in profile or b"s\0R\0G\0B\0 \0I\0E\0C\0" in profile


def _encode(job: Job, picture: _Picture, tasks: list[_Task]) -> Iterator[tuple[_Task, _Made]]:
    """(task, what was made) as each is done; the dearest begin first."""
    sources: dict[tuple[int, int, bool], Image] = {}
    moving = picture._header.frames > 1
    still = picture.first_frame() if moving else picture
    for task in tasks:
        animated = moving and task.encoding.format is Format.WEBP
        key = (task.width, task.height, animated)
        if key not in sources:
            sources[key] = (picture if animated else still).size(task.width, task.height)
    dearest = sorted(tasks, key=lambda t: -_COST[t.encoding.format] * t.width * t.height)
    with ThreadPoolExecutor(ENCODERS) as pool:
        waiting: dict[Future[_Made], _Task] = {}
        for task in dearest:
            source = sources[task.width, task.height, moving and task.encoding.format is Format.WEBP]
            waiting[pool.submit(_save, job.output, source, task)] = task
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield waiting.pop(future), future.result()


def _save(output: Path, picture: Image, task: _Task) -> _Made:
    start = time.perf_counter()
    path = output / f"{task.width}.{task.encoding.format.value}"
    partial = path.with_suffix(".partial")
    quality, effort = task.encoding.quality, task.encoding.effort
    match task.encoding.format:
        case Format.JPEG:
            opaque = picture.flatten(background=[255, 255, 255]) if picture.hasalpha() else picture
            opaque.jpegsave(
                str(partial),
                Q=quality,
                keep="none",
                interlace=True,
                optimize_coding=True,
                trellis_quant=True,
                overshoot_deringing=True,
                optimize_scans=True,
                quant_table=3,
            )
        case Format.WEBP:
            picture.webpsave(str(partial), Q=quality, effort=effort, keep="none")
        case Format.AVIF:
            picture.heifsave(str(partial), Q=quality, effort=effort, keep="none", compression="av1", bitdepth=8, tune="iq")
        case Format.PNG:
            picture.pngsave(str(partial), compression=effort, keep="none")
    with partial.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = file.tell()
    partial.rename(path)
    return _Made(path, size_bytes, digest, time.perf_counter() - start)


def _publish(
    made: Iterator[tuple[_Task, _Made]],
    encodings: tuple[Encoding, ...],
    sizes: tuple[tuple[int, int], ...],
    original_bytes: int | None,
) -> Iterator[Encoded]:
    """Encoded events, each as soon as it is known whether the variant is worth its place.

    A newer format is skipped where it is no smaller than the next older one of its size, or, in the photo's own size, than the
    photo.
    """
    order = [encoding.format for encoding in encodings]
    by_size: dict[int, dict[Format, _Made]] = {width: {} for width, _ in sizes}
    told: set[tuple[int, Format]] = set()
    for task, result in made:
        width = task.width
        by_size[width][task.encoding.format] = result
        for index, form in enumerate(order):
            mine = by_size[width].get(form)
            older = order[index + 1] if index + 1 < len(order) else None
            if mine is None or (width, form) in told or (older and older not in by_size[width]):
                continue
            told.add((width, form))
            limit = by_size[width][older].size_bytes if older else None
            if older and original_bytes is not None and width == sizes[0][0]:
                limit = min(limit or original_bytes, original_bytes)
            skipped = limit is not None and mine.size_bytes >= limit
            yield Encoded(form, width, task.height, None if skipped else mine.path, mine.size_bytes, mine.sha256, mine.seconds)


def _told(error: pyvips.Error) -> ImagingError:
    """What a caller is told of an error of libvips, whose own text may be of another photo and is nobody's business."""
    text = str(error).lower()
    if any(sign in text for sign in _TRUNCATED):
        return ImageTruncatedError("the photo ends before its pixels do")
    return ImageCorruptError("the photo cannot be decoded")
