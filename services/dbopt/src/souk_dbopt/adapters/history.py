"""What queries did, in tables of the database that they run on: windows, texts and samples, of all nodes together."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson
from souk_common.postgres import Pool

from souk_dbopt.histograms import Histogram
from souk_dbopt.insight import QueryStats, Sampled, Span
from souk_dbopt.recording import HOUR, MINUTE, RANDOM_SAMPLES, SLOW_SAMPLES, Sample, Window
from souk_dbopt.routing import Router

WRITE, READ = "write", "analytics"
"""The classes whose connections are used."""
FORGOTTEN_AT_ONCE = 2_000
_WRITE_WINDOWS = """
INSERT INTO souk.query_windows AS w
    (fingerprint, span, start_time, writer, calls, errors, row_count, seconds, longest, buckets, counts)
SELECT fingerprint, span, to_timestamp(start), $2, calls, errors, row_count, seconds, longest, buckets, counts
FROM json_to_recordset($1::json) AS r(fingerprint text, span integer, start float8, calls bigint, errors bigint, row_count bigint,
                                      seconds float8, longest float8, buckets smallint[], counts bigint[])
ON CONFLICT (fingerprint, span, start_time, writer) DO UPDATE
SET calls = excluded.calls, errors = excluded.errors, row_count = excluded.row_count, seconds = excluded.seconds,
    longest = excluded.longest, buckets = excluded.buckets, counts = excluded.counts
WHERE w.calls < excluded.calls
"""
WRITE_TEXTS = """
INSERT INTO souk.query_texts AS t (fingerprint, text, seen_at)
SELECT fingerprint, text, now() FROM unnest($1::text[], $2::text[]) AS r(fingerprint, text) ORDER BY fingerprint
ON CONFLICT (fingerprint) DO UPDATE SET text = excluded.text, seen_at = excluded.seen_at
WHERE t.text <> excluded.text OR t.seen_at < excluded.seen_at - interval '30 minutes'
"""
_WRITE_SAMPLES = """
INSERT INTO souk.query_samples (sample_id, fingerprint, is_slow, seconds, end_time, parameters)
SELECT sample_id, fingerprint, is_slow, seconds, to_timestamp(end_time), parameters
FROM json_to_recordset($1::json) AS r(sample_id bigint, fingerprint text, is_slow boolean, seconds float8, end_time float8,
                                      parameters jsonb)
ON CONFLICT DO NOTHING
"""
_TRIM_SAMPLES = f"""
WITH placed AS (
    SELECT sample_id, is_slow, row_number() OVER (
        PARTITION BY fingerprint, is_slow ORDER BY CASE WHEN is_slow THEN seconds ELSE extract(epoch FROM end_time) END DESC
    ) AS place
    FROM souk.query_samples WHERE fingerprint = ANY ($1::text[])
)
DELETE FROM souk.query_samples WHERE sample_id = ANY (ARRAY(
    SELECT sample_id FROM souk.query_samples WHERE sample_id IN (
        SELECT sample_id FROM placed WHERE place > CASE WHEN is_slow THEN {SLOW_SAMPLES} ELSE {RANDOM_SAMPLES} END
    ) FOR UPDATE SKIP LOCKED
))
"""  # noqa: S608 — of constants
_TOTALS = """
SELECT fingerprint, coalesce(text, ''), sum(calls)::bigint, sum(errors)::bigint, sum(row_count)::bigint, sum(seconds), max(longest)
FROM souk.query_windows LEFT JOIN souk.query_texts USING (fingerprint)
WHERE span = 3600 AND start_time >= date_trunc('hour', $1::timestamptz)
GROUP BY 1, 2
"""
_LATENCIES = """
SELECT fingerprint, bucket, sum(count)::bigint
FROM souk.query_windows, unnest(buckets, counts) AS b(bucket, count)
WHERE span = 3600 AND start_time >= date_trunc('hour', $1::timestamptz) AND fingerprint = ANY ($2::text[])
GROUP BY 1, 2
"""
_OF_SPAN = """
WHERE (span = 3600 AND start_time < $4::timestamptz OR span = 60 AND start_time >= $4::timestamptz)
    AND start_time >= date_bin($3::interval, $1::timestamptz, 'epoch') AND start_time < $2::timestamptz
"""
"""$1, $2: since and until; $3: how long a window is; $4: since when minutes are taken, hours before."""
_WINDOWS = f"""
SELECT date_bin($3::interval, start_time, 'epoch'), sum(calls)::bigint, sum(errors)::bigint, sum(row_count)::bigint, sum(seconds),
       max(longest)
FROM souk.query_windows {_OF_SPAN} AND fingerprint = $5
GROUP BY 1 ORDER BY 1
"""  # noqa: S608 — of constants
_WINDOW_LATENCIES = f"""
SELECT date_bin($3::interval, start_time, 'epoch'), bucket, sum(count)::bigint
FROM souk.query_windows, unnest(buckets, counts) AS b(bucket, count) {_OF_SPAN} AND fingerprint = $5
GROUP BY 1, 2
"""  # noqa: S608 — of constants
_WINDOW_SECONDS = f"""
SELECT date_bin($3::interval, start_time, 'epoch'), sum(seconds) FROM souk.query_windows {_OF_SPAN} GROUP BY 1
"""  # noqa: S608 — of constants
_SAMPLES = """
SELECT seconds, end_time, parameters::text FROM souk.query_samples WHERE fingerprint = $1 ORDER BY seconds DESC LIMIT $2
"""
_TEXT = "SELECT text FROM souk.query_texts WHERE fingerprint = $1"
_FORGET_WINDOWS = """
DELETE FROM souk.query_windows WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM souk.query_windows WHERE span = $1 AND start_time < now() - make_interval(secs => $2)
    ORDER BY start_time LIMIT $3 FOR UPDATE SKIP LOCKED
)) RETURNING true
"""
_FORGET_BY_TIME = """
DELETE FROM souk.{table} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM souk.{table} WHERE {time} < now() - make_interval(secs => $1) LIMIT $2 FOR UPDATE SKIP LOCKED
)) RETURNING true
"""
_AGING = {"query_samples": "end_time", "query_texts": "seen_at"}
MINUTES_KEPT = 25 * 3600.0
"""Seconds. An hour more than the day that is promised, since the first hour of it is taken whole."""


class History:
    """souk.query_windows, query_texts and query_samples."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._writer = secrets.randbits(63)
        """Of this node's windows, until it ends."""

    def _pool(self, query_class: str) -> Pool:
        return self._router.primary().pools[query_class]

    async def write_windows(self, windows: Sequence[Window]) -> None:
        """Put windows of this node in the place of their smaller selves."""
        rows = [
            {
                "fingerprint": window.fingerprint,
                "span": window.span,
                "start": window.start,
                "calls": window.calls,
                "errors": window.errors,
                "row_count": window.rows,
                "seconds": window.seconds,
                "longest": window.longest,
                "buckets": list(window.histogram.counts.keys()),
                "counts": list(window.histogram.counts.values()),
            }
            for window in windows
        ]
        await self._pool(WRITE).fetch("insight.windows", _WRITE_WINDOWS, (orjson.dumps(rows).decode(), self._writer))

    async def write_texts(self, texts: Mapping[str, str]) -> None:
        """Keep texts by fingerprint."""
        await self._pool(WRITE).fetch("insight.texts", WRITE_TEXTS, (list(texts), list(texts.values())))

    async def write_samples(self, samples: Sequence[Sample]) -> None:
        """Keep samples, and of each query no more than are kept."""
        rows = [
            {
                "sample_id": sample.sample_id,
                "fingerprint": sample.fingerprint,
                "is_slow": sample.is_slow,
                "seconds": sample.seconds,
                "end_time": sample.end_time,
                "parameters": orjson.Fragment(sample.parameters),
            }
            for sample in samples
        ]
        pool = self._pool(WRITE)
        await pool.fetch("insight.samples", _WRITE_SAMPLES, (orjson.dumps(rows).decode(),))
        await pool.fetch("insight.trim", _TRIM_SAMPLES, (sorted({sample.fingerprint for sample in samples}),))

    async def totals(self, since: datetime) -> list[QueryStats]:
        """What each query did from the hour of `since` on, without latencies."""
        rows = await self._pool(READ).fetch("insight.totals", _TOTALS, (since,))
        return [QueryStats(*row) for row in rows]

    async def latencies(self, since: datetime, fingerprints: Sequence[str]) -> dict[str, Histogram]:
        """Those of some queries, by fingerprint."""
        rows = await self._pool(READ).fetch("insight.latencies", _LATENCIES, (since, fingerprints))
        found: dict[str, Histogram] = {}
        for key, bucket, count in rows:
            found.setdefault(key, Histogram()).counts[bucket] = count
        return found

    async def text(self, fingerprint: str) -> str | None:
        """Of a query; None where nothing is known of it."""
        text: str | None = await self._pool(READ).fetchval("insight.text", _TEXT, (fingerprint,))
        return text

    async def windows(self, fingerprint: str, span: Span) -> tuple[list[tuple[datetime, QueryStats]], float]:
        """What a query did, window by window, the oldest first; and the seconds of all queries in all windows."""
        # What an hour and more is put together from is counted by the hour as well, of which there are fewer rows.
        by_minute = span.until if span.window.total_seconds() % HOUR == 0 else span.minutes_since
        of_span = (span.since, span.until, span.window, by_minute)
        pool = self._pool(READ)
        rows = await pool.fetch("insight.stats", _WINDOWS, (*of_span, fingerprint))
        everything: dict[datetime, float] = {row[0]: row[1] for row in await pool.fetch("insight.all", _WINDOW_SECONDS, of_span)}
        latencies: dict[datetime, Histogram] = {}
        for start, bucket, count in await pool.fetch("insight.window_latencies", _WINDOW_LATENCIES, (*of_span, fingerprint)):
            latencies.setdefault(start, Histogram()).counts[bucket] = count
        windows = []
        for start, calls, errors, returned, seconds, longest in rows:
            of_all, spread = everything.get(start, 0.0), latencies.get(start, Histogram())
            windows.append((start, QueryStats(fingerprint, "", calls, errors, returned, seconds, longest, of_all, spread)))
        return windows, sum(everything.values())

    async def samples(self, fingerprint: str, limit: int) -> list[Sampled]:
        """Of a query, the slowest first."""
        rows = await self._pool(READ).fetch("insight.sampled", _SAMPLES, (fingerprint, limit))
        return [Sampled(*row) for row in rows]

    async def forget(self, *, retention: float) -> int:
        """Remove some of what is older than so many seconds, and of minutes that are older than a day; how many rows. Several nodes
        may do so at once."""
        pool, removed = self._pool(WRITE), 0
        for span, kept in ((MINUTE, min(MINUTES_KEPT, retention)), (HOUR, retention)):
            removed += len(await pool.fetch("insight.forget", _FORGET_WINDOWS, (span, kept, FORGOTTEN_AT_ONCE)))
        for table, time in _AGING.items():
            statement = _FORGET_BY_TIME.format(table=table, time=time)
            removed += len(await pool.fetch(f"insight.forget.{table}", statement, (retention, FORGOTTEN_AT_ONCE)))
        return removed
