"""A plan drawn as a tree: each step with its part of the time, its rows beside those that were expected, and its blocks."""

import textwrap
from collections.abc import Iterator
from difflib import SequenceMatcher

from google.protobuf.duration_pb2 import Duration
from rich.cells import cell_len
from rich.text import Text
from souk.dbopt.v1 import insight_pb2 as pb

from souk_cli.tables import Column, FittedTable
from souk_cli.visible import visible

BAR = 12
"""Characters of a bar of the whole time."""
STEP_WIDTH = 48
"""Characters that the steps get of a narrow terminal, whatever else has to go."""
LINE_WIDTH = 100
"""Characters of a line of a condition, where it is shown whole."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"
OFF, FAR_OFF = 3.0, 10.0
"""Times that an estimate is wrong, to be yellow and red."""
_READ_TO_THE_END = frozenset({"Sort", "Aggregate", "Hash"})
"""Steps that take all rows of those below them before they give one."""
_HOT, _WARM = 0.3, 0.1
"""Shares of the time, to be red and yellow."""


def draw(plan: pb.Plan, *, whole: bool = False) -> FittedTable:
    """The steps of a plan, each before those below it.

    whole: long conditions go on in the next line; else each has one line, which is cut where it is too long.
    """
    was_run = plan.HasField("execution_time")
    steps = list(_steps(plan.root, "", "", ended=False))
    least = min(STEP_WIDTH, max(cell_len(first + _title(node)) for first, _, node, _ in steps))
    own, rows, expected = (
        Column("Self", right=True, drop=1),
        Column("Rows", right=True, drop=2),
        Column("Expected", right=True, drop=3),
    )
    columns = (own, rows, expected, Column("Loops", right=True, drop=4), Column("Blocks", right=True, drop=5))
    table = FittedTable(
        Column("Step", least=least),
        Column("", drop=6),
        Column("Time" if was_run else "Cost", right=True),
        *(columns if was_run else (Column("Units", right=True, drop=1), expected)),
    )
    for first, rest, node, ended in steps:
        measured = _measured(node, ended=ended) if was_run else _expected(node)
        table.add_row(
            _step(first, rest, node, whole=whole),
            Text(_bar(node.share), _heat(node.share)),
            Text(f"{100 * node.share:.0f} %"),
            *measured,
        )
    return table


def draw_both(old: pb.Plan, new: pb.Plan) -> FittedTable:
    """Two plans side by side: steps that only the one has are marked with - or +. One that is not kept has no steps."""
    sides = (_outline(old), _outline(new))
    table = FittedTable(
        *(Column(f"{name}  {plan.plan_fingerprint or '(not kept)'}", least=1) for name, plan in (("Before", old), ("Now", new)))
    )
    keys = [[key for key, _ in side] for side in sides]
    matcher = SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    for kind, begin, end, other, last in matcher.get_opcodes():
        before, now = sides[0][begin:end], sides[1][other:last]
        for number in range(max(len(before), len(now))):
            table.add_row(_marked(before, number, kind, "- ", "red"), _marked(now, number, kind, "+ ", "green"))
    return table


def _outline(plan: pb.Plan) -> list[tuple[tuple[str, str, str], str]]:
    """Each step as what it is compared by, and as it is shown."""
    if not plan.HasField("root"):
        return []
    return [
        ((node.type, node.relation, node.index), f"{first}{_title(node)}")
        for first, _, node, _ in _steps(plan.root, "", "", ended=False)
    ]


def _title(node: pb.PlanNode) -> str:
    return visible(node.type + (f" {node.relation}" if node.relation else "") + (f" by {node.index}" if node.index else ""))


def _marked(lines: list[tuple[tuple[str, str, str], str]], number: int, kind: str, mark: str, colour: str) -> Text:
    if number >= len(lines):
        return Text("")
    return Text(f"  {lines[number][1]}") if kind == "equal" else Text(mark + lines[number][1], colour)


def _steps(node: pb.PlanNode, first: str, rest: str, *, ended: bool) -> Iterator[tuple[str, str, pb.PlanNode, bool]]:
    """(what stands before its first line, and before those that follow, the step, whether a LIMIT may have ended it early)."""
    yield first, rest + ("│  " if node.children else "   "), node, ended
    below = node.type == "Limit" or (ended and node.type not in _READ_TO_THE_END)
    for number, child in enumerate(node.children):
        last = number == len(node.children) - 1
        yield from _steps(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "), ended=below)


def _step(first: str, rest: str, node: pb.PlanNode, *, whole: bool) -> Text:
    text = Text()
    text.append(first, "dim")
    text.append(visible(node.type), "bold")
    if node.relation:
        text.append(visible(f" {node.relation}"))
    if node.index:
        text.append(visible(f" by {node.index}"), "cyan")
    for name in sorted(node.conditions):
        condition = visible(f"{name}: {' '.join(node.conditions[name].split())}")
        for line in textwrap.wrap(condition, LINE_WIDTH - len(rest), subsequent_indent="  ") if whole else (condition,):
            text.append(f"\n{rest}{line}", "dim")
    if node.rows_removed:
        text.append(f"\n{rest}", "dim")
        text.append(f"discarded {node.rows_removed:,} rows", "yellow" if node.rows_removed >= 1000 else "dim")
    return text


def _measured(node: pb.PlanNode, *, ended: bool) -> Iterator[Text]:
    if not node.HasField("actual_rows"):
        yield from (
            Text("-", "dim"),
            Text("never run", "dim"),
            Text(_number(node.plan_rows), "dim"),
            Text("-", "dim"),
            Text("-", "dim"),
        )
        return
    yield Text(milliseconds(node.self_time))
    yield Text(_number(node.actual_rows))
    yield _estimate(node, ended=ended)
    yield Text(f"{node.loops:,}", "" if node.loops > 1 else "dim")
    read = f" +{node.blocks_read:,} read" if node.blocks_read else ""
    yield Text(f"{node.blocks_hit:,}{read}" if node.blocks_hit or read else "", "yellow" if read else "")


def _expected(node: pb.PlanNode) -> Iterator[Text]:
    yield Text(f"{node.total_cost:,.0f}")
    yield Text(_number(node.plan_rows))


def _estimate(node: pb.PlanNode, *, ended: bool) -> Text:
    """Rows that were expected, and how wrong that was; of a step that was ended early, no wonder that fewer came."""
    actual, expected = max(1.0, node.actual_rows), max(1.0, node.plan_rows)
    off = max(actual / expected, expected / actual)
    if off < OFF or (ended and actual < expected):
        return Text(_number(node.plan_rows), "dim")
    sign = "×" if actual > expected else "÷"
    return Text(f"{_number(node.plan_rows)} {sign}{off:,.0f}", "bold red" if off >= FAR_OFF else "yellow")


def _bar(share: float) -> str:
    eighths = round(min(1.0, share) * BAR * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(BAR)


def _heat(share: float) -> str:
    return "red" if share >= _HOT else "yellow" if share >= _WARM else "green"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:,.1f}"


def milliseconds(span: Duration) -> str:
    """A span for people."""
    value = span.seconds * 1000 + span.nanos / 1e6
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.2f} ms"
