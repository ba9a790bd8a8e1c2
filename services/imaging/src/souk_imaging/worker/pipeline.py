"""One photo into its variants: probe, one decode, and encoders in parallel while smaller sizes are still being made."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import pyvips

from souk_imaging.exceptions import ImageCorruptError, ImageTruncatedError, PhotoError, TooManyBytesError
from souk_imaging.images import Format
from souk_imaging.photos import Encoded, Finished, Job, Probed
from souk_imaging.profiles import Encoding
from souk_imaging.worker import encoders, memory, picture, wire
from souk_imaging.worker.encoders import Made
from souk_imaging.worker.picture import Picture
from souk_imaging.worker.siblings import Siblings

ENCODERS = os.cpu_count() or 1
"""Encoders at work at once."""
_LOADERS = ("VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadWebp", "VipsForeignLoadHeif", "VipsForeignLoadNsgif")
_MOVING = {Format.WEBP}
"""Formats that are written as animations; the others show the first frame."""
_TRUNCATED = ("premature end of jpeg image", "unexpected end of file")
"""What the loaders of JPEG and AVIF say; wholeness looks after the other formats."""

Emit = Callable[[wire.Message], None]
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Original:
    size: Size
    size_bytes: int


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
    except PhotoError as error:
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
    header = picture.probe(job.source, job.limits)
    probed = time.perf_counter()

    sizes = job.profile.sizes(header.width, header.height)
    photo = Picture.decode(job.source, header, sizes[0])
    decoded = time.perf_counter()

    encodings = job.profile.encodings(has_alpha=photo.has_alpha, frames=header.frames)
    planned = tuple((each.format, *size) for size in sizes for each in encodings)
    shape = (header.width, header.height, header.frames, photo.has_alpha)
    emit(wire.probed(Probed(header.content_type, *shape, size_bytes, sha256, planned)))
    for encoded in _variants(job, photo, encodings, sizes, _Original((header.width, header.height), size_bytes)):
        emit(wire.encoded(encoded))
    emit(
        wire.finished(
            Finished(
                queue_seconds=0.0,
                probe_seconds=probed - start,
                decode_seconds=decoded - probed,
                worker_seconds=time.perf_counter() - start,
                decodes=photo.decodes,
                peak_memory_bytes=memory.peak_bytes(),
            )
        )
    )


def _digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _variants(
    job: Job, photo: Picture, encodings: tuple[Encoding, ...], sizes: tuple[Size, ...], original: _Original
) -> Iterator[Encoded]:
    """Every variant, as soon as it is known whether it is worth its place.

    Sizes go from the largest down and formats from the newest on, so the dearest encodes begin first and none is left alone at the
    end; the first are at work while smaller sizes are still being made.
    """
    moving = tuple(each for each in encodings if photo.moves and each.format in _MOVING)
    still = tuple(each for each in encodings if each not in moving)
    first_frame = photo.still() if photo.moves else photo
    waiting: dict[Future[Made], tuple[Siblings, Format]] = {}
    with ThreadPoolExecutor(ENCODERS) as pool:
        try:
            for size in sizes:
                for source, family in ((photo, moving), (first_frame, still)):
                    if not family:
                        continue
                    # a poster says nothing of an animation's size, so neither is measured against the other's bytes
                    own = original.size_bytes if size == original.size and not photo.moves else None
                    siblings = Siblings(size, tuple(each.format for each in family), original_bytes=own)
                    pixels = source.size(*size)
                    for encoding in family:
                        waiting[pool.submit(encoders.save, pixels, job.output, encoding)] = (siblings, encoding.format)
            for future in as_completed(waiting):
                siblings, form = waiting[future]
                yield from siblings.add(form, future.result())
        finally:
            pool.shutdown(cancel_futures=True)


def _told(error: pyvips.Error) -> PhotoError:
    """What a caller is told of an error of libvips, whose own text is nobody's business."""
    text = str(error).lower()
    if any(sign in text for sign in _TRUNCATED):
        return ImageTruncatedError("the photo ends before its pixels do")
    return ImageCorruptError("the photo cannot be decoded")
