"""Reads plans: what EXPLAIN (FORMAT JSON) says, with VERBOSE, and where it ran, ANALYZE and BUFFERS, of PostgreSQL 15 and later."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from souk_dbopt import plan_attribution, plan_shape
from souk_dbopt.plans import Buffers, Memory, Plan, PlanNode, Trigger

_CONDITIONS = (
    "Index Cond",
    "Recheck Cond",
    "Filter",
    "Join Filter",
    "Hash Cond",
    "Merge Cond",
    "TID Cond",
    "One-Time Filter",
    "Order By",
    "Cache Key",
)
_STORES = ("Full-sort Groups", "Pre-sorted Groups")
"""What an incremental sort says of its sorts."""


def read(text: str) -> Plan:
    """The plan of EXPLAIN's JSON. ValueError where it is none."""
    try:
        document = json.loads(text)[0]
        root = _attributed(_node(document["Plan"], "0"))
    except (json.JSONDecodeError, LookupError, TypeError) as error:
        raise ValueError("this is no plan of EXPLAIN (FORMAT JSON)") from error
    jit = document.get("JIT", {})
    took = document.get("Execution Time")
    return Plan(
        root=root,
        fingerprint=plan_shape.fingerprint(root),
        text=text,
        planning_time=document.get("Planning Time", 0.0) / 1000,
        execution_time=None if took is None else took / 1000,
        jit_seconds=jit.get("Timing", {}).get("Total", 0.0) / 1000,
        jit_functions=jit.get("Functions", 0),
        triggers=tuple(map(_trigger, document.get("Triggers", ()))),
        settings=document.get("Settings", {}),
    )


def _trigger(raw: Mapping[str, Any]) -> Trigger:
    return Trigger(
        name=raw.get("Trigger Name", ""),
        constraint=raw.get("Constraint Name", ""),
        relation=raw.get("Relation", ""),
        seconds=raw.get("Time", 0.0) / 1000,
        calls=raw.get("Calls", 0),
    )


def _node(raw: Mapping[str, Any], place: str) -> PlanNode:
    loops = raw.get("Actual Loops", 0)
    return PlanNode(
        place=place,
        type=raw["Node Type"],
        role=raw.get("Parent Relationship", ""),
        subplan=raw.get("Subplan Name", ""),
        schema=raw.get("Schema", "") if "Relation Name" in raw else "",
        table=raw.get("Relation Name", ""),
        alias=raw.get("Alias", ""),
        index=raw.get("Index Name", ""),
        cte=raw.get("CTE Name", ""),
        function=raw.get("Function Name", ""),
        join_type=raw.get("Join Type", ""),
        strategy=raw.get("Strategy", ""),
        partial_mode=raw.get("Partial Mode", ""),
        direction=raw.get("Scan Direction", ""),
        command=raw.get("Command", "") or raw.get("Operation", ""),
        conditions={name: raw[name] for name in _CONDITIONS if isinstance(raw.get(name), str)},
        sort_key=tuple(raw.get("Sort Key", ())),
        presorted_key=tuple(raw.get("Presorted Key", ())),
        group_key=tuple(raw.get("Group Key", ())),
        output=tuple(raw.get("Output", ())),
        plan_rows=raw.get("Plan Rows", 0),
        width=raw.get("Plan Width", 0),
        startup_cost=raw.get("Startup Cost", 0.0),
        total_cost=raw.get("Total Cost", 0.0),
        actual_rows=raw.get("Actual Rows"),
        startup_time=raw.get("Actual Startup Time", 0.0) / 1000,
        total_time=raw.get("Actual Total Time", 0.0) / 1000,
        loops=loops,
        removed_by_filter=raw.get("Rows Removed by Filter", 0) * loops,
        removed_by_join_filter=raw.get("Rows Removed by Join Filter", 0) * loops,
        removed_by_recheck=raw.get("Rows Removed by Index Recheck", 0) * loops,
        heap_fetches=raw.get("Heap Fetches", 0),
        exact_blocks=_with_workers(raw, "Exact Heap Blocks"),
        lossy_blocks=_with_workers(raw, "Lossy Heap Blocks"),
        memory=_memory(raw),
        workers_planned=raw.get("Workers Planned", 0),
        workers_launched=raw.get("Workers Launched", 0),
        disabled=raw.get("Disabled", False),
        buffers=_buffers(raw),
        children=tuple(_node(each, f"{place}.{number}") for number, each in enumerate(raw.get("Plans", ()))),
    )


def _with_workers(raw: Mapping[str, Any], name: str) -> int:
    """18 tells what workers did beside what the leader did; before, theirs was lost."""
    count: int = raw.get(name, 0) + sum(each.get(name, 0) for each in raw.get("Workers", ()))
    return count


def _memory(raw: Mapping[str, Any]) -> Memory:
    """The most that one process took, for work_mem is each one's own."""
    found = [_memory_of(each) for each in (raw, *raw.get("Workers", ()))]
    groups = [raw[name] for name in _STORES if name in raw]
    found += [_memory_of_groups(each) for each in groups]
    return max(found, key=lambda memory: (memory.spilled, memory.disk_kilobytes, memory.batches, memory.kilobytes))


def _memory_of(raw: Mapping[str, Any]) -> Memory:
    if "Sort Method" in raw:
        on_disk = raw["Sort Space Type"] == "Disk"
        used = raw["Sort Space Used"]
        return Memory(0 if on_disk else used, used if on_disk else 0, method=raw["Sort Method"])
    if "Storage" in raw:
        on_disk = raw["Storage"] == "Disk"
        used = raw.get("Maximum Storage", 0)
        return Memory(0 if on_disk else used, used if on_disk else 0)
    batches = max(1, raw.get("Hash Batches", raw.get("HashAgg Batches", 1)))
    return Memory(raw.get("Peak Memory Usage", 0), raw.get("Disk Usage", 0), batches)


def _memory_of_groups(raw: Mapping[str, Any]) -> Memory:
    disk = raw.get("Sort Space Disk", {}).get("Peak Sort Space Used", 0)
    memory = raw.get("Sort Space Memory", {}).get("Peak Sort Space Used", 0)
    return Memory(memory, disk, method=", ".join(raw.get("Sort Methods Used", ())))


def _buffers(raw: Mapping[str, Any]) -> Buffers:
    return Buffers(
        hit=raw.get("Shared Hit Blocks", 0) + raw.get("Local Hit Blocks", 0),
        read=raw.get("Shared Read Blocks", 0) + raw.get("Local Read Blocks", 0),
        temp_read=raw.get("Temp Read Blocks", 0),
        temp_written=raw.get("Temp Written Blocks", 0),
    )


def _attributed(root: PlanNode) -> PlanNode:
    """The same with what each step took by itself."""
    ran_in = plan_attribution.ran_in(root)
    times = plan_attribution.self_times(root, ran_in)
    weights = times if root.actual_rows is not None and any(times.values()) else plan_attribution.self_costs(root)
    total = sum(weights.values())
    owners = _owners(root, ran_in)

    def rebuilt(node: PlanNode) -> PlanNode:
        own = node.buffers
        for each in owners.get(node.place, ()):
            own = own.less(each.buffers)
        return replace(
            node,
            self_time=times[node.place],
            share=weights[node.place] / total if total else 0.0,
            own_buffers=own,
            children=tuple(map(rebuilt, node.children)),
        )

    return rebuilt(root)


def _owners(root: PlanNode, ran_in: Mapping[str, Sequence[PlanNode]]) -> Mapping[str, list[PlanNode]]:
    """Whose blocks are counted in those of each step: of its children, and of a part that first ran while it did."""
    within: dict[str, list[PlanNode]] = {}
    for node in root.walk():
        for child in node.children:
            first = next(iter(ran_in.get(child.place, ())), node)
            within.setdefault(first.place, []).append(child)
    return within
