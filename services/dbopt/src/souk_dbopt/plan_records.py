"""What is kept of plans: how they are watched, when they changed, what is wrong with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from souk_dbopt.histograms import Histogram
from souk_dbopt.latency_shift import Comparison, Outcome
from souk_dbopt.plan_causes import Cause, CauseKind, PlannerState
from souk_dbopt.plan_differences import ChangeKind
from souk_dbopt.plan_rules import Finding
from souk_dbopt.plans import Plan

NOT_COMPARED = Comparison(Outcome.PENDING)
STATES = 12
"""Of what the planner knew, the newest that are kept of a query."""


@dataclass(slots=True)
class Probe:
    """Parameters that the plans of a query are compared with from one look to the next, and the plan that they had last."""

    parameters: str
    """A JSON object; empty: the plan is that for any values."""
    seconds: float
    """That a call took with them."""
    taken: float
    """Seconds since 1970."""
    plan: str = ""
    """Its fingerprint; empty: not seen yet."""
    generic: bool = False


@dataclass(slots=True)
class Watched:
    """What is remembered of a query from one look to the next, whichever node looks."""

    fingerprint: str
    looked_at: float = 0.0
    """Seconds since 1970, as all times here. 0: never."""
    probes: dict[str, Probe] = field(default_factory=dict)
    """By what they are: "slow", "usual", "any"."""
    states: list[PlannerState] = field(default_factory=list)
    """The newest last."""
    run_after: float = 0.0
    """When it may be run to be explained again."""
    cuts: int = 0
    """Runs in a row that took too long and were cut."""
    compared_since: float = 0.0
    """When it changed last: its latencies from before say nothing of it now."""

    def saw(self, state: PlannerState) -> None:
        """What the planner knows now."""
        self.states = [*self.states, state][-STATES:]

    @property
    def relations(self) -> set[str]:
        """Tables of its plans."""
        return set(self.states[-1].tables) if self.states else set()

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        probes = {slot: [p.parameters, p.seconds, p.taken, p.plan, p.generic] for slot, p in self.probes.items()}
        states = [state.as_json() for state in self.states]
        own = {"run_after": self.run_after, "cuts": self.cuts, "compared_since": self.compared_since}
        return {"probes": probes, "states": states, **own}

    @classmethod
    def of_json(cls, fingerprint: str, looked_at: float, kept: Mapping[str, Any]) -> "Watched":
        """As it was kept; {}: nothing."""
        return cls(
            fingerprint,
            looked_at if kept else 0.0,
            {slot: Probe(*values) for slot, values in kept.get("probes", {}).items()},
            [PlannerState.of_json(state) for state in kept.get("states", ())],
            kept.get("run_after", 0.0),
            kept.get("cuts", 0),
            kept.get("compared_since", 0.0),
        )


@dataclass(frozen=True, slots=True)
class SeenPlan:
    """A plan that a query has."""

    plan: Plan
    generic: bool
    was_run: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A query got another plan, or takes longer with the same."""

    fingerprint: str
    time: float
    before_time: float
    old_plan: str
    new_plan: str
    kinds: Sequence[ChangeKind]
    message: str
    causes: Sequence[Cause]
    compared: Comparison = NOT_COMPARED
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pending:
    """A change of which it is not known yet whether it made the query slower."""

    change_id: int
    fingerprint: str
    time: float
    before_time: float
    since: float
    """When it had changed before that; 0: it had not."""
    until: float | None
    """When it was last seen so before it changed again; None: it is still so."""


@dataclass(frozen=True, slots=True)
class Minute:
    """What a query did in a minute, on all nodes."""

    start: float
    calls: int
    rows: int
    latencies: Histogram


@dataclass(frozen=True, slots=True)
class FoundInPlan:
    """A finding, and what of its query it is about."""

    finding: Finding
    subject: str
    """The same in all plans of the query: a relation, or nothing."""
    database_share: float
    """Of the time of all queries, 0 to 1."""


class Severity(Enum):
    """The least share of the time of all queries."""

    LOW = 0.0
    MEDIUM = 0.01
    HIGH = 0.1


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """Which findings. Empty, or None: all."""

    fingerprint: str = ""
    rule: str = ""
    least_share: float = 0.0
    since: datetime | None = None
    until: datetime | None = None
    open_only: bool = False


@dataclass(frozen=True, slots=True)
class KeptFinding:
    """A finding as it is kept."""

    finding_id: int
    fingerprint: str
    plan: str
    finding: Finding
    database_share: float
    first_time: datetime
    last_time: datetime
    closed_time: datetime | None

    @property
    def severity(self) -> Severity:
        """By its share."""
        return max((each for each in Severity if self.database_share >= each.value), key=lambda each: each.value)


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """Which changes. Empty, or None: all."""

    fingerprint: str = ""
    slower_only: bool = False
    since: datetime | None = None
    until: datetime | None = None
    kind: ChangeKind | None = None
    cause: CauseKind | None = None


@dataclass(frozen=True, slots=True)
class KeptChange:
    """A change as it is kept."""

    change_id: int
    fingerprint: str
    time: datetime
    before_time: datetime
    kinds: Sequence[ChangeKind]
    outcome: Outcome
    old_plan: str
    new_plan: str
    old_median: float | None
    new_median: float | None
    ratio: float
    least_ratio: float
    old_calls: int
    new_calls: int
    message: str
    causes: Sequence[CauseKind]
    cause_message: str
    fix_sql: str
    evidence: Mapping[str, str]


class PlanStore(Protocol):
    """Where it is kept, for all nodes together. Times are in seconds since 1970."""

    async def claim(self, fingerprint: str, now: float, *, lease: float, every: float) -> Watched | None:
        """Have a query for so many seconds to oneself; None where another has it, or has looked at it within `every` seconds."""

    async def keep(self, watched: Watched, now: float, plans: Sequence[SeenPlan], change: Change | None) -> None:
        """What was seen at a look, and give the query back."""

    async def watched(self, fingerprints: Sequence[str]) -> dict[str, Watched]:
        """What is remembered of queries, without claiming them."""

    async def plan(self, fingerprint: str, plan: str) -> str:
        """EXPLAIN's JSON of a plan that a query had; empty where it is not kept."""

    async def add(self, change: Change) -> None:
        """One more change."""

    async def pending(self, fingerprints: Sequence[str]) -> list[Pending]:
        """Changes of queries that are not decided yet."""

    async def decide(self, change_id: int, compared: Comparison, control: float) -> None:
        """What became of one, or what is known of it up to now. control: times as long that other queries took."""

    async def minutes(self, fingerprints: Sequence[str], since: float, until: float) -> dict[str, list[Minute]]:
        """What queries did minute by minute, the oldest first; whole minutes between the two."""

    async def found(self, fingerprint: str, plan: str, found: Sequence[FoundInPlan], now: float) -> None:
        """All that is wrong with the newest plan of a query: what was wrong before and is not among it is closed. With an empty
        `plan` the findings are of no plan, and close nothing."""

    async def forget(self, now: float, *, retention: float) -> None:
        """Remove what is older than so many seconds, and what is more than is kept of a query."""

    async def findings(self, wanted: FindingFilter, after: tuple[float, int] | None, limit: int) -> list[KeptFinding]:
        """The dearest first. after: share and id of the last one of the page before."""

    async def changes(self, wanted: ChangeFilter, before: int | None, limit: int) -> list[KeptChange]:
        """The newest first. before: the id of the last one of the page before."""
