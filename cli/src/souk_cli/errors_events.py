"""`souk errors events`: what was reported, one by one."""

from typing import Annotated

import typer
from souk.client import ClientConfig, MonitorClient
from souk.monitor.v1 import error_pb2 as pb

from souk_cli.connection import MONITOR, Json, connected, with_monitor
from souk_cli.db_insight import since_time
from souk_cli.display import out, plain, print_json
from souk_cli.errors_list import ago
from souk_cli.tables import Column, FittedTable
from souk_cli.visible import escape

TITLE = 200
"""Characters of what an event says."""


@connected(MONITOR)
def events(
    config: ClientConfig,
    issue: Annotated[str, typer.Argument(metavar="ISSUE", help="As SHOP-12.")] = "",
    trace: Annotated[str, typer.Option(help="Instead of an issue: those of this trace, in whatever service and project.")] = "",
    error_id: Annotated[str, typer.Option(help="Instead of an issue: those with the error_id that a caller was given.")] = "",
    since: Annotated[str, typer.Option(help="Since when: 90m, 6h, 7d, or a time.")] = "",
    until: Annotated[str, typer.Option(help="Until when: 90m for 90 minutes ago, or a time. Default: now.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many at the most.")] = 20,
    json: Json = False,
) -> None:
    """Show events that are kept of an issue, of a trace, or of an error_id; the newest first."""
    if sum(map(bool, (issue, trace, error_id))) != 1:
        raise typer.BadParameter("give an ISSUE, --trace, or --error-id: one of them")
    begin = since_time(since) if since else None
    end = since_time(until, "--until") if until else None

    async def work(client: MonitorClient) -> None:
        found: list[pb.ErrorEvent] = []
        async for event in client.events(
            issue, trace_id=trace, error_id=error_id, since=begin, until=end, page_size=min(limit, 100)
        ):
            found.append(event)
            if len(found) == limit:
                break
        if json:
            print_json([plain(event) for event in found])
        elif found:
            out.print(events_table(found))
        else:
            out.print("[green]No event fits that is kept.[/]")

    with_monitor(config, work, json=json, about=issue or trace or error_id)


def events_table(events: list[pb.ErrorEvent]) -> FittedTable:
    """Events, one a row."""
    table = FittedTable(
        Column("Event"),
        Column("Issue", right=True, drop=5),
        Column("When", right=True, drop=1),
        Column("Service", drop=2),
        Column("Release", drop=4),
        Column("User", drop=3),
        Column("What", least=32, fold=True),
        caption="[dim]`souk errors show EVENT` shows one of them.[/]",
    )
    for event in events:
        report = event.report
        table.add_row(
            escape(report.event_id),
            escape(event.issue_id),
            ago(report.time),
            escape(report.service),
            escape(report.release),
            escape(user_of(report)),
            escape(title_of(report)),
        )
    return table


def title_of(report: pb.ErrorReport) -> str:
    """What a report says, in one line: the exception that the program saw, or what was logged."""
    raised = report.exceptions[-1] if report.exceptions else pb.ExceptionReport(value=report.message)
    return ": ".join(part for part in (raised.type, raised.value.partition("\n")[0]) if part)[:TITLE]


def user_of(report: pb.ErrorReport) -> str:
    """Whom it happened to, by what is known of them."""
    return report.user.id or report.user.username or report.user.email
