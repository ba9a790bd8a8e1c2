"""What a rule finds, and what it may know besides the plan."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from souk_dbopt.plans import Plan, PlanNode

_SCANS = frozenset({"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Sample Scan"})
_NAME = r'(?:[a-z_][a-z0-9_$]*|"(?:[^"]|"")+")'
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a plan."""

    rule: str
    message: str
    """A sentence with its numbers."""
    fix: str
    """What to do, in a sentence."""
    node: str
    """The place of the step."""
    weight: float
    """The share of the statement's time that it costs, as far as that is known: 0 to 1."""
    fix_sql: str = ""
    """What does it; empty where that is not known."""
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What the database knows of a table."""

    rows: float
    """Now, about."""
    changed: float
    """Rows that were added, changed or removed since its statistics were made."""
    analyzed: bool
    """They were made once."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known besides the plan. The default: nothing."""

    tables: Mapping[str, TableFacts] = field(default_factory=dict)
    """By name with schema."""


Rule: TypeAlias = Callable[[Plan, Facts], Iterator[Finding]]


def is_scan(node: PlanNode) -> bool:
    """Whether it reads rows of one table."""
    return node.type in _SCANS


def plain_columns(keys: tuple[str, ...]) -> list[str]:
    """Sort keys as CREATE INDEX takes them; empty where one of them is no column."""
    found = []
    for key in keys:
        match = re.fullmatch(rf"(?:{_NAME}\.)?(?P<rest>{_NAME}(?: (?:DESC|ASC|NULLS FIRST|NULLS LAST))*)", key)
        if match is None:
            return []
        found.append(match["rest"])
    return found


def create_index(node: PlanNode, columns: Sequence[str]) -> str:
    """The statement that makes an index of these columns; empty where there are none."""
    return f"CREATE INDEX CONCURRENTLY ON {quoted(node)} ({', '.join(columns)})" if columns else ""


def quoted(node: PlanNode) -> str:
    """The table of a step as SQL names it."""
    return sql_name(node.schema, node.table)


def sql_name(*parts: str) -> str:
    """A name as SQL writes it, in quotes where it must be; parts that are empty are left out."""
    return ".".join(part if _PLAIN.fullmatch(part) else '"{}"'.format(part.replace('"', '""')) for part in parts if part)


def number(value: float) -> str:
    """A count for people: without decimals where it has none."""
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:,.1f}"


def part(value: float) -> str:
    """A share for people."""
    return f"{100 * value:.0f} %"


def of(node: PlanNode) -> str:
    """What a step is about, in a message."""
    if node.index and node.table:
        return f"{node.relation} by {node.index}"
    return node.relation or node.index or node.type
