"""What the server's own catalog knows of the names in a text, looked up before the server plans it, and of the tables in a plan."""

from souk_common.postgres import Session

from souk_dbopt import explain_guard, long_texts
from souk_dbopt.exceptions import NotExplainableError
from souk_dbopt.explain_guard import Function, Mentioned
from souk_dbopt.plan_rules import Facts, TableFacts
from souk_dbopt.plans import Plan

MAX_DEFINITIONS = 500
"""Views, policies and constraints that stand behind one text."""
_OWN = 16384
"""Ids of what did not come with PostgreSQL begin here."""
_EXTENSION = """(SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass)"""
_FUNCTION = f"""
SELECT n.nspname AS schema, p.proname AS name, p.provolatile = 'v' AS volatile, p.oid < {_OWN} AS built_in,
    coalesce({_EXTENSION}, '') AS extension, l.lanname AS language, p.prosecdef AS security_definer,
    'cstring'::regtype = ANY (p.proargtypes) AS takes_cstring,
    CASE WHEN p.oid >= {_OWN} AND l.lanname = 'sql' AND p.prokind = 'f' AND p.proargdefaults IS NULL AND p.proconfig IS NULL
         THEN coalesce(substring(pg_get_function_sqlbody(p.oid) FROM '^RETURN (.*)$'), '') ELSE '' END AS expression
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
"""  # noqa: S608 — of constants
_FUNCTIONS = f"""{_FUNCTION}
WHERE NOT 'internal'::regtype = ANY (p.proargtypes) AND (n.nspname = ANY (current_schemas(true)) OR n.nspname = ANY ($2))
  AND (p.proname = ANY ($1) OR p.proname = ANY ($3)
       AND EXISTS (SELECT FROM pg_type t WHERE t.oid = p.proargtypes[0] AND t.typtype IN ('c', 'd', 'p')))
UNION ALL {_FUNCTION}
JOIN pg_aggregate a ON p.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn,
    a.aggminvtransfn, a.aggmfinalfn)
JOIN pg_proc aggregate ON aggregate.oid = a.aggfnoid AND aggregate.oid >= {_OWN} AND aggregate.proname = ANY ($1)
"""
"""Those that a text may call by their names, and those that its aggregates call. $1: called, $2: all names, $3: after a dot."""
_BEHIND = f"""
WITH unsafe AS MATERIALIZED (
    SELECT p.oid FROM pg_proc p
    WHERE p.oid >= {_OWN} AND (p.provolatile = 'v' AND NOT 'internal'::regtype = ANY (p.proargtypes) OR {_EXTENSION} IS NULL)
)
SELECT 'the operator ' || oprname || ' is of your own, and may do anything' FROM pg_operator
WHERE oid >= {_OWN} AND oprname = ANY ($1) AND (oprcode IN (SELECT oid FROM unsafe) OR oprrest IN (SELECT oid FROM unsafe)
    OR oprjoin IN (SELECT oid FROM unsafe))
UNION ALL
SELECT 'the cast to ' || t.typname || ' is of your own, and may do anything' FROM pg_cast c JOIN pg_type t ON t.oid = c.casttarget
WHERE c.oid >= {_OWN} AND c.castfunc IN (SELECT oid FROM unsafe)
  AND (c.castcontext <> 'e' OR t.typname = ANY ($2) OR t.oid = 'json'::regtype)  -- which to_json and its like look for
UNION ALL
SELECT 'an operator class has a function of your own, which may do anything' FROM pg_amproc WHERE amproc IN (SELECT oid FROM unsafe)
UNION ALL
SELECT 'the type ' || typname || ' is of your own, and may do anything' FROM pg_type t LEFT JOIN pg_range r ON r.rngtypid = t.oid
WHERE t.oid >= {_OWN} AND typname = ANY ($2)
  AND (typinput IN (SELECT oid FROM unsafe) OR rngcanonical IN (SELECT oid FROM unsafe) OR rngsubdiff IN (SELECT oid FROM unsafe))
"""  # noqa: S608 — of constants
"""What may be called without its name. $1: operators, $2: all names."""
_DEFINITIONS = f"""
WITH RECURSIVE named AS MATERIALIZED (
    SELECT oid, relkind, reltype FROM pg_class WHERE relname = ANY ($1) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
), family AS (
    SELECT oid, relkind FROM named
    UNION
    SELECT c.oid, c.relkind FROM family JOIN pg_inherits i ON i.inhparent = family.oid JOIN pg_class c ON c.oid = i.inhrelid
), types AS (
    SELECT oid FROM pg_type WHERE typname = ANY ($1) AND oid >= {_OWN}
    UNION
    SELECT reltype FROM named
    UNION
    SELECT part.oid FROM types JOIN pg_type t ON t.oid = types.oid CROSS JOIN LATERAL (
        SELECT t.typelem AS oid UNION ALL SELECT t.typbasetype
        UNION ALL SELECT atttypid FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped
        UNION ALL SELECT rngsubtype FROM pg_range WHERE rngtypid = t.oid
    ) part WHERE part.oid >= {_OWN}
)
SELECT CASE relkind WHEN 'f' THEN NULL ELSE pg_get_viewdef(oid) END AS definition FROM family
WHERE relkind = 'f' OR relkind = 'v' AND oid >= {_OWN}
UNION ALL SELECT pg_get_expr(polqual, polrelid) FROM pg_policy JOIN family ON family.oid = polrelid WHERE polqual IS NOT NULL
UNION ALL SELECT pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN types ON types.oid = c.contypid
"""  # noqa: S608 — of constants
"""What stands behind the relations and types that a text names; NULL for a foreign table. $1: all names."""
_TABLES = """
SELECT s.schemaname || '.' || s.relname AS name, greatest(s.n_live_tup, c.reltuples)::float8 AS rows,
    s.n_mod_since_analyze::float8 AS changed,
    EXISTS (SELECT FROM pg_stats t WHERE t.schemaname = s.schemaname AND t.tablename = s.relname) AS analyzed
FROM pg_stat_all_tables s JOIN pg_class c ON c.oid = s.relid
WHERE s.schemaname || '.' || s.relname = ANY ($1)
"""


class ExplainCatalog:
    """Asks on the connection that explains, in its transaction."""

    async def refuse(self, session: Session, sql: str) -> None:
        """NotExplainableError where a text is no SELECT, or anything that it could call may change something."""
        todo: list[Mentioned] = [await long_texts.read(explain_guard.mentioned, sql)]
        seen = {sql}
        while todo:
            names = todo.pop()
            behind = await self._refuse_functions(session, names)
            for definition in behind + await self._definitions(session, names):
                if definition not in seen:
                    seen.add(definition)
                    todo.append(await long_texts.read(explain_guard.named_in, definition))
            if len(seen) > MAX_DEFINITIONS:
                raise NotExplainableError(f"more than {MAX_DEFINITIONS} views and functions stand behind it")

    async def facts(self, session: Session, plan: Plan) -> Facts:
        """What is known of the tables in a plan."""
        names = sorted({node.relation for node in plan.nodes() if node.schema})
        rows = await session.fetch("explain-tables", _TABLES, [names])
        return Facts({row["name"]: TableFacts(row["rows"], row["changed"], row["analyzed"]) for row in rows})

    async def _refuse_functions(self, session: Session, names: Mentioned) -> list[str]:
        """What stands behind those that may be called."""
        arguments = [list(names.calls), list(names.names), list(names.attributes)]
        rows = await session.fetch("explain-functions", _FUNCTIONS, arguments)
        functions = [Function(**dict(row)) for row in rows]
        problem = explain_guard.refused_function(functions)
        if not problem:
            behind = await session.fetch("explain-behind", _BEHIND, [list(names.operators), list(names.names)])
            problem = next((row[0] for row in behind), "")
        if problem:
            raise NotExplainableError(problem)
        return explain_guard.expressions(functions)

    async def _definitions(self, session: Session, names: Mentioned) -> list[str]:
        found = [row[0] for row in await session.fetch("explain-definitions", _DEFINITIONS, [list(names.names)])]
        if None in found:
            raise NotExplainableError("a foreign table is read elsewhere, by what may do anything")
        return found
