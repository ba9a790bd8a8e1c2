"""The catalogue against a database: every query is prepared there, so that a wrong one is found when the service starts."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy
from souk_common import migrations
from souk_common.migrations import Migration, MigrationError
from souk_common.postgres import PostgresError

from souk_dbopt.catalogue import Catalogue, Column, Query
from souk_dbopt.exceptions import CatalogueError, ServerUnavailableError
from souk_dbopt.routing import Router

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
log = structlog.get_logger(__name__)
RETRY_SECONDS = 0.5
_TYPES = {
    "int2": "int",
    "int4": "int",
    "int8": "bigint",
    "float4": "float",
    "float8": "float",
    "varchar": "text",
    "jsonb": "json",
}
"""The server's names -> those of parameters and columns, where they differ."""


class Checked:
    """The catalogue as the database takes it. Open it as a context manager: it is checked at once where there is a primary, else as
    soon as there is one."""

    def __init__(self, catalogue: Catalogue, router: Router, needed: Sequence[Migration]) -> None:
        """needed: the migrations that the database must have."""
        self._catalogue = catalogue
        self._needed = needed
        self._router = router
        self._done = False
        self._task: asyncio.Task[None] | None = None
        self.problems: tuple[str, ...] = ()
        """What is wrong; a line each."""

    async def __aenter__(self) -> Self:
        if not await self._try():
            self._task = asyncio.create_task(self._until_done(), name="check-catalogue")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def check(self) -> None:
        """Return where every query fits; raise where one does not, or none was looked at yet."""
        if self.problems:
            raise CatalogueError(self.problems)
        if not self._done:
            raise ServerUnavailableError("the queries were not checked yet")

    async def _until_done(self) -> None:
        while not await self._try():
            await asyncio.sleep(RETRY_SECONDS)
        for problem in self.problems:
            log.error("a query does not fit the database", problem=problem)

    async def _try(self) -> bool:
        """Whether there was a database to ask."""
        try:
            async with self._router.primary().pools["write"].acquire() as session:
                await self._check_schema(session.connection)
                await check(session.connection, self._catalogue)
        except (ServerUnavailableError, PostgresError):
            return False
        except CatalogueError as error:
            self.problems = error.problems
        self._done = True
        return True

    async def _check_schema(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        try:
            missing = await migrations.pending(connection, self._needed)
        except MigrationError as error:  # a later release has migrated it, and this one may still be asked
            log.warning("the schema is not that of this release", problem=str(error))
            return
        if missing:
            raise CatalogueError([f"the schema lacks {', '.join(map(str, missing))}: run `souk db migrate`"])


async def check(connection: Connection, catalogue: Catalogue) -> Mapping[str, frozenset[str]]:
    """Prepare every query, and compare its parameters and its columns with what its header declares.

    Returns which relations each query reads and writes, by the query's name, as `schema.name`; not those that its functions do. The
    connection needs the rights that the queries need, and is left as it was.

    CatalogueError that names every query that is wrong, with all that is wrong with it.
    """
    problems: list[str] = []
    relations: dict[str, frozenset[str]] = {}
    for query in catalogue:
        try:
            problems += [f"{query.source}: {query.name}: {problem}" for problem in await _problems(connection, query)]
            relations[query.name] = relations.get(query.name, frozenset()) | await _relations(connection, query)
        except asyncpg.PostgresError as error:
            problems.append(f"{query.source}: {query.name}: {_described(error)}")
    if problems:
        raise CatalogueError(problems)
    return relations


async def _problems(connection: Connection, query: Query) -> list[str]:
    statement = await connection.prepare(query.text)
    for text in (query.json_text, query.json_rows_text):
        await connection.prepare(text)
    types = [_type(each) for each in statement.get_parameters()]
    parameters = [
        f"parameter {parameter.name} is declared as {parameter.type}, and the statement takes {found}"
        for parameter, found in zip(query.parameters, types, strict=True)
        if found != parameter.type
    ]
    if not query.columns:
        return parameters
    return [*parameters, *_column_problems(query.columns, {each.name: _type(each.type) for each in statement.get_attributes()})]


def _column_problems(declared: Sequence[Column], found: Mapping[str, str]) -> Iterator[str]:
    for column in declared:
        if column.name not in found:
            yield f"column {column.name} is declared, and not among those of the result: {', '.join(found)}"
        elif found[column.name] != column.type:
            yield f"column {column.name} is declared as {column.type}, and is {found[column.name]}"
    for name in found.keys() - {column.name for column in declared}:
        yield f"column {name} is not declared"


def _type(found: asyncpg.Type) -> str:
    element = found.name.removesuffix("[]")
    return _TYPES.get(element, element) + found.name.removeprefix(element)


async def _relations(connection: Connection, query: Query) -> frozenset[str]:
    """Those of the generic plan: no parameter's value leaves one of them out."""
    async with connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE souk_check AS {query.text}")
        nulls = ", ".join(["NULL"] * len(query.parameters))
        try:
            async with (
                connection.transaction()
            ):  # of its own, so that one that fails leaves the statement, which outlives both, to be removed
                plan = await connection.fetchval(
                    f"EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE souk_check{f'({nulls})' if nulls else ''}"
                )
        finally:
            await connection.execute("DEALLOCATE souk_check")
    return frozenset(_named(json.loads(plan)))


def _named(plan: Any) -> Iterator[str]:
    """The relations of a plan and of the plans within it."""
    if isinstance(plan, list):
        for each in plan:
            yield from _named(each)
    elif isinstance(plan, dict):
        if "Relation Name" in plan:
            yield f"{plan['Schema']}.{plan['Relation Name']}"
        for each in plan.values():
            yield from _named(each)


def _described(error: asyncpg.PostgresError) -> str:
    hint = f" ({error.hint})" if getattr(error, "hint", None) else ""
    return f"{error}{hint}"
