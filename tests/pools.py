"""What tests of the PostgreSQL pool share."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from souk_common.postgres import Pool

MakePool = Callable[..., Awaitable[Pool]]
"""Opens a pool that the test's end closes: a DSN, and options."""
PID = "SELECT pg_backend_pid()"
SLEEP = "SELECT pg_sleep(60)"


def settled(pool: Pool) -> bool:
    """Nobody has a connection, and nothing is done to one."""
    status = pool.status()
    return status.in_care == status.in_use == status.connecting == 0


async def is_active(other: Any, sql: str = SLEEP) -> bool:
    """Whether the server is at work on the statement; `other` is somebody else's connection."""
    query = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND query = $1)"
    return bool(await other.fetchval(query, sql))


async def wait_until_active(other: Any, sql: str = SLEEP) -> None:
    """Return when the server is at work on the statement."""
    async with asyncio.timeout(30):
        while not await is_active(other, sql):
            await asyncio.sleep(0.01)
