"""`souk db explain`: how the database runs a query, where its time goes, and what is wrong with it."""

import json as jsonlib
import sys
from typing import Annotated, Any

import typer
from souk.client import ClientConfig, DbClient
from souk.dbopt.v1 import insight_pb2 as pb

from souk_cli.connection import DBOPT, Json, connected, with_db
from souk_cli.display import out, plain, print_json
from souk_cli.plan_tree import draw, milliseconds
from souk_cli.visible import escape


@connected(DBOPT)
def explain(
    config: ClientConfig,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A query of the catalogue, as product.get.")] = "",
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter of it; as JSON, or else a text.")
    ] = None,
    sql: Annotated[str, typer.Option("--sql", help="A SELECT instead, with $1, $2 … for --value; - reads it from the input.")] = "",
    value: Annotated[
        list[str] | None,
        typer.Option("--value", "-v", metavar="VALUE", help="A value of it, in their order; as JSON, or else a text."),
    ] = None,
    analyze: Annotated[bool, typer.Option("--analyze/--no-analyze", help="Run it, and tell what really happened.")] = True,
    generic: Annotated[bool, typer.Option("--generic", help="The plan for any values, instead of that for these.")] = False,
    json: Json = False,
) -> None:
    """Draw the plan of a query: where its time goes, where estimates are wrong, and what to do about it.

    Nothing is changed: it runs as a role that may only read, and is rolled back.
    """
    if bool(name) == bool(sql):
        raise typer.BadParameter("give the NAME of a query, or --sql")
    text = sys.stdin.read() if sql == "-" else sql
    parameters = dict(map(_parameter, param or ()))
    values = [_value(each) for each in value or ()]

    async def work(client: DbClient) -> None:
        explained = await client.explain(name, parameters, sql=text, values=values, analyze=analyze, generic=generic)
        if json:
            print_json(plain(explained))
        else:
            _show(explained, name or _first_line(text))

    with_db(config, work, json=json, about=name)


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text}: a parameter is NAME=VALUE")
    return name, _value(value)


def _value(text: str) -> Any:
    try:
        return jsonlib.loads(text)
    except jsonlib.JSONDecodeError:
        return text


def _first_line(sql: str) -> str:
    return sql.strip().splitlines()[0][:80] if sql.strip() else ""


def _show(explained: pb.ExplainQueryResponse, title: str) -> None:
    plan = explained.plan
    ran = f"ran in {milliseconds(plan.execution_time)}" if plan.HasField("execution_time") else "was not run"
    out.print(f"[bold]{escape(title)}[/]  {ran}, planned in {milliseconds(plan.planning_time)}  [dim]{plan.plan_fingerprint}[/]")
    out.print(draw(plan, whole=not out.is_terminal))
    if not explained.findings:
        out.print("[green]✓[/] The rules find nothing wrong with it.")
    for finding in explained.findings:
        _show_finding(finding)


def _show_finding(finding: pb.PlanFinding) -> None:
    weight = f"{100 * finding.weight:.0f} %" if finding.weight >= 0.005 else ""
    out.print(f"[yellow]![/] [bold]{finding.rule}[/] [dim]step {finding.node}[/] {weight}".rstrip())
    out.print(f"  {escape(finding.message)}")
    out.print(f"  [dim]→[/] {escape(finding.fix)}")
    if finding.fix_sql:
        out.print(f"    [cyan]{escape(finding.fix_sql)}[/]")
