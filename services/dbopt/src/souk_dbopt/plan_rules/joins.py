"""Rules about joins, and parts that run for each row or not at all."""

from collections.abc import Iterator

from souk_dbopt.plan_rules.findings import Facts, Finding, number, of, part
from souk_dbopt.plans import Plan, PlanNode

LOOPS = 1_000
"""How often a step may run for the rows of another."""
OFF = 10.0
"""Rows that came for each that was expected."""
SHARE = 0.3
"""Of the plan's time, that makes it worth telling."""
REPEATS = 10
"""Runs of the inner side of a nested loop, to look at what each of them discards."""
COMPARED_ROWS = 100_000
"""Pairs of rows that a nested loop may compare and discard, or make without comparing anything."""
UNUSED_SHARE, UNUSED_COST = 0.5, 1_000.0
"""Of the plan's cost, in a part that did not run."""


def nested_loop_blowup(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """A nested loop was chosen for few rows, and there were many; or it looks through all rows for each one."""
    for node in plan.nodes():
        outer, inner = node.child("Outer"), node.child("Inner")
        if node.type != "Nested Loop" or outer is None or inner is None or not inner.was_run:
            continue
        more = (outer.actual_rows or 0.0) / max(1.0, outer.plan_rows)
        discarded = node.removed_by_join_filter
        if inner.loops >= REPEATS:
            discarded += sum(each.removed_by_filter for each in inner.walk() if each.loops >= inner.loops)
        surprised = inner.loops >= LOOPS and more >= OFF and inner.whole_share >= SHARE
        if surprised or discarded >= COMPARED_ROWS:
            why = (
                f"{number(outer.plan_rows)} rows were expected and {number(outer.actual_rows or 0)} came"
                if surprised
                else f"{number(discarded)} rows were compared and discarded"
            )
            yield Finding(
                rule="NESTED_LOOP_BLOWUP",
                message=f"a nested loop read {of(inner)} {number(inner.loops)} times, {part(inner.whole_share)} of all time: {why}",
                fix="Have the estimate of its outer side right (ANALYZE, CREATE STATISTICS), so that a hash join is chosen; or "
                "give the inner side an index of what is compared.",
                node=node.place,
                weight=inner.whole_share,
                evidence={
                    "loops": number(inner.loops),
                    "rows_expected": number(outer.plan_rows),
                    "rows": number(outer.actual_rows or 0),
                    "rows_removed": number(discarded),
                },
            )


def cross_join(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """Every row of one side is paired with every row of the other."""
    for node in plan.nodes():
        outer, inner = node.child("Outer"), node.child("Inner")
        if node.type != "Nested Loop" or outer is None or inner is None or node.rows < COMPARED_ROWS:
            continue
        compares = "Join Filter" in node.conditions or any(each.conditions for each in inner.walk())
        if not compares and (outer.actual_rows or 0) > 1 and (inner.actual_rows or 0) > 1:
            yield Finding(
                rule="CROSS_JOIN",
                message=f"each of {number(outer.rows)} rows of {of(outer)} was paired with each of "
                f"{number(inner.actual_rows or 0)} of {of(inner)}: {number(node.rows)} rows",
                fix="A condition that joins the two is missing.",
                node=node.place,
                weight=node.whole_share,
                evidence={"outer": number(outer.rows), "inner": number(inner.actual_rows or 0), "rows": number(node.rows)},
            )


def correlated_subplan(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """A subquery runs for each row."""
    for node in plan.nodes():
        if node.role == "SubPlan" and node.loops >= LOOPS and node.whole_share >= SHARE:
            yield Finding(
                rule="CORRELATED_SUBPLAN",
                message=f"a subquery ({node.subplan}) ran {number(node.loops)} times, once for each row: "
                f"{part(node.whole_share)} of all time",
                fix="Join what it reads, grouped by what it is looked up by, instead of asking for each row.",
                node=node.place,
                weight=node.whole_share,
                evidence={"loops": number(node.loops), "share": part(node.whole_share)},
            )


def never_executed(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """The planner counted on a part that then did not run, so that it chose the rest for the wrong reason."""
    parents = plan.parents()
    for node in plan.nodes():
        parent = parents.get(node.place)
        starts = node.never_executed and parent is not None and parent.was_run
        if starts and node.total_cost >= max(UNUSED_COST, UNUSED_SHARE * plan.root.total_cost):
            yield Finding(
                rule="NEVER_EXECUTED",
                message=f"a part that was expected to be {part(min(1.0, node.total_cost / plan.root.total_cost))} of the work "
                f"did not run: {of(_largest(node))}",
                fix="What decides it is known only when it runs: ask for the two cases by two statements, with a plan each.",
                node=node.place,
                weight=0.0,
                evidence={"cost": number(node.total_cost), "plan_cost": number(plan.root.total_cost)},
            )


def _largest(node: PlanNode) -> PlanNode:
    """The step that reads a table, if one does."""
    return next((each for each in node.walk() if each.table), node)
