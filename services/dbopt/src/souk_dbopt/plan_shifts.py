"""Decides on latencies by the minute which changes made a query slower, and finds queries that take longer with the same plan."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from souk_dbopt import plan_reading
from souk_dbopt.histograms import Histogram
from souk_dbopt.latency_shift import Comparison, Outcome, compare, control_of, stands_out
from souk_dbopt.plan_causes import Moment, causes
from souk_dbopt.plan_differences import ChangeKind
from souk_dbopt.plan_records import Change, Minute, Pending, PlanStore, Watched

BASELINE = 3600.0
"""Seconds before a change that are compared with those after it; a time of the day is compared with itself, about."""
DECIDED_WITHIN = 3600.0
"""Seconds after which a change without enough calls is left undecided."""
RECENT = 5
"""Minutes with calls that a query must have taken longer with the same plan."""
BASELINE_MINUTES = 10
"""Minutes that these are compared with at least."""
SHIFTED = 1.5
"""Times as long that count with the same plan."""
SETTLED = 300.0
"""Seconds after which a query that takes as long as before is said to."""

Minutes = Sequence[Minute]


class Shifts:
    """Compares latencies of before and after, beside those of the other queries."""

    def __init__(self, store: PlanStore) -> None:
        self._store = store

    async def decide(self, looked: Mapping[str, Watched], others: Sequence[str], now: float) -> None:
        """looked: queries that this node has just looked at. others: what is compared with, for what slows all of them down."""
        pending = await self._store.pending(list(looked))
        names = sorted({*looked, *others})
        since = min([now, *(each.before_time for each in pending)]) - 2 * BASELINE
        minutes = await self._store.minutes(names, since, now)
        known = {**await self._store.watched(names), **looked}
        for each in pending:
            await self._decide(each, minutes, known, now)
        waiting = {each.fingerprint for each in pending}
        for key, watched in looked.items():
            if key not in waiting:
                await self._shifted(watched, minutes, known, now)

    async def _decide(self, pending: Pending, minutes: Mapping[str, Minutes], known: Mapping[str, Watched], now: float) -> None:
        before = (max(pending.since, pending.before_time - BASELINE), pending.before_time)
        after = (pending.time, now if pending.until is None else pending.until)
        own = minutes.get(pending.fingerprint, ())
        control = self._control(pending.fingerprint, minutes, known, before, after)
        compared = compare(_between(own, *before), _between(own, *after), control=control)
        late = pending.until is not None or now - pending.time > DECIDED_WITHIN
        if compared.outcome is Outcome.PENDING and late:
            compared = replace(compared, outcome=Outcome.UNDECIDED)
        if compared.outcome is Outcome.SAME and not late and now - pending.time < SETTLED:
            compared = replace(compared, outcome=Outcome.PENDING)
        await self._store.decide(pending.change_id, compared, control)

    async def _shifted(self, watched: Watched, minutes: Mapping[str, Minutes], known: Mapping[str, Watched], now: float) -> None:
        own = [
            each for each in minutes.get(watched.fingerprint, ()) if each.start >= watched.compared_since and each.latencies.counts
        ]
        recent, earlier = own[-RECENT:], own[:-RECENT]
        if len(earlier) < BASELINE_MINUTES or recent[0].start < now - 3 * RECENT * 60:
            return
        before, after = (recent[0].start - BASELINE, recent[0].start), (recent[0].start, now)
        base = [each for each in earlier if each.start >= before[0]]
        compared = self._slower(watched, base, recent, self._control(watched.fingerprint, minutes, known, before, after))
        if compared is None:
            return
        watched.compared_since = recent[0].start
        await self._store.add(await self._shift(watched, compared, base, recent, now))
        await self._store.keep(watched, now, (), None)

    def _slower(self, watched: Watched, base: Minutes, recent: Minutes, control: float) -> Comparison | None:
        if len(base) < BASELINE_MINUTES:
            return None
        old, new = [each.latencies for each in base], [each.latencies for each in recent]
        compared = compare(old, new, control=control, least=SHIFTED)
        return compared if compared.outcome is Outcome.SLOWER and stands_out(old, new) else None

    async def _shift(self, watched: Watched, compared: Comparison, base: Minutes, recent: Minutes, now: float) -> Change:
        probe = next(iter(watched.probes.values()))
        text = await self._store.plan(watched.fingerprint, probe.plan)
        since = recent[0].start
        found = []
        if text:
            plan = plan_reading.read(text)
            earlier = [state for state in watched.states if state.time <= since] or watched.states[:1]
            before = Moment(plan, earlier[-1], probe.generic, _rows_per_call(base))
            found = causes(before, Moment(plan, watched.states[-1], probe.generic, _rows_per_call(recent)))
        return Change(
            fingerprint=watched.fingerprint,
            time=now,
            before_time=since,
            old_plan=probe.plan,
            new_plan=probe.plan,
            kinds=[ChangeKind.LATENCY_SHIFT],
            message="the same plan takes longer",
            causes=found,
            compared=compared,
        )

    def _control(
        self,
        own: str,
        minutes: Mapping[str, Minutes],
        known: Mapping[str, Watched],
        before: tuple[float, float],
        after: tuple[float, float],
    ) -> float:
        """How many times as long other queries took: those of other tables, whose plans have not changed in that time."""
        relations = known[own].relations if own in known else set()
        pairs: list[tuple[list[Histogram], list[Histogram]]] = []
        for key, found in minutes.items():
            other = known.get(key)
            if key == own or other is None or other.relations & relations or other.compared_since > before[0]:
                continue
            pairs.append((_between(found, *before), _between(found, *after)))
        return control_of(pairs)


def _between(minutes: Minutes, since: float, until: float) -> list[Histogram]:
    """Of whole minutes."""
    return [each.latencies for each in minutes if each.start >= since and each.start + 60 <= until]


def _rows_per_call(minutes: Minutes) -> float:
    return sum(each.rows for each in minutes) / max(1, sum(each.calls for each in minutes))
