"""What a worker process is asked to do with a photo, and what it says back. Nothing here knows libvips."""

import enum
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from souk_imaging.images import Format
from souk_imaging.profiles import Profile


@dataclass(frozen=True, slots=True)
class Limits:
    """What a photo may have at the most."""

    max_bytes: int
    max_metadata_bytes: int
    """Before the header that tells the size."""
    max_pixels: int
    """Over all frames."""
    max_progressive_pixels: int
    """Of a progressive JPEG, whose decoder holds all coefficients at once."""
    max_frames: int


class Priority(enum.IntEnum):
    """Which photo gets a free worker first."""

    INTERACTIVE = 0
    """A caller waits for it."""
    BACKGROUND = 1


@dataclass(frozen=True, slots=True)
class Job:
    """One photo to make variants of."""

    image_id: str
    source: Path
    """The photo, in a file that stays while the job runs."""
    output: Path
    """An empty folder of this job's own, for the variants' files. The caller removes it."""
    profile: Profile
    limits: Limits
    priority: Priority = Priority.INTERACTIVE


@dataclass(frozen=True, slots=True)
class Probed:
    """The first event: what the photo is, and which variants will be made."""

    content_type: str
    width: int
    """Upright, in pixels."""
    height: int
    frames: int
    has_alpha: bool
    size_bytes: int
    sha256: str
    """In hexadecimal."""
    planned: tuple[tuple[Format, int, int], ...]
    """(format, width, height) of every variant to come."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One variant is made."""

    format: Format
    width: int
    height: int
    path: Path | None
    """Its file, complete; None where it is skipped (not smaller than its older sibling, or than the original)."""
    size_bytes: int
    sha256: str
    encode_seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event."""

    queue_seconds: float
    """Waiting for a free worker."""
    probe_seconds: float
    decode_seconds: float
    worker_seconds: float
    decodes: int
    peak_memory_bytes: int


Event = Probed | Encoded | Finished


class PhotoProcessor(Protocol):
    """Makes variants in worker processes."""

    def process(self, job: Job) -> AsyncGenerator[Event, None]:
        """Yield Probed, then one Encoded for each planned variant as it is done, then Finished.

        Waits for a free worker first. Raises PhotoError for what is wrong with the photo, WorkerError for what befell the worker
        (which is replaced).
        Closing the iterator, or cancelling, stops the work: the worker is killed and replaced.
        """
