"""When each duty is due, in PostgreSQL."""

from datetime import datetime

from souk_common.postgres import Pool

_TAKE = """
INSERT INTO monitor.duties AS d (name, next_at) VALUES ($1, $3)
ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at WHERE d.next_at <= $2 RETURNING true
"""


class DutyRows:
    """monitor.duties."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take(self, name: str, now: datetime, following: datetime) -> bool:
        """Whether it is due and nobody else has taken it; its next time is `following` then."""
        return bool(await self._pool.fetch("duties.take", _TAKE, (name, now, following)))
