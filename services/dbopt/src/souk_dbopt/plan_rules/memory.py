"""Rules about what did not fit work_mem and went to files."""

import math
from collections.abc import Iterator

from souk_dbopt.plan_rules.findings import Facts, Finding, number, part
from souk_dbopt.plans import BLOCK, Plan, PlanNode

SORT_GROWTH = 2.5
"""Rows that are sorted take so much more in memory than in a file: they are not packed there, and each has a place of 24 bytes."""
HASH_GROWTH = 1.5
"""A hash table's batches are not all of one size."""
GROUP_GROWTH = 4.0
"""Groups take so much more in a hash table than the rows that are written for them."""
STORE_BLOCKS = 100
"""Blocks that a step may write to files."""
_STORES = frozenset({"Materialize", "CTE Scan", "WindowAgg", "Function Scan", "Table Function Scan", "Recursive Union"})


def sort_spill(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """A sort went through files."""
    for node in plan.nodes():
        if node.type in ("Sort", "Incremental Sort") and node.memory.disk_kilobytes > 0:
            needed = node.memory.disk_kilobytes * SORT_GROWTH
            yield _finding("SORT_SPILL", node, "sorting", needed, node.memory.disk_kilobytes)


def hash_spill(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """A hash join's table was split into parts, and both sides of the join went through files."""
    for node in plan.nodes():
        if node.type == "Hash" and node.memory.batches > 1:
            needed = node.memory.kilobytes * node.memory.batches * HASH_GROWTH
            written = node.buffers.temp_written * BLOCK / 1024
            yield _finding("HASH_SPILL", node, f"{node.memory.batches} parts of a hash table", needed, written)


def aggregate_spill(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """Groups did not fit, and rows were kept in files for later."""
    for node in plan.nodes():
        if node.type == "Aggregate" and node.memory.spilled:
            needed = node.memory.kilobytes + node.memory.disk_kilobytes * GROUP_GROWTH
            yield _finding("AGGREGATE_SPILL", node, "grouping", needed, node.memory.disk_kilobytes)


def store_spill(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """Rows that are read more than once, or by a window, were kept in a file."""
    for node in plan.nodes():
        written = node.own_buffers.temp_written
        if node.type in _STORES and written >= STORE_BLOCKS:
            kilobytes = written * BLOCK / 1024
            yield _finding("STORE_SPILL", node, f"keeping the rows of {node.type}", kilobytes * SORT_GROWTH, kilobytes)


def _finding(rule: str, node: PlanNode, what: str, needed_kilobytes: float, written_kilobytes: float) -> Finding:
    megabytes = 2 ** math.ceil(math.log2(max(1.0, needed_kilobytes / 1024)))
    return Finding(
        rule=rule,
        message=f"{what} took {number(written_kilobytes)} kB of files, for it did not fit work_mem",
        fix=f"Give the session a work_mem of {megabytes} MB, or make the rows fewer or narrower before this step.",
        fix_sql=f"SET work_mem = '{megabytes}MB'",
        node=node.place,
        weight=node.share,
        evidence={"kilobytes_written": number(written_kilobytes), "work_mem": f"{megabytes}MB", "share": part(node.share)},
    )
