"""`souk db slow` and `souk db stats`: which queries take the database's time, and what one of them did."""

import json as jsonlib
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from rich.console import Group, RenderableType
from souk.client import ClientConfig, DbClient
from souk.dbopt.v1 import insight_pb2 as pb
from souk.dbopt.v1 import query_pb2

from souk_cli.connection import DBOPT, Json, connected, with_db
from souk_cli.display import out, plain, print_json
from souk_cli.tables import Column, FittedTable
from souk_cli.visible import escape

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(\d{1,5})([mhdw])", re.ASCII)
_BLOCKS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"
BAR = 10
"""Characters of the bar that shows a part of the time."""
CHART = 60
"""Windows that a chart shows at the most."""
EXACT = 2**53
"""The largest integer up to which a double has all."""
SAMPLES = 8
"""Samples that are shown where nobody asks for all."""
NAME_WIDTH = 32
"""Characters that a query gets of a narrow terminal, whatever else has to go."""
SOURCES = {query_pb2.SOURCE_PRIMARY: "primary", query_pb2.SOURCE_REPLICA: "replica"}


class Order(StrEnum):
    """By what queries are sorted."""

    total = "total"
    mean = "mean"
    p99 = "p99"
    calls = "calls"

    @property
    def asked(self) -> pb.SlowQueryOrder.ValueType:
        """As the service is asked."""
        return {
            Order.total: pb.SLOW_QUERY_ORDER_TOTAL_TIME,
            Order.mean: pb.SLOW_QUERY_ORDER_MEAN_TIME,
            Order.p99: pb.SLOW_QUERY_ORDER_P99_TIME,
            Order.calls: pb.SLOW_QUERY_ORDER_CALLS,
        }[self]


@connected(DBOPT)
def slow(
    config: ClientConfig,
    since: Annotated[str, typer.Option(help="Since when: 90m, 6h, 7d, or a time as 2026-11-26T10:00Z. Whole hours count.")] = "24h",
    order: Annotated[Order, typer.Option(help="By what they are sorted, the most first.")] = Order.total,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many at the most.")] = 20,
    watch: Annotated[bool, typer.Option("--watch", help="Show slow calls as they happen, until Ctrl-C.")] = False,
    threshold: Annotated[
        float | None, typer.Option(min=0, help="With --watch: milliseconds from which on a call is slow. Default: the service's.")
    ] = None,
    json: Json = False,
) -> None:
    """Show which queries take the time of the database."""
    begin = since_time(since)

    async def work(client: DbClient) -> None:
        if watch:
            await _watch(client, threshold, json=json)
            return
        found: list[pb.QueryStats] = []
        async for query in client.slow_queries(since=begin, order=order.asked, page_size=min(limit, 200)):
            found.append(query)
            if len(found) == limit:
                break
        if json:
            print_json([plain(query) for query in found])
        elif found:
            out.print(queries_table(found))
        else:
            out.print("[yellow]No query has run.[/]")

    with_db(config, work, json=json, endless=watch)


@connected(DBOPT)
def stats(
    config: ClientConfig,
    fingerprint: Annotated[
        str,
        typer.Argument(metavar="FINGERPRINT", help="As `souk db slow` shows it: product.get@1; product.get is its newest version."),
    ],
    since: Annotated[str, typer.Option(help="Since when: 90m, 6h, 7d, or a time as 2026-11-26T10:00Z.")] = "24h",
    window: Annotated[str, typer.Option(help="How long a window is: 1m to 1d.")] = "1h",
    every: Annotated[bool, typer.Option("--samples", help="Show all samples.")] = False,
    json: Json = False,
) -> None:
    """Show what one query did, window by window, and with which parameters it was slow."""
    begin, step = since_time(since), span_from(window)
    if step is None:
        raise typer.BadParameter(f"{window!r} is no span of time, as 5m or 1h", param_hint="--window")

    async def work(client: DbClient) -> None:
        found = await client.query_stats(await fingerprint_of(client, fingerprint), since=begin, window=step)
        if json:
            print_json(plain(found))
        else:
            out.print(_history(found, step, len(found.samples) if every else SAMPLES))

    with_db(config, work, json=json, about=fingerprint)


async def fingerprint_of(client: DbClient, text: str) -> str:
    """The fingerprint that a user means: of the name of a query alone, that of its newest version."""
    if not text or "@" in text or text.startswith("~"):
        return text
    versions = [query.version async for query in client.queries(text) if query.name == text]
    return f"{text}@{max(versions)}" if versions else text


async def _watch(client: DbClient, threshold: float | None, *, json: bool) -> None:
    least = None if threshold is None else timedelta(milliseconds=threshold)
    async for call in client.watch_slow_queries(threshold=least):
        if json:
            print_json(plain(call))
            continue
        if call.missed:
            out.print(f"[yellow]{call.missed:,} more were too many to show[/]")
        at = call.end_time.ToDatetime(UTC).astimezone()
        who = SOURCES.get(call.source, "[red]failed[/]")
        out.print(
            f"[dim]{at:%H:%M:%S}[/]  [bold]{_time(call.duration):>8}[/]  {escape(call.fingerprint)}  "
            f"[dim]{call.rows:,} rows, {who}[/]  {escape(parameters_text(call.parameters))}"
        )


def queries_table(found: Sequence[pb.QueryStats]) -> FittedTable:
    """Queries, one a row."""
    table = FittedTable(
        Column("Query", least=NAME_WIDTH),
        Column("", drop=5),
        Column("Time", right=True),
        Column("Calls", right=True, drop=1),
        Column("Mean", right=True),
        Column("p50", right=True, drop=7),
        Column("p95", right=True, drop=6),
        Column("p99", right=True, drop=2),
        Column("Rows", right=True, drop=4),
        Column("Errors", right=True, drop=3),
    )
    for query in found:
        table.add_row(
            escape(_named(query)),
            f"[cyan]{bar(query.time_share)}[/]",
            f"{query.time_share:.1%}",
            f"{query.calls:,}",
            _time(query.mean_time),
            *(_known(query, name) for name in ("p50_time", "p95_time", "p99_time")),
            f"{query.rows:,}",
            f"[red]{query.errors:,}[/]" if query.errors else "[dim]0[/]",
        )
    return table


def _named(query: pb.QueryStats) -> str:
    """A query of the catalogue has a name; of others the text says more than the fingerprint."""
    if not query.fingerprint.startswith("~"):
        return query.fingerprint
    return f"{query.fingerprint}  {query.text[:60]}{'…' if len(query.text) > 60 else ''}"


def _history(found: pb.GetQueryStatsResponse, step: timedelta, samples: int) -> RenderableType:
    total = found.total
    parts: list[RenderableType] = [
        f"[bold]{escape(total.fingerprint)}[/]",
        f"[dim]{escape(total.text)}[/]",
        "",
        queries_table([total]),
    ]
    if found.windows:
        parts += ["", *_chart(found.windows, step)]
    if found.samples:
        table = FittedTable(Column("Slow call"), Column("When"), Column("Parameters", least=24, fold=True))
        for each in found.samples[:samples]:
            at = each.time.ToDatetime(UTC).astimezone()
            table.add_row(_time(each.duration), f"{at:%Y-%m-%d %H:%M:%S}", escape(parameters_text(each.parameters)))
        parts += ["", table]
    return Group(*parts)


def _chart(windows: Sequence[pb.QueryWindow], step: timedelta) -> list[str]:
    """Calls and latencies of the last windows, those without a call too."""
    last = windows[-1].start_time.ToDatetime(UTC)
    by_start = {each.start_time.ToDatetime(UTC): each.stats for each in windows}
    count = min(CHART, round((last - windows[0].start_time.ToDatetime(UTC)) / step) + 1)
    starts = [last - step * (count - 1 - number) for number in range(count)]
    shown = [by_start.get(start) for start in starts]
    slowest = [each.p99_time if each.HasField("p99_time") else each.mean_time for each in shown if each is not None]
    calls = [0.0 if each is None else float(each.calls) for each in shown]
    means = [0.0 if each is None else _seconds(each.mean_time) for each in shown]
    tails = [0.0 if each is None else _seconds(each.p99_time) for each in shown]
    lines = [
        f"[dim]{starts[0].astimezone():%Y-%m-%d %H:%M} to {last.astimezone():%Y-%m-%d %H:%M}, {step} each[/]",
        f"calls  [cyan]{sparkline(calls)}[/]  {max(calls):,.0f} at the most",
        f"mean   [cyan]{sparkline(means)}[/]  {_shown(max(means))} at the most",
    ]
    if any(tails):
        lines.append(f"p99    [cyan]{sparkline(tails)}[/]  {_shown(max(map(_seconds, slowest)))} at the most")
    return lines


def bar(share: float) -> str:
    """A part of a whole, 0 to 1, in blocks of an eighth of a character."""
    eighths = round(max(0.0, min(share, 1.0)) * BAR * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_BLOCKS[rest] if rest else "")).ljust(BAR)


def sparkline(values: Sequence[float]) -> str:
    """Values as heights, from nothing to the largest."""
    most = max(values, default=0.0)
    heights = (math.ceil(value / most * len(_HEIGHTS)) if most else 0 for value in values)
    return "".join(_HEIGHTS[height - 1] if height else " " for height in heights)


def since_time(text: str, option: str = "--since") -> datetime:
    """Of a span before now, or a time, as a user types it. BadParameter."""
    span = span_from(text)
    if span is not None:
        return datetime.now(UTC) - span
    time = time_from(text)
    if time is None:
        raise typer.BadParameter(f"{text!r} is neither a span, as 6h or 7d, nor a time", param_hint=option)
    return time


def time_from(text: str) -> datetime | None:
    """A time as a user types it, of this machine's zone where it names none; None where it is none."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None


def span_from(text: str) -> timedelta | None:
    """A span of time as a user types it; None where it is none."""
    found = _SPAN.fullmatch(text)
    return None if found is None else timedelta(**{_UNITS[found[2]]: int(found[1])})


def parameters_text(parameters: Struct) -> str:
    """Parameters as JSON; a Struct has doubles alone, of which those that are whole are shown as the integers that they were."""
    return jsonlib.dumps(_with_integers(MessageToDict(parameters)), ensure_ascii=False) if parameters.fields else ""


def _with_integers(value: Any) -> Any:
    match value:
        case float() if value.is_integer() and abs(value) <= EXACT:
            return int(value)
        case dict():
            return {name: _with_integers(each) for name, each in value.items()}
        case list():
            return [_with_integers(each) for each in value]
    return value


def _known(query: pb.QueryStats, name: str) -> str:
    return _time(getattr(query, name)) if query.HasField(name) else "[dim]–[/]"  # type: ignore[arg-type]


def _time(span: Duration) -> str:
    return _shown(_seconds(span))


def _seconds(span: Duration) -> float:
    return span.seconds + span.nanos / 1e9


def _shown(seconds: float) -> str:
    """Three digits, of a query that takes microseconds and of one that takes minutes."""
    if seconds >= 1:
        return f"{seconds:,.1f} s" if seconds < 100 else f"{seconds:,.0f} s"
    if seconds >= 0.001:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds * 1e6:.0f} µs"
