"""What is made of EXPLAIN's JSON, on plans written by hand; integration tests have those of real servers."""

import json
from typing import Any

import pytest
from souk_dbopt.plan_reading import read
from souk_dbopt.plans import Plan, PlanNode


def step(
    kind: str, *children: dict[str, Any], role: str = "Outer", ms: float = 0.0, loops: int = 1, rows: float = 1, **more: Any
) -> dict[str, Any]:
    """A step as EXPLAIN writes it. ms: each time it ran, with those below it."""
    measured = {"Actual Total Time": ms, "Actual Loops": loops, "Actual Rows": rows, "Actual Startup Time": 0.0}
    costs = {"Total Cost": ms, "Startup Cost": 0.0, "Plan Rows": rows, "Plan Width": 8}
    return {
        "Node Type": kind,
        "Parent Relationship": role,
        **costs,
        **measured,
        **more,
        **({"Plans": list(children)} if children else {}),
    }


def plan_of(root: dict[str, Any], **more: Any) -> Plan:
    return read(json.dumps([{"Plan": root, "Execution Time": root["Actual Total Time"], **more}]))


def own(plan: Plan) -> dict[str, float]:
    """Milliseconds of each step, by type and relation."""
    return {" ".join(filter(None, (node.type, node.table, node.cte))): round(node.self_time * 1000, 6) for node in plan.nodes()}


def test_a_step_takes_what_those_below_it_do_not_in_all_their_runs():
    plan = plan_of(
        step(
            "Nested Loop",
            step("Seq Scan", ms=2, **{"Relation Name": "a"}),
            step("Index Scan", ms=0.5, loops=10, role="Inner", **{"Relation Name": "b"}),
            ms=10,
        )
    )
    assert own(plan) == {"Nested Loop": 3, "Seq Scan a": 2, "Index Scan b": 5}
    assert [node.share for node in plan.nodes()] == pytest.approx([0.3, 0.2, 0.5])


def test_what_workers_do_at_once_counts_once():
    plan = plan_of(step("Gather", step("Seq Scan", ms=9, loops=3), ms=10))
    assert own(plan) == {"Gather": 1, "Seq Scan": 9}


def test_a_common_table_expression_runs_in_the_time_of_those_who_read_it():
    plan = plan_of(
        step(
            "Hash Join",
            step("Seq Scan", role="InitPlan", ms=6, **{"Subplan Name": "CTE c", "Relation Name": "t"}),
            step("CTE Scan", ms=7, **{"CTE Name": "c", "Alias": "c"}),
            ms=10,
        )
    )
    assert own(plan) == {"Hash Join": 3, "Seq Scan t": 6, "CTE Scan c": 1}


@pytest.mark.parametrize(("name", "asked"), [("InitPlan 1 (returns $0)", "(a = $0)"), ("InitPlan 1", "(a = (InitPlan 1).col1)")])
def test_a_value_is_made_in_the_time_of_who_asks_for_it_first(name: str, asked: str):
    plan = plan_of(
        step(
            "Sort",
            step("Aggregate", role="InitPlan", ms=4, **{"Subplan Name": name}),
            step("Seq Scan", ms=9, Filter=asked),
            ms=10,
        )
    )
    assert own(plan) == {"Sort": 1, "Aggregate": 4, "Seq Scan": 5}


def test_what_workers_are_given_is_made_before_they_begin():
    plan = plan_of(
        step(
            "Sort",
            step("Aggregate", role="InitPlan", ms=4, **{"Subplan Name": "InitPlan 1"}),
            step("Gather", step("Seq Scan", ms=3, loops=3, Filter="(a = (InitPlan 1).col1)"), ms=9),
            ms=10,
        )
    )
    assert own(plan) == {"Sort": 1, "Aggregate": 4, "Gather": 2, "Seq Scan": 3}


def test_shares_of_a_plan_that_was_not_run_are_of_its_cost_of_which_a_limit_takes_a_part():
    scan = {"Node Type": "Seq Scan", "Parent Relationship": "Outer", "Total Cost": 1000.0, "Plan Rows": 1000}
    plan = read(json.dumps([{"Plan": {"Node Type": "Limit", "Total Cost": 10.0, "Plan Rows": 10, "Plans": [scan]}}]))
    assert plan.execution_time is None
    assert [node.share for node in plan.nodes()] == [0.0, 1.0]
    assert not any(node.was_run or node.never_executed for node in plan.nodes())


def test_blocks_of_the_steps_below_are_not_counted_again():
    plan = plan_of(
        step(
            "Sort",
            step("Seq Scan", ms=1, **{"Shared Hit Blocks": 7, "Shared Read Blocks": 2}),
            ms=2,
            **{"Shared Hit Blocks": 10, "Shared Read Blocks": 2},
        )
    )
    assert [(node.own_buffers.hit, node.own_buffers.read) for node in plan.nodes()] == [(3, 0), (7, 2)]


def test_a_step_that_did_not_run_is_told_from_one_that_gave_nothing():
    plan = plan_of(step("Append", step("Seq Scan", loops=0, rows=0), step("Seq Scan", rows=0), ms=1))
    first, second = plan.root.children
    assert (first.never_executed, second.never_executed, second.was_run) == (True, False, True)


def table(alias: str, **more: Any) -> dict[str, Any]:
    return step("Seq Scan", **{"Relation Name": "orders", "Schema": "shop", "Alias": alias, **more})


def fingerprint(root: dict[str, Any]) -> str:
    return plan_of(root).fingerprint


def test_a_shape_is_the_same_whatever_the_aliases_numbers_and_values_are():
    one = step(
        "Sort", table("o", Filter="(o.id = 1)"), ms=1, **{"Sort Key": ["o.placed_at DESC", "(ts_rank(o.v, 'red'::tsquery))"]}
    )
    other = step(
        "Sort",
        table("x", Filter="(x.id = 2)", rows=9),
        ms=7,
        **{"Sort Key": ["x.placed_at DESC", "(ts_rank(x.v, 'blue'::tsquery))"]},
    )
    assert fingerprint(one) == fingerprint(other)
    assert len(fingerprint(one)) == 16


@pytest.mark.parametrize(
    "other",
    [
        step("Sort", table("o"), **{"Sort Key": ["o.placed_at"]}),
        step("Sort", table("o", **{"Relation Name": "reviews"}), **{"Sort Key": ["o.placed_at DESC"]}),
        step(
            "Sort",
            step("Index Scan", **{"Relation Name": "orders", "Schema": "shop", "Index Name": "i"}),
            **{"Sort Key": ["o.placed_at DESC"]},
        ),
        step("Incremental Sort", table("o"), **{"Sort Key": ["o.placed_at DESC"], "Presorted Key": ["o.placed_at"]}),
        table("o"),
    ],
    ids=["sort key", "relation", "index", "kind of sort", "no sort"],
)
def test_another_shape_has_another_fingerprint(other: dict[str, Any]):
    assert fingerprint(step("Sort", table("o"), **{"Sort Key": ["o.placed_at DESC"]})) != fingerprint(other)


def test_memory_is_the_most_that_one_process_took():
    worker = {"Sort Method": "external merge", "Sort Space Used": 900, "Sort Space Type": "Disk"}
    plan = plan_of(
        step("Sort", **{"Sort Method": "quicksort", "Sort Space Used": 50, "Sort Space Type": "Memory", "Workers": [worker]})
    )
    assert (plan.root.memory.disk_kilobytes, plan.root.memory.method, plan.root.memory.spilled) == (900, "external merge", True)


def test_what_is_no_plan_is_refused():
    for text in ("", "{}", "[]", '[{"Plan": {}}]', "[1]"):
        with pytest.raises(ValueError, match="no plan"):
            read(text)


def test_places_lead_to_the_steps():
    plan = plan_of(step("Append", step("Seq Scan"), step("Sort", step("Seq Scan", **{"Relation Name": "deep"}))))
    found: dict[str, PlanNode] = {node.place: node for node in plan.nodes()}
    assert found["0.1.0"].table == "deep"
    assert plan.parents()["0.1.0"].type == "Sort"
