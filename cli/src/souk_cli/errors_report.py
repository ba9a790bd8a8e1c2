"""`souk errors report`: an error from a script, a job or by hand."""

import socket
import sys
from pathlib import Path
from typing import Annotated

import typer
from souk.client import ClientConfig, MonitorClient, accepted
from souk.monitor.v1 import error_pb2 as pb

from souk_cli.connection import MONITOR, Json, connected, with_monitor
from souk_cli.display import out, plain, print_json
from souk_cli.errors_list import Severity
from souk_cli.visible import escape


@connected(MONITOR)
def report(
    config: ClientConfig,
    message: Annotated[str, typer.Argument(help="What happened.", show_default=False)] = "",
    kind: Annotated[str, typer.Option("--type", help="The type of an exception, as PaymentError.")] = "",
    stack: Annotated[
        Path | None, typer.Option(help="File with a stack as a language prints it; - for the input.", show_default=False)
    ] = None,
    platform: Annotated[str, typer.Option(help="The language, as python. Default: found from the stack.")] = "",
    severity: Annotated[Severity, typer.Option(help="How grave.")] = Severity.error,
    service: Annotated[str, typer.Option(help="The service that it happened in.")] = "",
    release: Annotated[str, typer.Option(help="Its version.")] = "",
    environment: Annotated[str, typer.Option(help="Its environment, as production.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="NAME:VALUE to find it by; may be given several times.")] = None,
    user: Annotated[str, typer.Option(help="The id of the user whom it befell.")] = "",
    project: Annotated[str, typer.Option(help="The project. Default: the service's.")] = "",
    json: Json = False,
) -> None:
    """Report an error: a message, an exception, or a stack as it was printed."""
    if not (message or kind or stack):
        raise typer.BadParameter("give a message, --type, or --stack")
    made = pb.ErrorReport(
        severity=severity.asked,
        platform=platform,
        service=service,
        release=release,
        environment=environment,
        server_name=socket.gethostname(),
        tags=_tags(tag or []),
        user=pb.ReportedUser(id=user) if user else None,
    )
    if kind or stack:
        made.exceptions.add(type=kind, value=message, stack_text=_text(stack) if stack else "")
    else:
        made.message = message

    async def work(client: MonitorClient) -> None:
        (result,) = await client.report_all([made], project=project)
        stored = accepted(result)
        if json:
            print_json(plain(stored))
            return
        issue = (await client.get_issue(stored.issue_id)).issue
        what = "a new issue" if stored.new_issue else f"{issue.events:,} events so far"
        out.print(f"{escape(issue.short_id)} ({what}): {escape(issue.title)}", soft_wrap=True)

    with_monitor(config, work, json=json)


def _tags(texts: list[str]) -> dict[str, str]:
    tags = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not (name and colon):
            raise typer.BadParameter(f"{text!r} is not NAME:VALUE", param_hint="--tag")
        tags[name] = value
    return tags


def _text(stack: Path) -> str:
    try:
        return sys.stdin.read() if str(stack) == "-" else stack.read_text(errors="replace")
    except OSError as error:
        raise typer.BadParameter(f"{stack}: {error.strerror}", param_hint="--stack") from None
