"""`souk cache warm`, and `souk cache operations list`, `show` and `cancel`: work that goes on after the command has ended."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from souk.client import CacheClient, ClientConfig, SoukError, from_failure
from souk.common.v1 import operations_pb2 as pb

from souk_cli.cache import MAX_SECONDS, Space
from souk_cli.connection import CACHE, Json, connected, with_cache
from souk_cli.display import err, out, plain, print_json, seconds
from souk_cli.tables import Column, FittedTable
from souk_cli.visible import escape

Id = Annotated[str, typer.Argument(metavar="ID", help="As `souk cache operations list` shows it.")]
MAX_COUNT = 2**31 - 1
MAX_KEYS, MAX_KEY_BYTES = 100_000, 3 * 1024 * 1024
"""Of one warming: the service takes so many, in one message of 4 MiB."""
CANCEL_SECONDS = 5.0
"""How long Ctrl-C waits for an operation to let go of what it holds."""
_COLOURS = {
    pb.OPERATION_STATE_PENDING: "dim",
    pb.OPERATION_STATE_RUNNING: "cyan",
    pb.OPERATION_STATE_SUCCEEDED: "green",
    pb.OPERATION_STATE_FAILED: "red",
    pb.OPERATION_STATE_CANCELLED: "yellow",
}


class State(StrEnum):
    """Where an operation is."""

    pending = "pending"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"

    @property
    def asked(self) -> pb.OperationState.ValueType:
        """As the service is asked."""
        return pb.OperationState.Value(f"OPERATION_STATE_{self.name.upper()}")


@connected(CACHE)
def warm(
    config: ClientConfig,
    namespace: Space,
    keys: Annotated[list[str] | None, typer.Argument(help="Keys, the most wanted first.", show_default=False)] = None,
    file: Annotated[Path | None, typer.Option(help="File with one key per line; - for stdin.", show_default=False)] = None,
    hottest: Annotated[int | None, typer.Option(min=1, max=MAX_COUNT, help="The most read keys, so many at the most.")] = None,
    query: Annotated[str | None, typer.Option(help="The keys that the namespace's loader lists for this.")] = None,
    limit: Annotated[
        int, typer.Option(min=0, max=MAX_COUNT, help="With --query: so many at the most. 0: the service's default.")
    ] = 0,
    priority: Annotated[int, typer.Option(min=-100, max=100, help="Higher goes first.")] = 0,
    time_limit: Annotated[
        float | None,
        typer.Option(min=0.001, max=MAX_SECONDS, help="Seconds it may take. Default: the service's."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Print the operation's id, and leave it running.")] = False,
    json: Json = False,
) -> None:
    """Bring values into the cache before they are asked for. Ctrl-C cancels it. Exits with 1 where some could not be.

    Keys that are too many for one call are warmed in parts, one after the other; with --detach all are started, each with its id.
    """
    listed = _keys(keys or [], file)
    sources: dict[str, Any] = {"keys": listed or None, "hottest": hottest, "query": query}
    if sum(each is not None for each in sources.values()) != 1:
        raise typer.BadParameter("give keys (or --file), --hottest, or --query: one of them")

    async def work(client: CacheClient) -> None:
        parts: list[list[str] | None] = [*_parts(listed)] or [None]
        failed = False
        for number, part in enumerate(parts, 1):
            started = await client.warm(
                namespace, **{**sources, "keys": part}, limit=limit, priority=priority, time_limit=time_limit
            )
            of = f", part {number} of {len(parts)}" if len(parts) > 1 else ""
            if not detach:
                failed |= await _follow(client, started.operation_id, f"warming {namespace}{of}", json=json, cancels=True)
            elif json:
                print_json(plain(started.operation))
            else:
                out.print(started.operation_id, markup=False)
        if failed:
            raise typer.Exit(1)

    with_cache(config, work, json=json, about=namespace)


@connected(CACHE)
def list_operations(
    config: ClientConfig,
    state: Annotated[list[State] | None, typer.Option(help="Only those; may be given several times.")] = None,
    json: Json = False,
) -> None:
    """List the operations of a node, newest first, also those that were over not long ago."""

    async def work(client: CacheClient) -> None:
        found = [each async for each in client.operations.list(states=[each.asked for each in state or ()])]
        if json:
            print_json([plain(each) for each in found])
            return
        table = FittedTable(
            Column("id"),
            Column("what", least=24),
            Column("state"),
            Column("progress", least=16, drop=1),
            Column("started", drop=3),
            Column("took", drop=2),
        )
        for each in found:
            ago = f"{_span((datetime.now(UTC) - each.create_time.ToDatetime(UTC)).total_seconds())} ago"
            what = f"{each.method.rpartition('/')[2]} {each.target}"
            table.add_row(each.operation_id, escape(what), _state(each), _progress(each), ago, _took(each))
        out.print(table)

    with_cache(config, work, json=json)


@connected(CACHE)
def show(
    config: ClientConfig,
    operation_id: Id,
    follow: Annotated[bool, typer.Option("--watch", "-w", help="Until it is over; Ctrl-C leaves it running.")] = False,
    json: Json = False,
) -> None:
    """Show an operation. Exits with 1 where it failed or was cancelled."""

    async def work(client: CacheClient) -> None:
        operation = await client.operations.get(operation_id)
        if follow:
            about = f"{operation.method.rpartition('/')[2]} {operation.target}"
            if await _follow(client, operation_id, about, json=json, cancels=False):
                raise typer.Exit(1)
        elif json:
            print_json(plain(operation))
        else:
            _show(operation)
        if operation.HasField("error") and not follow:
            raise typer.Exit(1)

    with_cache(config, work, json=json, about=operation_id, endless=follow)


@connected(CACHE)
def cancel(
    config: ClientConfig,
    operation_id: Id,
    json: Json = False,
) -> None:
    """Stop an operation. One that is over stays as it is."""

    async def work(client: CacheClient) -> None:
        operation = await client.operations.cancel(operation_id)
        if json:
            print_json(plain(operation))
        else:
            out.print(f"{_state(operation)}  {_progress(operation)}")

    with_cache(config, work, json=json, about=operation_id)


async def _follow(client: CacheClient, operation_id: str, about: str, *, json: bool, cancels: bool) -> bool:
    """Show how far an operation is until it is over, and what it came to; True where some of it failed. cancels: whoever stops
    this stops it."""
    operation = pb.Operation()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=err, transient=True, disable=json or not err.is_terminal) as bar:
            task = bar.add_task(escape(about), total=None)
            async for operation in client.operations.watch(operation_id):
                bar.update(task, total=operation.progress.total, completed=operation.progress.done)
                if json:
                    print_json(plain(operation))
    except asyncio.CancelledError:
        if cancels:
            with contextlib.suppress(SoukError):
                operation = await client.operations.cancel(operation_id, timeout=CANCEL_SECONDS)
            if not json:
                err.print(f"{_state(operation)}  {_progress(operation)}")
        raise
    if not json:
        whole = operation.state == pb.OPERATION_STATE_SUCCEEDED and not operation.progress.counts.get("failed")
        out.print(f"{'[green]✓[/]' if whole else '[yellow]![/]'} {_progress(operation)}")
    if operation.HasField("error"):
        raise from_failure(operation.error)
    return bool(operation.progress.counts.get("failed"))


# What is shown


def _show(operation: pb.Operation) -> None:
    table = Table(box=None, show_header=False)
    rows = [
        ("id", escape(operation.operation_id)),
        ("what", escape(f"{operation.method} {operation.target}")),
        ("state", _state(operation)),
        ("progress", _progress(operation)),
        ("asked for by", escape(operation.principal)),
        ("asked for", _time(operation.create_time)),
        ("ends by", "" if operation.HasField("end_time") else _time(operation.deadline_time)),
        ("ended", _time(operation.end_time) if operation.HasField("end_time") else ""),
        ("took", _took(operation)),
        ("error", escape(str(from_failure(operation.error))) if operation.HasField("error") else ""),
    ]
    for name, text in rows:
        if text:
            table.add_row(f"[dim]{name}[/]", text)
    out.print(table)


def _state(operation: pb.Operation) -> str:
    name = pb.OperationState.Name(operation.state).removeprefix("OPERATION_STATE_").lower()
    return f"[{_COLOURS.get(operation.state, 'dim')}]{name}[/]"


def _progress(operation: pb.Operation) -> str:
    """How far it is, as "3 of 5 keys: 2 loaded, 1 failed"."""
    progress = operation.progress
    counts = sorted(progress.counts.items(), key=lambda each: -each[1])
    told = ", ".join(f"{number:,} {escape(name)}" for name, number in counts if number) or "nothing done"
    of = f"{progress.done:,} of " if progress.done < progress.total else ""
    return f"{of}{progress.total:,} {escape(progress.unit)}s: {told}"


def _took(operation: pb.Operation) -> str:
    if not operation.HasField("start_time"):
        return ""
    end = operation.end_time.ToDatetime(UTC) if operation.HasField("end_time") else datetime.now(UTC)
    return seconds(max(0.0, (end - operation.start_time.ToDatetime(UTC)).total_seconds()))


def _time(stamp: Timestamp) -> str:
    return f"{stamp.ToDatetime(UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def _span(number: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if number >= length:
            return f"{number / length:.0f} {unit}"
    return f"{max(0.0, number):.0f} s"


def _parts(keys: list[str]) -> Iterator[list[str]]:
    """The keys, cut into what one warming takes."""
    part: list[str] = []
    size = 0
    for key in keys:
        took = len(key.encode()) + 3  # as protobuf has it
        if part and (len(part) == MAX_KEYS or size + took > MAX_KEY_BYTES):
            yield part
            part, size = [], 0
        part.append(key)
        size += took
    if part:
        yield part


def _keys(keys: list[str], file: Path | None) -> list[str]:
    if file is None:
        return keys
    try:
        text = sys.stdin.read() if file == Path("-") else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file}: {error}") from None
    return [*keys, *(line.strip() for line in text.splitlines() if line.strip())]
