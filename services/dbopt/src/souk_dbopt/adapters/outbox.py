"""souk.outbox: what writes have touched, and the cache is yet to be told."""

import contextlib
from collections.abc import AsyncIterator

from souk_common.postgres import Pool

from souk_dbopt.dispatching import COUNTED, Backlog, Touched

_ANY = "SELECT EXISTS (SELECT FROM souk.outbox)"
_TAKE = "SELECT id, tags, pg_current_wal_insert_lsn() FROM souk.outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED"
"""The place in the log is asked after the snapshot in which the rows are: whoever has seen it has seen the writes."""
_REMOVE = "DELETE FROM souk.outbox WHERE id = ANY ($1::bigint[])"
_LOOK = """
SELECT count(*)::integer, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
FROM (SELECT created_at FROM souk.outbox ORDER BY id LIMIT $1) AS oldest
"""
_FORGET = """
DELETE FROM souk.outbox WHERE id = ANY (ARRAY(
    SELECT id FROM souk.outbox WHERE created_at < now() - make_interval(secs => $1) ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
)) RETURNING true
"""
FORGOTTEN_AT_ONCE = 1000


class OutboxTable:
    """souk.outbox."""

    @contextlib.asynccontextmanager
    async def taken(self, pool: Pool, rows: int) -> AsyncIterator[Touched | None]:
        """The oldest rows, which go at the end of the body, and stay where it fails. None: there are none, or others have them.

        Several nodes may do so at once: each has rows of its own.
        """
        if not await pool.fetchval("outbox.any", _ANY):
            yield None
            return
        async with pool.transaction() as session:
            found = await session.fetch("outbox.take", _TAKE, (rows,))
            if not found:
                yield None
                return
            tags = dict.fromkeys(tag for row in found for tag in row["tags"])
            yield Touched(len(found), tuple(tags), max(row[2] for row in found))
            await session.fetch("outbox.remove", _REMOVE, ([row["id"] for row in found],))

    async def backlog(self, pool: Pool) -> Backlog:
        """How much waits, and for how long."""
        rows = await pool.fetch("outbox.look", _LOOK, (COUNTED,))
        return Backlog(*rows[0])

    async def forget(self, pool: Pool, *, older: float) -> int:
        """Remove some of those that are older than so many seconds; how many."""
        return len(await pool.fetch("outbox.forget", _FORGET, (older, FORGOTTEN_AT_ONCE)))
