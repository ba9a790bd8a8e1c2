"""Whether a statement was ended by its time-out, or by somebody."""

from souk_common.postgres import PostgresError, QueryCanceledError, StatementTimeoutError


def is_timeout(error: PostgresError, seconds: float, limit: float) -> bool:
    """Whether a statement that took so long was ended by its time-out.

    The server has one SQLSTATE for that and for a cancellation by somebody, and tells them apart in words alone, which are of the
    language of its lc_messages. Where they are not English, what ended after its limit was ended by it.
    """
    if isinstance(error, StatementTimeoutError):
        return True
    return isinstance(error, QueryCanceledError) and seconds >= limit and "user request" not in error.message
