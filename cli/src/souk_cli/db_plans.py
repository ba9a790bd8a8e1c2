"""`souk db findings` and `souk db changes`: what is wrong with plans that were seen, and when they changed."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer
from souk.client import ClientConfig, DbClient
from souk.dbopt.v1 import insight_pb2 as pb

from souk_cli.connection import DBOPT, Json, connected, with_db
from souk_cli.db_insight import NAME_WIDTH, bar, fingerprint_of, since_time
from souk_cli.display import out, plain, print_json
from souk_cli.plan_tree import draw_both, milliseconds
from souk_cli.tables import Column, FittedTable
from souk_cli.visible import escape

SEVERITIES = {pb.FINDING_SEVERITY_HIGH: "[red]high[/]", pb.FINDING_SEVERITY_MEDIUM: "[yellow]medium[/]"}
OUTCOMES = {
    pb.PLAN_CHANGE_OUTCOME_PENDING: "[dim]not known yet[/]",
    pb.PLAN_CHANGE_OUTCOME_SLOWER: "[red]slower[/]",
    pb.PLAN_CHANGE_OUTCOME_FASTER: "[green]faster[/]",
    pb.PLAN_CHANGE_OUTCOME_SAME: "as before",
    pb.PLAN_CHANGE_OUTCOME_UNDECIDED: "[dim]too few calls[/]",
}


class Severity(StrEnum):
    """The least that a finding must be."""

    low = "low"
    medium = "medium"
    high = "high"

    @property
    def asked(self) -> pb.FindingSeverity.ValueType:
        """As the service is asked."""
        return pb.FindingSeverity.Value(f"FINDING_SEVERITY_{self.name.upper()}")


@connected(DBOPT)
def findings(
    config: ClientConfig,
    fingerprint: Annotated[str, typer.Argument(metavar="[FINGERPRINT]", help="Only of this query, as product.get@1.")] = "",
    rule: Annotated[str, typer.Option(help="Only of this rule, as SEQ_SCAN_DISCARDS_ROWS.")] = "",
    severity: Annotated[Severity, typer.Option(help="Only those that are as bad, or worse.")] = Severity.low,
    since: Annotated[str, typer.Option(help="Only those seen since: 90m, 6h, 7d, or a time.")] = "",
    closed: Annotated[bool, typer.Option("--closed", help="Those too that newer plans do not show any more.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many at the most.")] = 20,
    json: Json = False,
) -> None:
    """Show what is wrong with the plans of the queries that take the database's time, the dearest first."""
    begin = since_time(since) if since else None

    async def work(client: DbClient) -> None:
        found: list[pb.PlanFinding] = []
        wanted = client.plan_findings(
            fingerprint=await fingerprint_of(client, fingerprint),
            rule=rule,
            min_severity=severity.asked,
            since=begin,
            open_only=not closed,
            page_size=min(limit, 200),
        )
        async for each in wanted:
            found.append(each)
            if len(found) == limit:
                break
        if json:
            print_json([plain(each) for each in found])
            return
        if not found:
            out.print("[green]✓[/] Nothing was found.")
        for each in found:
            _show_finding(each)

    with_db(config, work, json=json, about=fingerprint)


@connected(DBOPT)
def changes(
    config: ClientConfig,
    fingerprint: Annotated[str, typer.Argument(metavar="[FINGERPRINT]", help="Only of this query, as product.get@1.")] = "",
    regressions: Annotated[bool, typer.Option("--regressions", "-r", help="Only those that made it slower.")] = False,
    since: Annotated[str, typer.Option(help="Only those noticed since: 90m, 6h, 7d, or a time.")] = "",
    plans: Annotated[bool, typer.Option("--plans", "-p", help="With both plans of each, and what differs marked.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many at the most.")] = 20,
    json: Json = False,
) -> None:
    """Show which queries got another plan, or take longer with the same, and what made them: the newest first."""
    begin = since_time(since) if since else None

    async def work(client: DbClient) -> None:
        found: list[pb.PlanChange] = []
        wanted = client.plan_changes(
            fingerprint=await fingerprint_of(client, fingerprint),
            regressions_only=regressions,
            since=begin,
            with_plans=plans,
            page_size=min(limit, 200),
        )
        async for each in wanted:
            found.append(each)
            if len(found) == limit:
                break
        if json:
            print_json([plain(each) for each in found])
        elif not found:
            out.print("[green]✓[/] No plan has changed.")
        elif plans:
            for each in found:
                _show_change(each)
        else:
            out.print(changes_table(found))

    with_db(config, work, json=json, about=fingerprint)


def _show_finding(finding: pb.PlanFinding) -> None:
    severity = SEVERITIES.get(finding.severity, "low")
    closed = "  [dim]closed[/]" if finding.HasField("closed_time") else ""
    share = f"[cyan]{bar(finding.database_share)}[/] {finding.database_share:.1%}"
    out.print(f"{share}  {severity}  [bold]{escape(finding.fingerprint)}[/]  {finding.rule}{closed}")
    out.print(f"  {escape(finding.message)}")
    out.print(f"  [dim]→[/] {escape(finding.fix)}")
    if finding.fix_sql:
        out.print(f"    [cyan]{escape(finding.fix_sql)}[/]")


def changes_table(found: Sequence[pb.PlanChange]) -> FittedTable:
    """Changes of plans, one a row."""
    table = FittedTable(
        Column("Query", least=NAME_WIDTH),
        Column("When", drop=2),
        Column("Outcome"),
        Column("Median", drop=3),
        Column("What changed", least=24, fold=True),
        Column("Why", least=24, fold=True, drop=1),
    )
    for each in found:
        at = each.time.ToDatetime().astimezone()
        table.add_row(
            escape(each.fingerprint), f"{at:%m-%d %H:%M}", _outcome(each), _medians(each), escape(each.message), escape(_why(each))
        )
    return table


def _show_change(change: pb.PlanChange) -> None:
    out.print(f"[bold]{escape(change.fingerprint)}[/]  {_outcome(change)}  {_medians(change)}")
    out.print(f"  {escape(change.message)}")
    out.print(f"  [dim]because:[/] {escape(_why(change))}")
    if change.fix_sql:
        out.print(f"    [cyan]{escape(change.fix_sql)}[/]")
    out.print(draw_both(change.old_plan, change.new_plan))


def _outcome(change: pb.PlanChange) -> str:
    shown = OUTCOMES.get(change.outcome, "")
    return f"{shown} ×{change.ratio:.1f}" if change.outcome == pb.PLAN_CHANGE_OUTCOME_SLOWER else shown


def _medians(change: pb.PlanChange) -> str:
    if not change.HasField("old_median_time") or not change.HasField("new_median_time"):
        return "[dim]–[/]"
    return f"{milliseconds(change.old_median_time)} → {milliseconds(change.new_median_time)}"


def _why(change: pb.PlanChange) -> str:
    return change.cause_message or "nothing was found that did it"
