"""Plans of PostgreSQL: steps, what was expected of each, and what it did where it was run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

GATHERS = ("Gather", "Gather Merge")
BLOCK = 8192
"""Bytes of a block."""


@dataclass(frozen=True, slots=True)
class Buffers:
    """Blocks that were touched, in all runs of a step and by all workers."""

    hit: int = 0
    """Found in shared memory, or in the session's own."""
    read: int = 0
    temp_read: int = 0
    """Of files for what did not fit work_mem."""
    temp_written: int = 0

    def less(self, other: "Buffers") -> "Buffers":
        """What is left without those of another, and never less than nothing."""
        return Buffers(
            max(0, self.hit - other.hit),
            max(0, self.read - other.read),
            max(0, self.temp_read - other.temp_read),
            max(0, self.temp_written - other.temp_written),
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """What a sort, a hash table or a store of rows took."""

    kilobytes: int = 0
    """In memory, at the most."""
    disk_kilobytes: int = 0
    """In files."""
    batches: int = 1
    """Parts that a hash table was split into, for it did not fit."""
    method: str = ""
    """Of a sort, as "external merge"."""

    @property
    def spilled(self) -> bool:
        """Whether work_mem was not enough."""
        return self.disk_kilobytes > 0 or self.batches > 1


@dataclass(frozen=True, slots=True)
class PlanNode:
    """One step of a plan. What was measured is 0, and `actual_rows` None, where the plan was not run."""

    place: str
    """ "0" is the root, "0.1" its second child."""
    type: str
    """As "Index Scan"."""
    role: str = ""
    """What it is to the step above: Outer, Inner, Member, Subquery, InitPlan or SubPlan."""
    subplan: str = ""
    """As "CTE totals", "InitPlan 1 (returns $0)" (15), "SubPlan 2"."""
    schema: str = ""
    table: str = ""
    alias: str = ""
    index: str = ""
    cte: str = ""
    """The common table expression that it reads."""
    function: str = ""
    """The function that it reads."""
    join_type: str = ""
    """Inner, Left, Semi, Anti …"""
    strategy: str = ""
    """Of an aggregate: Plain, Sorted, Hashed or Mixed."""
    partial_mode: str = ""
    direction: str = ""
    """Of an index: Forward or Backward."""
    command: str = ""
    """Of a set operation, or of ModifyTable."""
    conditions: Mapping[str, str] = field(default_factory=dict)
    """As PostgreSQL writes them, by what they are: "Index Cond", "Filter" …"""
    sort_key: tuple[str, ...] = ()
    presorted_key: tuple[str, ...] = ()
    group_key: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    plan_rows: float = 0.0
    """Each time it runs, and of one worker."""
    width: int = 0
    """Bytes of a row."""
    startup_cost: float = 0.0
    total_cost: float = 0.0
    actual_rows: float | None = None
    """Each time it ran, on average."""
    startup_time: float = 0.0
    """Seconds until its first row, each time it ran."""
    total_time: float = 0.0
    """Seconds until its last."""
    loops: int = 0
    """How often it ran, in all workers."""
    removed_by_filter: float = 0.0
    """Rows, in all its runs."""
    removed_by_join_filter: float = 0.0
    removed_by_recheck: float = 0.0
    heap_fetches: int = 0
    exact_blocks: int = 0
    lossy_blocks: int = 0
    memory: Memory = Memory()
    workers_planned: int = 0
    workers_launched: int = 0
    disabled: bool = False
    """A setting speaks against it, and there was no other way (18)."""
    buffers: Buffers = Buffers()
    """With those of the steps below."""
    own_buffers: Buffers = Buffers()
    self_time: float = 0.0
    """Seconds of the clock that it took without the steps below; what workers do at once counts once."""
    share: float = 0.0
    """Of the time of the plan, or of its cost where it was not run: 0 to 1."""
    children: tuple["PlanNode", ...] = ()

    @property
    def relation(self) -> str:
        """The table that it reads, with its schema where that is known."""
        return f"{self.schema}.{self.table}" if self.schema else self.table

    @property
    def was_run(self) -> bool:
        """Whether anything was measured of it."""
        return self.actual_rows is not None and self.loops > 0

    @property
    def never_executed(self) -> bool:
        """The plan ran, and this step did not."""
        return self.actual_rows is not None and self.loops == 0

    @property
    def rows(self) -> float:
        """Rows that it gave in all its runs."""
        return (self.actual_rows or 0.0) * self.loops

    def child(self, role: str) -> "PlanNode | None":
        """The first child of a role."""
        return next((each for each in self.children if each.role == role), None)

    def walk(self) -> Iterator["PlanNode"]:
        """It, and all steps below it, each before those below that."""
        yield self
        for each in self.children:
            yield from each.walk()

    @property
    def whole_share(self) -> float:
        """Its share with those of the steps below it."""
        return min(1.0, sum(each.share for each in self.walk()))


@dataclass(frozen=True, slots=True)
class Trigger:
    """What a trigger took."""

    name: str
    """The constraint's, where it keeps one."""
    constraint: str
    relation: str
    seconds: float
    calls: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How the database runs a statement, or ran it."""

    root: PlanNode
    fingerprint: str
    """16 hexadecimal digits, the same for all plans of one shape."""
    text: str
    """EXPLAIN's JSON."""
    planning_time: float = 0.0
    """Seconds."""
    execution_time: float | None = None
    """Seconds. None: it was not run."""
    jit_seconds: float = 0.0
    jit_functions: int = 0
    triggers: tuple[Trigger, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    """Those that change plans and are not as PostgreSQL has them by itself."""

    def nodes(self) -> Iterator[PlanNode]:
        """All steps, each before those below it."""
        return self.root.walk()

    def parents(self) -> Mapping[str, PlanNode]:
        """The step above each, by the place of that below."""
        return {child.place: node for node in self.nodes() for child in node.children}
