"""Queries that one trace calls again and again, each time for another row: N + 1 queries where one would do."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from souk_dbopt.catalogue import Query
from souk_dbopt.plan_records import FoundInPlan
from souk_dbopt.plan_rules import Finding

RULE = "REPEATED_IN_TRACE"
MAX_TRACES = 10_000
"""Pairs of a trace and a query that are counted; what was called least lately goes. One takes about a kilobyte at the most."""
FEW_ROWS = 5.0
"""Rows of a call, on average, with which a query is asked for one thing at a time."""
MAX_FOUND = 200
"""Queries of which one waits to be taken."""


class Caller(Protocol):
    """Who makes the rpc that is being served."""

    @property
    def trace_id(self) -> int:
        """Of the trace that it is part of."""

    @property
    def from_caller(self) -> bool:
        """The trace may have other rpcs; else it began with this one, and ends with it."""

    @property
    def peer(self) -> str:
        """The address that it came from."""


@dataclass(slots=True)
class _Calls:
    query: Query
    peer: str
    count: int = 0
    rows: int = 0
    seconds: float = 0.0
    distinct: set[int] = field(default_factory=set)
    """Hashes of parameters, as many as are looked for: no value is kept."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """A trace that called a query again and again."""

    query: Query
    trace_id: str
    """32 hexadecimal digits."""
    peer: str
    calls: int
    rows: int
    seconds: float
    """All calls together."""


class RepeatedCalls:
    """Counts calls by trace and query: a look-up and an addition for each, and no more memory than is said."""

    def __init__(self, caller: Callable[[], Caller | None], *, least: int, most: int = MAX_TRACES) -> None:
        """least: calls of one trace with different parameters that are too many; 0: nothing is counted."""
        self._caller = caller
        self._least = least
        self._most = most
        self._traces: OrderedDict[tuple[int, str], tuple[int, int, float] | _Calls] = OrderedDict()
        self._found: dict[str, tuple[int, _Calls]] = {}

    def __len__(self) -> int:
        """Pairs that are counted."""
        return len(self._traces)

    def record(self, query: Query, arguments: Sequence[Any], seconds: float, rows: int) -> None:
        """A call is over."""
        caller = self._caller() if self._least else None
        if caller is None or not caller.from_caller:
            return
        place = (caller.trace_id, query.key)
        known = self._traces.get(place)
        if known is None:  # most traces call a query once
            self._traces[place] = (hash(repr(arguments)), rows, seconds)
            if len(self._traces) > self._most:
                self._traces.popitem(last=False)
            return
        self._traces.move_to_end(place)
        if isinstance(known, tuple):
            first, first_rows, first_seconds = known
            known = self._traces[place] = _Calls(query, caller.peer, 1, first_rows, first_seconds, {first})
        known.count += 1
        known.rows += rows
        known.seconds += seconds
        if len(known.distinct) < self._least:
            known.distinct.add(hash(repr(arguments)))
            if len(known.distinct) >= self._least and (query.key in self._found or len(self._found) < MAX_FOUND):
                self._found[query.key] = (caller.trace_id, known)

    def take(self) -> list[Repeated]:
        """What was found since the last time, of each query the last trace, with the calls up to now."""
        found, self._found = self._found, {}
        return [
            Repeated(calls.query, f"{trace:032x}", calls.peer, calls.count, calls.rows, calls.seconds)
            for trace, calls in found.values()
            if calls.rows <= FEW_ROWS * calls.count
        ]


def finding(repeated: Repeated, shares: Mapping[str, float]) -> FoundInPlan:
    """What is told of it. shares: of the time of all queries, by query."""
    query, calls = repeated.query, repeated.calls
    weight = 1 - 1 / calls
    array = "an array of them, as `= ANY (:ids::bigint[])`"
    fix = (
        f"Write all at once: give {query.name} {array} and unnest() in place of one value a call."
        if query.is_write
        else f"Ask once for all: a query like {query.name} that takes {array}, and returns a row for each; or a join."
    )
    return FoundInPlan(
        Finding(
            rule=RULE,
            message=f"one trace called it {calls:,} times with different parameters, for {repeated.rows:,} rows in all",
            fix=fix,
            node="",
            weight=weight,
            evidence={
                "trace_id": repeated.trace_id,
                "peer": repeated.peer,
                "calls": f"{calls:,}",
                "rows": f"{repeated.rows:,}",
                "milliseconds": f"{repeated.seconds * 1000:.1f}",
            },
        ),
        subject="",
        database_share=weight * shares.get(query.key, 0.0),
    )
