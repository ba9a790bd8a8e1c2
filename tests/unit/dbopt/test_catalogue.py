"""The catalogue: which queries there are, what they take, and under which names results are cached."""

import contextlib
import math
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_dbopt.arguments import TYPES, Parameter
from souk_dbopt.catalogue import CachePolicy, Catalogue, Page, Query
from souk_dbopt.exceptions import ArgumentsError, QueryUnknownError
from souk_dbopt.query_classes import CLASSES


def query(*parameters: Parameter, name: str = "a.b", version: int = 1, **fields: Any) -> Query:
    return Query(
        **{
            "name": name,
            "version": version,
            "description": "A query.",
            "text": "",
            "json_text": "",
            "json_rows_text": "",
            "parameters": parameters,
            "columns": (),
            "query_class": CLASSES["lookup"],
            "is_write": False,
            "idempotent": True,
            "timeout": 1.0,
            **fields,
        }
    )


def takes(type_name: str, **limits: Any) -> Query:
    return query(Parameter("p", type_name, "A parameter.", **limits))


def told(found: Query, values: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ArgumentsError) as refused:
        found.arguments(values)
    return [tuple(problem) for problem in refused.value.problems]


def test_queries_are_found_by_name_and_version_and_listed_in_order():
    first, second = query(name="product.get"), query(name="product.get", version=2)
    catalogue = Catalogue([second, query(name="user.get"), first, query(name="order.get")])
    assert catalogue.get("product.get") is second
    assert catalogue.get("product.get", 1) is first
    assert [(each.name, each.version) for each in catalogue.list("product.")] == [("product.get", 1), ("product.get", 2)]
    assert [each.name for each in catalogue.list()] == ["order.get", "product.get", "product.get", "user.get"]
    assert len(catalogue) == 4
    with pytest.raises(QueryUnknownError, match=r"^there is no query 'product\.gone'$"):
        catalogue.get("product.gone")
    with pytest.raises(QueryUnknownError, match=r"^there is no query 'product\.get' of version 3$"):
        catalogue.get("product.get", 3)
    with pytest.raises(ValueError, match="two queries"):
        Catalogue([first, first])


@pytest.mark.parametrize(
    ("type_name", "value", "argument"),
    [
        ("bool", True, True),
        ("int", 5, 5),
        ("int", 5.0, 5),
        ("int", "-7", -7),
        ("bigint", 2.0**53, 2**53),
        ("bigint", "9223372036854775807", 2**63 - 1),
        ("bigint", -(2**63), -(2**63)),
        ("float", 1, 1.0),
        ("float", 0.1, 0.1),
        ("numeric", "12.50", Decimal("12.50")),
        ("numeric", 0.1, Decimal("0.1")),
        ("numeric", "-.5", Decimal("-0.5")),
        ("text", "größe", "größe"),
        ("timestamptz", "2026-11-25T10:00:00Z", datetime(2026, 11, 25, 10, tzinfo=UTC)),
        ("timestamptz", "2026-11-25t12:00:00.123456789+02:00", datetime(2026, 11, 25, 10, 0, 0, 123456, tzinfo=UTC)),
        ("date", "2026-02-28", date(2026, 2, 28)),
        ("uuid", "123E4567-e89b-12d3-a456-426614174000", UUID("123e4567-e89b-12d3-a456-426614174000")),
        ("json", {"a": [1.5, None, "ü"]}, '{"a":[1.5,null,"ü"]}'),
        ("json", "\\u0000 as text", '"\\\\u0000 as text"'),
        ("int[]", [1, 2.0, "3"], [1, 2, 3]),
        ("text[]", [], []),
    ],
)
def test_values_of_json_become_arguments(type_name: str, value: Any, argument: Any):
    (made,) = takes(type_name).arguments({"p": value})
    assert made == argument
    assert type(made) is type(argument)


WHOLE_32, WHOLE_64 = "must be a whole number of 32 bits", "must be a whole number of 64 bits"
TIME = "must be a time as RFC 3339 writes it, as 2026-11-25T10:00:00Z"


@pytest.mark.parametrize(
    ("type_name", "value", "says"),
    [
        ("bool", 1, "must be true or false"),
        ("bool", "true", "must be true or false"),
        ("int", True, WHOLE_32),
        ("int", 5.5, WHOLE_32),
        ("int", "5.0", WHOLE_32),
        ("int", "٥", WHOLE_32),
        ("int", 2**31, WHOLE_32),
        ("int", math.nan, WHOLE_32),
        ("int", math.inf, WHOLE_32),
        ("int", None, "must not be null"),
        ("bigint", 2.0**53 + 2, "must be a string where it is beyond 2^53"),
        ("bigint", "9223372036854775808", WHOLE_64),
        ("bigint", "1" * 10_000, WHOLE_64),
        ("float", "1", "must be a number"),
        ("float", True, "must be a number"),
        ("float", math.nan, "must be a finite number"),
        ("float", 10**400, "must be a finite number"),
        ("numeric", "1e5", "must be a decimal number in a string, as 12.50"),
        ("numeric", "NaN", "must be a decimal number in a string, as 12.50"),
        ("numeric", "1" * 201, "must be a decimal number in a string, as 12.50"),
        ("numeric", 1e20, "must be a string where it is beyond 2^53"),
        ("text", 5, "must be a string"),
        ("text", "a\0b", "must not contain the character U+0000"),
        ("text", "\ud800", "must not contain a lone surrogate"),
        ("text", "x" * 1001, "must have at most 1,000 characters, and has 1,001"),
        ("timestamptz", "2026-11-25", TIME),
        ("timestamptz", "2026-11-25T10:00:00", TIME),
        ("timestamptz", "2026-11-25 10:00:00Z", TIME),
        ("timestamptz", 1764064800, TIME),
        ("timestamptz", "2026-02-30T10:00:00Z", "must be a time that there is; 2026-02-30T10:00:00Z is none"),
        ("timestamptz", "0001-01-01T00:00:00+23:59", "must be a time that there is; 0001-01-01T00:00:00+23:59 is none"),
        ("date", "20261125", "must be a day, as 2026-11-25"),
        ("date", "2026-13-01", "must be a day that there is; 2026-13-01 is none"),
        ("uuid", "123", "must be a UUID, as 123e4567-e89b-12d3-a456-426614174000"),
        ("json", {"a": math.nan}, "must be a JSON value"),
        ("json", {"a": {1, 2}}, "must be a JSON value"),
        ("json", {"a": "\0"}, "must not contain the character U+0000"),
        ("json", {"a": "\ud800"}, "must not contain a lone surrogate"),
        ("json", "x" * 20_000, "must have at most 20,000 characters, and has 20,002"),
        ("int[]", 5, "must be an array of int"),
        ("int[]", "123", "must be an array of int"),
        ("int[]", [0] * 1001, "must have at most 1,000 elements, and has 1,001"),
    ],
)
def test_what_is_no_value_of_the_type_is_told_with_what_is(type_name: str, value: Any, says: str):
    assert told(takes(type_name), {"p": value}) == [("p", says)]


def test_the_bad_element_of_an_array_is_named():
    assert told(takes("int[]"), {"p": [1, "x", 2]}) == [("p[1]", WHOLE_32)]
    assert told(takes("int[]"), {"p": [None]}) == [("p[0]", WHOLE_32)]


@pytest.mark.parametrize(
    ("type_name", "limits", "value", "says"),
    [
        ("int", {"min": 1, "max": 60}, 0, "must be at least 1, at most 60"),
        ("bigint", {"max": 1000}, "1001", "must be at most 1,000"),
        ("float", {"min": 0.5}, 0, "must be at least 0.5"),
        ("numeric", {"min": 0}, "-0.01", "must be at least 0"),
        ("text", {"max_length": 3}, "abcd", "must have at most 3 characters, and has 4"),
        ("text", {"min_length": 1}, "", "must have at least 1 characters, and has 0"),
        ("text", {"pattern": "[A-Z]{3}"}, "USDT", "must match [A-Z]{3}"),
        ("text", {"values": ("day", "hour")}, "year", "must be day or hour"),
        ("json", {"max_length": 5}, [1, 2, 3], "must have at most 5 characters, and has 7"),
        ("int[]", {"min_items": 1, "max_items": 3}, [], "must have 1 to 3 elements, and has 0"),
    ],
)
def test_limits_are_told(type_name: str, limits: dict[str, Any], value: Any, says: str):
    assert told(takes(type_name, **limits), {"p": value}) == [("p", says)]


def test_a_parameter_that_is_not_given_has_its_default_or_is_null():
    found = query(
        Parameter("a", "int", "Needed."),
        Parameter("b", "int", "Usual.", default=20),
        Parameter("c", "text", "Perhaps.", nullable=True),
    )
    assert found.arguments({"a": 1}) == [1, 20, None]
    assert found.arguments({"c": None, "b": 2.0, "a": 1}) == [1, 2, None]
    assert told(found, {"a": 1, "b": None}) == [("b", "must not be null")]


def test_everything_that_is_wrong_is_told_at_once():
    found = query(
        Parameter("product_ids", "bigint[]", "What.", min_items=1),
        Parameter("quantities", "int[]", "How many.", as_many_as="product_ids"),
        Parameter("buyer_id", "bigint", "Who."),
        Parameter("note", "text", "Why.", max_length=3),
    )
    assert told(found, {"product_ids": [1, 2], "quantities": [1], "note": "long", "price": 1, "drop table": 2}) == [
        ("buyer_id", "must be given: bigint"),
        ("note", "must have at most 3 characters, and has 4"),
        ("quantities", "must have as many elements as product_ids, which has 2, and has 1"),
        ("price", "is no parameter; those there are: buyer_id, note, product_ids, quantities"),
        ("drop table", "is no parameter; those there are: buyer_id, note, product_ids, quantities"),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(), each, max_size=4),
)


@given(
    st.sampled_from([*TYPES, "int[]", "json[]"]),
    JSON,
)
def test_any_value_is_taken_or_refused_and_nothing_else_happens(type_name: str, value: Any):
    with contextlib.suppress(ArgumentsError):
        takes(type_name).arguments({"p": value})


LISTING = query(
    Parameter("after_price", "bigint", "", nullable=True),
    Parameter("after_id", "bigint", "", nullable=True),
    Parameter("size", "int", "", default=2),
    page=Page("size", {"after_price": "price", "after_id": "product_id"}),
)


def test_the_next_page_begins_after_the_last_row_of_a_full_one():
    rows = [{"product_id": 7, "price": 100, "title": "a"}, {"product_id": 9, "price": 100, "title": "b"}]
    assert LISTING.next_page(rows, 2) == {"after_price": 100, "after_id": 9}
    assert LISTING.next_page(rows, 3) is None
    assert query().next_page(rows, 2) is None


def test_half_of_a_place_to_go_on_from_is_refused():
    assert told(LISTING, {"after_id": 5}) == [("after_price", "must be given where after_id is")]
    assert LISTING.arguments({"after_id": 5, "after_price": 0}) == [0, 5, 2]


def cached(policy: CachePolicy, *types: tuple[str, str], **fields: Any) -> Query:
    return query(*(Parameter(name, type_name, "", nullable=True) for name, type_name in types), cache=policy, **fields)


def test_a_result_is_cached_under_the_key_of_its_template_or_a_fingerprint_of_its_arguments():
    by_id = cached(CachePolicy("product", key="{product_id}"), ("product_id", "bigint"))
    assert by_id.cache_key(by_id.converted({"product_id": 7})) == "7"
    assert by_id.cache_key(by_id.converted({})) is None
    assert query().cache_key({}) is None
    listing = cached(CachePolicy("search"), ("a", "int"), ("b", "timestamptz"))
    keys = [
        listing.cache_key(listing.converted(values))
        for values in ({"a": 1}, {"a": 1.0, "b": None}, {"a": 2}, {"b": "2026-01-01T00:00:00Z"})
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert all(key is not None and key.startswith("a.b/1:") and len(key) == len("a.b/1:") + 26 for key in keys)
    assert replace(listing, version=2).cache_key(listing.converted({"a": 1})) != keys[0]


def test_a_result_may_be_looked_up_by_an_alias():
    by_wallet = cached(
        CachePolicy("user", key="{user_id}", alias="wallet:{wallet}", aliases=("wallet:{wallet}", "ens:{ens_name}")),
        ("wallet", "text"),
    )
    arguments = by_wallet.converted({"wallet": "0xa"})
    assert by_wallet.cache_key(arguments) is None
    assert by_wallet.cache_alias(arguments) == "wallet:0xa"
    assert by_wallet.cached_aliases(arguments, [{"user_id": 7, "wallet": "0xa", "ens_name": None}]) == ("wallet:0xa",)
    assert by_wallet.cached_aliases(arguments, [{"user_id": 7, "ens_name": "a.eth"}]) == ("wallet:0xa", "ens:a.eth")


@pytest.mark.parametrize(
    ("type_name", "since", "until", "key"),
    [
        ("timestamptz", "2026-11-25T10:00:00Z", "2026-11-25T11:00:00Z", "sales@2026-11-25T10:00:00Z/PT3600S"),
        ("timestamptz", "2026-11-25T12:00:00+02:00", "2026-11-25T10:00:01Z", "sales@2026-11-25T10:00:00Z/PT1S"),
        ("date", "2026-11-25", "2026-11-27", "sales@2026-11-25T00:00:00Z/PT172800S"),
        ("timestamptz", "2026-11-25T10:00:00.5Z", "2026-11-25T11:00:00Z", None),
        ("timestamptz", "2026-11-25T10:00:00Z", "2026-11-25T10:00:00Z", None),
    ],
)
def test_figures_are_cached_under_their_span_of_time(type_name: str, since: str, until: str, key: str | None):
    sales = cached(CachePolicy("analytics", key="sales", interval=("since", "until")), ("since", type_name), ("until", type_name))
    assert sales.cache_key(sales.converted({"since": since, "until": until})) == key


def test_tags_are_of_parameters_and_of_every_row_each_once():
    listing = cached(
        CachePolicy("search"),
        ("category_id", "int"),
        ("ids", "bigint[]"),
        tags=("category:{category_id}", "shown:{product_id}", "id:{ids}"),
    )
    rows = [{"product_id": 3, "category_id": 9}, {"product_id": 4}, {"product_id": 3}, {"product_id": None}]
    assert listing.cached_tags(listing.converted({"category_id": 5, "ids": [1, 2]}), rows) == (
        *("category:5", "shown:3", "shown:4"),
        *("id:1", "id:2"),
    )
    assert listing.cached_tags(listing.converted({}), []) == ()


def test_tags_may_be_of_what_is_within_json():
    order = cached(CachePolicy("order"), ("items", "text"), tags=("titled:{lines.product_id}", "by:{buyer.id}-{lines.line}"))
    rows = [
        {"lines": [{"product_id": 3, "line": 1}, {"product_id": None}, {"product_id": 4}], "buyer": {"id": 9}},
        {"lines": []},
        {},
    ]
    assert order.cached_tags(order.converted({}), rows) == ("titled:3", "titled:4", "by:9-1")


def test_every_class_has_its_settings_in_utc_and_only_writes_may_write():
    for name, each in CLASSES.items():
        settings = each.settings()
        assert each.name == name
        assert settings["TimeZone"] == "UTC"
        assert settings["statement_timeout"] == f"{each.timeout * 1000:.0f}ms"
        assert settings["default_transaction_read_only"] == ("off" if name == "write" else "on")
    assert CLASSES["listing"].settings()["plan_cache_mode"] == "force_custom_plan"
