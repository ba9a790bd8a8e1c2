"""Explains statements: as a role that may only read, in a transaction that is read only and always rolled back, with time limits.

A text gets to the server as one prepared statement, by the extended protocol, which takes no second one.
"""

import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from souk_common.postgres import (
    ConstraintError,
    InvalidDataError,
    InvalidStatementError,
    Pool,
    PoolOptions,
    PostgresError,
    ProgramLimitError,
    QueryCanceledError,
    RaisedError,
    ReadOnlyError,
    Session,
)
from souk_common.postgres.options import local_settings

from souk_dbopt import long_texts, plan_reading
from souk_dbopt.catalogue import Query
from souk_dbopt.exceptions import ExplainOffError, NotExplainableError, QueryTimedOutError
from souk_dbopt.plan_rules import Facts, Finding, findings
from souk_dbopt.plans import Plan
from souk_dbopt.timeouts import is_timeout

CONNECTIONS = 2
"""That explain at once."""
WAITING = 20
"""Callers that may wait for one of them."""
LOCK_TIMEOUT = 1.0
"""Seconds that a table's lock is waited for."""
MAX_PLAN = 1_000_000
"""Characters of a plan as JSON, where nothing else is said. It has every constant of the statement, also those that the planner
makes."""
_NUMBERS = itertools.count(1)
_OF_THE_TEXT = (InvalidStatementError, InvalidDataError, ConstraintError, ProgramLimitError, ReadOnlyError, RaisedError)
"""What the server has against a text, or the values that came with it."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A plan, and what is wrong with it, the worst first."""

    plan: Plan
    findings: Sequence[Finding]


class ServerCatalog(Protocol):
    """What the server knows of names."""

    async def refuse(self, session: Session, sql: str) -> None:
        """NotExplainableError where a text may change something."""

    async def facts(self, session: Session, plan: Plan) -> Facts:
        """What is known of the tables in a plan."""


def pool_options(*, timeout: float, connect_timeout: float, behind_pooler: bool | None, max_plan: int = MAX_PLAN) -> PoolOptions:
    """How the role that explains comes. timeout: seconds for one statement. max_plan: characters of one."""
    return PoolOptions(
        name="explain",
        size=CONNECTIONS,
        min_open=0,
        max_waiting=WAITING,
        acquire_timeout=timeout,
        connect_timeout=connect_timeout,
        server_settings={"application_name": "souk-dbopt explain", "souk.max_plan": str(max_plan), **_limits(timeout)},
        behind_pooler=behind_pooler,
    )


def _limits(timeout: float) -> dict[str, str]:
    return {
        "statement_timeout": f"{round(timeout * 1000)}ms",
        "lock_timeout": f"{round(LOCK_TIMEOUT * 1000)}ms",
        "idle_in_transaction_session_timeout": f"{round((timeout + 5) * 1000)}ms",
        "default_transaction_read_only": "on",
        "standard_conforming_strings": "on",
        "client_min_messages": "warning",
    }


class Explainer:
    """Explains queries of the catalogue, and texts that callers bring."""

    def __init__(self, pool: Pool | None, catalog: ServerCatalog, *, timeout: float) -> None:
        """pool: of the role that may only read, with `pool_options`; None: there is none. timeout: seconds for one statement."""
        self._pool = pool
        self._catalog = catalog
        self._timeout = timeout

    async def text(self, sql: str, values: Sequence[Any], *, analyze: bool, generic: bool) -> Explained:
        """Explain a text of a caller's, with $1, $2 … for `values`, which are as JSON has them.

        NotExplainableError where it is no SELECT, or calls what may change something, or the server does not take it.
        """
        async with self._transaction({}) as session:
            await self._catalog.refuse(session, sql)
            began = time.monotonic()
            try:
                return await self._explained(session, sql, values, analyze=analyze, generic=generic)
            except QueryCanceledError as error:
                raise _ended("the statement", error, began, self._timeout) from error
            except _OF_THE_TEXT as error:
                raise NotExplainableError(error.message) from error

    async def query(
        self, query: Query, arguments: Sequence[Any] | None, *, analyze: bool, generic: bool, timeout: float | None = None
    ) -> Explained:
        """Explain a query of the catalogue, as the service runs it: with the settings of its class, and its rows made JSON.

        arguments: of `Query.arguments`. None: it is planned for any. timeout: seconds, less than usual. NotExplainableError for one
        that writes.
        """
        if query.is_write:
            raise NotExplainableError(f"{query.name} writes")
        values = arguments if arguments is not None else [None] * len(query.parameters)
        began = time.monotonic()
        try:
            async with self._transaction(query.query_class.settings(), timeout) as session:
                return await self._explained(session, query.json_text, values, analyze=analyze, generic=generic)
        except QueryCanceledError as error:
            raise _ended(query.name, error, began, timeout or self._timeout) from error
        except ReadOnlyError as error:
            raise NotExplainableError(error.message) from error

    @contextlib.asynccontextmanager
    async def _transaction(self, settings: Mapping[str, str], timeout: float | None = None) -> AsyncIterator[Session]:
        """A session whose transaction is rolled back, and which is reset before the next has it. ExplainOffError."""
        if self._pool is None:
            raise ExplainOffError("this node explains nothing: SOUK_DBOPT_EXPLAIN_DSN is not set")
        local = local_settings({**settings, **_limits(timeout or self._timeout)})
        async with self._pool.acquire() as session:
            session.spoil()
            if (await session.fetch("explain-role", _IS_SUPERUSER))[0][0]:
                raise ExplainOffError(
                    "this node explains nothing: the role of SOUK_DBOPT_EXPLAIN_DSN is a superuser, who may do anything"
                )
            await session.begin(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {local}; {_SEARCH_PATH}")
            yield session
            await session.run("ROLLBACK")

    async def _explained(self, session: Session, sql: str, values: Sequence[Any], *, analyze: bool, generic: bool) -> Explained:
        name = f"souk_explain_{next(_NUMBERS)}"
        await session.fetch("explain-text", f"PREPARE {name} AS {sql}")
        try:
            text = await self._plan(session, name, values, analyze=analyze, generic=generic)
        except (PostgresError, NotExplainableError):
            await session.run("ROLLBACK TO SAVEPOINT prepared")
            await session.run(f"DEALLOCATE {name}")
            raise
        await session.run(f"DEALLOCATE {name}")
        plan = await long_texts.read(plan_reading.read, text)
        return Explained(plan, findings(plan, await self._catalog.facts(session, plan)))

    async def _plan(self, session: Session, name: str, values: Sequence[Any], *, analyze: bool, generic: bool) -> str:
        mode = "force_generic_plan" if generic else "force_custom_plan"
        await session.run(f"SET LOCAL plan_cache_mode = {mode}; SAVEPOINT prepared")
        takes = (await session.fetch("explain-parameters", _PARAMETERS, [name]))[0][0]
        if generic and not analyze and not values:
            values = [None] * takes
        if len(values) != takes:
            raise NotExplainableError(f"it takes {takes} values, and {len(values)} were given")
        options = "FORMAT JSON, VERBOSE, SETTINGS, SUMMARY" + (", ANALYZE, BUFFERS" if analyze else "")
        given = f"({', '.join(map(literal, values))})" if values else ""
        await session.fetch("explain-statement", _STATEMENT, [f"EXPLAIN ({options}) EXECUTE {name}{given}"])
        await session.run(_EXPLAIN)
        plan, length, most = (await session.fetch("explain-plan", _PLAN))[0]
        if not plan:
            raise NotExplainableError(
                f"its plan has {length:,} characters, and {most:,} are the most: constants are a part of it, also those that "
                "the planner makes of calls; give long values as parameters, and ask for the generic plan"
            )
        return str(plan)


def _ended(what: str, error: QueryCanceledError, began: float, limit: float) -> Exception:
    return QueryTimedOutError(what, limit) if is_timeout(error, time.monotonic() - began, limit) else error


_SEARCH_PATH = "SELECT set_config('search_path', 'pg_catalog, ' || current_setting('search_path'), true)"
"""The database's own, after what came with PostgreSQL: nothing of a user's is taken for a function of that."""
_STATEMENT = "SELECT set_config('souk.explain', $1, true)"
_EXPLAIN = """
DO $$
    DECLARE plan text;
    BEGIN
        EXECUTE current_setting('souk.explain') INTO plan;
        PERFORM set_config(
            'souk.plan', CASE WHEN length(plan) <= current_setting('souk.max_plan')::integer THEN plan ELSE '' END, true
        );
        PERFORM set_config('souk.plan_length', length(plan)::text, true);
    END
$$
"""
"""Within the server, so that a plan that is too large never leaves it."""
_PLAN = """
SELECT current_setting('souk.plan') AS plan, current_setting('souk.plan_length')::integer AS length,
    current_setting('souk.max_plan')::integer AS most
"""
_IS_SUPERUSER = "SELECT current_setting('is_superuser')::bool"
_PARAMETERS = "SELECT coalesce(cardinality(parameter_types), 0) FROM pg_prepared_statements WHERE name = $1"


def literal(value: Any) -> str:
    """A value as SQL writes it, for the server to read as the type that it needs. NotExplainableError for U+0000."""
    if value is None:
        return "NULL"
    text = _plain(value)
    if "\0" in text:
        raise NotExplainableError("a value must not contain the character U+0000")
    return "'" + text.replace("'", "''") + "'"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**63 else repr(value)
    if isinstance(value, list | tuple):
        return "{" + ",".join(map(_element, value)) + "}"
    if isinstance(value, dict):
        return json.dumps(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _element(value: Any) -> str:
    """One of an array."""
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple):
        return _plain(value)
    text = _plain(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
