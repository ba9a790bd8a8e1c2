"""`souk errors show` and `souk errors explain`: all of one issue, and why an event is in it."""

import re
from collections.abc import Iterator
from datetime import UTC
from typing import Annotated, TypeAlias

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode
from rich.tree import Tree
from souk.client import ClientConfig, MonitorClient, NotFoundError
from souk.monitor.v1 import error_pb2 as pb

from souk_cli import error_stack
from souk_cli.connection import MONITOR, Json, connected, with_monitor
from souk_cli.db_insight import sparkline
from souk_cli.display import out, plain, print_json
from souk_cli.error_facts import facts
from souk_cli.errors_events import title_of, user_of
from souk_cli.errors_list import TRENDS, ago, styled_severity, styled_state, word
from souk_cli.visible import escape

ACTIVITY = 5
"""What was done last, as much of it as is shown."""
OF_TRACE = 10
"""Other events of the trace that are shown."""
Named: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="ISSUE|ID", help="An issue, as SHOP-12; or the id of an event, a trace or an error.", show_default=False
    ),
]
OfProject: TypeAlias = Annotated[
    str, typer.Option("--project", help="Of this project: an id may be in several. Default: the newest event that has it.")
]
_ID = re.compile(r"[0-9a-f]{32}")
"""Of an event or a trace."""
_ERROR_ID = re.compile(r"[0-9a-f]{16}")
"""Of a Souk service."""


@connected(MONITOR)
def show(
    config: ClientConfig,
    named: Named,
    event: Annotated[str, typer.Option(help="With this event, not the newest.")] = "",
    project: OfProject = "",
    all_frames: Annotated[bool, typer.Option("--all-frames", help="Every call of libraries too.")] = False,
    json: Json = False,
) -> None:
    """Show one issue: what it is, what may help, its stack, whom it befalls, and what was done with it."""

    async def work(client: MonitorClient) -> None:
        of_id = await _event_of(client, named.lower(), project)
        found = await _issue(client, of_id.issue_id if of_id is not None else named, project)
        if event:
            of_id = (await client.get_event(event, project=found.issue.project)).event
        if of_id is not None:
            found.latest_event.CopyFrom(of_id)
        if json:
            print_json(plain(found))
            return
        for line in (*lines(found, all_frames=all_frames), *await _of_trace(client, found.latest_event)):
            out.print(line, soft_wrap=True)

    with_monitor(config, work, json=json, about=named)


async def _issue(client: MonitorClient, named: str, project: str) -> pb.GetIssueResponse:
    """All of an issue, of a project where one is said. NotFoundError."""
    found = await client.get_issue(named)
    if project not in ("", found.issue.project):
        text = f"{named} is of the project {found.issue.project}"
        raise NotFoundError(text, code=StatusCode.NOT_FOUND, reason="ISSUE_UNKNOWN")
    return found


async def _event_of(client: MonitorClient, text: str, project: str) -> pb.ErrorEvent | None:
    """The newest event that an id names, of a project where one is said: its own, an error_id, or that of a trace.

    None: it may name an issue. NotFoundError.
    """
    is_id = _ID.fullmatch(text)
    if not (is_id or _ERROR_ID.fullmatch(text)):
        return None
    size = 0 if project else 1
    found = [client.events(event_id=text, page_size=size), client.events(trace_id=text, page_size=size)] if is_id else []
    for events in (*found, client.events(error_id=text, page_size=size)):
        async for event in events:
            if project in ("", event.project):
                return event
    if text.isdecimal() and not is_id:
        return None
    of_project = f" of the project {project}" if project else ""
    raise NotFoundError(f"no event{of_project} is kept that {text} is the id of", code=StatusCode.NOT_FOUND, reason="EVENT_UNKNOWN")


async def _of_trace(client: MonitorClient, shown: pb.ErrorEvent) -> list[str]:
    """What else went wrong in the trace of an event, in whatever service, the newest first."""
    report = shown.report
    if not report.trace_id:
        return []
    others: list[str] = []
    async for event in client.events(trace_id=report.trace_id, page_size=OF_TRACE + 1):
        if event.report.event_id != report.event_id:
            at = f"{_when(event.report.time)}  {escape(event.report.service or 'a service without a name')}"
            others.append(f"  {at}  {escape(title_of(event.report))}  [dim]event[/] {escape(event.report.event_id)}")
        if len(others) == OF_TRACE:
            break
    return ["\n[bold]In the same trace[/]", *others] if others else []


@connected(MONITOR)
def explain(
    config: ClientConfig,
    named: Named,
    project: OfProject = "",
    json: Json = False,
) -> None:
    """Show why an event is in its issue: what it is grouped by, and what was left out."""

    async def work(client: MonitorClient) -> None:
        event = await _event_of(client, named.lower(), project)
        if event is None:
            event = (await _issue(client, named, project)).latest_event
        if not event.report.event_id:
            raise NotFoundError("none of its events is kept any more", code=StatusCode.NOT_FOUND, reason="EVENT_UNKNOWN")
        explained = await client.explain_grouping(event.report.event_id, project=event.project)
        if json:
            print_json(plain(explained))
            return
        out.print(
            f"Grouped by its [bold]{escape(explained.method)}[/]: {explained.fingerprint} (rules of version {explained.version})"
        )
        root = Tree(_component(explained.component), guide_style="dim")
        _grow(root, explained.component)
        out.print(root)

    with_monitor(config, work, json=json, about=named)


def _grow(tree: Tree, component: pb.GroupingComponent) -> None:
    for child in component.children:
        _grow(tree.add(_component(child)), child)


def _component(component: pb.GroupingComponent) -> str:
    mark, style = ("[green]✓[/]", "") if component.contributes else ("[dim]·[/]", "dim")
    value = escape(component.value)
    was = f" [dim]← {escape(component.original)}[/]" if component.original else ""
    why = f"  [dim]{escape(component.reason)}[/]" if component.reason else ""
    return f"{mark} {escape(component.kind)} {f'[{style}]{value}[/]' if style and value else value}{was}{why}"


def lines(found: pb.GetIssueResponse, *, all_frames: bool) -> Iterator[str]:
    """Lines of markup."""
    issue, event = found.issue, found.latest_event
    yield f"[bold]{escape(issue.short_id)}[/]  {escape(issue.title)}"
    category = word(pb.ErrorCategory.Name(issue.category), "ERROR_CATEGORY") if issue.category else ""
    parts = [styled_state(issue), styled_severity(issue.severity), category, escape(issue.culprit)]
    yield f"  {' · '.join(part for part in parts if part)}"
    users = f", {issue.users:,} users" if issue.users else ""
    seen = f"first {ago(issue.first_seen_time)} ago, last {ago(issue.last_seen_time)} ago"
    yield f"  {issue.events:,} events{users}; {seen}{_releases(issue)}"
    yield f"  24 hours  {sparkline([float(hour.events) for hour in found.hours])}│ {TRENDS.get(issue.trend.direction, '')}".rstrip()
    yield f"  30 days   {sparkline([float(day.events) for day in found.days])}│"
    for name, values in (("services", issue.services), ("environments", issue.environments)):
        if values:
            yield f"  {name}: {escape(', '.join(values))}"
    if issue.suggested_fix.text:
        yield f"\n[green]→[/] {escape(issue.suggested_fix.text)} [dim]({escape(issue.suggested_fix.rule)})[/]"
    if event.report.event_id:
        yield ""
        yield from _event(event, all_frames=all_frames)
    for tag in found.tags:
        counted = ", ".join(f"{value.name} ({value.events:,})" for value in tag.values[:5])
        yield f"  [cyan]{escape(tag.name)}[/]: {escape(counted)}"
    if found.activity:
        yield ""
    for activity in found.activity[:ACTIVITY]:
        text = f": {escape(activity.text)}" if activity.text else ""
        yield f"[dim]{_when(activity.time)}[/]  {escape(activity.kind)} by {escape(_who(activity))}{text}"
    yield f"\n[dim]{len(found.fingerprints)} fingerprints; `souk errors explain {issue.short_id}` says what it is grouped by[/]"


def _releases(issue: pb.Issue) -> str:
    if not issue.first_release:
        return ""
    between = "" if issue.first_release == issue.last_release else f" to {issue.last_release}"
    return f"; in {escape(issue.first_release + between)}"


def _event(event: pb.ErrorEvent, *, all_frames: bool) -> Iterator[str]:
    report = event.report
    if report.message and not report.exceptions:
        yield f"[bold]{escape(report.message)}[/]"
    yield from error_stack.draw(report, all_frames=all_frames)
    facts = {
        "event": report.event_id,
        "time": _when(report.time),
        "by": event.source,
        "service": report.service,
        "release": report.release,
        "dist": report.dist,
        "transaction": report.transaction,
        "logger": report.logger,
        "user": _user(report),
        "trace": report.trace_id,
        "error_id": report.error_id,
    }
    yield ""
    yield "  ".join(f"[dim]{name}[/] {escape(value)}" for name, value in facts.items() if value)
    if event.scrubbed_fields:
        yield f"[dim]taken out before it was stored: {escape(', '.join(event.scrubbed_fields))}[/]"


def _user(report: pb.ErrorReport) -> str:
    known = (f"{name} {value}" for name, value in facts(report.user.extra))
    return ", ".join(filter(None, (user_of(report), *known)))


def _when(time: Timestamp) -> str:
    return f"{time.ToDatetime(UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def _who(activity: pb.IssueActivity) -> str:
    """Who did it: where auth is off, and nobody said who, somebody; of what monitor does by itself, monitor."""
    by_itself = activity.kind in ("regressed", "escalated") or (activity.kind == "reopened" and activity.text)
    return activity.actor or ("monitor" if by_itself else "somebody")
