"""`souk monitor …`: its schema, and the projects and keys that errors are reported with."""

import time
from typing import Annotated, TypeAlias

import typer
from souk.client import ClientConfig, MonitorClient
from souk.monitor.v1 import project_pb2 as pb
from souk_common.migrations import Migration, pending
from souk_monitor.adapters import schema

from souk_cli.connection import MONITOR, Json, connected, with_monitor
from souk_cli.db_connection import Connection, Dsn, with_owner
from souk_cli.db_migrate import show_steps
from souk_cli.display import err, out, plain, print_json
from souk_cli.errors_list import ago
from souk_cli.tables import Column, FittedTable
from souk_cli.visible import escape

Name: TypeAlias = Annotated[str, typer.Argument(metavar="PROJECT", help="Its name.", show_default=False)]


def migrate(
    dsn: Dsn,
    role: Annotated[str, typer.Option(help="The role that monitor comes as. Made where there is none.")] = "souk_monitor",
    password: Annotated[
        str | None, typer.Option(envvar="SOUK_DB_MONITOR_PASSWORD", help="What that role is made with. Default: no password.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be applied.")] = False,
    json: Json = False,
) -> None:
    """Bring the schema of monitor's database up to date. Can be run again at any time, also by several at once."""
    try:
        chosen = schema.Role(role, password)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    async def work(connection: Connection) -> None:
        if dry_run:
            show_steps([str(each) for each in await pending(connection, schema.all_migrations())], json=json, dry_run=True)
            return
        began = time.monotonic()

        def tell(step: Migration) -> None:
            err.print(f"  {escape(str(step))}", highlight=False)

        applied = await schema.migrate(connection, role=chosen, on_step=tell)
        show_steps([str(each) for each in applied], json=json, took=time.monotonic() - began)

    with_owner(dsn, work, json=json)


@connected(MONITOR)
def list_projects(
    config: ClientConfig,
    json: Json = False,
) -> None:
    """Show the projects that errors are reported to."""

    async def work(client: MonitorClient) -> None:
        found = [project async for project in client.projects()]
        if json:
            print_json([plain(project) for project in found])
        else:
            out.print(projects_table(found))

    with_monitor(config, work, json=json)


@connected(MONITOR)
def disable_project(
    config: ClientConfig,
    name: Name,
    json: Json = False,
) -> None:
    """Take no more reports of a project; what it has stays."""

    async def work(client: MonitorClient) -> None:
        tell(await client.update_project(name, disabled=True), json=json)

    with_monitor(config, work, json=json, about=name)


@connected(MONITOR)
def enable_project(
    config: ClientConfig,
    name: Name,
    json: Json = False,
) -> None:
    """Take reports of a project again."""

    async def work(client: MonitorClient) -> None:
        tell(await client.update_project(name, disabled=False), json=json)

    with_monitor(config, work, json=json, about=name)


@connected(MONITOR)
def list_keys(
    config: ClientConfig,
    name: Name,
    json: Json = False,
) -> None:
    """Show the keys of a project, with what Sentry's SDKs are told."""

    async def work(client: MonitorClient) -> None:
        _tell_keys(list((await client.get_project(name)).keys), json=json)

    with_monitor(config, work, json=json, about=name)


@connected(MONITOR)
def create_key(
    config: ClientConfig,
    name: Name,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    json: Json = False,
) -> None:
    """Make one more key; those there are stay."""

    async def work(client: MonitorClient) -> None:
        _tell_keys([await client.create_project_key(name, label)], json=json)

    with_monitor(config, work, json=json, about=name)


@connected(MONITOR)
def revoke_key(
    config: ClientConfig,
    name: Name,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The public key.", show_default=False)],
    json: Json = False,
) -> None:
    """End a key: no report is taken with it any more."""

    async def work(client: MonitorClient) -> None:
        _tell_keys([await client.revoke_project_key(name, key)], json=json)

    with_monitor(config, work, json=json, about=name)


def tell(project: pb.Project, *, json: bool) -> None:
    """Show a project."""
    if json:
        print_json(plain(project))
    else:
        out.print(projects_table([project]))


def projects_table(projects: list[pb.Project]) -> FittedTable:
    """Projects, one a row."""
    table = FittedTable(
        Column("Project"),
        Column("Number", right=True, drop=2),
        Column("Takes reports", drop=1),
        Column("Keys", right=True, drop=3),
        Column("DSN", fold=True, least=32),
    )
    for project in projects:
        keys = [key for key in project.keys if not key.HasField("revoke_time")]
        takes = "[yellow]no[/]" if project.disabled else "yes"
        if not project.disabled and project.HasField("new_issues_resume_time"):
            takes = f"[yellow]yes, no new issues until {project.new_issues_resume_time.ToDatetime():%H:%M} UTC[/]"
        dsn = escape(keys[0].dsn) if keys else ""
        table.add_row(project.name, str(project.number), takes, str(len(keys)), dsn or "[dim]SOUK_MONITOR_PUBLIC_URL is not set[/]")
    return table


def _tell_keys(keys: list[pb.ProjectKey], *, json: bool) -> None:
    if json:
        print_json([plain(key) for key in keys])
        return
    out.print(keys_table(keys))


def keys_table(keys: list[pb.ProjectKey]) -> FittedTable:
    """Keys, one a row."""
    table = FittedTable(
        Column("Key"),
        Column("Label", least=12, drop=1),
        Column("Made", drop=2),
        Column("State"),
        Column("DSN", fold=True, least=24),
    )
    for key in keys:
        state = "[dim]revoked[/]" if key.HasField("revoke_time") else "[green]holds[/]"
        table.add_row(key.public_key, escape(key.label), f"{ago(key.create_time)} ago", state, escape(key.dsn))
    return table
