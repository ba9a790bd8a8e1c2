"""Which issues have changed since somebody looked."""

from souk_common.postgres import Pool

from souk_monitor.lifecycle import Change
from souk_monitor.watching import Changed

_POSITION = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_SINCE = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS position, i.id, i.project, i.severity,
    i.changed::text::bigint AS changed,
    i.told::text::bigint AS told, i.told_change
FROM (SELECT) AS always LEFT JOIN monitor.issues i ON i.changed >= ($1::bigint::text)::xid8
ORDER BY i.changed
"""


class ChangeTable:
    """monitor.issues, by the transactions that changed them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def position(self) -> int:
        """Of now."""
        position: int = await self._pool.fetchval("changes.position", _POSITION)
        return position

    async def since(self, position: int) -> tuple[int, list[Changed]]:
        """The position of now, and the issues that have changed since another."""
        rows = await self._pool.fetch("changes.since", _SINCE, (position,))
        return rows[0]["position"], [
            Changed(row["id"], row["project"], row["severity"], row["changed"], row["told"], Change(row["told_change"]))
            for row in rows
            if row["id"] is not None
        ]
