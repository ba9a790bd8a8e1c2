"""Queries that did not come through dbopt, as far as pg_stat_statements knows them.

It has totals since it was reset; what was added since the last look goes into the windows of now. Nodes take turns.
"""

import asyncio
from collections.abc import Mapping

import structlog
from souk_common.postgres import Pool, PostgresError, Record, Session, UnavailableError

from souk_dbopt import long_texts
from souk_dbopt.adapters.history import WRITE, WRITE_TEXTS
from souk_dbopt.fingerprints import Fingerprint, fingerprint
from souk_dbopt.routing import Router

log = structlog.get_logger(__name__)
LOCK = 0x50554B53746174
"""The advisory lock of the node whose turn it is."""
COUNTED_AT_ONCE = 500
"""Statements of one look; the rest, of those that took the least, wait for the next."""
KNOWN = 10_000
"""Fingerprints that are remembered; twice as many statements as pg_stat_statements has by default."""
_FIND = """
SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'pg_stat_statements' AND pg_has_role('pg_read_all_stats', 'USAGE')
"""
_NOW = """
SELECT userid, queryid, {text} AS query, sum(calls)::bigint AS calls, sum(rows)::bigint AS rows,
       sum(total_exec_time) / 1000 AS seconds
FROM {schema}.pg_stat_statements({with_text})
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND queryid IS NOT NULL
    AND userid <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
GROUP BY 1, 2
"""
_MARK_ALL = """
INSERT INTO souk.statement_marks (user_id, query_id, calls, row_count, seconds)
SELECT userid, queryid, calls, rows, seconds FROM ({now}) s
"""
_ADDED = """
SELECT userid, queryid, s.query, s.calls, s.rows, s.seconds, m.calls, m.row_count, m.seconds
FROM ({now}) s LEFT JOIN souk.statement_marks m ON (m.user_id, m.query_id) = (s.userid, s.queryid)
WHERE (s.calls, s.seconds) IS DISTINCT FROM (m.calls, m.seconds) AND s.query !~* '^\\s*explain\\y'
ORDER BY s.seconds - coalesce(m.seconds, 0) DESC LIMIT $1
"""
_MARK = """
INSERT INTO souk.statement_marks (user_id, query_id, calls, row_count, seconds)
SELECT * FROM unnest($1::oid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::float8[])
ON CONFLICT (user_id, query_id) DO UPDATE
SET calls = excluded.calls, row_count = excluded.row_count, seconds = excluded.seconds
"""
_UNMARK = """
DELETE FROM souk.statement_marks m WHERE NOT EXISTS (
    SELECT FROM {schema}.pg_stat_statements(false) s WHERE (s.userid, s.queryid) = (m.user_id, m.query_id)
)
"""
"""Statements that it has dropped: when they come back, they count from 0."""
_ADD = """
INSERT INTO souk.query_windows AS w
    (fingerprint, span, start_time, writer, calls, errors, row_count, seconds, longest, buckets, counts)
SELECT fingerprint, span, start_time, 0, calls, 0, row_count, seconds, NULL, '{}', '{}'
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::float8[]) AS r(fingerprint, calls, row_count, seconds),
    (VALUES (60, date_trunc('minute', now())), (3600, date_trunc('hour', now()))) AS s(span, start_time)
ON CONFLICT (fingerprint, span, start_time, writer) DO UPDATE
SET calls = w.calls + excluded.calls, row_count = w.row_count + excluded.row_count, seconds = w.seconds + excluded.seconds
"""


class StatStatements:
    """Counts what other roles than dbopt's own ran in its database. Where the extension is not there, or its figures of others may
    not be read (that takes pg_read_all_stats), it counts nothing."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._known: dict[str, Fingerprint] = {}
        self._problem = ""

    async def count(self) -> None:
        """Add to the windows of now what was added since the last look of any node. The first look only sees where they stand."""
        pool = self._router.primary().pools[WRITE]
        schema = await pool.fetchval("statements.find", _FIND)
        if schema is None:
            return
        try:
            await self._look(pool, schema)
        except UnavailableError:
            raise
        except PostgresError as error:  # as where the server was started without the library
            problem = error.message
            if problem != self._problem:
                log.warning("pg_stat_statements cannot be read", problem=problem)
        else:
            problem = ""
        self._problem = problem

    async def _look(self, pool: Pool, schema: str) -> None:
        async with pool.transaction() as session:
            if not (await session.fetch("statements.turn", "SELECT pg_try_advisory_xact_lock($1)", (LOCK,)))[0][0]:
                return
            if not (await session.fetch("statements.first", "SELECT EXISTS (SELECT FROM souk.statement_marks)"))[0][0]:
                now = _NOW.format(schema=schema, text="''", with_text="false")
                await session.fetch("statements.mark_all", _MARK_ALL.format(now=now))
                return
            now = _NOW.format(schema=schema, text="min(query)", with_text="true")
            rows = await session.fetch("statements.added", _ADDED.format(now=now), (COUNTED_AT_ONCE,))
            if rows:
                await self._add(session, rows)
            await session.fetch("statements.unmark", _UNMARK.format(schema=schema))

    async def _add(self, session: Session, rows: list[Record]) -> None:
        added: dict[str, list[float]] = {}
        texts: dict[str, str] = {}
        for number, (_, _, query, *figures) in enumerate(rows):
            if number % 20 == 19:
                await asyncio.sleep(0)  # a long text takes a millisecond
            known = await self._fingerprint(query)
            texts[known.key] = known.text
            sums = added.setdefault(known.key, [0, 0, 0.0])
            for place, figure in enumerate(_since(figures[:3], figures[3:])):
                sums[place] += figure
        await _write(session, texts, added)
        await session.fetch("statements.mark", _MARK, tuple([row[place] for row in rows] for place in (0, 1, 3, 4, 5)))

    async def _fingerprint(self, query: str) -> Fingerprint:
        known = self._known.get(query)
        if known is None:
            if len(self._known) >= KNOWN:
                self._known.clear()
            known = self._known[query] = await long_texts.read(fingerprint, query)
        return known


def _since(now: list[float], before: list[float | None]) -> list[float]:
    """What was added. A statement without a mark is new; one that has less of anything than before was reset."""
    added = [each - (was or 0) for each, was in zip(now, before, strict=True)]
    return now if min(added) < 0 else added


async def _write(session: Session, texts: Mapping[str, str], added: Mapping[str, list[float]]) -> None:
    await session.fetch("insight.texts", WRITE_TEXTS, (list(texts), list(texts.values())))
    figures = [[sums[place] for sums in added.values()] for place in range(3)]
    await session.fetch("statements.add", _ADD, (list(added), *figures))
