"""Fingerprints: what must not split a query, and what must."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_dbopt.fingerprints import UNREADABLE, fingerprint, normalised

SAME = {
    "literals": ("SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE b = 'x'", "SELECT a FROM t WHERE b = $1"),
    "forms of literals": (
        "SELECT 1",
        "SELECT 0x1F",
        "SELECT 1.5e-3",
        "SELECT E'a\\'b'",
        "SELECT $$it's$$",
        "SELECT X'1F'",
        "SELECT true",
    ),
    "signs": ("SELECT a FROM t WHERE b > 1", "SELECT a FROM t WHERE b > -1", "SELECT a FROM t WHERE b > +1"),
    "NULL as a value": ("UPDATE t SET a = 1", "UPDATE t SET a = NULL", "UPDATE t SET a = $1"),
    "IN": ("SELECT a FROM t WHERE b IN (1)", "SELECT a FROM t WHERE b IN (1, -2, 3)", "SELECT a FROM t WHERE b IN ($1 /*, ... */)"),
    "IN with rows": ("SELECT 1 FROM t WHERE (a, b) IN ((1, 2))", "SELECT 1 FROM t WHERE (a, b) IN ((1, 2), (3, 4))"),
    "ARRAY": ("SELECT ARRAY[1]", "SELECT array[1, 2, 3]"),
    "VALUES": ("INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c');"),
    "VALUES with a call": ("INSERT INTO t VALUES (1, now())", "INSERT INTO t VALUES (1, now()), (2, now())"),
    "casts of literals": (
        "SELECT a FROM t WHERE b = 1",
        "SELECT a FROM t WHERE b = 1::bigint",
        "SELECT a FROM t WHERE b = '1'::pg_catalog.numeric(10, 2)",
        "SELECT a FROM t WHERE b = '{1}'::int[][3]",
        "SELECT a FROM t WHERE b = CAST('1' AS timestamp(3) with time zone)",
        "SELECT a FROM t WHERE b = '1'::double precision::character varying(3)",
        "SELECT a FROM t WHERE b = date '2026-01-01'",
        "SELECT a FROM t WHERE b = interval '1' day to second",
        "SELECT a FROM t WHERE b = $1::timestamptz",
    ),
    "LIMIT and OFFSET": (
        "SELECT a FROM t LIMIT 10 OFFSET 20",
        "SELECT a FROM t LIMIT 50 OFFSET 0",
        "select a from t limit $1 offset $2",
    ),
    "case and space": ("SELECT A FROM T WHERE B=1", "select a\n\tfrom t  where b = 1"),
    "comments": ("SELECT a FROM t", "SELECT /* route: /cart */ a -- and more\nFROM t", "SELECT a FROM t;;"),
    "two spellings of one operator": ("SELECT a FROM t WHERE b <> 1", "SELECT a FROM t WHERE b != 1"),
}
OTHERS = [
    "SELECT a FROM t WHERE b = 1",
    "SELECT a FROM t WHERE b = c",
    "SELECT a FROM t WHERE b > 1",
    "SELECT a FROM t WHERE b IS NULL",
    "SELECT a FROM t WHERE b IS NOT NULL",
    "SELECT a FROM t WHERE b IS TRUE",
    "SELECT a FROM t WHERE b IN (1, 2)",
    "SELECT a FROM t WHERE b IN (1, c)",
    "SELECT a FROM t WHERE b IN (SELECT 1)",
    "SELECT a FROM t WHERE b = ANY (ARRAY[1])",
    "SELECT a FROM t WHERE b = c::bigint",
    "SELECT a FROM t WHERE b = c::int",
    "SELECT a FROM t WHERE b - 1 = 1",
    "SELECT a FROM t WHERE b + 1 = 1",
    "SELECT a FROM t WHERE (b) - 1 = 1",
    "SELECT a FROM t WHERE b ? 'x'",
    'SELECT "A" FROM t WHERE b = 1',
    "SELECT a FROM s.t WHERE b = 1",
    "SELECT a FROM t WHERE f(1)",
    "SELECT a FROM t WHERE f(1, 2)",
    "SELECT a FROM t LIMIT 1",
    "SELECT a FROM t",
    "SELECT a, b FROM t",
    "SELECT a b FROM t",
    "SELECT a FROM t ORDER BY b",
    "SELECT a FROM t ORDER BY b DESC",
    "INSERT INTO t VALUES (1, 2)",
    "INSERT INTO t VALUES (1, DEFAULT)",
    "INSERT INTO t VALUES (1)",
    "SELECT 1",
    "SELECT 1, 2",
]


@pytest.mark.parametrize("texts", SAME.values(), ids=SAME)
def test_what_does_not_change_the_query_does_not_split_it(texts: tuple[str, ...]):
    assert len({fingerprint(text) for text in texts}) == 1, [normalised(text) for text in texts]


def test_what_changes_the_query_splits_it():
    found = [fingerprint(text).key for text in OTHERS]
    assert len(set(found)) == len(OTHERS)


def test_a_fingerprint_is_a_tilde_and_sixteen_hexadecimal_digits():
    assert re.fullmatch("~[0-9a-f]{16}", fingerprint("SELECT 1").key)


def test_the_text_reads_as_it_was_written():
    text = "SELECT p.id, count(*) FROM shop.products p WHERE p.price > -5 AND p.tags[1:2] @> ARRAY['a', 'b'] GROUP BY 1"
    assert normalised(text) == "select p.id, count(*) from shop.products p where p.price > ? and p.tags[?:?] @> array[?] group by ?"


def test_the_question_mark_of_jsonb_is_no_value():
    assert normalised("SELECT json ? 'a' FROM t WHERE b ?| array['c']") == "select json ?? ? from t where b ?| array[?]"


def test_a_text_that_the_server_would_refuse_is_known_by_itself_alone_and_not_shown():
    one, other = fingerprint("SELECT 'secret"), fingerprint("SELECT 'secret2")
    assert one.key != other.key
    assert one.text == other.text == UNREADABLE


values = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.text("ab'\\ -/*$?();,", max_size=8).map(lambda text: "'" + text.replace("'", "''") + "'"),
    st.sampled_from(["$1", "NULL", "'x'::text", "2.5e3", "true", "DATE '2026-01-01'", "CAST(1 AS int)"]),
)
spaces = st.sampled_from([" ", "\n", "\t ", " /* 'x' */ ", " -- it's\n"])


@given(values, values, st.lists(values, min_size=1, max_size=5), spaces, spaces, st.booleans())
def test_no_value_and_no_way_of_writing_splits_a_query(
    one: str, other: str, many: list[str], first: str, second: str, is_upper: bool
):
    where = "WHERE" if is_upper else "where"
    text = f"SELECT a{first}FROM t {where}{second}b = {one} AND c < {other} AND d IN ({', '.join(many)}) LIMIT 5"
    found = normalised(text)
    assert found == "select a from t where b = ? and c < ? and d in (?) limit ?"


@given(st.text("aE'\"$1 \n-/*+@U&\\x.:_(),[]?;", max_size=30))
def test_any_text_has_one_and_the_same(sql: str):
    assert fingerprint(sql) == fingerprint(sql)


@given(
    st.lists(
        st.sampled_from(["a", "b", "1", "'x'", "$1", "(", ")", ",", "in", "values", "-", "::", "int", "cast", "as"]), max_size=15
    )
)
def test_a_text_without_its_values_has_none_left(words: list[str]):
    found = fingerprint(" ".join(words)).text
    assert not re.search(r"'x'|\$1|\b1\b", found)
