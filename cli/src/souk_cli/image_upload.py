"""`souk image upload`: many photos at once, with what became of each."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from souk.client import ClientConfig, ImagingClient, SoukError
from souk.imaging.v1 import imaging_pb2 as pb

from souk_cli.connection import IMAGING, Json, connected, with_client
from souk_cli.display import as_json, err, out, plain, print_json, seconds, show_error, size
from souk_cli.savings import NAMES, NEWEST_FIRST, ready, savings
from souk_cli.tables import Column, FittedTable
from souk_cli.visible import escape


@dataclass(slots=True)
class Outcome:
    """What became of one file."""

    path: Path
    image: pb.Image | None = None
    error: Exception | None = None
    seconds: float = 0.0
    """From the first byte to the answer."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is said of every photo of one command."""

    profile: str = "product"
    owner: str = ""
    tags: tuple[str, ...] = ()
    wait_for: pb.WaitFor.ValueType = pb.WAIT_FOR_ALL_VARIANTS
    timeout: float | None = None


@connected(IMAGING)
def upload(
    config: ClientConfig,
    files: Annotated[list[Path], typer.Argument(help="Photos.", show_default=False)],
    profile: Annotated[str, typer.Option(help="Which variants to make: product, avatar, banner, or one of the server's own.")] = (
        "product"
    ),
    owner: Annotated[str, typer.Option(help="Who the photos belong to.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="For finding them again; may be given up to ten times.")] = None,
    accepted: Annotated[
        bool, typer.Option("--accepted", help="Return when the photos are stored, before variants are made.")
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Photos on the way at once.")] = 4,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one photo, with all its attempts.")] = 120.0,
    json: Json = False,
) -> None:
    """Upload photos and show what was made of each. Exits with 1 if any of them failed."""
    wishes = Wishes(
        profile=profile,
        owner=owner,
        tags=tuple(tag or ()),
        wait_for=pb.WAIT_FOR_ACCEPTED if accepted else pb.WAIT_FOR_ALL_VARIANTS,
        timeout=timeout,
    )
    outcomes: list[Outcome] = []

    async def work(client: ImagingClient) -> None:
        with Bars(shown=not json and err.is_terminal) as bars:
            outcomes.extend(await upload_all(client, files, wishes, concurrency=concurrency, bars=bars))

    with_client(config, work, json=json)
    if json:
        print_json([_as_json(outcome, config.target) for outcome in outcomes])
    else:
        show_outcomes(outcomes, config.target)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


async def upload_all(
    client: ImagingClient, paths: list[Path], wishes: Wishes, *, concurrency: int, bars: "Bars | None" = None
) -> list[Outcome]:
    """Upload files, `concurrency` at once, and tell what became of each, in their order."""
    outcomes = [Outcome(path) for path in paths]
    gate = asyncio.Semaphore(concurrency)

    async def one(outcome: Outcome) -> None:
        bar = bars.add(outcome.path) if bars else None
        async with gate:
            start = time.perf_counter()
            try:
                outcome.image = await client.upload(
                    outcome.path,
                    profile=wishes.profile,
                    owner=wishes.owner,
                    tags=wishes.tags,
                    wait_for=wishes.wait_for,
                    timeout=wishes.timeout,
                    on_progress=bar,
                )
            except (SoukError, OSError) as error:
                outcome.error = error
            outcome.seconds = time.perf_counter() - start
        if bars:
            bars.finish(outcome)

    async with asyncio.TaskGroup() as tasks:
        for outcome in outcomes:
            tasks.create_task(one(outcome))
    return outcomes


@dataclass(slots=True)
class Bars(AbstractContextManager["Bars"]):
    """A progress bar for every photo, and one for all, where somebody looks; else nothing."""

    shown: bool
    _progress: Progress = field(init=False)
    _total: TaskID = field(init=False)
    _tasks: dict[Path, TaskID] = field(default_factory=dict)
    _sent: dict[Path, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("[dim]{task.fields[state]}"),
            console=err,
            disable=not self.shown,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        self._total = self._progress.add_task("[bold]total", total=0, state="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._progress.stop()

    def add(self, path: Path) -> Callable[[int, int | None], None]:
        """A bar for one photo; returns what moves it."""
        length = path.stat().st_size if path.is_file() else 0
        task = self._tasks[path] = self._progress.add_task(escape(path.name), total=length, state="waiting")
        self._sent[path] = 0
        self._progress.update(self._total, total=(self._progress.tasks[0].total or 0) + length)

        def move(sent: int, _: int | None) -> None:
            self._sent[path] = sent
            self._progress.update(task, completed=sent, state="making variants" if sent >= length else "sending")
            self._progress.update(self._total, completed=sum(self._sent.values()))

        return move

    def finish(self, outcome: Outcome) -> None:
        """Mark one photo as done, or failed."""
        self._progress.update(self._tasks[outcome.path], state="[red]failed" if outcome.error else "[green]done")


def show_outcomes(outcomes: list[Outcome], address: str) -> None:
    """A table of what was made, then what went wrong."""
    images = [outcome.image for outcome in outcomes if outcome.image]
    if images:
        out.print(outcomes_table(outcomes, images))
    for outcome in outcomes:
        if outcome.error:
            show_error(outcome.error, about=str(outcome.path), address=address)


def outcomes_table(outcomes: list[Outcome], images: list[pb.Image]) -> FittedTable:
    """What became of each photo, and below it of all."""
    total = savings(*images)
    formats = [NAMES[form] for form in NEWEST_FIRST if NAMES[form] in total.bytes_by_format]
    several = len(images) > 1
    table = FittedTable(
        Column("Photo", least=16, footer=f"{len(images)} photos" if several else ""),
        Column("Image id"),
        Column("Original", right=True, drop=1, footer=size(total.original_bytes) if several else ""),
        Column("Variants", right=True, drop=4, footer=str(sum(len(ready(image)) for image in images)) if several else ""),
        *(Column(name, right=True, drop=2, footer=size(total.bytes_by_format[name]) if several else "") for name in formats),
        Column("Saved", right=True, footer=f"[green]{total.saved:.0%}[/]" if several else ""),
        Column("Time", right=True, drop=3),
        caption="[dim]Bytes of a format are over all sizes. Saved: the smallest format against JPEG or PNG at the same sizes.[/]",
    )
    for outcome in outcomes:
        image = outcome.image
        if image is None:
            continue
        made = savings(image)
        table.add_row(
            escape(outcome.path.name),
            image.image_id,
            f"{image.original.width}×{image.original.height} {size(image.original.size_bytes)}",
            str(len(ready(image))) if ready(image) else "[dim]pending[/]",
            *(size(made.bytes_by_format[name]) if name in made.bytes_by_format else "–" for name in formats),
            f"[green]{made.saved:.0%}[/]" if made.fallback_bytes else "–",
            seconds(outcome.seconds),
        )
    return table


def _as_json(outcome: Outcome, address: str) -> dict[str, Any]:
    told: dict[str, Any] = {"file": str(outcome.path), "seconds": round(outcome.seconds, 3)}
    if outcome.image:
        made = savings(outcome.image)
        told |= {"image": plain(outcome.image), "bytes_by_format": made.bytes_by_format, "saved": round(made.saved, 4)}
    if outcome.error:
        told["error"] = as_json(outcome.error, address)
    return told
