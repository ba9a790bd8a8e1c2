"""`souk db seed`: a marketplace that is made up, of any size, to try on what one may not try on a real one."""

import functools
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Annotated, Any, Self

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from souk_dbopt import seeding
from souk_dbopt.seeding import MAX_PRODUCTS, MAX_SEED, MIN_PRODUCTS, STATISTICS, Plan, Seeded, TableProgress

from souk_cli.connection import Json
from souk_cli.db_connection import Connection, Dsn, connect, with_owner
from souk_cli.display import err, out, print_json, seconds, size

TENTHS = 10
"""Without a terminal, a table has a line for each tenth of it."""


def seed(
    dsn: Dsn,
    products: Annotated[int, typer.Option(min=MIN_PRODUCTS, max=MAX_PRODUCTS, help="How many; the other tables follow.")] = 100_000,
    number: Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED, help="The same one makes the same rows.")] = 1,
    end: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day that the data ends before, in UTC. Default: today.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Fill the tables of the marketplace with data to try on. Ended early, the same command goes on from there."""
    last = end.date() if end else None
    try:
        Plan(products, number, last or datetime.now(UTC).date())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    async def work(connection: Connection) -> None:
        start = time.perf_counter()
        with Bars(quiet=json) as bars:
            seeded = await seeding.seed(connection, functools.partial(connect, dsn), products, number, end=last, report=bars.move)
        took = time.perf_counter() - start
        if json:
            print_json(_plain(seeded, took))
        else:
            _show(seeded, took)

    with_owner(dsn, work, json=json, interrupted="What is committed stays, and the same command goes on from there.")


@dataclass(slots=True)
class Bars:
    """A progress bar for each table with rows per second and the time left, where somebody looks; else a line for each tenth."""

    quiet: bool
    _progress: Progress = field(init=False)
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _starts: dict[str, float] = field(default_factory=dict)
    _tenths: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<13}"),
            BarColumn(bar_width=32),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[told]:<36}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=err,
            disable=self.quiet or not err.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._progress.stop()

    def move(self, table: TableProgress) -> None:
        """Show how far a table is."""
        now = time.perf_counter()
        spent = now - self._starts.setdefault(table.table, now)
        if not err.is_terminal:
            self._say(table)
            return
        if table.table not in self._tasks:
            self._tasks[table.table] = self._progress.add_task(table.table, total=table.batches, completed=table.done, told="")
        told = "" if table.table == STATISTICS else _rows(table, spent)
        self._progress.update(self._tasks[table.table], completed=table.done, told=told)

    def _say(self, table: TableProgress) -> None:
        tenth = table.done * TENTHS // table.batches
        before = self._tenths.setdefault(table.table, tenth)
        if self.quiet or tenth == before:
            return
        self._tenths[table.table] = tenth
        rows = "" if table.table == STATISTICS else f"{table.rows:,} rows"
        err.print(f"{table.table:<13} {100 * table.done // table.batches:>3} %  {rows}".rstrip())


def _rows(table: TableProgress, spent: float) -> str:
    rate = f"  {table.new_rows / spent:,.0f} rows/s" if table.new_rows and spent > 0 else ""
    return f"{table.rows:,} rows{rate}"


def _show(seeded: Seeded, took: float) -> None:
    plan = seeded.plan
    rows = sum(seeded.rows.values())
    table = Table(box=None, show_footer=True, header_style="bold", footer_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Table", footer="all")
    table.add_column("Rows", footer=f"{rows:,}", justify="right")
    for name, number in seeded.rows.items():
        table.add_row(name, f"{number:,}")
    out.print(table)
    what = f"{plan.products:,} products, seed {plan.seed}, until {plan.end}"
    if seeded.was_complete:
        out.print(
            f"[green]✓[/] {what}: all of it was there already; nothing was changed. The database has {size(seeded.database_bytes)}."
        )
        return
    new = f"{seeded.new_rows:,} rows in {seconds(took)}" if seeded.new_rows < rows else seconds(took)
    out.print(f"[green]✓[/] {what}: {new}, {seeded.new_rows / took:,.0f} rows/s. The database has {size(seeded.database_bytes)}.")


def _plain(seeded: Seeded, took: float) -> dict[str, Any]:
    plan = seeded.plan
    return {
        "products": plan.products,
        "seed": plan.seed,
        "end": plan.end.isoformat(),
        "was_complete": seeded.was_complete,
        "rows": seeded.rows,
        "new_rows": seeded.new_rows,
        "seconds": round(took, 3),
        "database_bytes": seeded.database_bytes,
    }
