"""What a caller is told when something goes wrong: one table, core exception -> status code, reason and retry delay."""

from collections.abc import Callable

import grpc
from souk_common import postgres as pg
from souk_common.errors import COMMON_DOMAIN, ErrorTable, FieldViolation, ServiceError, invalid_fields

from souk_dbopt import exceptions as exc

DOMAIN = "souk.dbopt.v1"
Code = grpc.StatusCode
SOON, LATER = 0.1, 1.0
"""Seconds after which to come again."""


def _tell(
    code: Code, reason: str, *, domain: str = DOMAIN, retry_delay: float | None = None, repeated: bool = True, **metadata: str
) -> Callable[[Exception], ServiceError]:
    """metadata: name -> attribute of the exception."""

    def tell(error: Exception) -> ServiceError:
        told = {name: str(getattr(error, attribute)) for name, attribute in metadata.items()}
        return ServiceError(code, reason, str(error), domain=domain, metadata=told, retry_delay=retry_delay, repeated=repeated)

    return tell


def parameter_violations(error: exc.ArgumentsError) -> list[FieldViolation]:
    """What is wrong with the parameters of a query, as fields of the request."""
    return [FieldViolation(f"parameters.{problem.field}", problem.description) for problem in error.problems]


def _bad_arguments(error: exc.ArgumentsError) -> ServiceError:
    return invalid_fields(parameter_violations(error))


def _busy(error: pg.PoolBusyError) -> ServiceError:
    return ServiceError(
        Code.UNAVAILABLE,
        "POOL_EXHAUSTED",
        f"all connections of class {error.pool} are in use",
        domain=DOMAIN,
        metadata={"class": error.pool},
        retry_delay=error.retry_delay or SOON,
    )


def _unavailable(error: Exception) -> ServiceError:
    """Where the database is, is not for callers: the log has it."""
    return ServiceError(
        Code.UNAVAILABLE,
        "DEPENDENCY_UNAVAILABLE",
        "the database does not answer",
        metadata={"dependency": "database"},
        retry_delay=LATER,
    )


def _constraint(error: pg.ConstraintError) -> ServiceError:
    return ServiceError(
        Code.INVALID_ARGUMENT,
        "CONSTRAINT_VIOLATED",
        f"the write breaks the rule {error.constraint or 'of a column'} of {error.table or 'a table'}",
        domain=DOMAIN,
        metadata={"constraint": error.constraint, "table": error.table},
    )


def _schema(error: pg.PostgresError) -> ServiceError:
    return ServiceError(
        Code.FAILED_PRECONDITION,
        "SCHEMA_MISMATCH",
        "the database does not have what the query needs; has `souk db migrate` been run?",
        domain=DOMAIN,
        metadata={"sqlstate": error.sqlstate},
    )


def _of_sqlstate(code: Code, reason: str, text: str) -> Callable[[pg.PostgresError], ServiceError]:
    """The server's own message may have values in it, and stays here."""

    def tell(error: pg.PostgresError) -> ServiceError:
        return ServiceError(
            code,
            reason,
            f"{text} (SQLSTATE {error.sqlstate})",
            domain=DOMAIN,
            metadata={"sqlstate": error.sqlstate},
            repeated=False,
        )

    return tell


def _raised(error: pg.RaisedError) -> ServiceError:
    """What RAISE says is meant for callers."""
    return ServiceError(
        Code.FAILED_PRECONDITION, "RULE_RAISED", error.message, domain=DOMAIN, metadata={"sqlstate": error.sqlstate}, repeated=False
    )


_refused = _of_sqlstate(Code.FAILED_PRECONDITION, "STATEMENT_REFUSED", "the database refuses the query as it is written")

ERRORS: ErrorTable = {
    exc.QueryUnknownError: _tell(Code.NOT_FOUND, "QUERY_UNKNOWN", name="name"),
    exc.ArgumentsError: _bad_arguments,
    exc.QueryKindError: _tell(Code.FAILED_PRECONDITION, "QUERY_KIND", name="name"),
    exc.QueryTimedOutError: _tell(Code.DEADLINE_EXCEEDED, "QUERY_TIMED_OUT", repeated=False, timeout="timeout"),
    exc.ResultTooLargeError: _tell(Code.RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE", repeated=False, limit_bytes="limit"),
    exc.RequestIdReusedError: _tell(Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED", domain=COMMON_DOMAIN),
    exc.RequestInProgressError: _tell(Code.ABORTED, "REQUEST_IN_PROGRESS", domain=COMMON_DOMAIN, retry_delay=LATER),
    exc.OutcomeUnknownError: _tell(Code.UNAVAILABLE, "OUTCOME_UNKNOWN", retry_delay=SOON),
    exc.ServerUnavailableError: _unavailable,
    exc.TooFarBehindError: _tell(Code.UNAVAILABLE, "TOO_FAR_BEHIND", retry_delay=SOON),
    exc.ConsistencyTokenInvalidError: _tell(Code.INVALID_ARGUMENT, "CONSISTENCY_TOKEN_INVALID"),
    exc.NotExplainableError: _tell(Code.INVALID_ARGUMENT, "NOT_EXPLAINABLE", problem="problem"),
    exc.ExplainOffError: _tell(Code.FAILED_PRECONDITION, "EXPLAIN_OFF"),
    exc.FingerprintUnknownError: _tell(Code.NOT_FOUND, "FINGERPRINT_UNKNOWN", fingerprint="fingerprint"),
    pg.PoolBusyError: _busy,
    pg.UnavailableError: _unavailable,
    pg.LoginError: _unavailable,
    pg.ConflictError: _tell(Code.ABORTED, "CONFLICT", retry_delay=SOON),
    pg.LockTimeoutError: _tell(Code.ABORTED, "CONFLICT", retry_delay=SOON),
    pg.ConstraintError: _constraint,
    pg.UndefinedError: _schema,
    pg.PermissionDeniedError: _schema,
    pg.SchemaChangedError: _schema,
    pg.InvalidStatementError: _refused,
    pg.ReadOnlyError: _refused,
    pg.TransactionStateError: _refused,
    pg.InvalidDataError: _of_sqlstate(
        Code.INVALID_ARGUMENT, "DATA_INVALID", "the query cannot be computed with these parameters and the rows that there are"
    ),
    pg.RaisedError: _raised,
    pg.QueryCanceledError: _of_sqlstate(Code.ABORTED, "QUERY_CANCELLED", "the query was cancelled in the database"),
    pg.ProgramLimitError: _of_sqlstate(
        Code.RESOURCE_EXHAUSTED, "PROGRAM_LIMIT", "the query is beyond what PostgreSQL can do, as a value of more than 1 GB"
    ),
    pg.ResourceError: _tell(Code.RESOURCE_EXHAUSTED, "OVERLOADED", domain=COMMON_DOMAIN, retry_delay=LATER),
}
