"""What the server's own catalog knows of the names in a text, looked up before the server plans it, and of the tables in a plan."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from souk_common.postgres import Session

from souk_dbopt import explain_guard, long_texts
from souk_dbopt.exceptions import NotExplainableError
from souk_dbopt.explain_guard import Function, Mentioned, Qualified
from souk_dbopt.plan_rules import Facts, TableFacts
from souk_dbopt.plans import Plan

MAX_BEHIND = 5_000
"""Views, functions, types and others that stand behind one text."""
_OWN = 16384
"""Ids of what did not come with PostgreSQL begin here."""
_EXTENSION = """(SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass)"""
_FUNCTION = f"""
SELECT p.oid, n.nspname AS schema, p.proname AS name, p.oid < {_OWN} AS built_in, coalesce({_EXTENSION}, '') AS extension,
    p.provolatile = 'v' AND NOT 'internal'::regtype = ANY (p.proargtypes) AS volatile,
    l.lanname AS language, p.prosecdef AS security_definer, 'cstring'::regtype = ANY (p.proargtypes) AS takes_cstring,
    p.oid >= {_OWN} AND l.lanname = 'sql' AND p.prokind = 'f' AND p.proargdefaults IS NULL AND p.proconfig IS NULL
        AND coalesce(pg_get_function_sqlbody(p.oid) ~ '^RETURN ', false) AS is_expression
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
"""  # noqa: S608 — of constants
_CALLED = f"""{_FUNCTION}
WHERE NOT 'internal'::regtype = ANY (p.proargtypes)
  AND (n.nspname = ANY (current_schemas(true)) AND (
           p.proname = ANY ($1) OR p.proname = ANY ($2) AND p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1)
       OR (n.nspname, p.proname) IN (SELECT * FROM unnest($3::name[], $4::name[])))
"""  # noqa: S608 — of constants
"""Functions that a text may call by their names. $1: called, $2: after a dot, which calls whatever takes one argument, of any type,
$3 and $4: called by schema and name."""
_CASTS = f"""
WITH unsafe AS MATERIALIZED (
    SELECT p.oid FROM pg_proc p
    WHERE p.oid >= {_OWN} AND (p.provolatile = 'v' AND NOT 'internal'::regtype = ANY (p.proargtypes) OR {_EXTENSION} IS NULL)
)
SELECT 'the cast of ' || castsource::regtype || ' to ' || casttarget::regtype || ' is of your own, and may do anything' FROM pg_cast
WHERE oid >= {_OWN} AND castfunc IN (SELECT oid FROM unsafe)
  AND (castsource = ANY ($1) OR casttarget = ANY ($1) OR NOT EXISTS (
      SELECT FROM unnest(ARRAY[castsource, casttarget]) t WHERE t >= {_OWN} AND NOT EXISTS (
          SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t AND d.deptype = 'e')))
UNION ALL
SELECT 'an operator class has a function of your own, which may do anything' FROM pg_amproc WHERE amproc IN (SELECT oid FROM unsafe)
"""  # noqa: S608 — of constants
"""What a type alone calls. $1: ids of types of one's own that a value may have; of others it may have any."""
_REACHED = f"""
WITH RECURSIVE path AS MATERIALIZED (
    SELECT oid FROM pg_namespace WHERE nspname = ANY (current_schemas(true))
), qualified AS MATERIALIZED (
    SELECT n.oid, q.name FROM unnest($2::name[], $3::name[]) q (schema, name) JOIN pg_namespace n ON n.nspname = q.schema
), operators AS MATERIALIZED (
    SELECT n.oid, q.name FROM unnest($5::name[], $6::name[]) q (schema, name) JOIN pg_namespace n ON n.nspname = q.schema
), reached (catalog, id, called) AS (
    SELECT 'pg_class'::regclass, oid, true FROM pg_class
    WHERE oid >= {_OWN} AND relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
      AND (relname = ANY ($1) AND relnamespace IN (SELECT * FROM path) OR (relnamespace, relname) IN (SELECT * FROM qualified))
    UNION
    SELECT 'pg_type'::regclass, oid, true FROM pg_type
    WHERE oid >= {_OWN}
      AND (typname = ANY ($1) AND typnamespace IN (SELECT * FROM path) OR (typnamespace, typname) IN (SELECT * FROM qualified))
    UNION
    SELECT 'pg_operator'::regclass, oid, true FROM pg_operator
    WHERE oid >= {_OWN}
      AND (oprname = ANY ($4) AND oprnamespace IN (SELECT * FROM path) OR (oprnamespace, oprname) IN (SELECT * FROM operators))
    UNION
    SELECT 'pg_proc'::regclass, id, true FROM unnest($7::oid[]) id
    UNION
    SELECT part.* FROM reached CROSS JOIN LATERAL (
        -- What a stored expression refers to; of a function its types, too.
        SELECT d.refclassid::regclass, d.refobjid, true FROM pg_depend d
        WHERE d.classid = catalog AND d.objid = id AND d.refobjid >= {_OWN}
          AND d.refclassid IN ('pg_class'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass, 'pg_proc'::regclass)
          AND catalog IN ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass,
                          'pg_proc'::regclass)
          AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = catalog AND e.objid = id AND e.deptype = 'e')
        -- What reading a relation brings in.
        UNION ALL SELECT 'pg_rewrite'::regclass, r.oid, true FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
        WHERE catalog = 'pg_class'::regclass AND c.oid = id AND c.relkind = 'v'
        UNION ALL SELECT 'pg_policy'::regclass, p.oid, true FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
        WHERE catalog = 'pg_class'::regclass AND c.oid = id AND c.relrowsecurity AND p.polqual IS NOT NULL
          AND p.polcmd IN ('*', 'r')
        UNION ALL SELECT 'pg_attrdef'::regclass, d.oid, true FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid
            AND a.attnum = d.adnum AND a.attgenerated = 'v'
        WHERE catalog = 'pg_class'::regclass AND d.adrelid = id
        UNION ALL SELECT 'pg_class'::regclass, inhrelid, true FROM pg_inherits
        WHERE catalog = 'pg_class'::regclass AND inhparent = id
        UNION ALL SELECT 'pg_type'::regclass, reltype, true FROM pg_class WHERE catalog = 'pg_class'::regclass AND oid = id
        -- What reading a value of a type brings in.
        UNION ALL SELECT 'pg_type'::regclass, part, true FROM pg_type, unnest(ARRAY[typelem, typbasetype]) part
        WHERE catalog = 'pg_type'::regclass AND oid = id AND part >= {_OWN}
        UNION ALL SELECT 'pg_type'::regclass, atttypid, true FROM pg_attribute JOIN pg_type t ON t.typrelid = attrelid
        WHERE catalog = 'pg_type'::regclass AND t.oid = id AND attnum > 0 AND NOT attisdropped AND atttypid >= {_OWN}
        UNION ALL SELECT 'pg_type'::regclass, part, true FROM pg_range, unnest(ARRAY[rngtypid, rngsubtype, rngmultitypid]) part
        WHERE catalog = 'pg_type'::regclass AND id IN (rngtypid, rngmultitypid) AND part >= {_OWN}
        UNION ALL SELECT 'pg_proc'::regclass, part::oid, false FROM pg_range, unnest(ARRAY[rngcanonical, rngsubdiff]) part
        WHERE catalog = 'pg_type'::regclass AND rngtypid = id AND part::oid <> 0
        UNION ALL SELECT 'pg_proc'::regclass, part::oid, false
        FROM pg_type, unnest(ARRAY[typinput, typoutput, typmodin, typmodout]) part
        WHERE catalog = 'pg_type'::regclass AND oid = id AND part::oid >= {_OWN}
        UNION ALL SELECT 'pg_constraint'::regclass, oid, true FROM pg_constraint
        WHERE catalog = 'pg_type'::regclass AND contypid = id AND contypid <> 0
        -- What operators and aggregates call.
        UNION ALL SELECT 'pg_proc'::regclass, part::oid, false FROM pg_operator, unnest(ARRAY[oprcode, oprrest, oprjoin]) part
        WHERE catalog = 'pg_operator'::regclass AND oid = id AND part::oid <> 0
        UNION ALL SELECT 'pg_proc'::regclass, part::oid, false FROM pg_aggregate, unnest(ARRAY[aggtransfn, aggfinalfn, aggcombinefn,
            aggserialfn, aggdeserialfn, aggmtransfn, aggminvtransfn, aggmfinalfn]) part
        WHERE catalog = 'pg_proc'::regclass AND aggfnoid = id AND part::oid <> 0
    ) part
)
SELECT catalog::text, id, called FROM reached
"""  # noqa: S608 — of constants
"""All that stands behind a text, as the server keeps it by id, whatever it is called. $1: names, $2 and $3: those with their
schemas, $4: operators, $5 and $6: those with their schemas, $7: functions."""
_BY_ID = f"""{_FUNCTION} WHERE p.oid = ANY ($1) AND (p.prokind <> 'a' OR {_EXTENSION} IS NOT NULL OR p.oid < {_OWN})"""
"""What an aggregate of one's own does is what its functions do."""
_DEFINITIONS = """
SELECT pg_get_viewdef(ev_class) AS definition FROM pg_rewrite WHERE oid = ANY ($1)
UNION ALL SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE oid = ANY ($2)
UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE oid = ANY ($3)
UNION ALL SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE oid = ANY ($4)
UNION ALL SELECT pg_get_function_sqlbody(oid) FROM pg_proc WHERE oid = ANY ($5) AND pg_get_function_sqlbody(oid) IS NOT NULL
"""
_PLANNED = f"""
WITH stored (catalog, id, relation, definition) AS (
    SELECT 'pg_class'::regclass, indexrelid, indrelid, pg_get_expr(part, indrelid)
    FROM pg_index CROSS JOIN LATERAL (VALUES (indexprs), (indpred)) parts (part) WHERE indrelid = ANY ($1) AND part IS NOT NULL
    UNION ALL SELECT 'pg_constraint'::regclass, oid, conrelid, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = ANY ($1) AND contype = 'c'
    UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxrelid, unnest(pg_get_statisticsobjdef_expressions(oid))
    FROM pg_statistic_ext WHERE stxrelid = ANY ($1) AND stxexprs IS NOT NULL
    UNION ALL SELECT 'pg_class'::regclass, partrelid, partrelid, pg_get_expr(partexprs, partrelid) FROM pg_partitioned_table
    WHERE partrelid = ANY ($1) AND partexprs IS NOT NULL
)
SELECT definition, ARRAY(SELECT attname FROM pg_attribute WHERE attrelid = relation AND attnum > 0) AS varying FROM stored
UNION ALL
SELECT coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), coalesce(p.proargnames, '{{}}')
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'sql'
WHERE p.oid >= {_OWN} AND p.prokind = 'f' AND {_EXTENSION} IS NULL
  AND p.oid IN (SELECT d.refobjid FROM pg_depend d JOIN stored ON d.classid = stored.catalog AND d.objid = stored.id
                WHERE d.refclassid = 'pg_proc'::regclass)
"""  # noqa: S608 — of constants
"""What the planner reads of relations, besides what it is asked: expressions and conditions of indexes, checks, statistics, keys of
partitions, and the functions in SQL in these, which it puts in their place. With the names in each that are no constants. $1: ids
of relations."""
_FOREIGN = "SELECT oid::regclass::text FROM pg_class WHERE oid = ANY ($1) AND relkind = 'f'"
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
        todo = [await long_texts.read(explain_guard.mentioned, sql)]
        await session.run("SAVEPOINT asking; SET LOCAL jit = off")  # which takes seconds to compile what takes milliseconds
        seen: set[Mentioned] = set()
        while todo:
            names = todo.pop()
            if names not in seen:
                seen.add(names)
                todo += await self._refuse_behind(session, names)
        await session.run("ROLLBACK TO SAVEPOINT asking")

    async def facts(self, session: Session, plan: Plan) -> Facts:
        """What is known of the tables in a plan."""
        names = sorted({node.relation for node in plan.nodes() if node.schema})
        rows = await session.fetch("explain-tables", _TABLES, [names])
        return Facts({row["name"]: TableFacts(row["rows"], row["changed"], row["analyzed"]) for row in rows})

    async def _refuse_behind(self, session: Session, names: Mentioned) -> list[Mentioned]:
        """What else the planner would call, with constants."""
        called = await self._called(session, names)
        if problem := explain_guard.refused_function(called):
            raise NotExplainableError(problem)
        found = await self._reached(session, names, [each.oid for each in called if not each.built_in])
        for row in await session.fetch("explain-casts", _CASTS, [found["pg_type"]]):
            raise NotExplainableError(row[0])
        for row in await session.fetch("explain-foreign", _FOREIGN, [found["pg_class"]]):
            raise NotExplainableError(f"{row[0]} is a foreign table, which is read elsewhere, by what may do anything")
        ids = [found[name] for name in ("pg_rewrite", "pg_policy", "pg_constraint", "pg_attrdef", "pg_proc")]
        for row in await session.fetch("explain-definitions", _DEFINITIONS, ids):
            within = await long_texts.read(explain_guard.named_in, row["definition"])
            _refuse_behind(each for each in await self._called(session, within) if each.built_in)
        planned = await session.fetch("explain-planned", _PLANNED, [found["pg_class"]])
        constant = [explain_guard.constant_calls(row["definition"], set(row["varying"])) for row in planned]
        return [each for each in constant if each.calls or each.qualified_calls]

    async def _called(self, session: Session, names: Mentioned) -> list[Function]:
        """Functions of these names, of all who have them."""
        arguments = [list(names.calls), list(names.attributes), *_columns(names.qualified_calls)]
        return [Function(**dict(row)) for row in await session.fetch("explain-called", _CALLED, arguments)]

    async def _reached(self, session: Session, names: Mentioned, functions: Sequence[int]) -> Mapping[str, list[int]]:
        """Ids by their catalogs of all that stands behind a text, where all functions among that may be called."""
        arguments = [
            list(names.names),
            *_columns(names.qualified),
            list(names.operators),
            *_columns(names.qualified_operators),
            functions,
        ]
        rows = await session.fetch("explain-reached", _REACHED, arguments)
        if len(rows) > MAX_BEHIND:
            raise NotExplainableError(f"more than {MAX_BEHIND:,} views, functions and types stand behind it")
        found: dict[str, list[int]] = defaultdict(list)
        called = set()
        for catalog, oid, by_name in rows:
            found[catalog].append(oid)
            if by_name and catalog == "pg_proc":
                called.add(oid)
        functions_found = await session.fetch("explain-functions", _BY_ID, [found["pg_proc"]])
        _refuse_behind(Function(**dict(row), called=row["oid"] in called) for row in functions_found)
        return found


def _refuse_behind(functions: Iterable[Function]) -> None:
    if problem := explain_guard.refused_function(functions):
        raise NotExplainableError(f"what it names calls {problem}")


def _columns(pairs: Collection[Qualified]) -> tuple[list[str], list[str]]:
    """Schemas, and names."""
    ordered = sorted(pairs)
    return [schema for schema, _ in ordered], [name for _, name in ordered]
