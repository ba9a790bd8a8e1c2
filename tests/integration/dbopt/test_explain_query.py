"""ExplainQuery on real servers: what it tells, what it refuses, and that nothing it is asked to do leaves a trace."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from integration.dbopt.shop import client_of, dbopt
from postgres_servers import PostgresServer
from souk.client import (
    DbClient,
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    SoukError,
)
from souk.dbopt.v1 import insight_pb2 as pb
from souk_common.postgres import Pool, Session
from souk_dbopt import explaining, plan_reading
from souk_dbopt.adapters.explain_catalog import ExplainCatalog
from souk_dbopt.adapters.query_file import load
from souk_dbopt.exceptions import DbError
from souk_dbopt.explaining import Explainer, pool_options
from souk_dbopt.fingerprints import fingerprint
from souk_dbopt.plans import Plan

pytestmark = pytest.mark.shop
Connection = asyncpg.Connection
LONG = "long_" * 13

EVIL = """
CREATE SCHEMA evil;
CREATE TABLE evil.log (a int);
CREATE SEQUENCE evil.seq;
SELECT lo_create(4711);
GRANT USAGE ON SCHEMA evil TO PUBLIC;
GRANT ALL ON evil.log, evil.seq TO PUBLIC;
CREATE FUNCTION evil.act() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN COPY (SELECT 1) TO '{marker}'; RETURN 1; END $$;
CREATE FUNCTION evil.stable() RETURNS int LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$ BEGIN RETURN evil.act(); END $$;
CREATE FUNCTION evil.immutable(int) RETURNS int LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER AS $$ BEGIN RETURN evil.act(); END $$;
CREATE FUNCTION evil.plus(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN evil.act(); END $$;
CREATE OPERATOR public.<+> (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.plus);
CREATE TYPE evil.pair AS (a int);
CREATE TABLE evil.pairs AS SELECT ROW(1)::evil.pair AS p;
CREATE FUNCTION evil.from_pair(evil.pair) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN evil.act(); END $$;
CREATE CAST (evil.pair AS int) WITH FUNCTION evil.from_pair(evil.pair);
CREATE FUNCTION evil.to_pair(int) RETURNS evil.pair LANGUAGE plpgsql AS $$ BEGIN RETURN ROW(evil.act())::evil.pair; END $$;
CREATE CAST (int AS evil.pair) WITH FUNCTION evil.to_pair(int);
CREATE DOMAIN evil.checked AS int CHECK (evil.immutable(VALUE) > 0);
CREATE DOMAIN evil.checked_again AS evil.checked;
CREATE TABLE evil.holder (a evil.checked);
CREATE TYPE evil.inner AS (b evil.checked_again[]);
CREATE TABLE evil.nested (a evil.inner);
CREATE TYPE evil.mood AS ENUM ('fine');
CREATE FUNCTION evil.mood_json(evil.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RETURN to_json(evil.act()); END $$;
CREATE TABLE evil.moods AS SELECT 'fine'::evil.mood AS m;
CREATE VIEW evil.innocent AS SELECT evil.stable() AS a;
CREATE VIEW public.harmless AS SELECT a FROM evil.innocent;
CREATE AGGREGATE public.total (int) (SFUNC = evil.plus, STYPE = int, INITCOND = '0');
CREATE FUNCTION public.ghost(evil.log) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN evil.act(); END $$;
CREATE FUNCTION public."Ghost ""fn"() RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN evil.act(); END $$;
CREATE FUNCTION public.{long}() RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN evil.act(); END $$;
CREATE FUNCTION public.upper(int) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM evil.act(); RETURN ''; END $$;
CREATE FUNCTION public.veiled(int) RETURNS int LANGUAGE sql STABLE RETURN evil.stable() + $1;
CREATE FUNCTION public.veiled_twice(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN public.veiled($1);
CREATE FUNCTION public.presumptuous(a int DEFAULT evil.immutable(1)) RETURNS int LANGUAGE sql IMMUTABLE RETURN a;
CREATE FUNCTION public.powerful(int) RETURNS int LANGUAGE sql IMMUTABLE SECURITY DEFINER RETURN $1 + 1;
CREATE FUNCTION public.set_up(int) RETURNS int LANGUAGE sql IMMUTABLE SET search_path = evil RETURN $1 + 1;
CREATE FUNCTION public.quoted(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE FUNCTION public.atomic(int) RETURNS int LANGUAGE sql STABLE BEGIN ATOMIC SELECT evil.stable() + $1; END;
CREATE FUNCTION public.plain(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 + 1;
CREATE FUNCTION public.plain_twice(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN public.plain(public.plain($1));
CREATE TABLE public.guarded AS SELECT 1 AS a;
ALTER TABLE public.guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY watched ON public.guarded USING (evil.stable() = 1);
CREATE FUNCTION public.takes(x evil.checked) RETURNS int LANGUAGE sql STABLE RETURN 1;
CREATE FUNCTION public.takes_array(x evil.checked[]) RETURNS int LANGUAGE sql STABLE RETURN 1;
CREATE FUNCTION public.takes_row(x evil.inner) RETURNS int LANGUAGE sql STABLE RETURN 1;
CREATE TYPE evil.span AS RANGE (SUBTYPE = evil.checked);
CREATE FUNCTION public.takes_range(x evil.span) RETURNS int LANGUAGE sql STABLE RETURN 1;
CREATE FUNCTION public.gives(x int) RETURNS evil.checked LANGUAGE sql STABLE RETURN x;
CREATE FUNCTION public.gives_within(x int) RETURNS int LANGUAGE sql STABLE RETURN public.gives(x);
CREATE FUNCTION public.gives_row() RETURNS evil.inner LANGUAGE sql STABLE RETURN NULL::evil.inner;
CREATE FUNCTION public.takes_two(int, x evil.checked) RETURNS int LANGUAGE sql STABLE RETURN 1;
CREATE OPERATOR public.<++> (LEFTARG = int, RIGHTARG = evil.checked, FUNCTION = public.takes_two);
CREATE OPERATOR public.<~~> (LEFTARG = int, RIGHTARG = bigint, FUNCTION = pg_terminate_backend);
CREATE VIEW public.converted AS SELECT public.gives(a) AS a FROM evil.log WHERE a < 0;
CREATE TABLE public.indexed (a int);
CREATE INDEX ON public.indexed (a) WHERE evil.immutable(5) > 0;
CREATE TABLE public.expressed (a int);
CREATE INDEX ON public.expressed ((a + evil.immutable(5)));
CREATE TABLE public.parted (a int);
CREATE TABLE public.parted_checked (CHECK (evil.immutable(8) > 0 AND a > 5)) INHERITS (public.parted);
CREATE TABLE public.counted (a int);
CREATE STATISTICS evil.counts ON (a + evil.immutable(5)) FROM public.counted;
CREATE FUNCTION public.wrapped(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + evil.immutable(5)';
CREATE TABLE public.wrapping (a int);
CREATE INDEX ON public.wrapping (public.wrapped(a));
CREATE FUNCTION public.own_key(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1; END $$;
CREATE TABLE public.ordinary (a int CHECK (public.own_key(a) > 0), v int);
CREATE INDEX ON public.ordinary (public.own_key(a)) WHERE public.own_key(a) > 5;
CREATE DOMAIN public.amount AS int CHECK (VALUE >= 0);
CREATE FUNCTION public.doubled(x amount) RETURNS amount LANGUAGE sql IMMUTABLE RETURN x * 2;
CREATE VIEW evil.v AS SELECT evil.stable() AS a;
CREATE TABLE evil.p (a evil.checked);
CREATE OPERATOR evil.<#> (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.plus);
CREATE OPERATOR public.<#> (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
INSERT INTO evil.log VALUES (1);
GRANT SELECT ON ALL TABLES IN SCHEMA evil, public TO PUBLIC;
"""

OPERATOR_CLASS = """
CREATE FUNCTION evil.pair_compare(evil.pair, evil.pair) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN evil.act(); END $$;
CREATE OPERATOR CLASS evil.pair_order FOR TYPE evil.pair USING btree AS FUNCTION 1 evil.pair_compare(evil.pair, evil.pair);
"""
RED_TEAM = [
    "SELECT 1; DROP TABLE evil.log",
    "SELECT 1;; INSERT INTO evil.log VALUES (2)",
    "SELECT 1 /* ; */ ; /* */ DELETE FROM evil.log -- ",
    "SELECT $a$;$a$; TRUNCATE evil.log",
    "DELETE FROM evil.log",
    "INSERT INTO evil.log VALUES (2)",
    "WITH gone AS (DELETE FROM evil.log RETURNING *) SELECT * FROM gone",
    "WITH r AS (SELECT 1) INSERT INTO evil.log SELECT * FROM r",
    "SELECT * INTO evil.copy FROM evil.log",
    "CREATE TABLE evil.made AS SELECT 1",
    "SELECT * FROM evil.log FOR UPDATE",
    "SELECT * FROM evil.log FOR KEY SHARE",
    *(f"SELECT {name}(1)" for name in ("veiled", "veiled_twice", "presumptuous", "powerful", "set_up", "quoted", "atomic")),
    "SELECT presumptuous()",
    "SELECT nextval('evil.seq')",
    "SELECT setval('evil.seq', 9)",
    "SELECT NextVal /* really */ ('evil.seq')",
    "SELECT pg_catalog.\"nextval\"('evil.seq')",
    "SELECT U&\"next\\0076al\"('evil.seq')",
    "SELECT U&\"next!0076al\" UESCAPE '!' ('evil.seq')",
    "SELECT * FROM nextval('evil.seq')",
    "SELECT * FROM ROWS FROM (nextval('evil.seq'), generate_series(1, 2))",
    "SELECT 1 WHERE nextval('evil.seq') > 0",
    "SELECT (SELECT nextval('evil.seq')) FROM evil.log",
    "SELECT 1 FROM evil.log ORDER BY setval('evil.seq', 99)",
    "SELECT 1 LIMIT (SELECT nextval('evil.seq'))",
    "SELECT set_config('search_path', 'evil', false)",
    "SELECT set_config('statement_timeout', '0', false), pg_sleep(1)",
    "SELECT pg_advisory_lock(7)",
    "SELECT pg_try_advisory_lock_shared(7)",
    "SELECT pg_advisory_xact_lock(7)",
    "SELECT pg_notify('channel', 'text')",
    "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
    "SELECT pg_cancel_backend(1)",
    "SELECT pg_reload_conf()",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_stat_reset()",
    "SELECT pg_sleep(0.1)",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT * FROM pg_read_file('PG_VERSION')",
    "SELECT * FROM pg_ls_dir('.')",
    "SELECT pg_read_binary_file('PG_VERSION')",
    "SELECT lo_create(0)",
    "SELECT lo_unlink(4711)",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(4711, '/tmp/souk-large-object')",
    "SELECT lo_from_bytea(0, 'a')",
    "SELECT pg_create_restore_point('a')",
    "SELECT pg_switch_wal()",
    "SELECT txid_current()",
    "SELECT pg_current_xact_id()",
    "SELECT pg_export_snapshot()",
    "SELECT setseed(0.5)",
    "SELECT query_to_xml('SELECT nextval(''evil.seq'')', true, true, '')",
    "SELECT query_to_xmlschema('DELETE FROM evil.log RETURNING *', true, true, '')",
    "SELECT database_to_xml(true, true, '')",
    "SELECT table_to_xml('evil.innocent', true, true, '')",
    "SELECT schema_to_xml('evil', true, true, '')",
    "SELECT * FROM ts_stat('SELECT evil.act()::text::tsvector')",
    "SELECT ts_rewrite('a'::tsquery, 'SELECT evil.act()::text::tsquery, ''b''::tsquery')",
    "SELECT pg_input_is_valid('1', 'evil.checked')",
    "SELECT * FROM pg_input_error_info('{1}', 'evil.checked[]')",
    "SELECT domain_in('1', 'evil.checked'::regtype, -1)",
    "SELECT * FROM dblink('dbname=postgres', 'SELECT 1') AS t(a int)",
    "SELECT dblink_exec('dbname=postgres', 'DROP TABLE evil.log')",
    "COPY evil.log TO PROGRAM 'touch /tmp/souk-program'",
    "COPY evil.log FROM PROGRAM 'echo 1'",
    "DO $$ BEGIN PERFORM evil.act(); END $$",
    "EXECUTE souk_explain_1",
    "PREPARE mine AS DELETE FROM evil.log",
    "DEALLOCATE ALL",
    "DECLARE c CURSOR WITH HOLD FOR SELECT evil.act()",
    "LISTEN channel",
    "NOTIFY channel",
    "SET search_path = evil",
    "RESET ALL",
    "SHOW data_directory",
    "BEGIN",
    "COMMIT",
    "ROLLBACK; DELETE FROM evil.log",
    "SAVEPOINT a",
    "LOCK TABLE evil.log",
    "VACUUM evil.log",
    "EXPLAIN ANALYZE DELETE FROM evil.log",
    "ALTER SYSTEM SET work_mem = '1MB'",
    "CALL evil.act()",
    "SELECT evil.act()",
    "SELECT evil.stable()",
    "SELECT * FROM evil.stable()",
    "SELECT evil.immutable(1)",
    "SELECT EVIL . Stable ()",
    'SELECT "evil"."stable"()',
    "SELECT * FROM evil.innocent",
    "SELECT * FROM harmless",
    "SELECT count(*) FROM public.harmless h JOIN evil.log l USING (a)",
    "SELECT * FROM guarded",
    "SELECT 1 <+> 2",
    "SELECT 1 OPERATOR(public.<+>) 2",
    "SELECT (1)::evil.pair",
    "SELECT CAST(1 AS evil.pair)",
    "SELECT '1'::evil.checked",
    "SELECT evil.checked '1'",
    "SELECT CAST(1 AS evil.checked_again)",
    "SELECT '(1)'::evil.holder",
    "SELECT json_populate_record(NULL::evil.holder, '{\"a\": 1}')",
    "SELECT '{1}'::evil.checked[]",
    'SELECT jsonb_populate_record(n, \'{"a": {"b": [1]}}\') FROM evil.nested n',
    "SELECT '(\"({1})\")'::evil.nested",
    "SELECT total(a) FROM evil.log",
    "SELECT public.total(a) OVER () FROM evil.log",
    "SELECT l.ghost FROM evil.log l",
    "SELECT (l).ghost FROM evil.log l",
    "SELECT ghost(l) FROM evil.log l",
    'SELECT "Ghost ""fn"()',
    f"SELECT {LONG}and_more()",
    "SELECT upper(1)",
    "SELECT takes('1')",
    "SELECT takes_array('{1}')",
    "SELECT takes_row('({1})')",
    "SELECT takes_range('[1,2]')",
    "SELECT gives(1)",
    "SELECT gives_within(1)",
    "SELECT (1).gives",
    "SELECT (60).pg_sleep",
    "SELECT x.a.pg_terminate_backend FROM (SELECT 1 AS a) x",
    "SELECT (x.a).pg_cancel_backend FROM (SELECT 1 AS a) x",
    "SELECT ('evil.seq'::regclass).nextval",
    "SELECT q.p::integer FROM evil.pairs q",
    "SELECT l.a, gives(l.a) FROM evil.log l",
    "SELECT * FROM json_populate_record(gives_row(), '{\"b\": [1]}')",
    "SELECT 1 <++> '1'",
    "SELECT 1 <~~> 2::bigint",
    "SELECT * FROM converted",
    "SELECT * FROM indexed WHERE a = 1",
    "SELECT * FROM expressed WHERE a = 1",
    "SELECT * FROM parted WHERE a = 3",
    "SELECT * FROM counted WHERE a = 1",
    "SELECT * FROM wrapping WHERE a = 1",
    "SELECT * FROM evil.v",
    "SELECT 1 OPERATOR(evil.<#>) 2",
    "SELECT 1 AS as INTO evil.copy",
]

_ANALYTICAL = """
SELECT 1
---
VALUES (1, 'a'), (2, 'b')
---
SELECT count(*) FROM shop.products
---
SELECT status, count(*), avg(price_cents), percentile_cont(0.5) WITHIN GROUP (ORDER BY price_cents) FROM
    shop.products GROUP BY status
---
SELECT seller_id, rank() OVER (PARTITION BY category_id ORDER BY popularity DESC) FROM shop.products
---
SELECT product_id, price_cents - lag(price_cents) OVER w FROM shop.products WINDOW w AS (ORDER BY created_at)
---
SELECT sum(popularity) FILTER (WHERE stock > 0), string_agg(title, ', ' ORDER BY title) FROM shop.products
---
SELECT d::date, count(p) FROM generate_series('2026-01-01'::timestamptz, '2026-02-01', '1 day') d LEFT JOIN
    shop.products p ON p.created_at::date = d::date GROUP BY 1 ORDER BY 1
---
WITH best AS (SELECT * FROM shop.products ORDER BY popularity DESC LIMIT 10) SELECT s.name, b.title FROM best b JOIN
    shop.sellers s USING (seller_id)
---
WITH RECURSIVE tree AS (SELECT category_id, parent_id, 1 AS depth FROM shop.categories WHERE parent_id IS NULL UNION
    ALL SELECT c.category_id, c.parent_id, depth + 1 FROM tree JOIN shop.categories c ON c.parent_id =
    tree.category_id) SELECT * FROM tree
---
SELECT date_trunc('month', created_at), count(*) FROM shop.products GROUP BY ROLLUP (1)
---
SELECT category_id, seller_id, sum(stock) FROM shop.products GROUP BY GROUPING SETS ((category_id), (seller_id), ())
---
SELECT width_bucket(price_cents, 0, 20000, 10), count(*) FROM shop.products GROUP BY 1
---
SELECT corr(price_cents, popularity), stddev_samp(price_cents), regr_slope(price_cents, stock) FROM shop.products
---
SELECT title FROM shop.products WHERE search @@ websearch_to_tsquery('english', 'red shoe') ORDER BY ts_rank(search,
    'red') DESC
---
SELECT attributes->>'colour', jsonb_object_agg(product_id, title) FROM shop.products WHERE attributes @> '{"colour":
    "red"}' GROUP BY 1
---
SELECT * FROM shop.products p, LATERAL (SELECT count(*) FROM shop.images i WHERE i.product_id = p.product_id) n
---
SELECT coalesce(nullif(trim(both ' ' from title), ''), upper('none')), extract(epoch FROM now() - created_at) FROM
    shop.products
---
SELECT CASE WHEN stock = 0 THEN 'out' ELSE 'in' END, greatest(stock, 1), least(stock, 5) FROM shop.products
---
SELECT substring(title FROM 1 FOR 3), position('shoe' IN title), overlay(title PLACING 'x' FROM 1), split_part(title,
    ' ', 1) FROM shop.products
---
SELECT * FROM shop.products TABLESAMPLE SYSTEM (10) LIMIT 5
---
SELECT * FROM shop.products ORDER BY random() LIMIT 3
---
SELECT gen_random_uuid(), clock_timestamp(), current_date, localtimestamp
---
SELECT count(*) FROM shop.products WHERE title ILIKE '%shoe%' AND title SIMILAR TO '%(Red|Blue)%' AND title !~ '^x'
---
SELECT unnest(ARRAY[1, 2, 3]) AS n, a, b FROM (VALUES (1, 2)) AS t (a, b)
---
SELECT product_id FROM shop.products EXCEPT SELECT product_id FROM shop.reviews INTERSECT SELECT 1
---
SELECT * FROM json_to_recordset('[{"a": 1}]') AS r (a int)
---
SELECT x.* FROM shop.sellers s CROSS JOIN LATERAL jsonb_each_text(to_jsonb(s)) x
---
SELECT relname, pg_size_pretty(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'
---
SELECT schemaname, relname, n_live_tup FROM pg_stat_user_tables
---
SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop'
---
SELECT make_interval(days => 3), to_char(now(), 'YYYY-MM'), format('%s', 1), md5('a'), encode(sha256('a'), 'hex')
---
SELECT (price_cents / 100.0)::numeric(10, 2), price_cents::float8, created_at AT TIME ZONE 'UTC' FROM shop.products
---
SELECT EXISTS (SELECT FROM shop.reviews), 1 = ANY (ARRAY[1]), (1, 2) < (1, 3), row_to_json(s) FROM shop.sellers s
---
TABLE shop.categories
---
SELECT count(*) AS update, 1 AS insert, 2 AS merge FROM shop.products
---
(SELECT 1 AS a) UNION ALL (SELECT 2) ORDER BY a DESC;
"""
ANALYTICAL = _ANALYTICAL.split("\n---\n")


@pytest.fixture
async def migrated(postgres: PostgresServer, database: str, owner: Connection) -> str:
    """The DSN of dbopt's role for a database with a shop."""
    return postgres.dsn(database, "souk_service")


@pytest.fixture
async def db(migrated: str, postgres: PostgresServer, database: str) -> AsyncIterator[DbClient]:
    explain = postgres.dsn(database, "souk_explain")
    async with dbopt(migrated, explain_dsn=explain, explain_timeout=5) as server, client_of(server, attempts=1) as client:
        yield client


@pytest.fixture
async def marker(postgres: PostgresServer, owner: Connection) -> AsyncIterator[Path]:
    """The file that whatever of the owner's functions runs would write."""
    path = postgres.folder / "acted"
    await owner.execute(EVIL.replace("{marker}", str(path)).replace("{long}", LONG[:63]))
    path.unlink(missing_ok=True)  # making an index runs what is in its condition
    yield path
    path.unlink(missing_ok=True)


async def state(owner: Connection) -> dict[str, Any]:
    """What a side effect would change."""
    return {
        "log": await owner.fetch("SELECT a FROM evil.log"),
        "tables": await owner.fetch("SELECT oid, relname FROM pg_class WHERE oid >= 16384 ORDER BY 1"),
        "functions": await owner.fetchval("SELECT count(*) FROM pg_proc"),
        "sequence": await owner.fetchrow("SELECT last_value, is_called FROM evil.seq"),
        "large objects": await owner.fetch("SELECT oid FROM pg_largeobject_metadata"),
        "locks": await owner.fetch("SELECT classid, objid FROM pg_locks WHERE locktype = 'advisory'"),
        "settings": await owner.fetch("SELECT name, setting FROM pg_file_settings"),
        "prepared": await owner.fetch("SELECT * FROM pg_prepared_xacts"),
        "transactions": await owner.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text"),
    }


async def outcome(db: DbClient, sql: str, **how: bool) -> str:
    """The reason that the text was refused for; empty where it was explained."""
    try:
        await db.explain(sql=sql, **how)
    except SoukError as error:
        return error.reason
    return ""


async def test_nothing_that_callers_bring_leaves_a_trace(db: DbClient, owner: Connection, marker: Path, postgres: PostgresServer):
    before = await state(owner)
    other = await asyncpg.connect(postgres.dsn())
    try:
        for sql in RED_TEAM:
            for analyze in (False, True):
                for generic in (False, True):
                    assert await outcome(db, sql, analyze=analyze, generic=generic) == "NOT_EXPLAINABLE", sql
            for run in (db.execute, db.explain):
                with pytest.raises((NotFoundError, InvalidArgumentError)):
                    await run(sql)
            assert not marker.exists(), sql
        assert await other.fetchval("SELECT 1") == 1
    finally:
        await other.close()
    assert await state(owner) == before
    assert len(RED_TEAM) >= 40
    assert not Path("/tmp/souk-program").exists()
    assert not Path("/tmp/souk-large-object").exists()


async def test_what_only_a_cast_or_an_operator_class_would_call_is_refused_too(db: DbClient, owner: Connection, marker: Path):
    harmless = ("SELECT to_json(m) FROM evil.moods", "SELECT m FROM evil.moods ORDER BY m")
    assert [await outcome(db, sql, analyze=True) for sql in harmless] == ["", ""]
    await owner.execute("CREATE CAST (evil.mood AS json) WITH FUNCTION evil.mood_json(evil.mood)")
    assert [await outcome(db, sql, analyze=True) for sql in harmless] == ["NOT_EXPLAINABLE"] * 2
    await owner.execute("DROP CAST (evil.mood AS json)")
    await owner.execute(OPERATOR_CLASS)
    assert [await outcome(db, sql, analyze=True) for sql in harmless] == ["NOT_EXPLAINABLE"] * 2
    assert not marker.exists()


async def test_values_are_values_whatever_is_in_them(db: DbClient, owner: Connection, marker: Path):
    before = await state(owner)
    for value in (
        "'; DROP TABLE evil.log; --",
        "\\'); SELECT evil.act(); --",
        "$$",
        "${evil.act()}",
        "1) , evil.act(",
        '"',
        "ä'\\",
    ):
        plan = (await db.explain(sql="SELECT $1::text AS same", values=[value], analyze=True)).plan
        (output,) = json.loads(plan.json)[0]["Plan"]["Output"]
        assert await owner.fetchval(f"SELECT {output}") == value
        await db.explain(sql="SELECT $1::text[]", values=[[value, None, value]], analyze=True)
        with pytest.raises(InvalidArgumentError):
            await db.explain(sql="SELECT $1::int", values=[value])
    assert await state(owner) == before
    assert not marker.exists()


class RefusesNothing(ExplainCatalog):
    async def refuse(self, session: Session, sql: str) -> None:
        pass


UNGUARDED = (
    "SELECT 1; DELETE FROM evil.log",
    "DELETE FROM evil.log",
    "WITH gone AS (DELETE FROM evil.log RETURNING 1) SELECT * FROM gone",
    "SELECT nextval('evil.seq')",
    "SELECT setval('evil.seq', 99)",
    "SELECT lo_create(0), lo_unlink(4711)",
    "SELECT pg_notify('channel', 'text')",
    "SELECT pg_advisory_lock(7)",
    "SELECT set_config('default_transaction_read_only', 'off', false), set_config('work_mem', '1GB', false)",
    "SELECT pg_sleep(60)",
)


async def test_without_the_guard_nothing_is_left_either(
    migrated: str, postgres: PostgresServer, database: str, owner: Connection, marker: Path
):
    """But for what functions of the owner's do, which the guard alone refuses."""
    before = await state(owner)
    options = pool_options(timeout=0.5, connect_timeout=5, behind_pooler=False)
    async with Pool(postgres.dsn(database, "souk_explain"), options) as pool:
        explainer = Explainer(pool, RefusesNothing(), timeout=0.5)
        for sql in UNGUARDED:
            with contextlib.suppress(DbError):
                await explainer.text(sql, [], analyze=True, generic=False)
        explained = await explainer.text("SELECT 1", [], analyze=True, generic=False)
        assert "work_mem" not in explained.plan.settings
        async with asyncio.timeout(10):
            while (after := await state(owner))["locks"]:
                await asyncio.sleep(0.01)
    assert {**after, "transactions": ""} == {**before, "transactions": ""}


FORBIDDEN = (
    "DELETE FROM shop.products",
    "SELECT pg_read_file('PG_VERSION')",
    "COPY shop.users TO PROGRAM 'id'",
    "SELECT shop.order_of_request(1, '')",
    "CREATE TABLE shop.made (a int)",
)


async def test_the_role_may_nothing_that_the_guard_refuses(migrated: str, postgres: PostgresServer, database: str):
    connection = await asyncpg.connect(postgres.dsn(database, "souk_explain"))
    try:
        for statement in FORBIDDEN:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_ordinary_analytical_selects_are_explained_and_run(db: DbClient):
    assert len(ANALYTICAL) >= 25
    for sql in ANALYTICAL:
        for analyze in (False, True):
            explained = await db.explain(sql=sql, analyze=analyze)
            assert explained.plan.HasField("execution_time") is analyze, sql
            assert explained.plan.root.type


async def test_a_function_of_ones_own_that_is_but_an_expression_is_looked_at_as_a_view_is(db: DbClient, marker: Path):
    assert await outcome(db, "SELECT plain(1), public.plain_twice(a) FROM evil.log", analyze=True) == ""


ORDINARY = (
    "SELECT * FROM ordinary WHERE a = 1",
    "SELECT doubled(1), 5::amount, doubled(v) FROM ordinary o (b, v)",
    "SELECT v.product_id, p.title, log.title FROM shop.products v JOIN shop.products p USING (product_id), shop.products log",
    "SELECT 1 <#> 2",
    "SELECT pair, holder, checked FROM (VALUES (1, 2, 3)) AS mood (pair, holder, checked)",
    "SELECT ghost FROM (SELECT 1 AS ghost) AS stable",
)
"""Names that mean something else in a schema that is not named here, and functions of one's own that nothing here calls."""


async def test_what_has_only_the_name_of_something_elsewhere_is_not_taken_for_it(db: DbClient, marker: Path):
    for sql in ORDINARY:
        assert [await outcome(db, sql, analyze=analyze) for analyze in (False, True)] == ["", ""], sql


async def test_what_is_called_behind_a_name_is_told(db: DbClient, marker: Path):
    with pytest.raises(InvalidArgumentError, match=r"what it names calls stable\(\) is a function of your own"):
        await db.explain(sql="SELECT * FROM harmless")


async def test_the_texts_of_the_shipped_queries_are_not_refused_either(db: DbClient):
    for query in load():
        if not query.is_write:
            assert await outcome(db, query.text, generic=True) == "", query.name


async def test_extensions_of_known_names_may_be_used_and_what_runs_sql_in_them_may_not(db: DbClient, owner: Connection):
    available = {row[0] for row in await owner.fetch("SELECT name FROM pg_available_extensions")}
    texts = {
        "pg_trgm": ("SELECT similarity('a', 'b'), 'a' % 'b'", ""),
        "vector": ("SELECT '[1,2]'::vector <-> '[3,4]'", ""),
        "tablefunc": ("SELECT * FROM crosstab('SELECT 1, 2, 3') AS t (a int, b int)", "NOT_EXPLAINABLE"),
        "dblink": ("SELECT * FROM dblink('', 'SELECT 1') AS t (a int)", "NOT_EXPLAINABLE"),
        "pg_stat_statements": ("SELECT pg_stat_statements_reset()", "NOT_EXPLAINABLE"),
    }
    for name in texts.keys() & available:
        await owner.execute(f"CREATE EXTENSION {name}")
        assert await outcome(db, texts[name][0], analyze=True) == texts[name][1], name
    assert "vector" in available or "pg_trgm" in available


async def test_a_query_of_the_catalogue_is_explained_as_the_service_runs_it(db: DbClient):
    found = await db.explain("product.get", {"product_id": 7}, analyze=True)
    nodes = list(walk(found.plan.root))
    assert {"products_pkey", "users_pkey"} <= {node.index for node in nodes}
    assert sum(node.share for node in nodes) == pytest.approx(1)
    assert {node.relation for node in nodes if node.relation} >= {"shop.products", "shop.images"}
    assert json.loads(found.plan.json)[0]["Settings"]["random_page_cost"] == "1.1"


async def test_a_generic_plan_has_no_values_and_needs_none(db: DbClient):
    generic = await db.explain("product.get", generic=True)
    assert "$1" in generic.plan.json
    custom = await db.explain("product.get", {"product_id": 7})
    assert "$1" not in custom.plan.json
    assert generic.plan.plan_fingerprint == custom.plan.plan_fingerprint
    text = await db.explain(sql="SELECT title FROM shop.products WHERE product_id = $1", generic=True)
    assert "$1" in text.plan.json
    ran = await db.explain(sql="SELECT title FROM shop.products WHERE product_id = $1", values=[7], generic=True, analyze=True)
    assert ran.plan.root.actual_rows == 1


async def test_without_parameters_those_of_the_slowest_call_are_taken_that_they_are_known_of(db: DbClient, owner: Connection):
    with pytest.raises(InvalidArgumentError) as unknown:
        await db.explain("product.sales")
    assert {each.field for each in unknown.value.field_violations} == {
        f"parameters.{name}" for name in ("product_id", "since", "until")
    }
    span = {"since": "2026-01-01T00:00:00Z", "until": "2026-12-01T00:00:00Z"}
    await db.execute("product.sales", {"product_id": 11, **span})
    assert "product_id = '11'::bigint" in (await db.explain("product.sales", analyze=True)).plan.json
    await owner.execute(
        "INSERT INTO souk.query_samples SELECT 1, fingerprint, true, 9, now(), '{\"product_id\": 5}' FROM souk.query_samples"
    )
    assert "product_id = '11'::bigint" in (await db.explain("product.sales")).plan.json
    with pytest.raises(InvalidArgumentError) as missing:
        await db.explain("product.sales", {"product_id": 12})
    assert len(missing.value.field_violations) == 2


async def test_a_finding_names_the_query_that_it_is_about(db: DbClient):
    sql = "SELECT n FROM generate_series(1, 5000) n OFFSET 2000"
    (finding,) = (await db.explain(sql=sql, analyze=True)).findings
    assert finding.rule == "OFFSET_PAGING"
    assert finding.fingerprint == fingerprint("select n from generate_series(1, 7) n offset 3").key


async def test_values_are_read_as_the_types_that_the_text_needs(db: DbClient):
    sql = "SELECT 1 FROM shop.products WHERE price_cents > $1 AND created_at < $2 AND product_id = ANY ($3) AND (stock > 0) = $4"
    sql += " AND title = $5"
    values = [5, "2026-06-01T00:00:00Z", [1, 2, 3], True, None]
    assert (await db.explain(sql=sql, values=values, analyze=True)).plan.root.type
    with pytest.raises(InvalidArgumentError, match="it takes 5 values, and 4 were given"):
        await db.explain(sql=sql, values=values[:4])


async def test_what_the_server_has_against_a_text_is_told(db: DbClient):
    for sql, told in {
        "SELECT nothing FROM shop.products": 'column "nothing" does not exist',
        "SELECT 1 FROM nowhere": 'relation "nowhere" does not exist',
        "SELECT FROM FROM": "syntax error",
        "SELECT 1 / 0": "division by zero",
        "SELECT * FROM souk.requests": "permission denied",
    }.items():
        with pytest.raises(InvalidArgumentError, match=told) as refused:
            await db.explain(sql=sql, analyze=True)
        assert refused.value.reason == "NOT_EXPLAINABLE"
        assert refused.value.metadata["problem"]


async def test_a_setting_says_how_large_a_plan_may_be(migrated: str, postgres: PostgresServer, database: str):
    explain = postgres.dsn(database, "souk_explain")
    async with dbopt(migrated, explain_dsn=explain, explain_max_plan=2_000) as server, client_of(server, attempts=1) as client:
        assert (await client.explain(sql="SELECT 1")).plan.root.type
        with pytest.raises(InvalidArgumentError, match="and 2,000 are the most"):
            await client.explain(sql=f"SELECT '{'x' * 2_000}'")


LARGE = (
    "SELECT repeat('x', 3000000)",
    "SELECT 1 FROM shop.products WHERE title = repeat('x', 3000000)",
    "SELECT array_fill(1, ARRAY[2000000])",
)


async def test_a_plan_with_large_constants_stays_in_the_server_and_the_caller_is_told_what_to_do(
    db: DbClient, monkeypatch: pytest.MonkeyPatch
):
    longest = 0

    def counted(text: str) -> Plan:
        nonlocal longest
        longest = max(longest, len(text))
        return plan_reading.read(text)

    monkeypatch.setattr(explaining, "plan_reading", SimpleNamespace(read=counted))
    for sql in LARGE:
        for analyze in (False, True):
            with pytest.raises(
                InvalidArgumentError, match="give long values as parameters, and ask for the generic plan"
            ) as refused:
                await db.explain(sql=sql, analyze=analyze)
            assert refused.value.reason == "NOT_EXPLAINABLE"
    assert longest == 0
    generic = "SELECT 1 FROM shop.products WHERE title = $1"
    assert (await db.explain(sql=generic, values=["x" * 1_200_000], generic=True, analyze=True)).plan.root.type
    assert 0 < longest < explaining.MAX_PLAN
    with pytest.raises(InvalidArgumentError, match="requested length too large"):
        await db.explain(sql="SELECT repeat('x', 2000000000)")


async def test_a_statement_that_takes_too_long_is_ended_and_the_next_has_the_connection(
    migrated: str, postgres: PostgresServer, database: str
):
    explain = postgres.dsn(database, "souk_explain")
    async with dbopt(migrated, explain_dsn=explain, explain_timeout=0.2) as server, client_of(server, attempts=1) as db:
        for _ in range(3):
            with pytest.raises(DeadlineExceededError) as late:
                await db.explain(sql="SELECT count(*) FROM generate_series(1, 100000000)", analyze=True)
            assert late.value.reason == "QUERY_TIMED_OUT"
        assert (await db.explain(sql="SELECT 1", analyze=True)).plan.root.type == "Result"


async def test_a_call_that_is_cancelled_ends_its_statement(db: DbClient, owner: Connection):
    running = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'souk-dbopt explain' AND state = 'active'"
    call = asyncio.create_task(db.explain(sql="SELECT count(*) FROM generate_series(1, 1000000000)", analyze=True))
    async with asyncio.timeout(20):
        while not await owner.fetchval(running):
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        while await owner.fetchval(running):
            await asyncio.sleep(0.01)
    assert (await db.explain(sql="SELECT 1")).plan.root.type == "Result"


async def test_many_who_explain_at_once_wait_for_one_another(db: DbClient):
    found = await asyncio.gather(*(db.explain(sql=f"SELECT {n}", analyze=True) for n in range(10)))
    assert [json.loads(each.plan.json)[0]["Plan"]["Output"] for each in found] == [[str(n)] for n in range(10)]


async def test_a_query_that_writes_is_not_explained_and_an_unknown_one_is_unknown(db: DbClient):
    with pytest.raises(InvalidArgumentError, match=r"order\.place writes"):
        await db.explain("order.place", {"buyer_id": 1, "request_id": "a", "product_ids": [1], "quantities": [1]})
    with pytest.raises(NotFoundError):
        await db.explain("product.none")


async def test_everything_that_is_wrong_with_a_request_is_named(db: DbClient):
    with pytest.raises(InvalidArgumentError) as refused:
        await db.explain("product.get", {"product_id": "seven", "colour": "red"})
    assert {each.field for each in refused.value.field_violations} == {"parameters.product_id", "parameters.colour"}
    with pytest.raises(InvalidArgumentError) as refused:
        await db.explain()
    assert [each.field for each in refused.value.field_violations] == ["query"]
    with pytest.raises(InvalidArgumentError) as refused:
        await db.explain("product.get", values=[1])
    assert [each.field for each in refused.value.field_violations] == ["values"]
    with pytest.raises(InvalidArgumentError) as refused:
        await db.explain(sql="SELECT 1", parameters={"a": 1}, values=[1] * 101)
    assert {each.field for each in refused.value.field_violations} == {"values", "parameters"}


async def test_without_a_role_that_may_only_read_nothing_is_explained(migrated: str, postgres: PostgresServer, database: str):
    async with dbopt(migrated) as server, client_of(server, attempts=1) as db:
        with pytest.raises(FailedPreconditionError) as off:
            await db.explain("product.get", {"product_id": 7})
        assert off.value.reason == "EXPLAIN_OFF"
    async with dbopt(migrated, explain_dsn=postgres.dsn(database)) as server, client_of(server, attempts=1) as db:
        with pytest.raises(FailedPreconditionError, match="superuser") as off:
            await db.explain(sql="SELECT 1")
        assert off.value.reason == "EXPLAIN_OFF"


def walk(node: pb.PlanNode) -> Any:
    yield node
    for child in node.children:
        yield from walk(child)
