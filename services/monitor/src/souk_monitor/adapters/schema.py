"""The schema that monitor stands on: its role, and its migrations."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files

import asyncpg
from souk_common import migrations
from souk_common.migrations import Migration

COMPONENT = "monitor"
_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Role:
    """The role that the service comes in as. It may not change the schema, but for the days that events are kept in."""

    name: str = "souk_monitor"
    password: str | None = field(default=None, repr=False)
    """What it is made with. None: with none, so that it comes in only as pg_hba.conf lets it."""

    def __post_init__(self) -> None:
        if not _ROLE.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a role: small letters, digits and _, 63 at the most")


def all_migrations() -> tuple[Migration, ...]:
    """In the order in which they are applied."""
    return migrations.read(files("souk_monitor") / "migrations" / COMPONENT, COMPONENT)


async def migrate(
    connection: "asyncpg.Connection[asyncpg.Record]",
    *,
    role: Role = Role(),
    on_step: Callable[[Migration], None] = lambda _: None,
    lock_timeout: float = migrations.LOCK_TIMEOUT,
) -> list[Migration]:
    """Make the role where it is missing, and bring the schema up to date. Returns what was applied. MigrationError."""
    await migrations.make_role(connection, role.name, role.password)
    variables = {COMPONENT: role.name}
    return await migrations.migrate(connection, all_migrations(), variables=variables, on_step=on_step, lock_timeout=lock_timeout)
