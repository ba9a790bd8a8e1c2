"""What is different between two plans of a query: the eight kinds of change that a tree of steps can show."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from souk_dbopt.plans import GATHERS, Plan, PlanNode

JOINS = frozenset({"Nested Loop", "Hash Join", "Merge Join"})
_SORTS = frozenset({"Sort", "Incremental Sort", "Aggregate", "Group", "Unique", "WindowAgg", "SetOp"})
_PARTS = frozenset({"Append", "Merge Append", "Materialize", "Memoize", "CTE Scan", "Subquery Scan", "Result"})


class ChangeKind(Enum):
    """What changed, what matters most first."""

    SCAN_METHOD = "scan_method"
    INDEX = "index"
    JOIN_ORDER = "join_order"
    JOIN_METHOD = "join_method"
    SORT_OR_AGGREGATE = "sort_or_aggregate"
    PARALLELISM = "parallelism"
    PARTS = "parts"
    GENERIC_OR_CUSTOM = "generic_or_custom"
    LATENCY_SHIFT = "latency_shift"


@dataclass(frozen=True, slots=True)
class Difference:
    """One."""

    kind: ChangeKind
    message: str
    """As "shop.products: Index Scan by products_seller -> Seq Scan"."""


@dataclass(frozen=True, slots=True)
class _Scan:
    method: str
    indexes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} by {', '.join(self.indexes)}" if self.indexes else self.method


@dataclass(frozen=True, slots=True)
class _Join:
    method: str
    outer: frozenset[str]


def differences(old: Plan, new: Plan, *, old_generic: bool = False, new_generic: bool = False) -> list[Difference]:
    """All of them, what matters most first."""
    found = [*_scans(old, new), *_joins(old, new), *_sorts(old, new), *_workers(old, new), *_parts(old, new)]
    if old_generic != new_generic:
        now = "any values" if new_generic else "the values of each call"
        found.append(Difference(ChangeKind.GENERIC_OR_CUSTOM, f"the plan is for {now}"))
    order = list(ChangeKind)
    return sorted(found, key=lambda difference: order.index(difference.kind))


def indexes_used(plan: Plan) -> set[str]:
    """Names, as the plan has them: without their schema, which is that of their table."""
    return {node.index for node in plan.nodes() if node.index}


def relations_of(plan: Plan) -> set[str]:
    """Tables, with their schemas."""
    return {node.relation for node in plan.nodes() if node.schema}


def _scans(old: Plan, new: Plan) -> Iterator[Difference]:
    before, after = _scans_of(old), _scans_of(new)
    for relation in sorted(before.keys() & after.keys()):
        gone, come = before[relation] - after[relation], after[relation] - before[relation]
        if not gone and not come:
            continue
        same_method = Counter(scan.method for scan in gone.elements()) == Counter(scan.method for scan in come.elements())
        kind = ChangeKind.INDEX if same_method else ChangeKind.SCAN_METHOD
        yield Difference(kind, f"{relation}: {_listed(gone)} -> {_listed(come)}")


def _scans_of(plan: Plan) -> dict[str, Counter[_Scan]]:
    """By relation, for aliases of a subquery that was pulled up may change."""
    found: dict[str, Counter[_Scan]] = {}
    for node in plan.nodes():
        if node.table and node.type != "ModifyTable":
            below = {each.index for each in node.walk() if each.type == "Bitmap Index Scan"} if "Bitmap" in node.type else set()
            indexes = tuple(sorted(below or filter(None, [node.index])))
            method = f"{node.type} Backward" if node.direction == "Backward" else node.type
            found.setdefault(node.relation, Counter())[_Scan(method, indexes)] += 1
    return found


def _joins(old: Plan, new: Plan) -> Iterator[Difference]:
    before, after = _joins_of(old), _joins_of(new)
    if before.keys() != after.keys():
        changed = sorted(" x ".join(sorted(parts)) for parts in after.keys() - before.keys())
        if before and after:
            yield Difference(ChangeKind.JOIN_ORDER, f"joined in another order: {'; '.join(changed) or 'fewer joins'}")
    methods = Counter(join.method for join in before.values()), Counter(join.method for join in after.values())
    for parts in sorted(before.keys() & after.keys(), key=sorted):
        was, now = before[parts], after[parts]
        if was.method == now.method and was.outer != now.outer:
            yield Difference(ChangeKind.JOIN_ORDER, f"{' x '.join(sorted(parts))}: sides swapped")
        if was.method != now.method:
            yield Difference(ChangeKind.JOIN_METHOD, f"{' x '.join(sorted(parts))}: {was.method} -> {now.method}")
    if before.keys() != after.keys() and methods[0] != methods[1]:
        yield Difference(ChangeKind.JOIN_METHOD, f"{_counted(methods[0])} -> {_counted(methods[1])}")


def _joins_of(plan: Plan) -> dict[frozenset[str], _Join]:
    """By what is joined."""
    return {
        frozenset(_leaves(node)): _Join(node.type, frozenset(_leaves(node.children[0])))
        for node in plan.nodes()
        if node.type in JOINS and len(node.children) >= 2
    }


def _leaves(node: PlanNode) -> Iterator[str]:
    for each in node.walk():
        if (each.alias and not each.children) or each.type == "Bitmap Heap Scan":
            yield each.alias


def _sorts(old: Plan, new: Plan) -> Iterator[Difference]:
    before, after = (Counter(map(_sort, _of_types(plan, _SORTS))) for plan in (old, new))
    if before != after:
        yield Difference(ChangeKind.SORT_OR_AGGREGATE, f"{_counted(before - after)} -> {_counted(after - before)}")


def _sort(node: PlanNode) -> str:
    return " ".join(filter(None, (node.strategy, node.type)))


def _workers(old: Plan, new: Plan) -> Iterator[Difference]:
    before, after = (sorted(node.workers_planned for node in _of_types(plan, frozenset(GATHERS))) for plan in (old, new))
    if before != after:
        yield Difference(ChangeKind.PARALLELISM, f"workers: {sum(before)} -> {sum(after)}")


def _parts(old: Plan, new: Plan) -> Iterator[Difference]:
    before, after = _parts_of(old), _parts_of(new)
    if before != after:
        yield Difference(ChangeKind.PARTS, f"{_counted(before - after)} -> {_counted(after - before)}")


def _parts_of(plan: Plan) -> Counter[str]:
    found = Counter(node.type for node in _of_types(plan, _PARTS))
    found.update(node.role for node in plan.nodes() if node.role in ("InitPlan", "SubPlan"))
    found.update(node.relation for node in plan.nodes() if node.table and node.type != "ModifyTable")
    return found


def _of_types(plan: Plan, types: frozenset[str]) -> Iterator[PlanNode]:
    return (node for node in plan.nodes() if node.type in types)


def _listed(scans: Counter[_Scan]) -> str:
    return ", ".join(sorted(map(str, scans.elements()))) or "nothing"


def _counted(names: Counter[str]) -> str:
    return ", ".join(sorted(names.elements())) or "nothing"
