"""Plans, findings and changes in tables of the schema souk, for all nodes together."""

from collections.abc import Sequence
from typing import Any

import orjson
from souk_common.postgres import Pool, Record, Session

from souk_dbopt.adapters.history import READ, WRITE
from souk_dbopt.histograms import Histogram
from souk_dbopt.latency_shift import Comparison, Outcome
from souk_dbopt.plan_causes import CauseKind
from souk_dbopt.plan_differences import ChangeKind
from souk_dbopt.plan_records import (
    Change,
    ChangeFilter,
    FindingFilter,
    FoundInPlan,
    KeptChange,
    KeptFinding,
    Minute,
    Pending,
    SeenPlan,
    Watched,
)
from souk_dbopt.plan_rules import Finding
from souk_dbopt.routing import Router

MAX_PLAN_BYTES = 262_144
"""Of one plan; a larger one is known by its fingerprint alone."""
REPEATED = "REPEATED_IN_TRACE"
"""The rule whose findings no plan can close: they are closed a day after they were seen last."""
_CLAIM = """
INSERT INTO souk.plan_watch AS w (fingerprint, claimed_until, looked_at)
VALUES ($1, to_timestamp($2::float8 + $3::float8), to_timestamp($2::float8))
ON CONFLICT (fingerprint) DO UPDATE SET claimed_until = excluded.claimed_until
WHERE w.claimed_until <= to_timestamp($2::float8) AND (w.state = '{}' OR w.looked_at <= to_timestamp($2::float8 - $4::float8))
RETURNING extract(epoch FROM looked_at)::float8, state::text
"""
_GIVE_BACK = """
UPDATE souk.plan_watch SET claimed_until = to_timestamp($2::float8), looked_at = to_timestamp($2::float8), state = $3::text::jsonb
WHERE fingerprint = $1
"""
_WATCHED = """
SELECT fingerprint, extract(epoch FROM looked_at)::float8, state::text FROM souk.plan_watch WHERE fingerprint = ANY ($1::text[])
"""
_KEEP_PLAN = """
INSERT INTO souk.query_plans AS p (fingerprint, plan_fingerprint, first_time, last_time, is_generic, run_time, plan)
VALUES ($1, $2, to_timestamp($3::float8), to_timestamp($3::float8), $4, CASE WHEN $5 THEN to_timestamp($3::float8) END, $6)
ON CONFLICT (fingerprint, plan_fingerprint) DO UPDATE
SET last_time = greatest(p.last_time, excluded.last_time), is_generic = excluded.is_generic,
    run_time = coalesce(excluded.run_time, p.run_time),
    plan = CASE WHEN excluded.run_time IS NOT NULL OR p.run_time IS NULL THEN excluded.plan ELSE p.plan END
"""
_PLAN = "SELECT plan FROM souk.query_plans WHERE fingerprint = $1 AND plan_fingerprint = $2"
_ADD = """
INSERT INTO souk.plan_changes (fingerprint, time, before_time, kinds, outcome, old_plan, new_plan, old_median, new_median, ratio,
    least_ratio, old_calls, new_calls, message, causes, cause_message, fix_sql, evidence)
VALUES ($1, to_timestamp($2::float8), to_timestamp($3::float8), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
    $18::text::jsonb)
"""
_PENDING = """
SELECT change_id, fingerprint, extract(epoch FROM time)::float8, extract(epoch FROM before_time)::float8,
    coalesce((SELECT extract(epoch FROM max(p.time))::float8 FROM souk.plan_changes p
              WHERE p.fingerprint = c.fingerprint AND p.change_id < c.change_id), 0),
    (SELECT extract(epoch FROM min(n.before_time))::float8 FROM souk.plan_changes n
     WHERE n.fingerprint = c.fingerprint AND n.change_id > c.change_id)
FROM souk.plan_changes c WHERE outcome = 'pending' AND fingerprint = ANY ($1::text[]) ORDER BY change_id
"""
_DECIDE = """
UPDATE souk.plan_changes
SET outcome = $2, old_median = $3, new_median = $4, ratio = $5, least_ratio = $6, old_calls = $7, new_calls = $8,
    evidence = evidence || $9::text::jsonb
WHERE change_id = $1 AND outcome = 'pending'
"""
_MINUTES = """
SELECT fingerprint, extract(epoch FROM start_time)::float8, sum(calls)::bigint, sum(row_count)::bigint
FROM souk.query_windows WHERE span = 60 AND fingerprint = ANY ($1::text[])
    AND start_time >= to_timestamp($2::float8) AND start_time <= to_timestamp($3::float8 - 60)
GROUP BY 1, 2 ORDER BY 1, 2
"""
_MINUTE_LATENCIES = """
SELECT fingerprint, extract(epoch FROM start_time)::float8, bucket, sum(count)::bigint
FROM souk.query_windows, unnest(buckets, counts) AS b(bucket, count) WHERE span = 60 AND fingerprint = ANY ($1::text[])
    AND start_time >= to_timestamp($2::float8) AND start_time <= to_timestamp($3::float8 - 60)
GROUP BY 1, 2, 3
"""
_FOUND = """
INSERT INTO souk.plan_findings AS f (fingerprint, rule, subject, plan_fingerprint, message, fix, fix_sql, node, weight,
    database_share, evidence, first_time, last_time)
SELECT $1, rule, subject, $2, message, fix, fix_sql, node, weight, database_share, evidence, to_timestamp($3::float8),
    to_timestamp($3::float8)
FROM json_to_recordset($4::text::json) AS r(rule text, subject text, message text, fix text, fix_sql text, node text, weight float8,
                                           database_share float8, evidence jsonb)
ON CONFLICT (fingerprint, rule, subject) DO UPDATE
SET plan_fingerprint = excluded.plan_fingerprint, message = excluded.message, fix = excluded.fix, fix_sql = excluded.fix_sql,
    node = excluded.node, weight = excluded.weight, database_share = excluded.database_share, evidence = excluded.evidence,
    last_time = excluded.last_time, closed_time = NULL
"""
_CLOSE = """
UPDATE souk.plan_findings SET closed_time = to_timestamp($2::float8)
WHERE fingerprint = $1 AND closed_time IS NULL AND last_time < to_timestamp($2::float8) AND plan_fingerprint <> ''
"""
_CLOSE_REPEATED = f"""
UPDATE souk.plan_findings SET closed_time = to_timestamp($1::float8)
WHERE rule = '{REPEATED}' AND closed_time IS NULL AND last_time < to_timestamp($1::float8 - 86400)
"""  # noqa: S608 — of a constant
_FINDINGS = """
SELECT finding_id, fingerprint, plan_fingerprint, rule, message, fix, node, weight, fix_sql, evidence::text, database_share,
    first_time, last_time, closed_time
FROM souk.plan_findings
WHERE ($1 = '' OR fingerprint = $1) AND ($2 = '' OR rule = $2) AND database_share >= $3::float8
    AND ($4::timestamptz IS NULL OR last_time >= $4) AND ($5::timestamptz IS NULL OR first_time < $5)
    AND (NOT $6::boolean OR closed_time IS NULL)
    AND ($7::float8 IS NULL OR database_share < $7 OR database_share = $7 AND finding_id > $8::bigint)
ORDER BY database_share DESC, finding_id LIMIT $9
"""
_CHANGES = """
SELECT change_id, fingerprint, time, before_time, kinds, outcome, old_plan, new_plan, old_median, new_median, ratio, least_ratio,
    old_calls, new_calls, message, causes, cause_message, fix_sql, evidence::text AS evidence
FROM souk.plan_changes
WHERE ($1 = '' OR fingerprint = $1) AND (NOT $2::boolean OR outcome = 'slower') AND ($3::timestamptz IS NULL OR time >= $3)
    AND ($4::timestamptz IS NULL OR time < $4) AND ($5::text IS NULL OR $5 = ANY (kinds))
    AND ($6::text IS NULL OR $6 = ANY (causes)) AND ($7::bigint IS NULL OR change_id < $7)
ORDER BY change_id DESC LIMIT $8
"""
_AGING = {"plan_watch": "looked_at", "query_plans": "last_time", "plan_findings": "last_time", "plan_changes": "time"}
_FORGET = "DELETE FROM souk.{table} WHERE {time} < to_timestamp($1::float8)"
_TRIM = """
DELETE FROM souk.{table} t USING (
    SELECT ctid AS place, row_number() OVER (PARTITION BY fingerprint ORDER BY {time} DESC) AS number FROM souk.{table}
) placed WHERE t.ctid = placed.place AND placed.number > $1
"""
_TRIMMED = {"query_plans": "last_time", "plan_changes": "time", "plan_findings": "last_time"}


class PlanHistory:
    """souk.plan_watch, query_plans, plan_findings and plan_changes; latencies by the minute are read from souk.query_windows."""

    def __init__(self, router: Router, *, kept: int) -> None:
        """kept: of one query, plans, changes and findings at the most, of each."""
        self._router = router
        self._kept = kept

    def _pool(self, query_class: str) -> Pool:
        return self._router.primary().pools[query_class]

    async def claim(self, fingerprint: str, now: float, *, lease: float, every: float) -> Watched | None:
        """See PlanStore."""
        row = await self._pool(WRITE).fetchrow("plans.claim", _CLAIM, (fingerprint, now, lease, every))
        return None if row is None else Watched.of_json(fingerprint, row[0], orjson.loads(row[1]))

    async def keep(self, watched: Watched, now: float, plans: Sequence[SeenPlan], change: Change | None) -> None:
        """See PlanStore."""
        async with self._pool(WRITE).transaction() as session:
            for seen in plans:
                text = seen.plan.text if len(seen.plan.text.encode()) <= MAX_PLAN_BYTES else ""
                values = (watched.fingerprint, seen.plan.fingerprint, now, seen.generic, seen.was_run, text)
                await session.fetch("plans.keep", _KEEP_PLAN, values)
            if change is not None:
                await _add(session, change)
            await session.fetch("plans.give_back", _GIVE_BACK, (watched.fingerprint, now, _json(watched.as_json())))

    async def watched(self, fingerprints: Sequence[str]) -> dict[str, Watched]:
        """See PlanStore."""
        rows = await self._pool(READ).fetch("plans.watched", _WATCHED, (list(fingerprints),))
        return {row[0]: Watched.of_json(row[0], row[1], orjson.loads(row[2])) for row in rows}

    async def plan(self, fingerprint: str, plan: str) -> str:
        """See PlanStore."""
        text: str | None = await self._pool(READ).fetchval("plans.plan", _PLAN, (fingerprint, plan))
        return text or ""

    async def add(self, change: Change) -> None:
        """See PlanStore."""
        async with self._pool(WRITE).transaction() as session:
            await _add(session, change)

    async def pending(self, fingerprints: Sequence[str]) -> list[Pending]:
        """See PlanStore."""
        return [Pending(*row) for row in await self._pool(READ).fetch("plans.pending", _PENDING, (list(fingerprints),))]

    async def decide(self, change_id: int, compared: Comparison, control: float) -> None:
        """See PlanStore."""
        others = _json({"other queries": f"{control:.2f} times as long"})
        await self._pool(WRITE).fetch("plans.decide", _DECIDE, (change_id, compared.outcome.value, *_figures(compared), others))

    async def minutes(self, fingerprints: Sequence[str], since: float, until: float) -> dict[str, list[Minute]]:
        """See PlanStore."""
        given, pool = (list(fingerprints), since, until), self._pool(READ)
        found: dict[str, dict[float, Minute]] = {}
        for key, start, calls, rows in await pool.fetch("plans.minutes", _MINUTES, given):
            found.setdefault(key, {})[start] = Minute(start, calls, rows, Histogram())
        for key, start, bucket, count in await pool.fetch("plans.minute_latencies", _MINUTE_LATENCIES, given):
            if (minute := found.get(key, {}).get(start)) is not None:
                minute.latencies.counts[bucket] = count
        return {key: list(minutes.values()) for key, minutes in found.items()}

    async def found(self, fingerprint: str, plan: str, found: Sequence[FoundInPlan], now: float) -> None:
        """See PlanStore."""
        rows = [_finding_row(each) for each in found]
        async with self._pool(WRITE).transaction() as session:
            await session.fetch("plans.found", _FOUND, (fingerprint, plan, now, _json(rows)))
            if plan:
                await session.fetch("plans.close", _CLOSE, (fingerprint, now))

    async def forget(self, now: float, *, retention: float) -> None:
        """See PlanStore."""
        pool = self._pool(WRITE)
        for table, time in _AGING.items():
            await pool.fetch(f"plans.forget.{table}", _FORGET.format(table=table, time=time), (now - retention,))
        for table, time in _TRIMMED.items():
            await pool.fetch(f"plans.trim.{table}", _TRIM.format(table=table, time=time), (self._kept,))
        await pool.fetch("plans.close_repeated", _CLOSE_REPEATED, (now,))

    async def findings(self, wanted: FindingFilter, after: tuple[float, int] | None, limit: int) -> list[KeptFinding]:
        """See PlanStore."""
        place = (None, None) if after is None else after
        given = (wanted.fingerprint, wanted.rule, wanted.least_share, wanted.since, wanted.until, wanted.open_only, *place, limit)
        return [_kept_finding(row) for row in await self._pool(READ).fetch("plans.findings", _FINDINGS, given)]

    async def changes(self, wanted: ChangeFilter, before: int | None, limit: int) -> list[KeptChange]:
        """See PlanStore."""
        kind, cause = wanted.kind and wanted.kind.value, wanted.cause and wanted.cause.value
        given = (wanted.fingerprint, wanted.slower_only, wanted.since, wanted.until, kind, cause, before, limit)
        return [_kept_change(row) for row in await self._pool(READ).fetch("plans.changes", _CHANGES, given)]


async def _add(session: Session, change: Change) -> None:
    first = change.causes[0] if change.causes else None
    evidence = dict(change.evidence)
    for cause in change.causes:
        evidence.update(cause.evidence)
    values = (
        change.fingerprint,
        change.time,
        change.before_time,
        [kind.value for kind in change.kinds],
        change.compared.outcome.value,
        change.old_plan,
        change.new_plan,
        *_figures(change.compared),
        change.message,
        list(dict.fromkeys(cause.kind.value for cause in change.causes)),
        first.message if first else "",
        first.fix_sql if first else "",
        _json(evidence),
    )
    await session.fetch("plans.add", _ADD, values)


def _figures(compared: Comparison) -> tuple[float | None, float | None, float, float, int, int]:
    shift = compared.shift
    ratios = (0.0, 0.0) if shift is None else (shift.ratio, shift.low)
    return compared.old_median, compared.new_median, *ratios, compared.old_calls, compared.new_calls


def _finding_row(found: FoundInPlan) -> dict[str, Any]:
    of, names = found.finding, ("rule", "message", "fix", "fix_sql", "node", "weight")
    own = {name: getattr(of, name) for name in names}
    return {**own, "evidence": dict(of.evidence), "subject": found.subject, "database_share": found.database_share}


def _kept_finding(row: Record) -> KeptFinding:
    finding_id, fingerprint, plan, rule, message, fix, node, weight, fix_sql, evidence, *rest = row
    finding = Finding(rule, message, fix, node, weight, fix_sql, orjson.loads(evidence))
    return KeptFinding(finding_id, fingerprint, plan, finding, *rest)


def _kept_change(row: Record) -> KeptChange:
    known = dict(row)
    known["kinds"] = [ChangeKind(kind) for kind in known["kinds"]]
    known["causes"] = [CauseKind(cause) for cause in known["causes"]]
    known["outcome"] = Outcome(known["outcome"])
    known["evidence"] = orjson.loads(known["evidence"])
    return KeptChange(**known)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
