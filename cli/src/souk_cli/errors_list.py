"""`souk errors list` and `souk errors tail`: which issues there are, and what happens to them."""

import contextlib
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from souk.client import ClientConfig, MonitorClient, NotFoundError
from souk.monitor.v1 import error_pb2 as pb

from souk_cli.connection import MONITOR, Json, connected, with_monitor
from souk_cli.db_insight import since_time, sparkline
from souk_cli.display import out, plain, print_json
from souk_cli.tables import Column, FittedTable
from souk_cli.visible import escape

STATE_STYLES = {
    pb.ISSUE_STATE_OPEN: "bold",
    pb.ISSUE_STATE_ACKNOWLEDGED: "cyan",
    pb.ISSUE_STATE_RESOLVED: "green",
    pb.ISSUE_STATE_REGRESSED: "bold red",
    pb.ISSUE_STATE_IGNORED: "dim",
}
SEVERITY_STYLES = {pb.SEVERITY_FATAL: "bold red", pb.SEVERITY_ERROR: "red", pb.SEVERITY_WARNING: "yellow"}
TRENDS = {
    pb.TREND_DIRECTION_RISING: "[yellow]↗[/]",
    pb.TREND_DIRECTION_FALLING: "[green]↘[/]",
    pb.TREND_DIRECTION_SPIKE: "[bold red]⇈[/]",
    pb.TREND_DIRECTION_NEW: "[cyan]✦[/]",
}
CHANGES = {
    pb.ISSUE_CHANGE_NEW: "[cyan]new[/]",
    pb.ISSUE_CHANGE_REGRESSED: "[bold red]regressed[/]",
    pb.ISSUE_CHANGE_ESCALATED: "[bold red]escalated[/]",
    pb.ISSUE_CHANGE_EVENTS: "again",
    pb.ISSUE_CHANGE_UPDATED: "[dim]changed[/]",
    pb.ISSUE_CHANGE_MERGED: "[dim]merged[/]",
}
NOTABLE = (pb.ISSUE_CHANGE_NEW, pb.ISSUE_CHANGE_REGRESSED, pb.ISSUE_CHANGE_ESCALATED)
LAST_EVENTS = 10
"""Of an issue to which something notable has happened, that are looked at for a service which is not counted yet."""


class State(StrEnum):
    """What is to become of an issue."""

    open = "open"
    acknowledged = "acknowledged"
    resolved = "resolved"
    regressed = "regressed"
    ignored = "ignored"

    @property
    def asked(self) -> pb.IssueState.ValueType:
        """As the service is asked."""
        return pb.IssueState.Value(f"ISSUE_STATE_{self.name.upper()}")


class Severity(StrEnum):
    """How grave."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"
    fatal = "fatal"

    @property
    def asked(self) -> pb.Severity.ValueType:
        """As the service is asked."""
        return pb.Severity.Value(f"SEVERITY_{self.name.upper()}")


class Order(StrEnum):
    """By what issues are sorted."""

    priority = "priority"
    last = "last"
    first = "first"
    events = "events"
    users = "users"

    @property
    def asked(self) -> pb.IssueOrder.ValueType:
        """As the service is asked."""
        name = {"last": "LAST_SEEN", "first": "FIRST_SEEN"}.get(self.name, self.name.upper())
        return pb.IssueOrder.Value(f"ISSUE_ORDER_{name}")


@connected(MONITOR)
def list_issues(
    config: ClientConfig,
    search: Annotated[str, typer.Argument(metavar="[WORDS]", help="Words that must all be in it; those in quotes as one.")] = "",
    state: Annotated[
        list[State] | None, typer.Option(help="In this state; several times for several. Default: what is not put away.")
    ] = None,
    severity: Annotated[Severity | None, typer.Option(help="As grave as this, or graver.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="Of this kind, as database; several times for several.")] = None,
    service: Annotated[str, typer.Option(help="Seen in this service.")] = "",
    environment: Annotated[str, typer.Option(help="Seen in this environment.")] = "",
    release: Annotated[str, typer.Option(help="Seen in this release, in any of its events.")] = "",
    assignee: Annotated[str, typer.Option(help="Assigned to this person; none: to nobody.")] = "",
    project: Annotated[str, typer.Option(help="Only of this project.")] = "",
    since: Annotated[str, typer.Option(help="Last seen since: 90m, 6h, 7d, or a time.")] = "",
    order: Annotated[Order, typer.Option(help="By what they are sorted.")] = Order.priority,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many at the most.")] = 20,
    json: Json = False,
) -> None:
    """Show issues: errors of one cause, each once."""
    begin = since_time(since) if since else None
    categories = [category_of(each) for each in category or ()]

    async def work(client: MonitorClient) -> None:
        found: list[pb.Issue] = []
        async for issue in client.issues(
            project=project,
            states=[each.asked for each in state or ()],
            search=search,
            categories=categories,
            min_severity=severity.asked if severity else pb.SEVERITY_UNSPECIFIED,
            service=service,
            environment=environment,
            release=release,
            assignee=assignee,
            since=begin,
            order=order.asked,
            page_size=min(limit, 200),
        ):
            found.append(issue)
            if len(found) == limit:
                break
        if json:
            print_json([plain(issue) for issue in found])
        elif found:
            out.print(issues_table(found))
        else:
            out.print("[green]No issue fits.[/]")

    with_monitor(config, work, json=json)


@connected(MONITOR)
def tail(
    config: ClientConfig,
    project: Annotated[str, typer.Option(help="Only of this project.")] = "",
    service: Annotated[str, typer.Option(help="Only issues that were seen in this service, wherever they are seen then.")] = "",
    severity: Annotated[Severity | None, typer.Option(help="As grave as this, or graver.")] = None,
    json: Json = False,
) -> None:
    """Show what happens to issues as it happens, until Ctrl-C: new ones, those that come again, what people change."""

    async def work(client: MonitorClient) -> None:
        least = severity.asked if severity else pb.SEVERITY_UNSPECIFIED
        async for change in client.watch_issues(project=project, min_severity=least):
            if service and not await _is_seen_in(client, change, service):
                continue
            if json:
                print_json(plain(change))
            else:
                out.print(_line(change), soft_wrap=True)

    with_monitor(config, work, json=json, endless=True)


async def _is_seen_in(client: MonitorClient, change: pb.WatchIssuesResponse, service: str) -> bool:
    """Whether an issue was seen in a service; of what is notable by its last events too, whose services are counted later."""
    if service in change.issue.services:
        return True
    if change.change not in NOTABLE:
        return False
    looked_at = 0
    with contextlib.suppress(NotFoundError):  # it was removed meanwhile
        async for event in client.events(change.issue.issue_id, page_size=LAST_EVENTS):
            looked_at += 1
            if event.report.service == service:
                return True
            if looked_at == LAST_EVENTS:
                break
    return False


def issues_table(issues: list[pb.Issue]) -> FittedTable:
    """Issues, one a row."""
    table = FittedTable(
        Column("Issue"),
        Column("State", drop=3),
        Column("Severity", drop=2),
        Column("Events", right=True),
        Column("Users", right=True, drop=4),
        Column("Last seen", right=True, drop=1),
        Column("24 hours", drop=5),
        Column("What", least=32, fold=True),
    )
    for issue in issues:
        table.add_row(
            escape(issue.short_id),
            styled_state(issue),
            styled_severity(issue.severity),
            f"{issue.events:,}",
            f"{issue.users:,}" if issue.users else "[dim]–[/]",
            ago(issue.last_seen_time),
            f"{sparkline([float(count) for count in issue.trend.hours])} {TRENDS.get(issue.trend.direction, '')}".rstrip(),
            f"{escape(issue.title)}{f' [dim]in {escape(issue.culprit)}[/]' if issue.culprit else ''}",
        )
    return table


def _line(change: pb.WatchIssuesResponse) -> str:
    issue = change.issue
    at = issue.last_seen_time.ToDatetime(UTC).astimezone()
    what = CHANGES.get(change.change, "")
    where = f" [dim]in {escape(issue.culprit)}[/]" if issue.culprit else ""
    many = f" [dim]{issue.events:,} events[/]" if issue.events > 1 else ""
    return f"[dim]{at:%H:%M:%S}[/]  {what:<9}  [bold]{escape(issue.short_id)}[/]  {escape(issue.title)}{where}{many}"


def styled_state(issue: pb.Issue) -> str:
    """The state of an issue, and who looks after it."""
    style = STATE_STYLES.get(issue.state, "")
    who = f" [dim]({escape(issue.assignee)})[/]" if issue.assignee else ""
    return f"[{style}]{word(pb.IssueState.Name(issue.state), 'ISSUE_STATE')}[/]{who}" if style else f"–{who}"


def styled_severity(severity: pb.Severity.ValueType) -> str:
    """How grave, in its colour."""
    text, style = word(pb.Severity.Name(severity), "SEVERITY"), SEVERITY_STYLES.get(severity, "dim")
    return f"[{style}]{text}[/]"


def word(name: str, prefix: str) -> str:
    """The name of a value of an enum, for people."""
    return name.removeprefix(f"{prefix}_").lower().replace("_", " ")


def category_of(text: str) -> pb.ErrorCategory.ValueType:
    """A category as a user types it. BadParameter."""
    try:
        return pb.ErrorCategory.Value(f"ERROR_CATEGORY_{text.upper().replace('-', '_')}")
    except ValueError:
        known = ", ".join(word(name, "ERROR_CATEGORY").replace(" ", "-") for name in pb.ErrorCategory.keys()[1:])
        raise typer.BadParameter(f"{text!r} is none of: {known}", param_hint="--category") from None


def ago(time: Timestamp, now: datetime | None = None) -> str:
    """How long ago, in one unit."""
    passed = (now or datetime.now(UTC)) - time.ToDatetime(UTC)
    for unit, span in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1))):
        if passed >= span:
            return f"{passed // span} {unit}"
    return f"{max(0, round(passed.total_seconds()))} s"
