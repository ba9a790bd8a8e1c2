"""Looks at the plans of the queries that take the database's time, within a budget, and says when one changed."""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Protocol, Self

import orjson
import structlog
from souk_common.postgres import PostgresError

from souk_dbopt import plan_reading, repeated_calls
from souk_dbopt.catalogue import Catalogue, Query
from souk_dbopt.exceptions import ArgumentsError, DbError, QueryTimedOutError, QueryUnknownError
from souk_dbopt.explaining import Explained
from souk_dbopt.insight import Insight, QueryStats, Sampled
from souk_dbopt.plan_budget import PlanBudget
from souk_dbopt.plan_causes import IndexState, Moment, PlannerState, TableState, causes
from souk_dbopt.plan_differences import differences, relations_of
from souk_dbopt.plan_records import Change, FoundInPlan, PlanStore, Probe, SeenPlan, Watched
from souk_dbopt.plan_rules import Finding, findings
from souk_dbopt.plan_shifts import Shifts
from souk_dbopt.plans import Plan
from souk_dbopt.recording import Recorder
from souk_dbopt.repeated_calls import RepeatedCalls

log = structlog.get_logger(__name__)
HOUR = timedelta(hours=1)
MOST_QUERIES = 40
"""That are looked at, those that took most of the last hour's time: one that is cheap may be so no more when its plan changes."""
RUN_SHARE = 0.005
"""Of that time, for a query to be run to be explained."""
SLOW, USUAL, ANY = "slow", "usual", "any"
"""Parameters that plans are compared with: of a slow call, of an usual one; or none, where they cannot be known."""
LEASE = 60.0
"""Seconds after which another node may take over a query from one that does not come back."""
RUN_AGAIN, CUT_AGAIN, LONGEST = 6 * 3600.0, 3600.0, 86_400.0
"""Seconds until a query is run to be explained again; after one that was cut, doubled each time, up to the last."""
LEAST_RUN = 0.1
"""Seconds that a run may take in any case: it may have waited for its blocks."""
EXPECTED = 2.0
"""Times as long as the call took that its run may take: measuring each step costs something."""
FORGET_EVERY = 600.0


class Capture(Protocol):
    """Sees plans without running anything."""

    async def capture(self, query: Query, arguments: Sequence[object] | None) -> SeenPlan:
        """The plan for these arguments; None: for any."""

    async def state(self, relations: Collection[str]) -> tuple[dict[str, TableState], dict[str, IndexState]]:
        """Of tables and their indexes."""


class Runner(Protocol):
    """Runs a query that reads to explain it."""

    async def run(self, query: Query, arguments: Sequence[object], timeout: float) -> Explained:
        """Its plan with what it did. QueryTimedOutError."""


@dataclass(slots=True)
class PlanCounts:
    """What a node did since it was started."""

    captured: int = 0
    run: int = 0
    cut: int = 0
    """Runs that took longer than they were expected to."""
    unaffordable: int = 0
    """Looks that the budget did not allow."""
    failed: int = 0


class PlanWatch:
    """Open it as a context manager, and it looks by itself; nothing that it does, or fails to do, reaches a caller."""

    def __init__(
        self,
        catalogue: Catalogue,
        recorder: Recorder,
        insight: Insight,
        store: PlanStore,
        capture: Capture,
        runner: Runner | None,
        budget: PlanBudget,
        repeated: RepeatedCalls,
        *,
        interval: float,
        retention: float,
        run_timeout: float,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """runner: None: nothing is run to be explained. interval: seconds between two looks, about. retention: seconds that
        parameters are compared with, and what was found is kept. run_timeout: seconds that one run may take at the most."""
        self._catalogue = catalogue
        self._recorder = recorder
        self._insight = insight
        self._store = store
        self._capture = capture
        self._runner = runner
        self._budget = budget
        self._repeated = repeated
        self._interval = interval
        self._retention = retention
        self._run_timeout = run_timeout
        self._clock = clock
        self._chance = chance
        self._shifts = Shifts(store)
        self._task: asyncio.Task[None] | None = None
        self._skipped: set[str] = set()
        """Queries that could not be afforded at the last look: they come first at the next."""
        self._problems: dict[str, str] = {}
        self._forgotten = float("-inf")
        self.counts = PlanCounts()

    @property
    def budget(self) -> PlanBudget:
        """What is left to be spent."""
        return self._budget

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_looking(), name="watch-plans")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Look at what takes the time, once. PostgresError, DbError: where nothing can be known of that."""
        now, began = self._clock(), time.perf_counter()
        totals = await self._insight.slow_now(datetime.fromtimestamp(now, UTC) - HOUR)
        self._budget.fill(self._recorder.seconds)
        self._budget.charge(time.perf_counter() - began)
        shares = {stats.fingerprint: stats.share for stats in totals}
        for repeated in self._repeated.take():
            await self._store.found(repeated.query.key, "", [repeated_calls.finding(repeated, shares)], now)
        looked: dict[str, Watched] = {}
        queries, self._skipped = self._expensive(totals), set()
        for query in queries:
            if self._budget.left <= 0:
                self.counts.unaffordable += 1
                self._skipped.add(query.key)
                continue
            watched = await self._tried(query, shares[query.key], now)
            if watched is not None:
                looked[query.key] = watched
        if looked:
            began = time.perf_counter()
            await self._shifts.decide(looked, list(shares)[:MOST_QUERIES], now)
            self._budget.charge(time.perf_counter() - began)
        if now - self._forgotten >= FORGET_EVERY:
            self._forgotten = now
            await self._store.forget(now, retention=self._retention)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._interval * (0.8 + 0.4 * self._chance()))
            try:
                await self.look()
                problem = ""
            except (PostgresError, DbError, ValueError) as error:
                problem = str(error) or type(error).__name__
            self._tell("", problem)

    def _expensive(self, totals: Sequence[QueryStats]) -> list[Query]:
        """Of the catalogue: of others the texts are known, but neither values nor settings."""
        found = []
        for stats in totals[:MOST_QUERIES]:
            name, _, version = stats.fingerprint.rpartition("@")
            if version.isdecimal():
                try:
                    found.append(self._catalogue.get(name, int(version)))
                except QueryUnknownError:  # of another version of dbopt
                    continue
        return sorted(found, key=lambda query: query.key not in self._skipped)

    async def _tried(self, query: Query, share: float, now: float) -> Watched | None:
        """What is known of a query after a look; None where another node has it, or it failed."""
        began = time.perf_counter()
        try:
            watched = await self._store.claim(query.key, now, lease=LEASE, every=self._interval * 0.7)
            if watched is not None:
                await self._look_at(query, share, watched, now, began)
        except (PostgresError, DbError, ValueError) as error:
            self.counts.failed += 1
            self._tell(query.key, str(error) or type(error).__name__)
            return None
        finally:
            self._budget.charge(time.perf_counter() - began)
        self._tell(query.key, "")
        return watched

    async def _look_at(self, query: Query, share: float, watched: Watched, now: float, began: float) -> None:
        await self._choose(query, watched, now)
        seen: dict[str, SeenPlan] = {}
        for slot, probe in watched.probes.items():
            arguments = query.arguments(orjson.loads(probe.parameters)) if probe.parameters else None
            seen[slot] = await self._capture.capture(query, arguments)
            self.counts.captured += 1
        if not seen:
            return
        relations = set[str]().union(watched.relations, *(relations_of(each.plan) for each in seen.values()))
        tables, indexes = await self._capture.state(relations)
        state = PlannerState(now, tables, indexes, next(iter(seen.values())).plan.settings)
        change = await self._changed(watched, seen, state, now)
        plans = list(seen.values())
        found = findings(plans[0].plan)
        if change is not None:
            watched.compared_since, watched.run_after = now, 0.0
        if not query.is_write and self._runner is not None:
            due = share >= RUN_SHARE and now >= watched.run_after
            plan = await self._run(self._runner, query, watched, now, time.perf_counter() - began) if due else None
            found = [] if plan is None else list(plan.findings)
            plans += [] if plan is None else [SeenPlan(plan.plan, generic=False, was_run=True)]
            if plan is not None:
                await self._store.found(query.key, plan.plan.fingerprint, _about(plan.plan, found, share), now)
        else:
            await self._store.found(query.key, plans[0].plan.fingerprint, _about(plans[0].plan, found, share), now)
        for slot, each in seen.items():
            watched.probes[slot].plan, watched.probes[slot].generic = each.plan.fingerprint, each.generic
        watched.saw(state)
        await self._store.keep(watched, now, plans, change)

    async def _choose(self, query: Query, watched: Watched, now: float) -> None:
        """Parameters to compare plans with, where there are none yet or they have been kept long enough."""
        old = [
            slot
            for slot, probe in watched.probes.items()
            if now - probe.taken > self._retention or not _fits(query, probe.parameters)
        ]
        for slot in old:
            del watched.probes[slot]
        if SLOW in watched.probes:
            return
        usable = [sample for sample in await self._insight.samples(query.key) if _fits(query, sample.parameters)]
        if not usable:
            watched.probes.setdefault(ANY, Probe("", 0.0, now))
            return
        watched.probes = {SLOW: _probe(usable[0], now)}
        usual = usable[len(usable) // 2]
        if usual.parameters != usable[0].parameters:
            watched.probes[USUAL] = _probe(usual, now)

    async def _changed(self, watched: Watched, seen: Mapping[str, SeenPlan], state: PlannerState, now: float) -> Change | None:
        """Whether the same parameters have another plan than at the last look."""
        for slot, each in seen.items():
            was = watched.probes[slot]
            if not was.plan or was.plan == each.plan.fingerprint or not watched.states:
                continue
            text = await self._store.plan(watched.fingerprint, was.plan)
            before = Moment(plan_reading.read(text), watched.states[-1], was.generic) if text else None
            return _change(watched, slot, before, Moment(each.plan, state, each.generic), now)
        return None

    async def _run(self, runner: Runner, query: Query, watched: Watched, now: float, spent: float) -> Explained | None:
        """Run it, where that can be afforded. spent: seconds of this look that are not charged yet."""
        probe = watched.probes.get(SLOW)
        if probe is None:
            return None
        expected = EXPECTED * probe.seconds
        if self._budget.left - spent < expected:
            self.counts.unaffordable += 1
            return None
        timeout = min(self._run_timeout, max(LEAST_RUN, expected))
        try:
            explained = await runner.run(query, query.arguments(orjson.loads(probe.parameters)), timeout)
        except QueryTimedOutError:
            self.counts.cut += 1
            watched.run_after = now + min(LONGEST, CUT_AGAIN * 2**watched.cuts)
            watched.cuts += 1
            probe.seconds = max(probe.seconds, timeout)  # so much is known: it is expected to take longer next time
            return None
        except (PostgresError, DbError) as error:  # what was seen of its plans is kept all the same
            self.counts.failed += 1
            self._tell(f"{query.key} run", str(error) or type(error).__name__)
            watched.run_after = now + CUT_AGAIN
            return None
        self.counts.run += 1
        watched.run_after, watched.cuts = now + RUN_AGAIN, 0
        return explained

    def _tell(self, query: str, problem: str) -> None:
        """Once, where it is another than before."""
        if problem == self._problems.get(query, ""):
            return
        if problem:
            self._problems[query] = problem
            log.warning("plans", looked_at=False, query=query, problem=problem)
        else:
            self._problems.pop(query, None)
            log.info("plans", looked_at=True, query=query)


def _fits(query: Query, parameters: str) -> bool:
    """Whether all that must be known of parameters is kept."""
    if not parameters:
        return True
    try:
        query.arguments(orjson.loads(parameters))
    except ArgumentsError:
        return False
    return True


def _probe(sample: Sampled, now: float) -> Probe:
    return Probe(sample.parameters, sample.seconds, now)


def _change(watched: Watched, slot: str, before: Moment | None, after: Moment, now: float) -> Change:
    old_plan = watched.probes[slot].plan
    found = [] if before is None else differences(before.plan, after.plan, old_generic=before.generic, new_generic=after.generic)
    return Change(
        fingerprint=watched.fingerprint,
        time=now,
        before_time=watched.looked_at,
        old_plan=old_plan,
        new_plan=after.plan.fingerprint,
        kinds=list(dict.fromkeys(difference.kind for difference in found)),
        message="; ".join(difference.message for difference in found) or "the plan has another shape",
        causes=[] if before is None else causes(before, after),
        evidence={"parameters": slot},
    )


def _about(plan: Plan, found: Sequence[Finding], share: float) -> list[FoundInPlan]:
    """Findings by what they are about, of several of one rule the worst."""
    nodes = {node.place: node for node in plan.nodes()}
    worst: dict[tuple[str, str], FoundInPlan] = {}
    for finding in sorted(found, key=lambda each: -each.weight):
        node = nodes.get(finding.node)
        subject = "" if node is None else node.relation
        worst.setdefault((finding.rule, subject), FoundInPlan(finding, subject, finding.weight * share))
    return list(worst.values())
