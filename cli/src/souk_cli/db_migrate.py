"""`souk db migrate`: the schema of dbopt, and of the marketplace."""

import time
from typing import Annotated

import typer
from souk_common.migrations import Migration, pending
from souk_dbopt.adapters import schema

from souk_cli.connection import Json
from souk_cli.db_connection import Connection, Dsn, with_owner
from souk_cli.display import err, out, print_json, seconds
from souk_cli.visible import escape


def migrate(
    dsn: Dsn,
    without_shop: Annotated[
        bool, typer.Option("--without-shop", help="The shop has tables of its own: only what dbopt itself needs.")
    ] = False,
    service_role: Annotated[str, typer.Option(help="The role that dbopt comes as. Made where there is none.")] = "souk_service",
    explain_role: Annotated[
        str, typer.Option(help="The role that explains queries, and may only read. Made where there is none.")
    ] = "souk_explain",
    service_password: Annotated[
        str | None, typer.Option(envvar="SOUK_DB_SERVICE_PASSWORD", help="What that role is made with. Default: no password.")
    ] = None,
    explain_password: Annotated[str | None, typer.Option(envvar="SOUK_DB_EXPLAIN_PASSWORD", help="The same of the other.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be applied.")] = False,
    json: Json = False,
) -> None:
    """Bring the schema of a database up to date. Can be run again at any time, also by several at once."""
    try:
        roles = schema.Roles(service_role, explain_role, service_password, explain_password)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    components = [schema.SOUK] if without_shop else schema.COMPONENTS

    async def work(connection: Connection) -> None:
        if dry_run:
            steps = await pending(connection, schema.all_migrations(components))
            show_steps([str(each) for each in steps], json=json, dry_run=True)
            return
        began = time.monotonic()

        def tell(step: Migration) -> None:
            err.print(f"  {escape(str(step))}", highlight=False)

        applied = await schema.migrate(connection, roles=roles, components=components, on_step=tell)
        show_steps([str(each) for each in applied], json=json, took=time.monotonic() - began)

    with_owner(dsn, work, json=json)


def show_steps(steps: list[str], *, json: bool, dry_run: bool = False, took: float = 0.0) -> None:
    """Say what was applied, or would be. took: seconds."""
    if json:
        print_json({"pending" if dry_run else "applied": steps})
    elif not steps:
        out.print("The schema is up to date.")
    elif dry_run:
        out.print(f"{len(steps)} to apply:")
        for step in steps:
            out.print(f"  {escape(step)}", highlight=False)
    else:
        out.print(f"[green]✓[/] {len(steps)} applied in {seconds(took)}.")
