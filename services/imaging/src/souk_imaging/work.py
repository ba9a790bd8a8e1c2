"""One accepted image in work on this node: what is known of it, who waits for it, and where its local files are."""

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from souk_imaging.images import Image
from souk_imaging.library import Pending
from souk_imaging.photos import Priority


class Source(Protocol):
    """A photo in a local file."""

    path: Path

    async def remove(self) -> None:
        """Delete the file; nothing happens when it is gone."""


class Workplace(Protocol):
    """Where jobs have their local files."""

    def new_source(self) -> Source:
        """A file of its own for one photo that comes out of the store."""

    def output(self) -> contextlib.AbstractAsyncContextManager[Path]:
        """An empty folder for the variants of one job; gone at the end."""


class Life(Protocol):
    """This run of the service, from its start to its end, among the runs of its node."""

    name: str
    """Like no other's, of this node or another: what it has in work carries it."""

    async def ended(self) -> set[str]:
        """The names of earlier lives of this node that are known to have ended: nothing that they had in work goes on."""

    async def forget(self, lives: set[str]) -> None:
        """Nothing is left of these, which have ended."""


class TakenOverError(Exception):
    """Another node has the image now, or has deleted it: this one leaves everything as it is."""


@dataclass(slots=True)
class Totals:
    """What this node has done since it started."""

    photos: Counter[str] = field(default_factory=Counter)
    """By result: ready, failed."""
    bytes_in: int = 0
    bytes_out: Counter[str] = field(default_factory=Counter)
    """By format."""
    encode_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


@dataclass(slots=True, eq=False)
class Work:
    """One image that this node works on."""

    image: Image
    pending: Pending
    priority: Priority
    source: Source | None
    """None: it is to be fetched from the store."""
    keep_failed: bool
    """A photo that cannot be decoded becomes FAILED; otherwise it is removed, and the waiting caller gets the error."""
    request_id: str = ""
    accepted: float = field(default_factory=time.monotonic)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced, with every change of `image`."""
    done: asyncio.Future[Image] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    task: asyncio.Task[None] | None = None

    def fail(self, error: Exception) -> None:
        """Tell whoever waits; there may be nobody, so the error counts as seen."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()

    def update(self, image: Image) -> None:
        """Make a change, and tell whoever watches."""
        self.image = image
        self.changed.set()
        self.changed = asyncio.Event()
