"""What each step of a plan took by itself, of what EXPLAIN says of it together with the steps below it."""

import re
from collections.abc import Iterator, Mapping, Sequence

from souk_dbopt.plans import GATHERS, PlanNode

_RETURNS = re.compile(r"\(returns (?P<names>[^)]*)\)")


def ran_in(root: PlanNode) -> Mapping[str, Sequence[PlanNode]]:
    """By the place of each InitPlan: the steps in whose time it ran, which are not always the one that it hangs under.

    A common table expression runs while it is read, by as many as read it; another one when the first who needs its value asks.
    """
    found: dict[str, Sequence[PlanNode]] = {}
    for node in root.walk():
        for child in node.children:
            if child.role == "InitPlan":
                found[child.place] = _readers(node, root, child) or [node]
    return found


def _readers(parent: PlanNode, root: PlanNode, plan: PlanNode) -> Sequence[PlanNode]:
    if plan.subplan.startswith("CTE "):
        name = plan.subplan.removeprefix("CTE ")
        scans = [node for node in root.walk() if node.type == "CTE Scan" and node.cte == name]
        return sorted(scans, key=lambda node: -node.total_time * node.loops)
    first = _first_to_ask(parent, plan, _names(plan.subplan))
    return [] if first is None else [first]


def _names(subplan: str) -> Sequence[str]:
    """What the value of an InitPlan is called where it is used."""
    returns = _RETURNS.search(subplan)
    return returns["names"].split(",") if returns else [f"({subplan})"]


def _first_to_ask(node: PlanNode, plan: PlanNode, names: Sequence[str]) -> PlanNode | None:
    """The deepest step that uses the value of an InitPlan; workers are given it by the step that gathers what they find."""
    for each in node.children:
        found = None if each is plan else _first_to_ask(each, plan, names)
        if found is not None:
            return node if node.type in GATHERS else found
    return node if any(name in text for text in _texts(node) for name in names) else None


def _texts(node: PlanNode) -> Iterator[str]:
    yield from node.conditions.values()
    yield from node.output
    yield from node.sort_key


def self_times(root: PlanNode, ran: Mapping[str, Sequence[PlanNode]]) -> dict[str, float]:
    """Seconds by place. A step that several processes run at once takes what one of them takes on average."""
    whole = dict(_whole_times(root, 1.0))
    own = dict(whole)
    for node in root.walk():
        for child in node.children:
            rest = whole[child.place]
            for reader in ran.get(child.place, (node,)):
                taken = min(rest, own[reader.place])
                own[reader.place] -= taken
                rest -= taken
    return own


def _whole_times(node: PlanNode, processes: float) -> Iterator[tuple[str, float]]:
    yield node.place, node.total_time * node.loops / processes
    for child in node.children:
        shared = processes
        if node.type in GATHERS and child.role != "InitPlan" and node.loops:
            shared = max(1.0, child.loops / node.loops)
        yield from _whole_times(child, shared)


def self_costs(root: PlanNode) -> dict[str, float]:
    """The planner's costs by place: the root's, dealt out to the steps below it, which run as often as it expects, and of which a
    LIMIT takes only a part."""
    own: dict[str, float] = {}

    def deal(node: PlanNode, cost: float) -> None:
        scale = cost / node.total_cost if node.total_cost else 0.0
        wanted = [child.total_cost * _runs(node, child) * scale for child in node.children]
        total = sum(wanted)
        fitting = min(1.0, cost / total) if total else 0.0
        own[node.place] = max(0.0, cost - total * fitting)
        for child, each in zip(node.children, wanted, strict=True):
            deal(child, each * fitting)

    deal(root, root.total_cost)
    return own


def _runs(node: PlanNode, child: PlanNode) -> float:
    """How often the planner expects a child to run."""
    outer = node.child("Outer")
    if node.type == "Nested Loop" and child.role == "Inner" and outer is not None:
        return max(1.0, outer.plan_rows)
    return max(1.0, node.plan_rows) if child.role == "SubPlan" else 1.0
