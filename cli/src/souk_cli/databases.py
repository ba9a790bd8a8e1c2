"""The databases that services stand on where the user has none: what is in each, and who comes in as whom."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg
from souk_dbopt.adapters import schema as dbopt_schema
from souk_monitor.adapters import schema as monitor_schema

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Database:
    """One database of a server."""

    name: str
    migrate: Callable[[Connection], Awaitable[Any]]
    """Brings its schema up to date. MigrationError."""
    roles: Mapping[str, str]
    """Setting of a service -> the role that it comes in as."""


DATABASES: Mapping[str, Database] = {
    "dbopt": Database(
        "souk",
        dbopt_schema.migrate,
        {"SOUK_DBOPT_DSN": dbopt_schema.Roles().service, "SOUK_DBOPT_EXPLAIN_DSN": dbopt_schema.Roles().explain},
    ),
    "monitor": Database("souk_monitor", monitor_schema.migrate, {"SOUK_MONITOR_DSN": monitor_schema.Role().name}),
}
"""By the service that stands on it."""
