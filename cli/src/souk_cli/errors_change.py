"""`souk errors resolve|acknowledge|ignore|reopen|assign|comment|merge|split`: what is to become of issues."""

import getpass
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeAlias

import typer
from souk.client import ClientConfig, MonitorClient
from souk.monitor.v1 import error_pb2 as pb

from souk_cli.connection import MONITOR, Json, connected, with_monitor
from souk_cli.db_insight import span_from, time_from
from souk_cli.display import out, plain, print_json
from souk_cli.errors_list import issues_table, styled_state
from souk_cli.visible import escape

Issues: TypeAlias = Annotated[list[str], typer.Argument(metavar="ISSUE…", help="As SHOP-12.", show_default=False)]
Comment: TypeAlias = Annotated[str, typer.Option("--comment", "-m", help="A remark that is kept with it.")]


@connected(MONITOR)
def acknowledge(
    config: ClientConfig,
    issues: Issues,
    comment: Comment = "",
    json: Json = False,
) -> None:
    """Say that somebody looks after issues."""

    async def change(client: MonitorClient, issue: str) -> pb.Issue:
        return await client.acknowledge(issue, comment=comment, actor=_me())

    _each(issues, change, config, json=json)


@connected(MONITOR)
def resolve(
    config: ClientConfig,
    issues: Issues,
    release: Annotated[str, typer.Option("--release", help="It is mended in this release: older ones may still have it.")] = "",
    next_release: Annotated[
        bool,
        typer.Option(
            "--next-release", help="It is mended in the next release: after the latest that the project knows of its package."
        ),
    ] = False,
    comment: Comment = "",
    json: Json = False,
) -> None:
    """Say that issues are mended; those that come again are regressed."""
    if release and next_release:
        raise typer.BadParameter("--release and --next-release exclude each other")

    async def change(client: MonitorClient, issue: str) -> pb.Issue:
        return await client.resolve(issue, in_release=release, in_next_release=next_release, comment=comment, actor=_me())

    _each(issues, change, config, json=json)


@connected(MONITOR)
def ignore(
    config: ClientConfig,
    issues: Issues,
    span: Annotated[str, typer.Option("--for", help="For so long: 90m, 6h, 7d; without any of these, for good.")] = "",
    day: Annotated[
        str,
        typer.Option(
            "--until", help="Until that day begins, in this machine's time zone, or a time: 2026-12-24, 2026-12-24T18:00Z."
        ),
    ] = "",
    events: Annotated[int, typer.Option("--events", min=0, help="Until so many more events have come.")] = 0,
    users: Annotated[int, typer.Option("--users", min=0, help="Until so many more users are affected.")] = 0,
    comment: Comment = "",
    json: Json = False,
) -> None:
    """Hear no more of issues, for a time or for good."""
    until = _until(span, day)

    async def change(client: MonitorClient, issue: str) -> pb.Issue:
        return await client.ignore(issue, until=until, until_events=events, until_users=users, comment=comment, actor=_me())

    _each(issues, change, config, json=json)


@connected(MONITOR)
def reopen(
    config: ClientConfig,
    issues: Issues,
    comment: Comment = "",
    json: Json = False,
) -> None:
    """Open issues again that were resolved or ignored."""

    async def change(client: MonitorClient, issue: str) -> pb.Issue:
        return await client.reopen(issue, comment=comment, actor=_me())

    _each(issues, change, config, json=json)


@connected(MONITOR)
def assign(
    config: ClientConfig,
    issues: Issues,
    to: Annotated[str, typer.Option("--to", help="Whom they are assigned to.")] = "",
    nobody: Annotated[bool, typer.Option("--nobody", help="Take them from all.")] = False,
    comment: Comment = "",
    json: Json = False,
) -> None:
    """Say who looks after issues."""
    if bool(to) == nobody:
        raise typer.BadParameter("give --to NAME, or --nobody")

    async def change(client: MonitorClient, issue: str) -> pb.Issue:
        return await client.update_issue(issue, assignee=to, comment=comment, actor=_me())

    _each(issues, change, config, json=json)


@connected(MONITOR)
def comment(
    config: ClientConfig,
    issues: Issues,
    text: Annotated[str, typer.Option("--comment", "-m", help="The remark.", show_default=False)],
    json: Json = False,
) -> None:
    """Leave a remark with issues, and change nothing else of them."""
    if not text.strip():
        raise typer.BadParameter("the remark is empty", param_hint="--comment")

    async def change(client: MonitorClient, issue: str) -> pb.Issue:
        return await client.update_issue(issue, comment=text, actor=_me())

    _each(issues, change, config, json=json)


@connected(MONITOR)
def merge(
    config: ClientConfig,
    issues: Issues,
    into: Annotated[str, typer.Option("--into", help="The one of them that stays. Default: the one seen first.")] = "",
    comment: Comment = "",
    json: Json = False,
) -> None:
    """Make one issue of several, now and for what comes later."""

    async def work(client: MonitorClient) -> None:
        _tell([await client.merge_issues(issues, into=into, comment=comment, actor=_me())], json=json)

    with_monitor(config, work, json=json)


@connected(MONITOR)
def split(
    config: ClientConfig,
    issue: Annotated[str, typer.Argument(metavar="ISSUE", help="As SHOP-12.", show_default=False)],
    fingerprints: Annotated[
        list[str] | None, typer.Argument(metavar="[FINGERPRINT…]", help="Those that leave. Without: they are listed.")
    ] = None,
    comment: Comment = "",
    json: Json = False,
) -> None:
    """Take fingerprints out of an issue into a new one, now and for what comes later."""
    if comment and not fingerprints:
        raise typer.BadParameter("a remark goes with the fingerprints that leave: name them", param_hint="--comment")

    async def work(client: MonitorClient) -> None:
        if fingerprints:
            parts = await client.split_issue(issue, fingerprints, comment=comment, actor=_me())
            _tell([parts.issue, parts.new_issue], json=json)
            return
        found = (await client.get_issue(issue)).fingerprints
        if json:
            print_json([plain(each) for each in found])
        for each in found if not json else ():
            out.print(f"{each.fingerprint}  {each.events:>7,} events  {escape(each.title)}", soft_wrap=True)

    with_monitor(config, work, json=json, about=issue)


@connected(MONITOR)
def erase_user(
    config: ClientConfig,
    user: Annotated[
        str, typer.Argument(metavar="USER", help="Id, e-mail address, name or address, as it was reported.", show_default=False)
    ],
    project: Annotated[str, typer.Option(help="Default: the service's.")] = "",
    json: Json = False,
) -> None:
    """Remove what is stored of a user, and wait until that is done; counts stay. Ctrl-C ends the waiting, not the removal."""

    async def work(client: MonitorClient) -> None:
        running = await client.erase_user(user, project=project)
        counts = await running.result()
        if json:
            print_json({"operation_id": running.operation_id, "bodies": counts.get("bodies", 0)})
        else:
            out.print(f"[green]✓[/] {counts.get('bodies', 0):,} events were rewritten without them.")

    with_monitor(config, work, json=json)


def _each(
    issues: list[str],
    change: Callable[[MonitorClient, str], Awaitable[pb.Issue]],
    config: ClientConfig,
    *,
    json: bool,
) -> None:
    async def work(client: MonitorClient) -> None:
        _tell([await change(client, issue) for issue in issues], json=json)

    with_monitor(config, work, json=json)


def _tell(issues: list[pb.Issue], *, json: bool) -> None:
    if json:
        print_json([plain(issue) for issue in issues])
    elif len(issues) == 1:
        out.print(f"{escape(issues[0].short_id)} is {styled_state(issues[0])}: {escape(issues[0].title)}", soft_wrap=True)
    else:
        out.print(issues_table(issues))


def _me() -> str:
    """Who does it, where auth is off and nobody is asked."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user whom the machine does not know by name
        return ""


def _until(span: str, day: str) -> timedelta | datetime | None:
    """How long something holds; None: for good. BadParameter."""
    if not day:
        return span_of(span, "--for") if span else None
    if span:
        raise typer.BadParameter("--for and --until exclude each other")
    time = time_from(day)
    if time is None:
        raise typer.BadParameter(f"{day!r} is no day and no time, as 2026-12-24 or 2026-12-24T18:00Z", param_hint="--until")
    if time <= datetime.now(UTC):
        raise typer.BadParameter(f"{time:%Y-%m-%d %H:%M %Z} is over: give a time to come", param_hint="--until")
    return time


def span_of(text: str, option: str) -> timedelta:
    """A span of time as a user types it. BadParameter."""
    span = span_from(text)
    if span is None:
        raise typer.BadParameter(f"{text!r} is no span of time, as 6h or 7d", param_hint=option)
    return span
