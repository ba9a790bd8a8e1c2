"""`souk errors summary`: what went wrong in a span of time, in numbers."""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, timedelta
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from souk.client import ClientConfig, MonitorClient
from souk.monitor.v1 import error_pb2 as pb

from souk_cli.connection import MONITOR, Json, connected, with_monitor
from souk_cli.db_insight import since_time, sparkline
from souk_cli.display import out, plain, print_json
from souk_cli.errors_list import styled_severity, styled_state, word
from souk_cli.tables import Column, FittedTable
from souk_cli.visible import escape

CHART = 60
"""Characters of the chart of counts."""


@connected(MONITOR)
def summary(
    config: ClientConfig,
    project: Annotated[str, typer.Option(help="Only of this project.")] = "",
    since: Annotated[str, typer.Option(help="Since when: 90m, 6h, 7d, or a time. Whole hours count.")] = "24h",
    until: Annotated[str, typer.Option(help="Until when: 90m for 90 minutes ago, or a time. Default: now.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="So many issues and others of a kind.")] = 10,
    json: Json = False,
) -> None:
    """Show what went wrong in a span of time, in numbers: events, issues, what is new, and where."""
    begin = since_time(since)
    end = since_time(until, "--until") if until else None

    async def work(client: MonitorClient) -> None:
        found = await client.error_report(project=project, since=begin, until=end, limit=limit)
        if json:
            print_json(plain(found))
            return
        for line in numbers(found):
            out.print(line, soft_wrap=True)
        for title, issues in (("Most events", found.top_issues), ("New", found.newest_issues)):
            if issues:
                out.print(f"\n[bold]{title}[/]")
                out.print(counts_table(issues))

    with_monitor(config, work, json=json, about=project)


def numbers(found: pb.GetErrorReportResponse) -> Iterator[str]:
    """Lines of markup: all but the issues."""
    yield f"[bold]{_minute(found.since_time)} to {_minute(found.until_time)}[/]"
    yield f"  {found.events:,} events of {found.issues:,} issues; {found.events_before:,} events in the time of that length before"
    yield f"  {found.new_issues:,} new, {found.regressed_issues:,} regressed, {found.resolved_issues:,} resolved"
    yield f"  {_chart(found.counts)}"
    categories = ((word(each.name, "ERROR_CATEGORY").replace("unspecified", "other"), each.events) for each in found.categories)
    yield from _counted("categories", categories)
    yield from _counted("services", ((each.name or "without a name", each.events) for each in found.services))
    yield from _counted("releases", ((each.name or "without one", each.events) for each in found.releases))


def counts_table(counts: Iterable[pb.IssueCount]) -> FittedTable:
    """Issues with their events in the span of time, one a row."""
    table = FittedTable(
        Column("Issue"),
        Column("Events", right=True),
        Column("State", drop=2),
        Column("Severity", drop=1),
        Column("What", least=32, fold=True),
    )
    for each in counts:
        issue = each.issue
        cells = (escape(issue.short_id), f"{each.events:,}", styled_state(issue), styled_severity(issue.severity))
        table.add_row(*cells, f"{escape(issue.title)}{f' [dim]in {escape(issue.culprit)}[/]' if issue.culprit else ''}")
    return table


def _counted(name: str, counts: Iterable[tuple[str, int]]) -> Iterator[str]:
    told = ", ".join(f"{each} ({events:,})" for each, events in counts)
    if told:
        yield f"  [cyan]{name}[/]: {escape(told)}"


def _chart(counts: Sequence[pb.EventCount]) -> str:
    """Events by the hour or by the day, or by several of them where there is no room for each."""
    if len(counts) < 2:
        return ""
    together = math.ceil(len(counts) / CHART)
    sums = [float(sum(each.events for each in counts[first : first + together])) for first in range(0, len(counts), together)]
    step = (counts[1].start_time.ToDatetime(UTC) - counts[0].start_time.ToDatetime(UTC)) * together
    span = f"{step // timedelta(days=1)} d" if step >= timedelta(days=1) else f"{step // timedelta(hours=1)} h"
    return f"{sparkline(sums)}│ {span} each"


def _minute(time: Timestamp) -> str:
    return f"{time.ToDatetime(UTC).astimezone():%Y-%m-%d %H:%M}"
