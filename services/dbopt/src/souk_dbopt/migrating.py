"""`python -m souk_dbopt.migrating`: the schema, for a deployment that has no `souk` command.

SOUK_DB_OWNER_DSN names the database and its owner. SOUK_DB_SERVICE_PASSWORD and SOUK_DB_EXPLAIN_PASSWORD are what the roles are
made with; SOUK_DB_COMPONENTS, with commas, says which parts of the schema: `souk` alone for a shop with tables of its own.
"""

import asyncio
import os
import sys

import asyncpg
from souk_common.migrations import MigrationError

from souk_dbopt.adapters import schema

COMPONENTS = "SOUK_DB_COMPONENTS"


async def _migrate(dsn: str, components: list[str]) -> int:
    service, explain = (os.environ.get(f"SOUK_DB_{role}_PASSWORD") or None for role in ("SERVICE", "EXPLAIN"))
    roles = schema.Roles(service_password=service, explain_password=explain)
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        await schema.migrate(connection, roles=roles, components=components, on_step=print)
    finally:
        await connection.close()
    return 0


def main() -> int:
    """The exit status: 0, 1 where it could not, 2 where a variable is wrong."""
    dsn = os.environ.get("SOUK_DB_OWNER_DSN", "")
    components = [name.strip() for name in os.environ.get(COMPONENTS, ",".join(schema.COMPONENTS)).split(",") if name.strip()]
    unknown = set(components) - set(schema.COMPONENTS)
    if not dsn or unknown:
        sys.stderr.write(
            "SOUK_DB_OWNER_DSN must be set\n" if not dsn else f"{COMPONENTS}: there is no {', '.join(sorted(unknown))}\n"
        )
        return 2
    try:
        return asyncio.run(_migrate(dsn, components))
    except (MigrationError, asyncpg.PostgresError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
