"""Rules about estimates that were wrong, and why they were."""

import re
from collections.abc import Iterator

from souk_dbopt.plan_rules.conditions import casts, compared, expressions
from souk_dbopt.plan_rules.findings import Facts, Finding, TableFacts, is_scan, number, of, quoted, sql_name
from souk_dbopt.plans import Plan, PlanNode

OFF = 10.0
"""Times that an estimate may be wrong."""
ROWS = 1_000
"""Rows that one of the two must be."""
STALE = 0.2
"""Of a table's rows, changed since its statistics were made."""
_PARAMETER = re.compile(r"\$[0-9]+")
_BLOCKING = frozenset({"Sort", "Hash", "Aggregate"})
_STOPS = frozenset({"Limit", "Merge Join"})
_JOINS = frozenset({"Nested Loop", "Hash Join", "Merge Join"})
_FUNCTIONS = frozenset({"Function Scan", "Table Function Scan", "ProjectSet"})
_UNTOLD = frozenset({"Aggregate", "Group", "Unique", "BitmapAnd", "BitmapOr", "ModifyTable"})
"""How many groups there are, no statistics tell, and it seldom decides anything; the others do not count their rows."""


def wrong(plan: Plan) -> list[PlanNode]:
    """Scans and joins whose rows were estimated wrong though those of the steps below them were not.

    What a function returns the planner cannot know: a wrong guess at it is not told, nor what follows from it.
    """
    stopped = frozenset(_stopped(plan.root, early=False))

    def is_wrong(node: PlanNode) -> bool:
        counts = node.was_run and node.type not in _UNTOLD
        told_all = more_came(node) or node.place not in stopped or node.type in _FUNCTIONS
        return counts and off(node) >= OFF and _large(node) and told_all

    suspects = {node.place for node in plan.nodes() if is_wrong(node)}
    return [
        node
        for node in plan.nodes()
        if (is_scan(node) or node.type in _JOINS)
        and node.place in suspects
        and not any(each.place in suspects for each in node.walk() if each is not node)
    ]


def off(node: PlanNode) -> float:
    """How many times the estimate is wrong, one way or the other."""
    actual, expected = max(1.0, node.actual_rows or 0.0), max(1.0, node.plan_rows)
    return max(actual / expected, expected / actual)


def more_came(node: PlanNode) -> bool:
    """Whether there were more rows than expected."""
    return (node.actual_rows or 0.0) > node.plan_rows


def _large(node: PlanNode) -> bool:
    return max(node.actual_rows or 0.0, node.plan_rows) * node.loops >= ROWS


def _stopped(node: PlanNode, *, early: bool) -> Iterator[str]:
    """Steps that may have been ended before they gave all their rows, so that fewer came for no fault of the estimate."""
    if early:
        yield node.place
    for child in node.children:
        ends = node.type in _STOPS or (early and node.type not in _BLOCKING)
        ends = ends or (child.role == "Inner" and node.type == "Nested Loop") or child.role in ("SubPlan", "InitPlan")
        ends = ends or node.join_type in ("Semi", "Anti") or (node.type == "Hash Join" and child.role == "Outer" and not node.rows)
        yield from _stopped(child, early=ends)


def misestimate(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """The planner expected many fewer or many more rows: whatever stands above was chosen for the wrong number."""
    parents = plan.parents()
    for node in wrong(plan):
        above = parents.get(node.place, node)
        fix, fix_sql = _advice(node)
        yield Finding(
            rule="MISESTIMATE",
            message=f"{_rows(node)}, {number(off(node))} times {'more' if more_came(node) else 'fewer'}",
            fix=fix,
            fix_sql=fix_sql,
            node=node.place,
            weight=above.whole_share / 2,
            evidence=_evidence(node),
        )


def _advice(node: PlanNode) -> tuple[str, str]:
    """What to do, and the SQL that does it."""
    if not node.table:
        return "Look at the conditions of the steps below it: the planner takes them for independent.", ""
    conditions = _conditions(node)
    if (changed := casts(conditions)) and not compared(conditions)[0]:
        return (
            f"Compare the column as it is, not {changed[0]}: the planner knows its values, and nothing of what they are made.",
            "",
        )
    if (unknown := expressions(conditions)) and not compared(conditions)[0]:
        name = _statistics(node, "expression")
        return (
            f"The planner knows nothing of the values of {unknown[0]}: have it make statistics of them.",
            f"CREATE STATISTICS {name} ON ({unknown[0]}) FROM {quoted(node)}; ANALYZE {quoted(node)}",
        )
    return f"Analyze {node.relation}; where its values are uneven, with a larger statistics target.", f"ANALYZE {quoted(node)}"


def stale_statistics(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """An estimate is wrong, and the table has changed since its statistics were made."""
    told = set()
    for node in wrong(plan):
        known = facts.tables.get(node.relation)
        if known is not None and is_stale(known) and node.relation not in told:
            told.add(node.relation)
            made = f"{number(known.changed)} of about {number(known.rows)} rows were changed since" if known.analyzed else "never"
            yield Finding(
                rule="STALE_STATISTICS",
                message=f"the estimate of {of(node)} is {number(off(node))} times wrong, and its statistics are out of date: {made}"
                + ("" if known.analyzed else " made"),
                fix=f"Analyze {node.relation}, and have autovacuum do it more often.",
                fix_sql=f"ANALYZE {quoted(node)}",
                node=node.place,
                weight=plan.parents().get(node.place, node).whole_share,
                evidence={**_evidence(node), "changed": number(known.changed), "table_rows": number(known.rows)},
            )


def missing_extended_statistics(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """Two columns of one table depend on one another, and the planner multiplies what it knows of each."""
    for node in wrong(plan):
        known = facts.tables.get(node.relation)
        columns = _compared_at_once(node)
        if not is_scan(node) or len(columns) < 2 or not more_came(node) or (known is not None and is_stale(known)):
            continue
        name = _statistics(node, *columns)
        yield Finding(
            rule="MISSING_EXTENDED_STATISTICS",
            message=f"{_rows(node)}: {' and '.join(columns)} depend on one another",
            fix=f"Tell the planner how {', '.join(columns)} go together.",
            fix_sql=f"CREATE STATISTICS {name} ON {', '.join(columns)} FROM {quoted(node)}; ANALYZE {quoted(node)}",
            node=node.place,
            weight=plan.parents().get(node.place, node).whole_share / 2,
            evidence={**_evidence(node), "columns": ", ".join(columns)},
        )


def generic_plan_misestimate(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """A plan for any values, and these are not like most."""
    inner = {name for node in plan.nodes() for name in _PARAMETER.findall(node.subplan)}
    for node in wrong(plan):
        texts = " ".join(each for below in node.walk() for each in below.conditions.values())
        parameters = sorted(set(_PARAMETER.findall(texts)) - inner)
        if parameters:
            yield Finding(
                rule="GENERIC_PLAN_MISESTIMATE",
                message=f"the plan is for any values of {', '.join(parameters)}: it expects {number(node.plan_rows * node.loops)} "
                f"rows of {of(node)}, and for these {number(round(node.rows))} came",
                fix="Have the statement planned with its values.",
                fix_sql="SET plan_cache_mode = force_custom_plan",
                node=node.place,
                weight=plan.parents().get(node.place, node).whole_share,
                evidence=_evidence(node),
            )


def is_stale(table: TableFacts) -> bool:
    """Whether its statistics are of another time."""
    return table.rows >= ROWS and (not table.analyzed or table.changed >= STALE * table.rows)


def _compared_at_once(node: PlanNode) -> list[str]:
    equal, _ = compared(_conditions(node))
    return equal


def _conditions(node: PlanNode) -> str:
    """All that its rows must pass."""
    below = [node, *(each for each in node.walk() if each.type in ("Bitmap Index Scan", "BitmapAnd"))]
    return " AND ".join(text for each in below for name, text in each.conditions.items() if name in ("Filter", "Index Cond"))


def _statistics(node: PlanNode, *of_what: str) -> str:
    """A name for statistics of a table."""
    return sql_name(node.schema, "_".join(each.strip('"') for each in (node.table, *of_what, "statistics")))


def _rows(node: PlanNode) -> str:
    """What was expected and what came, in all runs and of all workers together."""
    runs = f" in {number(node.loops)} runs" if node.loops > 1 else ""
    return f"{number(node.plan_rows * node.loops)} rows of {of(node)} were expected and {number(round(node.rows))} came{runs}"


def _evidence(node: PlanNode) -> dict[str, str]:
    return {
        "rows_expected": number(node.plan_rows * node.loops),
        "rows": number(round(node.rows)),
        "times_off": number(off(node)),
    }
