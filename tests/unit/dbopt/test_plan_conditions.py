"""Conditions as EXPLAIN writes them: what an index of columns, or of an expression, would serve."""

import pytest
from souk_dbopt.plan_rules.conditions import alternatives, casts, compared, expressions


@pytest.mark.parametrize(
    ("condition", "equal", "ranged"),
    [
        ("(z.b = 1)", ["b"], []),
        ('((z.a = 5) AND (z."Weird Name" = 6) AND (z.d > now()))', ["a", '"Weird Name"'], ["d"]),
        ("((z.d >= $1) AND (z.d < '2026-01-01 00:00:00+00'::timestamp with time zone))", [], ["d"]),
        ("(z.d > (now() - '01:00:00'::interval))", [], ["d"]),
        ("(z.b = ANY ('{1,2}'::integer[]))", ["b"], []),
        ("(z.b = (InitPlan 1).col1)", ["b"], []),
        ("(z_id = y.id)", ["z_id"], []),
        ("((z.kind)::text = 'b = 1'::text)", [], []),
        ("(z.title = ('a'::text COLLATE \"C\"))", ["title"], []),
        ("(z.state = 'paid'::shop.state)", ["state"], []),
        ("((z.a = 5) AND ((z.b = 1) OR (z.b = 2)))", ["a"], []),
        ("((z.b = 1) OR (z.c = 5))", [], []),
        ("((z.b = 3) OR ((z.a = 2) AND (z.b = 7)))", [], []),
        ("(z.b = z.id)", [], []),
        ("(b = id)", [], []),
        ("(z.b < (z.id + 1))", [], []),
        ("(z.b <> 5)", [], []),
        ("(NOT z.b)", [], []),
        ("(z.b IS NULL)", [], []),
        ("(", [], []),
        ("", [], []),
    ],
)
def test_only_what_every_row_is_compared_by_is_told(condition: str, equal: list[str], ranged: list[str]):
    assert compared(condition) == (equal, ranged)


def test_expressions_are_told_from_columns_that_are_made_another_type():
    condition = "((lower(z.c) = 'a'::text) AND ((z.id)::numeric = '5'::numeric) AND ((z.a + 1) < 5) AND ((z.k)::shop.kind = $1))"
    assert expressions(condition) == ["lower(c)", "a + 1"]
    assert casts(condition) == ["(id)::numeric", "(k)::shop.kind"]
    assert compared(condition) == ([], [])


def test_a_function_of_a_schema_is_no_column():
    assert expressions("(shop.terms(z.a) = shop.terms(5))") == ["shop.terms(a)"]


def test_alternatives_are_told_where_they_are_all_that_there_is():
    assert [compared(arm) for arm in alternatives("((z.b = 1) OR ((z.a = 2) AND (z.b = 7)))")] == [(["b"], []), (["a", "b"], [])]
    assert alternatives("((z.a = 1) AND ((z.b = 1) OR (z.c = 2)))") == []


def test_a_deep_condition_is_read():
    deep = "(z.a = 1)"
    for _ in range(5_000):
        deep = f"({deep} AND (z.b = 2))"
    assert compared(deep) == (["a", "b"], [])
