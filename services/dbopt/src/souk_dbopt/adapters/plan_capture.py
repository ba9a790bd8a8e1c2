"""Plans as they are on the connections that run the queries, and what the planner knows there."""

from collections.abc import Collection, Sequence
from typing import Any

from souk_common.postgres import Pool, PoolBusyError, Session
from souk_common.postgres.errors import DRIVER_ERRORS

from souk_dbopt import plan_reading
from souk_dbopt.adapters.history import READ
from souk_dbopt.catalogue import Query
from souk_dbopt.explaining import literal
from souk_dbopt.plan_causes import IndexState, TableState
from souk_dbopt.plan_records import SeenPlan
from souk_dbopt.routing import Role, Router

TIMEOUT = 1.0
"""Seconds that planning may take, with the wait for locks of its tables."""
_EXPLAIN = "EXPLAIN (FORMAT JSON, VERBOSE, SETTINGS, SUMMARY) EXECUTE"
_GENERIC_PLANS = "SELECT generic_plans FROM pg_prepared_statements WHERE name = $1"
_TABLES = """
SELECT n.nspname || '.' || c.relname, c.reltuples::float8,
    pg_relation_size(c.oid) / current_setting('block_size')::int, coalesce(s.n_mod_since_analyze, 0)::float8,
    extract(epoch FROM greatest(s.last_analyze, s.last_autoanalyze))::float8
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE n.nspname || '.' || c.relname = ANY ($1::text[]) AND c.relkind IN ('r', 'p', 'm')
"""
_INDEXES = """
SELECT i.relname, n.nspname || '.' || c.relname, pg_get_indexdef(i.oid), x.indisvalid AND x.indisready
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname = ANY ($1::text[])
"""


class PlanCapture:
    """EXPLAIN without ANALYZE: nothing is run.

    `EXPLAIN EXECUTE` of the statement that a connection keeps prepared shows the plan that calls get there, the generic one too. It
    counts as a use of the statement, of which the first five are planned for their values.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    async def capture(self, query: Query, arguments: Sequence[Any] | None) -> SeenPlan:
        """The plan for arguments of `Query.arguments`; None: for any. PoolBusyError where callers wait for a connection."""
        pool = self._pool(query)
        if pool.status().waiting:
            raise PoolBusyError("callers wait for a connection", pool=query.query_class.name, retry_delay=TIMEOUT)
        async with pool.acquire() as session:
            if session.pooled:
                return await self._prepared_here(session, query, arguments)
            name = (await session.statement(query.key, query.json_text)).get_name()
            if arguments is None:
                return await _for_any(session, query, name)
            before = await _generic_plans(session, name, query)
            text = await _value(session, _execute(name, arguments))
            return SeenPlan(plan_reading.read(text), await _generic_plans(session, name, query) > before)

    async def state(self, relations: Collection[str]) -> tuple[dict[str, TableState], dict[str, IndexState]]:
        """Of tables and their indexes, as the primary has them: a replica counts no changes."""
        names = sorted(relations)
        pool = self._router.primary().pools[READ]
        tables = {row[0]: TableState(*row[1:]) for row in await pool.fetch("plans.tables", _TABLES, (names,))}
        indexes = {row[0]: IndexState(*row[1:]) for row in await pool.fetch("plans.indexes", _INDEXES, (names,))}
        return tables, indexes

    def _pool(self, query: Query) -> Pool:
        """Always of the same server, as long as it is there: settings may differ between servers."""
        server = self._router.primary()
        if not query.is_write:
            replicas = [each for each in self._router.servers if each.role is Role.REPLICA and each.available]
            fresh = [each for each in replicas if each.lag is not None and each.lag <= self._router.max_lag]
            server = min(fresh, key=lambda each: each.address, default=server)
        return server.pools[query.query_class.name]

    async def _prepared_here(self, session: Session, query: Query, arguments: Sequence[Any] | None) -> SeenPlan:
        """Behind a transaction pooler, where nothing stays prepared."""
        await session.begin("BEGIN READ ONLY")
        try:
            name = "souk_plan"
            await session.connection.execute(f"PREPARE {name} AS {query.json_text}")
            if arguments is None:
                return await _generic(session, query, name)
            text = await _value(session, _execute(name, arguments))
            return SeenPlan(plan_reading.read(text), generic=False)
        finally:
            await session.run("DEALLOCATE ALL; ROLLBACK")


async def _for_any(session: Session, query: Query, name: str) -> SeenPlan:
    await session.begin("BEGIN")
    try:
        return await _generic(session, query, name)
    finally:
        await session.run("ROLLBACK")


async def _generic(session: Session, query: Query, name: str) -> SeenPlan:
    await session.run("SET LOCAL plan_cache_mode = force_generic_plan")
    text = await _value(session, _execute(name, [None] * len(query.parameters)))
    return SeenPlan(plan_reading.read(text), generic=True)


async def _value(session: Session, sql: str, *values: str) -> Any:
    """Of a statement that does not stay prepared, for values are in it. PostgresError, also where it took too long."""
    try:
        return await session.connection.fetchval(sql, *values, timeout=TIMEOUT)
    except DRIVER_ERRORS as error:
        raise session.failed(error) from error


async def _generic_plans(session: Session, name: str, query: Query) -> int:
    """How often the statement ran with its generic plan; not asked of a class that never does."""
    if query.query_class.own_settings.get("plan_cache_mode") == "force_custom_plan":
        return 0
    count: int | None = await _value(session, _GENERIC_PLANS, name)
    return count or 0


def _execute(name: str, arguments: Sequence[Any]) -> str:
    return f"{_EXPLAIN} {name}({', '.join(map(literal, arguments))})" if arguments else f"{_EXPLAIN} {name}"
