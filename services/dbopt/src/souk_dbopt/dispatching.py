"""Tells the cache what writes have touched, whoever made them, until it says that every node knows."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from souk.client import CacheClient, SoukError
from souk_common.postgres import Pool, PostgresError

from souk_dbopt.exceptions import DbError, OutboxStuckError
from souk_dbopt.routing import Router

POOL = "outbox"
"""The connections that it has to itself, so that writers never wait for it, nor it for them."""
BATCH = 500
"""Rows that are told at once."""
MAX_NAMES = 1000
"""Tags in one call."""
MAX_TAG_BYTES = 256
TIMEOUT = 5.0
"""Seconds for one call, which waits for nodes that are gone until their read leases are over."""
BACKOFF, LONGEST_BACKOFF = 0.1, 2.0
"""Seconds after the first failure, and after many."""
COUNTED = 10_000
"""Rows of a backlog that are counted at the most."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Touched:
    """What some writes have touched."""

    rows: int
    tags: Sequence[str]
    """Each once."""
    lsn: int
    """Whoever has seen this has seen the writes."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the outbox."""

    rows: int
    """COUNTED at the most."""
    seconds: float
    """The age of the oldest row; 0 where there is none."""


class Outbox(Protocol):
    """Where writes leave what they have touched, in the transactions that write."""

    def taken(self, pool: Pool, rows: int) -> AbstractAsyncContextManager[Touched | None]:
        """The oldest rows, which go at the end of the body, and stay where it fails. None: there are none, or others have them."""

    async def backlog(self, pool: Pool) -> Backlog:
        """How much waits, and for how long."""


@dataclass(eq=False, slots=True)
class Dispatcher:
    """Reads the outbox of the primary, a batch after the other. Any number of nodes may have one.

    Rows are told at least once and in any order: what a tag says does not depend on what others say.
    """

    router: Router
    outbox: Outbox
    client: CacheClient
    poll: float
    """Seconds between two looks, where nobody says that there is something."""
    max_age: float
    """Seconds that a row may wait before `check` fails."""
    chance: Callable[[], float] = random.random
    backlog: Backlog = Backlog(0, 0.0)
    """As of the last check."""
    told: int = 0
    """Rows that the cache has been told of."""
    failures: int = 0
    """Attempts that failed."""
    _due: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """A write is committed: tell at once."""
        self._due.set()

    async def check(self) -> None:
        """Return where everything is told soon; OutboxStuckError where something has waited for too long."""
        self.backlog = await self.outbox.backlog(self.router.primary().pools[POOL])
        if self.backlog.seconds > self.max_age:
            raise OutboxStuckError(self.backlog.seconds)

    async def run(self) -> None:
        """Until it is cancelled."""
        failed = 0
        while True:
            self._due.clear()
            try:
                rows = await self._tell_some()
            except (SoukError, PostgresError, DbError) as error:
                self.failures += 1
                failed += 1
                if failed == 1:
                    log.warning("the cache is not told what was written", problem=str(error))
                await asyncio.sleep(min(LONGEST_BACKOFF, BACKOFF * 2 ** min(failed - 1, 10)) * (0.5 + self.chance() / 2))
                continue
            if failed:
                log.info("the cache is told again what was written", after_failures=failed)
                failed = 0
            if rows < BATCH:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.poll):
                        await self._due.wait()

    async def _tell_some(self) -> int:
        async with self.outbox.taken(self.router.primary().pools[POOL], BATCH) as touched:
            if touched is None:
                return 0
            await self._tell(touched)
        self.told += touched.rows
        return touched.rows

    async def _tell(self, touched: Touched) -> None:
        """Tags alone, for then every namespace keeps the place that its loads must have seen."""
        tags = [tag for tag in touched.tags if _is_name(tag)]
        for start in range(0, len(tags), MAX_NAMES):
            await self.client.invalidate(tags=tags[start : start + MAX_NAMES], source_token=touched.lsn, timeout=TIMEOUT)


def _is_name(tag: str) -> bool:
    """Whether the cache takes it. What it does not take, no value has."""
    return 0 < len(tag.encode()) <= MAX_TAG_BYTES and not any(letter < " " or letter == "\x7f" for letter in tag)
