"""The one table from the driver's errors to ours."""

import inspect

import asyncpg
import pytest
from souk_common import postgres
from souk_common.postgres import errors

FOREIGN = ("01", "02", "03", "09", "0B", "0F", "0L", "0P", "0Z", "10", "20", "24", "27", "2B", "2F", "34", "38", "39", "58", "72")
"""SQLSTATE classes of what catalogue queries do not do, or of the server's faults: InternalError."""
ASSERT = "P0004"
"""Who wrote the function was wrong, not its caller."""


def test_every_error_of_the_server_has_a_place_in_the_table_or_is_a_fault() -> None:
    for _, kind in inspect.getmembers(asyncpg.exceptions, inspect.isclass):
        if issubclass(kind, asyncpg.PostgresError) and getattr(kind, "sqlstate", None):
            told = errors.translate(kind("text"))
            is_fault = kind.sqlstate[:2] in {*FOREIGN, "XX", "F0", "HV"} or kind.sqlstate == ASSERT
            assert (type(told) is errors.InternalError) == is_fault, kind
            assert told.sqlstate == kind.sqlstate


def test_every_error_is_public() -> None:
    kinds = {name for name, each in vars(errors).items() if inspect.isclass(each) and issubclass(each, errors.PostgresError)}
    assert kinds <= set(postgres.__all__)


@pytest.mark.parametrize(
    ("sqlstate", "sent", "safe"),
    [
        ("40001", True, True),
        ("40P01", True, True),
        ("40003", True, False),
        ("57P01", True, False),
        ("57014", True, False),
        ("08006", False, True),
        ("23505", True, False),
    ],
)
def test_a_write_is_repeated_only_where_it_surely_did_nothing(sqlstate: str, sent: bool, safe: bool) -> None:
    told = errors.translate(asyncpg.PostgresError.new({"C": sqlstate, "M": "text"}), sent=sent)
    assert told.is_safe_to_repeat(read=False) == safe
    assert told.is_safe_to_repeat(read=True)


def test_what_the_pool_refuses_was_never_sent() -> None:
    told = errors.translate(asyncpg.InterfaceError("connection is closed"), closed=True)
    assert isinstance(told, errors.UnavailableError)
    assert told.is_safe_to_repeat(read=False)


def test_an_answer_that_never_comes_is_a_timeout_and_no_lost_connection() -> None:
    assert isinstance(errors.translate(TimeoutError()), errors.StatementTimeoutError)
    assert isinstance(errors.translate_connecting(TimeoutError()), errors.UnavailableError)


def test_an_error_without_a_known_code_is_internal() -> None:
    told = errors.translate(asyncpg.PostgresError.new({"C": "XX000", "M": "text"}))
    assert (type(told), told.sqlstate, told.message) == (errors.InternalError, "XX000", "text")
