"""Keeps the popularity of products what their views make it: all of them in turn, a few at a time, beside everything else."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import orjson
import structlog
from souk_common.postgres import PostgresError

from souk_dbopt.catalogue import Query
from souk_dbopt.exceptions import DbError
from souk_dbopt.executing import Executor

QUERY = "product.refresh_popularity"
LIMIT = 200
"""Products at once: they are locked together, for some 40 ms where all have changed."""
REST = 4
"""A batch is followed by a pause of so many times what it took: a fifth of one connection's time at the most."""
RETRY = 5.0
"""Seconds after a failure, spread by half."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """One turn through all products."""

    products: int = 0
    changed: int = 0

    def __add__(self, other: "Refreshed") -> "Refreshed":
        return Refreshed(self.products + other.products, self.changed + other.changed)


class Popularity:
    """Refreshes it again and again. Any number of nodes may: what one has done is not changed by the next."""

    def __init__(self, executor: Executor, query: Query, *, interval: float, chance: Callable[[], float] = random.random) -> None:
        """interval: seconds from the end of one turn to the beginning of the next, spread by a fifth."""
        self._executor = executor
        self._query = query
        self._interval = interval
        self._chance = chance
        self.total = Refreshed()
        """Of all turns, and the one that is on."""

    async def run(self) -> None:
        """Until it is cancelled. The first turn begins after a part of the interval, to spread nodes that start together."""
        await asyncio.sleep(self._interval * self._chance() / 5)
        while True:
            began = time.monotonic()
            done = await self._turn()
            log.info(
                "popularity refreshed", products=done.products, changed=done.changed, seconds=round(time.monotonic() - began, 1)
            )
            await asyncio.sleep(self._interval * (0.9 + self._chance() / 5))

    async def _turn(self) -> Refreshed:
        done, after = Refreshed(), 0
        failed = False
        while True:
            began = time.monotonic()
            try:
                found = await self._executor.write_idempotent(
                    self._query, self._query.arguments({"after_id": after, "limit": LIMIT})
                )
            except (PostgresError, DbError) as error:
                if not failed:
                    log.warning("popularity is not refreshed", problem=str(error))
                failed = True
                await asyncio.sleep(RETRY * (0.5 + self._chance() / 2))
                continue
            failed = False
            (row,) = orjson.loads(found.text)
            if row["last_id"] is None:
                return done
            after = row["last_id"]
            part = Refreshed(row["products"], row["changed"])
            done += part
            self.total += part
            await asyncio.sleep(REST * (time.monotonic() - began))
