"""Schemas by numbered files: each is applied once, in order, in a transaction of its own, by one process at a time."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources.abc import Traversable

import asyncpg

LOCK = 0x50554B536F756B
"""The advisory lock of who migrates."""
LOCK_TIMEOUT = 30.0
_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_VARIABLE = re.compile(r':"(\w+)"')
_TABLE = """
CREATE SCHEMA IF NOT EXISTS souk;
CREATE TABLE IF NOT EXISTS souk.migrations (
    component  text NOT NULL,
    number     integer NOT NULL,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (component, number)
)
"""


class MigrationError(Exception):
    """The schema cannot be brought up to date; the text says why, and what to do."""


@dataclass(frozen=True)
class Migration:
    """One file of a component."""

    component: str
    number: int
    name: str
    text: str
    """SQL, with :"variable" where an identifier is put in, as psql would."""

    @cached_property
    def checksum(self) -> str:
        """Of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.component} {self.number:04} {self.name}"


def read(folder: Traversable, component: str) -> tuple[Migration, ...]:
    """The migrations of a folder: NNNN_name.sql, from 0001 without a gap. ValueError where they are not so."""
    found = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        matched = _FILE.fullmatch(file.name)
        if matched is None:
            raise ValueError(f"{file.name} is no name of a migration, as 0001_tables.sql")
        found.append(Migration(component, int(matched[1]), matched[2], file.read_text(encoding="utf-8")))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations of {component} are not numbered from 0001 without a gap")
    return tuple(found)


async def pending(connection: "asyncpg.Connection[asyncpg.Record]", migrations: Iterable[Migration]) -> list[Migration]:
    """Those that a database does not have yet. MigrationError where it has others."""
    known = tuple(migrations)
    if await connection.fetchval("SELECT to_regclass('souk.migrations') IS NULL"):
        return list(known)
    applied: dict[tuple[str, int], str] = {
        (row["component"], row["number"]): row["checksum"]
        for row in await connection.fetch("SELECT component, number, checksum FROM souk.migrations")
    }
    ours = {(each.component, each.number): each for each in known}
    components = {each.component for each in known}
    unknown = sorted(key for key in applied if key[0] in components and key not in ours)
    if unknown:
        told = ", ".join(f"{component} {number:04}" for component, number in unknown)
        raise MigrationError(
            f"the database is newer than this release: it has {told}. Use the release that migrated it, or a later one"
        )
    changed = [str(each) for key, each in ours.items() if applied.get(key, each.checksum) != each.checksum]
    if changed:
        raise MigrationError(f"these were applied with another text than they have now: {', '.join(changed)}")
    return [each for each in known if (each.component, each.number) not in applied]


async def migrate(
    connection: "asyncpg.Connection[asyncpg.Record]",
    migrations: Sequence[Migration],
    *,
    variables: Mapping[str, str],
    on_step: Callable[[Migration], None] = lambda _: None,
    lock_timeout: float = LOCK_TIMEOUT,
) -> list[Migration]:
    """Apply what a database does not have yet, and return it. One that fails leaves nothing behind, and those before it stay.

    variables: the identifiers that are put in. on_step: told of each before it is applied. lock_timeout: seconds that it waits
    for a lock, that of another who migrates too. MigrationError.
    """
    scripts = {each: _filled_in(each, variables) for each in migrations}
    await connection.execute(f"SET lock_timeout = {round(lock_timeout * 1000)}")
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    except asyncpg.LockNotAvailableError:
        raise MigrationError(f"another process has been migrating this database for {lock_timeout:g} seconds") from None
    try:
        await connection.execute(_TABLE)
        steps = await pending(connection, migrations)
        for step in steps:
            on_step(step)
            await _apply(connection, step, scripts[step])
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationError(f"the role that migrates must own the database: {error}") from error
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)
        await connection.execute("RESET lock_timeout")
    return steps


async def make_role(connection: "asyncpg.Connection[asyncpg.Record]", role: str, password: str | None) -> None:
    """A role that may log in and nothing else. One that is there is left as it is, with its password. MigrationError."""
    if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role):
        return
    statement = f'CREATE ROLE "{role}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS'
    quoted = "" if password is None else await connection.fetchval("SELECT format(' PASSWORD %L', $1::text)", password)
    try:
        await connection.execute(statement + quoted)
    except asyncpg.InsufficientPrivilegeError:
        raise MigrationError(
            f"there is no role {role}, and the role that migrates may make none. Have it made once by one that may: {statement};"
        ) from None
    except asyncpg.UniqueViolationError:  # by another who migrates at the same time
        return


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", step: Migration, script: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute(script)
            await connection.execute(
                "INSERT INTO souk.migrations (component, number, name, checksum) VALUES ($1, $2, $3, $4)",
                *(step.component, step.number, step.name, step.checksum),
            )
    except asyncpg.LockNotAvailableError as error:
        raise MigrationError(f"{step}: a table is in use by others; try again when they are done ({error})") from error
    except asyncpg.InsufficientPrivilegeError:
        raise
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{step}: {error}") from error


def _filled_in(migration: Migration, variables: Mapping[str, str]) -> str:
    def identifier(matched: re.Match[str]) -> str:
        if matched[1] not in variables:
            raise MigrationError(f"{migration}: nothing is given for :{matched[0][1:]}")
        return '"' + variables[matched[1]].replace('"', '""') + '"'

    return _VARIABLE.sub(identifier, migration.text)
