"""Issues as they change, for those who watch: one look at the database every so often, whoever made the changes and on which node.

A position is the oldest transaction that was still going on when somebody looked (pg_snapshot_xmin): whatever was committed after
that look has the number of this transaction or a later one, so that who goes on from a position misses nothing. What he has seen
already may come again.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import structlog
from souk_common.postgres import PostgresError

from souk_monitor.exceptions import WatchFullError
from souk_monitor.lifecycle import Change

log = structlog.get_logger(__name__)
Changes = AsyncGenerator[tuple[dict[int, Change], int], None]
"""What has changed, by issues, with the position after it."""
SIGN_OF_LIFE = 15.0
"""Seconds after which one who watches hears something, even where nothing has changed."""


@dataclass(frozen=True, slots=True)
class Changed:
    """An issue that has changed."""

    issue: int
    project: int
    severity: int
    changed: int
    """By which transaction at last."""
    told: int
    """And by which for more than an event."""
    change: Change
    """What it was then."""


class Places:
    """How many may watch at once, of those who come by one way."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    @property
    def full(self) -> bool:
        """Whether none is left."""
        return self._taken >= self._most

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Have one while the body runs. WatchFullError."""
        if self.full:
            raise WatchFullError(self._most)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class ChangeReads(Protocol):
    """Where changes are read."""

    async def position(self) -> int:
        """Of now."""

    async def since(self, position: int) -> tuple[int, list[Changed]]:
        """The position of now, and the issues that have changed since another."""


@dataclass(eq=False, slots=True)
class Watcher:
    """One who watches, and what he has not been told yet: the newest of each issue."""

    wants: Callable[[Changed], bool]
    position: int
    """He has been told all until here."""
    pending: dict[int, Change] = field(default_factory=dict)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, changed: Changed, change: Change) -> None:
        """Hear of a change."""
        if self.wants(changed):
            if change is not Change.EVENTS or changed.issue not in self.pending:
                self.pending[changed.issue] = change
            self.came.set()


class Watch:
    """Looks for changes while somebody watches. Open it as a context manager."""

    def __init__(self, reads: ChangeReads, *, interval: float) -> None:
        """interval: seconds between two looks."""
        self._reads = reads
        self._interval = interval
        self._watchers: set[Watcher] = set()
        self._wanted = asyncio.Event()
        self._position: int | None = None
        self._seen: dict[int, tuple[int, int]] = {}
        """What was told of issues that may be read again: (changed, told)."""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look(), name="watch-issues")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def changes(
        self, wants: Callable[[Changed], bool], position: int | None
    ) -> AsyncGenerator[tuple[dict[int, Change], int], None]:
        """What has changed since a position, then what changes: by issues, with the position after it; nothing as a sign of life.

        position None: from now on; the first that comes is then the position, with nothing.
        """
        with self._joined(wants) as watcher:
            watcher.position = await self._catch_up(watcher, position)
            if position is None:
                yield {}, watcher.position
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SIGN_OF_LIFE):
                        await watcher.came.wait()
                watcher.came.clear()
                pending, watcher.pending = watcher.pending, {}
                yield pending, watcher.position

    @contextlib.contextmanager
    def _joined(self, wants: Callable[[Changed], bool]) -> Iterator[Watcher]:
        watcher = Watcher(wants, 0)
        self._watchers.add(watcher)
        self._wanted.set()
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    async def _catch_up(self, watcher: Watcher, position: int | None) -> int:
        if self._position is None:  # before this look, so that nothing falls between it and those of `_look`
            self._position = await self._reads.position()
        if position is None:
            return await self._reads.position()
        reached, found = await self._reads.since(position)
        for changed in found:
            watcher.take(changed, changed.change if changed.told >= position else Change.EVENTS)
        return reached

    async def _look(self) -> None:
        while True:
            if not self._watchers:
                self._wanted.clear()
                self._position = None
                self._seen.clear()
                await self._wanted.wait()
            try:
                await self._look_once()
            except PostgresError as error:
                log.warning("changes of issues were not read", problem=str(error))
            await asyncio.sleep(self._interval)

    async def _look_once(self) -> None:
        if self._position is None:  # who came first is about to ask for it
            return
        watchers = list(self._watchers)
        reached, found = await self._reads.since(self._position)
        for changed in found:
            before = self._seen.get(changed.issue, (0, 0))
            if before == (changed.changed, changed.told):
                continue
            notable = changed.told >= self._position and changed.told != before[1]
            for watcher in watchers:
                watcher.take(changed, changed.change if notable else Change.EVENTS)
        self._position = reached
        self._seen = {each.issue: (each.changed, each.told) for each in found if each.changed >= reached}
        for watcher in watchers:
            watcher.position = max(watcher.position, reached)
