"""`souk db pool`: the servers that dbopt runs queries on, and its connections to them."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration
from rich.console import Group
from rich.live import Live
from souk.client import ClientConfig, DbClient
from souk.dbopt.v1 import query_pb2 as pb

from souk_cli.connection import DBOPT, Json, connected, with_db
from souk_cli.display import out, plain, print_json, seconds, size
from souk_cli.tables import Column, FittedTable
from souk_cli.visible import escape

REFRESH = 1.0
"""Seconds between two looks of `--watch`."""
ROLES = {pb.ROLE_PRIMARY: "primary", pb.ROLE_REPLICA: "replica", pb.ROLE_UNSPECIFIED: "?"}


@connected(DBOPT)
def pool(
    config: ClientConfig,
    watch: Annotated[bool, typer.Option("--watch", help="Look every second, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Show the servers of the database with their lag, and the connections of each class of queries.

    Exits with 1 where there is no primary.
    """

    async def work(client: DbClient) -> None:
        servers = await client.pool_status()
        if watch:
            with Live(console=out, auto_refresh=False) as live:
                while True:
                    live.update(tables(servers), refresh=True)
                    await asyncio.sleep(REFRESH)
                    servers = await client.pool_status()
        if json:
            print_json([plain(server) for server in servers])
        else:
            out.print(tables(servers))
        if not any(server.available and server.role == pb.ROLE_PRIMARY for server in servers):
            raise typer.Exit(1)

    with_db(config, work, json=json, endless=watch)


def tables(servers: Sequence[pb.Server]) -> Group:
    """A table of the servers, and one of their connections."""
    listed = FittedTable(
        Column("Server"),
        Column("Role"),
        Column("PostgreSQL", drop=2),
        Column("Behind", drop=1),
        Column("Problem", least=24, fold=True),
    )
    for server in servers:
        state = "[green]●[/]" if server.available else "[red]●[/]"
        behind = f"{seconds(_seconds(server.lag))}, {size(server.lag_bytes)}" if server.HasField("lag") else "–"
        version = server.version + (" behind PgBouncer" if server.pgbouncer else "")
        listed.add_row(f"{state} {escape(server.address)}", ROLES[server.role], version or "?", behind, escape(server.problem))
    connections = FittedTable(
        Column("Class"),
        Column("Server"),
        Column("In use", right=True),
        Column("Open", right=True, drop=4),
        Column("Most", right=True, drop=1),
        Column("Waiting", right=True),
        Column("Acquired", right=True, drop=6),
        Column("Waited", right=True, drop=5),
        Column("p99", right=True, drop=3),
        Column("Refused", right=True, drop=2),
        Column("Lost", right=True, drop=7),
    )
    for server in servers:
        for each in server.pools:
            full = each.in_use >= each.size or each.waiting
            connections.add_row(
                f"[yellow]{each.query_class}[/]" if full else each.query_class,
                escape(server.address),
                *(f"{number:,}" for number in (each.in_use, each.open, each.size, each.waiting, each.acquired, each.waited)),
                seconds(_seconds(each.wait_p99)) if each.waited else "–",
                f"{each.refused + each.timed_out:,}",
                f"{each.lost:,}",
            )
    return Group(listed, "", connections)


def _seconds(span: Duration) -> float:
    return span.ToTimedelta().total_seconds()
