"""`python -m souk_monitor.migrating`: the schema, for a deployment that has no `souk` command.

SOUK_DB_OWNER_DSN names the database and its owner; SOUK_DB_MONITOR_PASSWORD is what the role souk_monitor is made with.
"""

import asyncio
import os
import sys

import asyncpg
from souk_common.migrations import MigrationError

from souk_monitor.adapters import schema


async def _migrate(dsn: str) -> int:
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        role = schema.Role(password=os.environ.get("SOUK_DB_MONITOR_PASSWORD") or None)
        await schema.migrate(connection, role=role, on_step=print)
    finally:
        await connection.close()
    return 0


def main() -> int:
    """The exit status: 0, 1 where it could not, 2 where a variable is missing."""
    dsn = os.environ.get("SOUK_DB_OWNER_DSN", "")
    if not dsn:
        sys.stderr.write("SOUK_DB_OWNER_DSN must be set\n")
        return 2
    try:
        return asyncio.run(_migrate(dsn))
    except (MigrationError, asyncpg.PostgresError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
