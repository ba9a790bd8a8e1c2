"""What made a plan change: what the planner knew before, and what it knows now."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from souk_dbopt.plan_differences import indexes_used, relations_of
from souk_dbopt.plan_rules.findings import sql_name
from souk_dbopt.plans import Plan

STALE_SHARE, STALE_ROWS = 0.1, 100
"""Rows of a table that changed since its statistics were made, for these to be stale; autovacuum comes at a tenth."""
GROWN = 1.5
"""Times as many rows, or blocks."""


class CauseKind(Enum):
    """What made a plan or its latency change, the most certain first."""

    INDEX_DROPPED = "index_dropped"
    INDEX_INVALID = "index_invalid"
    SETTING_CHANGED = "setting_changed"
    GENERIC_PLAN = "generic_plan"
    INDEX_ADDED = "index_added"
    STATISTICS_STALE = "statistics_stale"
    STATISTICS_CHANGED = "statistics_changed"
    TABLE_GROWN = "table_grown"
    MORE_ROWS = "more_rows"


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is different."""

    kind: CauseKind
    message: str
    """A sentence with what was measured."""
    fix_sql: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableState:
    """What the planner knows of a table, and how old that is."""

    rows: float
    """As its statistics have it."""
    blocks: int
    changed: float
    """Rows that changed since its statistics were made."""
    analyzed: float | None
    """When they were made, in seconds since 1970; None: not known."""


@dataclass(frozen=True, slots=True)
class IndexState:
    """An index of a table."""

    table: str
    definition: str
    valid: bool


@dataclass(frozen=True, slots=True)
class PlannerState:
    """What decides the plans of one query."""

    time: float
    """Seconds since 1970."""
    tables: Mapping[str, TableState] = field(default_factory=dict)
    """By name with schema."""
    indexes: Mapping[str, IndexState] = field(default_factory=dict)
    """Of these tables, by name without schema, as plans have it."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Those that change plans, where they are not as PostgreSQL has them by itself."""

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "time": self.time,
            "tables": {name: [t.rows, t.blocks, t.changed, t.analyzed] for name, t in self.tables.items()},
            "indexes": {name: [i.table, i.definition, i.valid] for name, i in self.indexes.items()},
            "settings": dict(self.settings),
        }

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> "PlannerState":
        """As it was kept."""
        return cls(
            kept["time"],
            {name: TableState(*values) for name, values in kept["tables"].items()},
            {name: IndexState(*values) for name, values in kept["indexes"].items()},
            kept["settings"],
        )


@dataclass(frozen=True, slots=True)
class Moment:
    """A plan and what the planner knew when it made it."""

    plan: Plan
    state: PlannerState
    generic: bool = False
    rows_per_call: float = 0.0
    """0: not known."""


def causes(before: Moment, after: Moment) -> list[Cause]:
    """Everything that may have made the plan, or what it takes, change, the most certain first."""
    found = [
        *_indexes_gone(before, after),
        *_settings(before.state, after.state),
        *_generic(before, after),
        *_indexes_come(before, after),
        *_tables(before, after),
        *_rows(before, after),
    ]
    order = list(CauseKind)
    return sorted(found, key=lambda cause: order.index(cause.kind))


def _indexes_gone(before: Moment, after: Moment) -> Iterator[Cause]:
    for name in sorted(indexes_used(before.plan)):
        was, now = before.state.indexes.get(name), after.state.indexes.get(name)
        if was is not None and now is None:
            message = f"The index {name} of {was.table}, which the plan used, was dropped."
            yield Cause(CauseKind.INDEX_DROPPED, message, was.definition, {f"index {name}": was.definition})
        elif was is not None and now is not None and was.valid and not now.valid:
            message = f"The index {name} of {was.table}, which the plan used, is invalid."
            evidence = {f"index {name}": "invalid"}
            yield Cause(CauseKind.INDEX_INVALID, message, f"REINDEX INDEX CONCURRENTLY {_beside(name, was.table)}", evidence)


def _settings(before: PlannerState, after: PlannerState) -> Iterator[Cause]:
    names = sorted(before.settings.keys() | after.settings.keys())
    changed = {name: (before.settings.get(name), after.settings.get(name)) for name in names}
    changed = {name: values for name, values in changed.items() if values[0] != values[1]}
    if changed:
        told = {name: f"{was or 'the default'} -> {now or 'the default'}" for name, (was, now) in changed.items()}
        listed = ", ".join(f"{name} ({each})" for name, each in told.items())
        yield Cause(CauseKind.SETTING_CHANGED, f"Settings of the planner changed: {listed}.", "", told)


def _generic(before: Moment, after: Moment) -> Iterator[Cause]:
    if before.generic != after.generic:
        now = "any values, without a look at those of a call" if after.generic else "the values of each call"
        evidence = {"generic": f"{before.generic} -> {after.generic}".lower()}
        yield Cause(CauseKind.GENERIC_PLAN, f"The prepared statement has a plan for {now}.", "", evidence)


def _indexes_come(before: Moment, after: Moment) -> Iterator[Cause]:
    for name in sorted(indexes_used(after.plan) - before.state.indexes.keys()):
        now = after.state.indexes.get(name)
        if now is not None and now.table in before.state.tables:
            yield Cause(CauseKind.INDEX_ADDED, f"The index {name} of {now.table} is new.", "", {f"index {name}": now.definition})


def _tables(before: Moment, after: Moment) -> Iterator[Cause]:
    for name in sorted(relations_of(before.plan) | relations_of(after.plan)):
        was, now = before.state.tables.get(name), after.state.tables.get(name)
        if was is not None and now is not None:
            yield from _table(name, was, now)


def _table(name: str, was: TableState, now: TableState) -> Iterator[Cause]:
    share = now.changed / max(1.0, now.rows)
    if now.changed >= max(STALE_ROWS, STALE_SHARE * now.rows) and now.changed != was.changed:
        message = f"{now.changed:,.0f} rows of {name} ({share:.0%}) have changed since its statistics were made."
        evidence = {f"changed rows of {name}": f"{was.changed:,.0f} -> {now.changed:,.0f}"}
        yield Cause(CauseKind.STATISTICS_STALE, message, f"ANALYZE {_named(name)}", evidence)
    if now.analyzed != was.analyzed and now.analyzed is not None:
        evidence = {f"rows of {name} as its statistics have them": f"{was.rows:,.0f} -> {now.rows:,.0f}"}
        yield Cause(CauseKind.STATISTICS_CHANGED, f"The statistics of {name} were made anew.", "", evidence)
    rows, blocks = now.rows / max(1.0, was.rows), now.blocks / max(1, was.blocks)
    if max(rows, blocks) >= GROWN:
        evidence = {
            f"rows of {name}": f"{was.rows:,.0f} -> {now.rows:,.0f}",
            f"blocks of {name}": f"{was.blocks:,} -> {now.blocks:,}",
        }
        yield Cause(CauseKind.TABLE_GROWN, f"{name} has {rows:.1f} times its rows, in {blocks:.1f} times its blocks.", "", evidence)


def _rows(before: Moment, after: Moment) -> Iterator[Cause]:
    if before.rows_per_call > 0 and after.rows_per_call >= GROWN * before.rows_per_call:
        told = f"{before.rows_per_call:,.1f} -> {after.rows_per_call:,.1f}"
        yield Cause(CauseKind.MORE_ROWS, f"A call returns more rows than before: {told}.", "", {"rows of a call": told})


def _named(table: str) -> str:
    schema, _, name = table.partition(".")
    return sql_name(schema, name)


def _beside(index: str, table: str) -> str:
    """An index with the schema of its table, which is its own."""
    return sql_name(table.partition(".")[0], index)
