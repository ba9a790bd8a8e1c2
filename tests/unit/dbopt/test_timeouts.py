"""What is known of statements that ended early."""

import pytest
from souk_common.postgres import LockTimeoutError, QueryCanceledError, StatementTimeoutError
from souk_dbopt.timeouts import is_timeout


@pytest.mark.parametrize(
    ("message", "seconds", "is_over"),
    [
        ("storniere Anfrage wegen Zeitüberschreitung der Anfrage", 2.01, True),
        ("storniere Anfrage wegen Benutzeraufforderung", 0.5, False),
        ("canceling statement due to user request", 2.01, False),
    ],
)
def test_a_time_out_is_known_in_every_language_of_the_server(message: str, seconds: float, is_over: bool):
    assert is_timeout(QueryCanceledError(message, sqlstate="57014"), seconds, 2.0) == is_over


def test_what_says_that_it_is_a_time_out_is_one():
    assert is_timeout(StatementTimeoutError("canceling statement due to statement timeout"), 0.1, 2.0)
    assert not is_timeout(LockTimeoutError("canceling statement due to lock timeout"), 2.1, 2.0)
