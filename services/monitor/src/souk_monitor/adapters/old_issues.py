"""Issues of which nothing was heard for long, removed from PostgreSQL with all that hangs on them."""

from collections.abc import Collection
from datetime import datetime

from souk_common.postgres import Pool, Session

from souk_monitor.lifecycle import State

AT_ONCE = 200
_OLD = """
SELECT id FROM monitor.issues
WHERE merged_into IS NULL AND state = ANY ($1::smallint[]) AND last_seen < $2 ORDER BY id LIMIT $3
"""
_LOCK_FINGERPRINTS = "SELECT id FROM monitor.fingerprints WHERE issue = ANY ($1::bigint[]) ORDER BY id FOR UPDATE"
_LOCK = """
SELECT id FROM monitor.issues
WHERE id = ANY ($3::bigint[]) AND merged_into IS NULL AND state = ANY ($1::smallint[]) AND last_seen < $2 ORDER BY id FOR UPDATE
"""
"""Looked at once more, since an event may have come meanwhile."""
_REMOVE_FINGERPRINTS = "DELETE FROM monitor.fingerprints WHERE issue = ANY ($1::bigint[]) RETURNING id"
_REMOVE_COUNTS = """
WITH users AS (DELETE FROM monitor.users WHERE fingerprint = ANY ($1::bigint[])),
    sketches AS (DELETE FROM monitor.user_sketches WHERE fingerprint = ANY ($1::bigint[])),
    hours AS (DELETE FROM monitor.hours WHERE fingerprint = ANY ($1::bigint[]))
DELETE FROM monitor.facets WHERE fingerprint = ANY ($1::bigint[])
"""
_REMOVE = """
WITH gone AS (DELETE FROM monitor.issues WHERE id = ANY ($1::bigint[]) OR merged_into = ANY ($1::bigint[]) RETURNING id),
    texts AS (DELETE FROM monitor.issue_texts WHERE issue IN (SELECT id FROM gone))
DELETE FROM monitor.activity WHERE issue IN (SELECT id FROM gone)
"""
PUT_AWAY = frozenset({State.RESOLVED, State.IGNORED})
LIVE = frozenset(State) - PUT_AWAY


async def remove(pool: Pool, of: Collection[State], before: datetime) -> int:
    """Remove those in some states whose last event is older; how many. PostgresError: some may be removed."""
    states = sorted(of)
    removed = 0
    while True:
        async with pool.transaction() as session:
            rows = await session.fetch("issues.old", _OLD, (states, before, AT_ONCE))
            if not rows:
                return removed
            removed += await _remove(session, [row["id"] for row in rows], states, before)


async def _remove(session: Session, issues: list[int], states: list[State], before: datetime) -> int:
    """In the order of locks that all take: fingerprints, then issues."""
    await session.fetch("fingerprints.lock_old", _LOCK_FINGERPRINTS, (issues,))
    still = [row["id"] for row in await session.fetch("issues.lock_old", _LOCK, (states, before, issues))]
    gone = [row["id"] for row in await session.fetch("fingerprints.remove_old", _REMOVE_FINGERPRINTS, (still,))]
    await session.fetch("counts.remove_old", _REMOVE_COUNTS, (gone,))
    await session.fetch("issues.remove_old", _REMOVE, (still,))
    return len(still)
