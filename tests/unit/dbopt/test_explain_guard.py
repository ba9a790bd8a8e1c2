"""What may be explained, as far as the text itself tells."""

import pytest
from souk_dbopt.exceptions import NotExplainableError
from souk_dbopt.explain_guard import Function, constant_calls, mentioned, refused_function

REFUSED = {
    "": "no statement",
    "  -- nothing\n": "no statement",
    ";": "no statement",
    "SELECT 1; SELECT 2": "second statement",
    "SELECT 1 /* ; */; DROP TABLE t": "second statement",
    "DELETE FROM t": "no SELECT",
    "delete /**/ from t": "no SELECT",
    "UPDATE t SET a = 1": "no SELECT",
    "TRUNCATE t": "no SELECT",
    "COPY t TO PROGRAM 'id'": "no SELECT",
    "DO $$ BEGIN END $$": "no SELECT",
    "EXECUTE p": "no SELECT",
    "EXPLAIN ANALYZE DELETE FROM t": "no SELECT",
    "DECLARE c CURSOR FOR SELECT 1": "no SELECT",
    "SET work_mem = '1GB'": "no SELECT",
    "SHOW all": "no SELECT",
    "LISTEN a": "no SELECT",
    "CALL p()": "no SELECT",
    "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d": "DELETE",
    "WITH d AS (SELECT 1) INSERT INTO t SELECT * FROM d": "INSERT",
    "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a FROM r) SEARCH DEPTH FIRST BY a SET b DELETE FROM t": "DELETE",
    "WITH m AS (MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE) SELECT 1": "MERGE",
    "SELECT * INTO u FROM t": "INTO",
    "SELECT * FROM t FOR UPDATE": "UPDATE",
    "SELECT * FROM t FOR NO KEY UPDATE": "UPDATE",
    "SELECT * FROM t FOR\n/* a comment */ Share": "lock rows",
    "SELECT * FROM t FOR KEY SHARE SKIP LOCKED": "lock rows",
    'SELECT U&"next\\0076al"(1)': "Unicode",
    "SELECT 1 AS as INTO t": "INTO",
    "SELECT update FROM t": "UPDATE",
    "SELECT 'open": "line 1",
    "SELECT $a$ open": "line 1",
    "SELECT 1 /* open": "line 1",
    "SELECT 'a\0b'": "U+0000",
    f"SELECT {'1 + ' * 40_000} 1": "100,000",
}


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: sql[:30])
def test_what_is_no_single_select_is_refused(sql: str):
    with pytest.raises(NotExplainableError) as refused:
        mentioned(sql)
    assert REFUSED[sql] in refused.value.problem


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1;",
        "-- first\nSELECT 1 ; ; -- last",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "VALUES (1), (2)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "SELECT 'DELETE FROM t; DROP TABLE t', $$INSERT INTO t$$, \"update\" FROM t",
        "SELECT substring(name FROM 2 FOR 3) FROM t",
        "TABLE shop.categories",
        "SELECT a AS update, b AS insert, c AS as, t.merge, t . into AS delete FROM t",
    ],
)
def test_what_is_one_select_is_not(sql: str):
    mentioned(sql)


def test_whatever_could_be_called_is_named_as_the_server_keeps_it():
    found = mentioned(
        'SELECT "A""b" (1), Pg_Catalog . "nextval"/* */(\'s\'), r.ghost, x::Money '
        "FROM ROWS FROM (f(), g()) AS t(a) WHERE a <-> 1 > 2"
    )
    assert {'A"b', "f", "g", "t"} <= found.calls
    assert {("pg_catalog", "nextval")} == found.qualified_calls
    assert {"nextval", "ghost"} == found.attributes
    assert {"pg_catalog", "money", "r", "x"} <= found.names
    assert {("pg_catalog", "nextval"), ("r", "ghost")} == found.qualified
    assert not {"nextval", "ghost"} & found.names
    assert "<->" in found.operators
    long = "n" * 70
    assert "n" * 63 in mentioned(f"SELECT {long}()").calls


def test_a_name_that_the_server_cuts_within_a_letter_is_cut_before_it():
    assert f"{'n' * 62}" in mentioned(f"SELECT {'n' * 62}ä()").calls


def test_operators_without_a_sign_are_named_too():
    assert {"=", "<"} <= mentioned("SELECT a IN (1) FROM t ORDER BY a").operators
    assert "<>" in mentioned("SELECT 1 != 2").operators
    assert {"~~*"} <= mentioned("SELECT a ILIKE 'b' FROM t").operators


def test_qualified_operators_are_told_from_those_of_the_search_path():
    found = mentioned("SELECT 1 OPERATOR(mine.<+>) 2 <-> 3")
    assert found.qualified_operators == {("mine", "<+>")}
    assert "<->" in found.operators
    assert "<+>" not in found.operators


@pytest.mark.parametrize(
    ("definition", "calls"),
    [
        ("own.f(a)", set()),
        ("own.f(5)", {"f"}),
        ("CHECK (own.f((5 + g(lower(a)))) > 0)", set()),
        ("own.f(a, own.g('x')) > h()", {"g", "h"}),
        ('("A" + own.f("B"))', {"f"}),
        ("own.f($1) + g(1)", {"g"}),
    ],
)
def test_calls_whose_arguments_are_constants_are_told_from_those_that_read_a_row(definition: str, calls: set[str]):
    found = constant_calls(definition, {"a", "A"})
    assert {*found.calls, *(name for _, name in found.qualified_calls)} - {"check"} == calls


def of(**facts: object) -> Function:
    return Function(**{"schema": "public", "name": "f", "volatile": False, "built_in": False, **facts})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "allowed"),
    [
        (of(built_in=True), True),
        (of(built_in=True, volatile=True, name="pg_sleep"), False),
        (of(built_in=True, volatile=True, name="random"), True),
        (of(built_in=True, takes_cstring=True), False),
        (of(built_in=True, name="database_to_xml"), False),
        (of(), False),
        (of(volatile=True, name="random"), False),
        (of(extension="pg_trgm", language="c"), True),
        (of(extension="pg_trgm", language="c", volatile=True), False),
        (of(extension="postgis", language="plpgsql"), False),
        (of(extension="tablefunc", language="c", name="crosstab"), False),
        (of(extension="dblink", language="c"), False),
        (of(extension="vector", language="c", security_definer=True), False),
        (of(is_expression=True, language="sql"), True),
        (of(is_expression=True, language="sql", security_definer=True), False),
        (of(extension="dblink", language="c", called=False), True),
        (of(extension="dblink", language="c", called=False, volatile=True), False),
        (of(built_in=True, takes_cstring=True, called=False), True),
        (of(called=False), False),
    ],
)
def test_only_what_surely_changes_nothing_may_be_called(function: Function, allowed: bool):
    assert (refused_function([function]) == "") is allowed
    assert (refused_function([of(built_in=True), function]) == "") is allowed
