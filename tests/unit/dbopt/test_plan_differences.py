"""The eight kinds of change, on pairs of plans written by hand, and what made them change."""

import json
from typing import Any

import pytest
from souk_dbopt.plan_causes import CauseKind, IndexState, Moment, PlannerState, TableState, causes
from souk_dbopt.plan_differences import ChangeKind, differences
from souk_dbopt.plan_reading import read
from souk_dbopt.plans import Plan

K = ChangeKind


def step(kind: str, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
    placed = [{**child, "Parent Relationship": "Inner" if number else "Outer"} for number, child in enumerate(children)]
    return {"Node Type": kind, "Plan Rows": 1, "Total Cost": 1.0, **more, **({"Plans": placed} if placed else {})}


def scan(table: str, kind: str = "Seq Scan", index: str = "", **more: Any) -> dict[str, Any]:
    by = {"Index Name": index} if index else {}
    return step(kind, **{"Relation Name": table, "Schema": "s", "Alias": table[0], **by, **more})


def bitmap(table: str, index: str) -> dict[str, Any]:
    return step(
        "Bitmap Heap Scan",
        step("Bitmap Index Scan", **{"Index Name": index}),
        **{"Relation Name": table, "Schema": "s", "Alias": table[0]},
    )


def plan(root: dict[str, Any]) -> Plan:
    return read(json.dumps([{"Plan": root}]))


A, B, C = scan("a"), scan("b"), scan("c")
PAIRS = [
    (scan("a", "Index Scan", "i"), A, [K.SCAN_METHOD], "s.a: Index Scan by i -> Seq Scan"),
    (bitmap("a", "i"), A, [K.SCAN_METHOD], "s.a: Bitmap Heap Scan by i -> Seq Scan"),
    (
        scan("a", "Index Scan", "i", **{"Scan Direction": "Forward"}),
        scan("a", "Index Scan", "i", **{"Scan Direction": "Backward"}),
        [K.SCAN_METHOD],
        "s.a: Index Scan by i -> Index Scan Backward by i",
    ),
    (scan("a", "Index Scan", "i"), scan("a", "Index Scan", "j"), [K.INDEX], "s.a: Index Scan by i -> Index Scan by j"),
    (bitmap("a", "i"), bitmap("a", "j"), [K.INDEX], "s.a: Bitmap Heap Scan by i -> Bitmap Heap Scan by j"),
    (step("Hash Join", A, B), step("Nested Loop", A, B), [K.JOIN_METHOD], "a x b: Hash Join -> Nested Loop"),
    (step("Hash Join", A, B), step("Hash Join", B, A), [K.JOIN_ORDER], "a x b: sides swapped"),
    (
        step("Hash Join", step("Hash Join", A, B), C),
        step("Hash Join", step("Hash Join", B, C), A),
        [K.JOIN_ORDER, K.JOIN_ORDER],
        "joined in another order: b x c",
    ),
    (
        step("Aggregate", A, Strategy="Hashed"),
        step("Aggregate", step("Sort", A), Strategy="Sorted"),
        [K.SORT_OR_AGGREGATE],
        "Hashed Aggregate -> Sort, Sorted Aggregate",
    ),
    (step("Gather", A, **{"Workers Planned": 2}), A, [K.PARALLELISM], "workers: 2 -> 0"),
    (
        step("Append", scan("p1"), scan("p2")),
        scan("p1"),
        [K.PARTS],
        "Append, s.p2 -> nothing",
    ),
]


@pytest.mark.parametrize(("old", "new", "kinds", "message"), PAIRS, ids=[pair[3] for pair in PAIRS])
def test_each_kind_of_change_is_named(old: dict[str, Any], new: dict[str, Any], kinds: list[ChangeKind], message: str):
    found = differences(plan(old), plan(new))
    assert [difference.kind for difference in found] == kinds
    assert found[0].message == message


def test_a_plan_for_any_values_is_a_change_of_its_own_and_the_same_plan_is_none():
    assert [each.kind for each in differences(plan(A), plan(A), new_generic=True)] == [K.GENERIC_OR_CUSTOM]
    assert differences(plan(A), plan({**A, "Plan Rows": 9, "Total Cost": 7.0})) == []


INDEX = IndexState("s.a", "CREATE INDEX i ON s.a (x)", valid=True)
TABLE = TableState(10_000, 100, 0, 1.0)
BY_INDEX, WHOLE = plan(scan("a", "Index Scan", "i")), plan(A)


def moment(found: Plan, tables: dict[str, TableState] | None = None, indexes: Any = None, **settings: str) -> Moment:
    return Moment(found, PlannerState(0, tables or {"s.a": TABLE}, {"i": INDEX} if indexes is None else indexes, settings))


@pytest.mark.parametrize(
    ("before", "after", "kinds", "fix"),
    [
        (moment(BY_INDEX), moment(WHOLE, indexes={}), [CauseKind.INDEX_DROPPED], INDEX.definition),
        (
            moment(BY_INDEX),
            moment(WHOLE, indexes={"i": IndexState("s.a", "", valid=False)}),
            [CauseKind.INDEX_INVALID],
            "REINDEX INDEX CONCURRENTLY s.i",
        ),
        (moment(BY_INDEX), moment(WHOLE, enable_indexscan="off"), [CauseKind.SETTING_CHANGED], ""),
        (
            moment(BY_INDEX),
            moment(WHOLE, {"s.a": TableState(10_000, 100, 5_000, 1.0)}),
            [CauseKind.STATISTICS_STALE],
            "ANALYZE s.a",
        ),
        (moment(BY_INDEX), moment(WHOLE, {"s.a": TableState(10_000, 100, 0, 2.0)}), [CauseKind.STATISTICS_CHANGED], ""),
        (moment(BY_INDEX), moment(WHOLE, {"s.a": TableState(20_000, 200, 0, 1.0)}), [CauseKind.TABLE_GROWN], ""),
        (moment(WHOLE, indexes={}), moment(BY_INDEX), [CauseKind.INDEX_ADDED], ""),
        (moment(WHOLE), moment(WHOLE), [], ""),
        (moment(WHOLE), moment(WHOLE, indexes={}), [], ""),  # one that the plan did not use
        (
            moment(BY_INDEX),
            moment(WHOLE, {"s.a": TableState(10_000, 100, 5_000, 2.0)}, {}, work_mem="1MB"),
            [
                CauseKind.INDEX_DROPPED,
                CauseKind.SETTING_CHANGED,
                CauseKind.STATISTICS_STALE,
                CauseKind.STATISTICS_CHANGED,
            ],
            INDEX.definition,
        ),
    ],
)
def test_a_cause_is_found_where_there_is_one_and_none_where_there_is_none(
    before: Moment, after: Moment, kinds: list[CauseKind], fix: str
):
    found = causes(before, after)
    assert [cause.kind for cause in found] == kinds
    assert (found[0].fix_sql if found else "") == fix
    assert all(cause.evidence for cause in found)


def test_names_that_must_be_quoted_are():
    indexes = {"I x": IndexState("s.A", "", valid=True)}
    by_index = plan({**scan("A", "Index Scan", "I x")})
    gone = {"I x": IndexState("s.A", "", valid=False)}
    found = causes(moment(by_index, {"s.A": TABLE}, indexes), moment(WHOLE, {"s.A": TABLE}, gone))
    assert found[0].fix_sql == 'REINDEX INDEX CONCURRENTLY s."I x"'


def test_what_the_planner_knew_is_the_same_after_it_was_kept():
    state = PlannerState(5.0, {"s.a": TABLE}, {"i": INDEX}, {"work_mem": "1MB"})
    assert PlannerState.of_json(json.loads(json.dumps(state.as_json()))) == state
