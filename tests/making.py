"""Photos through real worker processes, without the service around them."""

import contextlib
import io
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from souk_imaging.adapters import profile_file
from souk_imaging.adapters.workers import WorkerPool
from souk_imaging.images import Format
from souk_imaging.photos import Encoded, Finished, Job, Limits, PhotoProcessor, Priority, Probed
from souk_imaging.profiles import Profile

LIMITS = Limits(
    max_bytes=64 << 20, max_metadata_bytes=8 << 20, max_pixels=50_000_000, max_progressive_pixels=30_000_000, max_frames=300
)
PROFILES = profile_file.load()
_numbers = itertools.count()


@dataclass
class Outcome:
    """What became of one photo."""

    probed: Probed | None = None
    finished: Finished | None = None
    encoded: list[Encoded] = field(default_factory=list)
    files: dict[tuple[Format, int], bytes] = field(default_factory=dict)
    """Published variants, by format and width."""

    @property
    def photo(self) -> Probed:
        assert self.probed is not None
        return self.probed

    @property
    def end(self) -> Finished:
        assert self.finished is not None
        return self.finished

    def picture(self, form: Format, width: int) -> Image.Image:
        """A published variant, decoded by Pillow."""
        return Image.open(io.BytesIO(self.files[form, width]))


def job(folder: Path, photo: bytes | Path, profile: str | Profile = "product", limits: Limits = LIMITS, **options: Any) -> Job:
    """A job with files of its own under `folder`."""
    own = folder / f"job-{next(_numbers)}"
    own.mkdir()
    source = photo if isinstance(photo, Path) else own / "source"
    if isinstance(photo, bytes):
        source.write_bytes(photo)
    output = own / "output"
    output.mkdir()
    chosen = PROFILES.get(profile) if isinstance(profile, str) else profile
    return Job(own.name, source, output, chosen, limits, **options)


async def run(pool: PhotoProcessor, task: Job) -> Outcome:
    """Do a job to its end."""
    outcome = Outcome()
    async with contextlib.aclosing(pool.process(task)) as events:
        async for event in events:
            match event:
                case Probed():
                    outcome.probed = event
                case Encoded():
                    outcome.encoded.append(event)
                    if event.path is not None:
                        outcome.files[event.format, event.width] = event.path.read_bytes()
                case Finished():
                    outcome.finished = event
    return outcome


@contextlib.asynccontextmanager
async def open_pool(
    *, size: int = 1, concurrency: int = 2, timeout: float = 60.0, max_memory_bytes: int = 1536 << 20
) -> AsyncIterator[WorkerPool]:
    """A pool of its own, with defaults for tests."""
    async with WorkerPool(size=size, concurrency=concurrency, timeout=timeout, max_memory_bytes=max_memory_bytes) as pool:
        yield pool


BACKGROUND = Priority.BACKGROUND
