"""A seeding from its beginning, or from where the last run was ended, to its end."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from souk_dbopt.seeding import database
from souk_dbopt.seeding.database import Begun, Connection
from souk_dbopt.seeding.parts import TABLES, Part, stages
from souk_dbopt.seeding.plan import BATCH, Plan

CONNECTIONS = 3
"""More than three were no faster on two cores."""


@dataclass(slots=True)
class TableProgress:
    """How far a table is."""

    table: str
    batches: int
    """In all."""
    done: int = 0
    """Batches that are there, also of earlier runs."""
    rows: int = 0
    """Rows that are there, also of earlier runs."""
    new_rows: int = 0
    """Rows of this run."""


Connect = Callable[[], Awaitable[Connection]]
Report = Callable[[TableProgress], None]
STATISTICS = "statistics"
"""In the place of a table: what the planner is told in the end, of all tables."""


@dataclass(frozen=True, slots=True)
class Seeded:
    """What a seeding came to."""

    plan: Plan
    was_complete: bool
    """There was nothing left to do, and nothing was done."""
    rows: dict[str, int]
    """By table, in their order, as they were made."""
    new_rows: int
    """Made by this run."""
    database_bytes: int


async def seed(
    connection: Connection,
    connect: Connect,
    products: int,
    seed: int,
    *,
    end: date | None = None,
    connections: int = CONNECTIONS,
    batch: int = BATCH,
    report: Report = lambda _progress: None,
) -> Seeded:
    """Fill the tables of the schema `shop` with a marketplace of so many products, or go on with that.

    Batches commit one by one, each with the note that it is there: whoever is killed is followed by a run that goes on. Two runs at
    once share the work. Memory: under 100 MB with the interpreter, whatever the size.

    Args:
        connection: of the owner of the tables. Its settings are changed.
        connect: opens another such connection.
        products: from 10 to 10,000,000; the other tables follow, see Plan.
        seed: the same seed, size and end make the same rows.
        end: the day that the data ends before, in UTC. None: that of the run that began, or today.
        connections: how many are opened, and write at once.
        batch: rows of a part in one commit; a run that goes on keeps that of the first.
        report: is told of each table when its part begins and after each batch, and of STATISTICS.

    Raises:
        SeedingError: see souk_dbopt.seeding.exceptions.
        ValueError: a number is out of its range.
    """
    chosen = end or datetime.now(UTC).date()
    try:
        await database.settle(connection)
        begun = await database.begin(connection, products, seed, chosen, fixed_end=end is not None, batch=batch)
        run = _Run(connect, begun, report)
        if not begun.finished:
            await run.fill(connections)
            await run.end(connection)
        size: int = await connection.fetchval("SELECT pg_database_size(current_database())")
    except database.DRIVER_ERRORS as error:
        raise database.told(error) from error
    rows = {table: run.tables[table].rows for table in TABLES}
    return Seeded(begun.plan, begun.finished, rows, sum(each.new_rows for each in run.tables.values()), size)


@dataclass(slots=True)
class _Run:
    connect: Connect
    begun: Begun
    report: Report
    tables: dict[str, TableProgress] = field(init=False)
    _stages: tuple[tuple[Part, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        self._stages = stages(self.begun.plan)
        batches = {table: part.batches for stage in self._stages for part in stage for table in part.tables}
        self.tables = {
            table: TableProgress(
                table, batches.get(table, 1), len(self.begun.batches.get(table, ())), self.begun.rows.get(table, 0)
            )
            for table in TABLES
        }

    async def fill(self, connections: int) -> None:
        """Stage after stage, by so many connections."""
        for stage in self._stages:
            for part in stage:
                for table in part.tables:
                    self.report(self.tables[table])
            left = self._left(stage)
            try:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(connections):
                        tasks.create_task(self._work(left))
            except ExceptionGroup as group:
                raise _first(group) from group

    def _left(self, stage: tuple[Part, ...]) -> Iterator[tuple[Part, int]]:
        """The batches that are not there, the parts in turn, so that those who write at once seldom write the same table."""
        by_part = [
            [(part, batch) for batch in range(part.batches) if batch not in self.begun.batches.get(part.tables[0], ())]
            for part in stage
        ]
        return (each for turn in itertools.zip_longest(*by_part) for each in turn if each is not None)

    async def _work(self, left: Iterator[tuple[Part, int]]) -> None:
        connection: Connection | None = None
        try:
            for part, batch in left:
                if connection is None:
                    connection = await self.connect()
                    await database.settle(connection)
                rows = part.rows_of(batch)
                new = await database.commit(connection, batch, rows, part.set_aside)
                for each in rows:
                    self._note(each.table, len(each.lines), new=new)
        finally:
            if connection is not None:
                connection.terminate()

    async def end(self, connection: Connection) -> None:
        """Count what triggers would have, and let the planner know."""
        self.report(self.tables["seller_stats"])
        before = self.tables["seller_stats"].rows
        counted = await database.count_stats(connection)
        self.tables["seller_stats"].rows = 0
        self.tables["seller_stats"].done = 0
        self._note("seller_stats", counted, new=counted != before)
        statistics = TableProgress(STATISTICS, 1)
        self.report(statistics)
        await database.finish(connection)
        statistics.done = 1
        self.report(statistics)

    def _note(self, table: str, rows: int, *, new: bool) -> None:
        told = self.tables[table]
        told.done += 1
        told.rows += rows
        told.new_rows += rows if new else 0
        self.report(told)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """The error that the others came of."""
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
