"""Counts of this node that go to the database every few seconds: services, environments, releases, tags."""

import asyncio
from types import TracebackType
from typing import Protocol, Self

import structlog
from souk_common.postgres import PostgresError

from souk_monitor.facets import Counts

log = structlog.get_logger(__name__)
LAST_WRITE = 5.0
"""Seconds that the last write may take, when the node stops."""
MAX_WAITING = 500_000
"""Counts that wait for a database that is away; more are let go."""


class FacetStore(Protocol):
    """Where counts are kept."""

    async def write(self, counts: Counts) -> None:
        """Add what was counted, all of it or nothing. PostgresError."""


class FacetWriter:
    """Writes what was counted. Open it as a context manager; leaving it writes the rest."""

    def __init__(self, counts: Counts, store: FacetStore, *, interval: float) -> None:
        self._counts = counts
        self._store = store
        self._interval = interval
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._problem = ""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_writing(), name="write-facets")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(LAST_WRITE):
                await self.write()
        except (PostgresError, TimeoutError) as failed:
            log.warning("the last counts of tags were not written", problem=str(failed) or type(failed).__name__)

    async def write(self) -> None:
        """Have the database have all that was counted. PostgresError: nothing is lost by that, and the next time writes it."""
        async with self._writing:
            taken = Counts()
            taken.facets, self._counts.facets = self._counts.facets, taken.facets
            taken.hours, self._counts.hours = self._counts.hours, taken.hours
            if not len(taken):
                return
            try:
                await self._store.write(taken)
            except BaseException:
                if len(self._counts) + len(taken) < MAX_WAITING:
                    self._counts.add_all(taken)
                raise

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.write()
                problem = ""
            except PostgresError as error:
                problem = str(error) or type(error).__name__
            if problem != self._problem:
                self._problem = problem
                tell = log.warning if problem else log.info
                tell("counts of tags", written=not problem, problem=problem)
