"""The schema that dbopt stands on: its roles, and its migrations by component."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

import asyncpg
from souk_common import migrations
from souk_common.migrations import Migration

SOUK, SHOP = "souk", "shop"
"""What dbopt keeps of its own, and the marketplace, which a shop with tables of its own leaves out."""
COMPONENTS = (SOUK, SHOP)
_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Roles:
    """What the roles are called that the owner of the database lets in. Neither may change the schema."""

    service: str = "souk_service"
    """Runs the queries of the catalogue, and writes what they write."""
    explain: str = "souk_explain"
    """Reads, and runs nothing else: it explains queries that callers bring."""
    service_password: str | None = field(default=None, repr=False)
    """What the role is made with. None: with none, so that it comes in only as pg_hba.conf lets it."""
    explain_password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for role in (self.service, self.explain):
            if not _ROLE.fullmatch(role):
                raise ValueError(f"{role!r} is no name of a role: small letters, digits and _, 63 at the most")
        if self.service == self.explain:
            raise ValueError("the two roles have different names")


def all_migrations(components: Sequence[str] = COMPONENTS) -> list[Migration]:
    """The migrations of these components, in the order in which they are applied."""
    folder = files("souk_dbopt") / "migrations"
    return [each for component in COMPONENTS if component in components for each in migrations.read(folder / component, component)]


async def migrate(
    connection: "asyncpg.Connection[asyncpg.Record]",
    *,
    roles: Roles = Roles(),
    components: Sequence[str] = COMPONENTS,
    on_step: Callable[[Migration], None] = lambda _: None,
    lock_timeout: float = migrations.LOCK_TIMEOUT,
) -> list[Migration]:
    """Make the roles that are missing, and bring the schema up to date. Returns what was applied. MigrationError."""
    steps = all_migrations(components)
    await migrations.make_role(connection, roles.service, roles.service_password)
    await migrations.make_role(connection, roles.explain, roles.explain_password)
    variables = {"service": roles.service, "explain": roles.explain}
    return await migrations.migrate(connection, steps, variables=variables, on_step=on_step, lock_timeout=lock_timeout)
