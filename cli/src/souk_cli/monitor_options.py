"""`souk monitor projects create` and `set`: what a project takes and keeps."""

from typing import Annotated, Any, TypeAlias

import typer
from google.protobuf.duration_pb2 import Duration
from rich.table import Table
from souk.client import ClientConfig, MonitorClient
from souk.monitor.v1 import project_pb2 as pb

from souk_cli.connection import MONITOR, Json, connected, with_monitor
from souk_cli.display import out, plain, print_json
from souk_cli.errors_change import span_of
from souk_cli.monitor import Name, tell
from souk_cli.visible import escape

Events: TypeAlias = Annotated[int | None, typer.Option(min=0, help="What is over it is turned away. 0: no limit.")]
NewIssues: TypeAlias = Annotated[
    int | None, typer.Option(min=0, help="Events of more are counted in one issue. 0: as many as monitor is set to.")
]
InApp: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="Module or path of the application, with - before it of a library; several times.")
]
SensitiveFields: TypeAlias = Annotated[
    list[str] | None, typer.Option("--sensitive-field", help="A field whose values are never stored; several times.")
]
KeepEmails: TypeAlias = Annotated[bool | None, typer.Option(help="Store e-mail addresses.")]
KeepAddresses: TypeAlias = Annotated[bool | None, typer.Option(help="Store addresses in the network.")]
Retention: TypeAlias = Annotated[str | None, typer.Option(help="How long bodies of events are kept, as 14d.")]
Origins: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--allowed-origin", help="A site whose browsers may report, as https://shop.example; several times."),
]
DefaultService: TypeAlias = Annotated[str | None, typer.Option(help="The service of events that name none.")]


@connected(MONITOR)
def create_project(
    config: ClientConfig,
    name: Name,
    events_per_minute: Events = None,
    new_issues_per_hour: NewIssues = None,
    in_app: InApp = None,
    sensitive_fields: SensitiveFields = None,
    keep_emails: KeepEmails = None,
    keep_ip_addresses: KeepAddresses = None,
    retention: Retention = None,
    allowed_origins: Origins = None,
    default_service: DefaultService = None,
    json: Json = False,
) -> None:
    """Make a project, with a key. What is not said is as new projects have it."""
    chosen = _chosen(
        events_per_minute=events_per_minute,
        new_issues_per_hour=new_issues_per_hour,
        in_app=in_app,
        sensitive_fields=sensitive_fields,
        keep_emails=keep_emails,
        keep_ip_addresses=keep_ip_addresses,
        retention=_span(retention),
        allowed_origins=allowed_origins,
        default_service=default_service,
    )

    async def work(client: MonitorClient) -> None:
        tell(await client.create_project(name, pb.ProjectOptions(**chosen)), json=json)

    with_monitor(config, work, json=json, about=name)


@connected(MONITOR)
def set_options(
    config: ClientConfig,
    name: Name,
    events_per_minute: Events = None,
    new_issues_per_hour: NewIssues = None,
    in_app: InApp = None,
    sensitive_fields: SensitiveFields = None,
    keep_emails: KeepEmails = None,
    keep_ip_addresses: KeepAddresses = None,
    retention: Retention = None,
    allowed_origins: Origins = None,
    default_service: DefaultService = None,
    reset: Annotated[
        list[str] | None, typer.Option(metavar="OPTION", help="One of these, as new projects have it; several times.")
    ] = None,
    json: Json = False,
) -> None:
    """Change options of a project, and show all. Those that are not named stay; one that may be given several times is replaced."""
    chosen = _chosen(
        events_per_minute=events_per_minute,
        new_issues_per_hour=new_issues_per_hour,
        in_app=in_app,
        sensitive_fields=sensitive_fields,
        keep_emails=keep_emails,
        keep_ip_addresses=keep_ip_addresses,
        retention=_span(retention),
        allowed_origins=allowed_origins,
        default_service=default_service,
    )
    again = {_option(each) for each in reset or ()}
    if both := sorted(chosen.keys() & again):
        raise typer.BadParameter(f"{', '.join(map(_typed, both))} cannot be set as well", param_hint="--reset")
    mask = [f"options.{option}" for option in sorted(chosen.keys() | again)]

    async def work(client: MonitorClient) -> None:
        options = pb.ProjectOptions(**chosen)
        project = await (client.update_project(name, options, update_mask=mask) if mask else client.get_project(name))
        if json:
            print_json(plain(project))
        else:
            out.print(_table(project.options))

    with_monitor(config, work, json=json, about=name)


def _chosen(**given: Any) -> dict[str, Any]:
    """The options that were said, by their names in the contract."""
    return {option: value for option, value in given.items() if value not in (None, [])}


def _span(text: str | None) -> Duration | None:
    if text is None:
        return None
    span = Duration()
    span.FromTimedelta(span_of(text, "--retention"))
    return span


def _typed(option: str) -> str:
    return option.replace("_", "-")


def _option(text: str) -> str:
    """The name of an option as a user types it, as in-app or sensitive-field. BadParameter."""
    name = text.removeprefix("--").replace("-", "_")
    known = pb.ProjectOptions.DESCRIPTOR.fields_by_name
    for each in (name, f"{name}s"):
        if each in known:
            return each
    raise typer.BadParameter(f"{text!r} is none of: {', '.join(map(_typed, known))}", param_hint="--reset")


def _table(options: pb.ProjectOptions) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    told = {field.name: value for field, value in options.ListFields()}
    for option in pb.ProjectOptions.DESCRIPTOR.fields_by_name:
        table.add_row(_typed(option), _told(told[option]) if option in told else "[dim]as new projects have it[/]")
    return table


def _told(value: Any) -> str:
    match value:
        case bool():
            return "yes"
        case int():
            return f"{value:,}"
        case str():
            return escape(value)
        case Duration():
            return f"{value.ToTimedelta().total_seconds() / 86_400:g} days"
    return escape(", ".join(value))
