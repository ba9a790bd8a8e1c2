"""How a plan is drawn."""

import io

from google.protobuf.duration_pb2 import Duration
from rich.console import Console
from souk.dbopt.v1 import insight_pb2 as pb
from souk_cli.plan_tree import draw, draw_both


def drawn(plan: pb.Plan) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=200, color_system=None).print(draw(plan))
    return output.getvalue().splitlines()


def span(ms: float) -> Duration:
    made = Duration()
    made.FromNanoseconds(round(ms * 1e6))
    return made


SCAN = pb.PlanNode(
    type="Index Scan",
    relation="shop.products",
    index="products_pkey",
    conditions={"Index Cond": "(id = 1)"},
    plan_rows=5,
    actual_rows=100,
    loops=3,
    self_time=span(7.5),
    share=0.75,
    rows_removed=2500,
    blocks_hit=40,
    blocks_read=2,
)
UNUSED = pb.PlanNode(type="Seq Scan", relation="shop.users", plan_rows=9)
ROOT = pb.PlanNode(type="Append", plan_rows=14, actual_rows=100, loops=1, self_time=span(2.5), share=0.25, children=[SCAN, UNUSED])


def test_each_step_has_its_part_of_the_time_and_what_came_beside_what_was_expected():
    lines = drawn(pb.Plan(root=ROOT, execution_time=span(10)))
    text = "\n".join(lines)
    assert lines[1].startswith("Append")
    (scan,) = (line for line in lines if "Index Scan" in line)
    assert scan.startswith("├─ Index Scan shop.products by products_pkey")
    assert "█████████ " in scan
    assert " 75 %" in scan
    assert "7.50 ms" in scan
    assert "5 ×20" in scan
    assert "40 +2 read" in scan
    assert "Index Cond: (id = 1)" in text
    assert "discarded 2,500 rows" in text
    (unused,) = (line for line in lines if "Seq Scan" in line)
    assert unused.startswith("└─ ")
    assert "never run" in unused


def test_a_plan_that_was_not_run_has_its_costs():
    text = "\n".join(drawn(pb.Plan(root=pb.PlanNode(type="Seq Scan", plan_rows=1000, total_cost=1234.5, share=1.0))))
    assert "1,234" in text
    assert "100 %" in text
    assert "Loops" not in text


def test_fewer_rows_than_expected_are_no_wrong_estimate_where_a_limit_was_reached():
    below = pb.PlanNode(type="Seq Scan", relation="below.sort", plan_rows=1000, actual_rows=10, loops=1)
    sort = pb.PlanNode(type="Sort", plan_rows=1000, actual_rows=10, loops=1, children=[below])
    root = pb.PlanNode(type="Limit", plan_rows=10, actual_rows=10, loops=1, children=[sort])
    lines = drawn(pb.Plan(root=root, execution_time=span(1)))
    assert {line.split()[1]: "÷100" in line for line in lines if "─" in line} == {"Sort": False, "Seq": True}


def test_two_plans_stand_side_by_side_and_what_only_one_has_is_marked():
    whole = pb.PlanNode(type="Append", children=[pb.PlanNode(type="Seq Scan", relation="shop.products"), UNUSED])
    output = io.StringIO()
    both = draw_both(pb.Plan(plan_fingerprint="1" * 16, root=ROOT), pb.Plan(plan_fingerprint="2" * 16, root=whole))
    Console(file=output, width=160, color_system=None).print(both)
    lines = [line.rstrip() for line in output.getvalue().splitlines()]
    assert lines[0].split() == ["Before", "1" * 16, "Now", "2" * 16]
    assert [line.split("  ")[0] for line in lines[1:]] == ["", "- ├─ Index Scan shop.products by products_pkey", ""]
    assert "+ ├─ Seq Scan shop.products" in lines[2]
    assert lines[3].count("└─ Seq Scan shop.users") == 2


def test_a_plan_that_is_not_kept_is_said_to_be_so():
    output = io.StringIO()
    Console(file=output, width=160, color_system=None).print(draw_both(pb.Plan(), pb.Plan(plan_fingerprint="2" * 16, root=ROOT)))
    assert "Before  (not kept)" in output.getvalue()
    assert "+ Append" in output.getvalue()


def test_a_long_condition_is_cut_in_a_terminal_and_goes_on_below_itself_where_it_is_whole():
    parts = " AND ".join(f"(column_{number} = {number})" for number in range(20))
    scan = pb.PlanNode(type="Seq Scan", relation="shop.products", conditions={"Filter": parts}, actual_rows=1)
    plan = pb.Plan(root=pb.PlanNode(type="Append", actual_rows=1, children=[scan, UNUSED]), execution_time=span(1))
    output = io.StringIO()
    Console(file=output, width=80, color_system=None).print(draw(plan))
    (cut,) = (line.rstrip() for line in output.getvalue().splitlines() if "column_" in line)
    assert cut.startswith("│     Filter: (column_0 = 0)")
    assert cut.endswith("…")

    output = io.StringIO()
    Console(file=output, width=160, soft_wrap=True, color_system=None).print(draw(plan, whole=True))
    first, *others = (line.rstrip() for line in output.getvalue().splitlines() if "column_" in line)
    assert first.startswith("│     Filter: (column_0 = 0)")
    assert all(line.startswith("│       ") and len(line) <= 100 for line in others)
    assert " ".join(line.removeprefix("│").strip() for line in (first, *others)) == f"Filter: {parts}"
