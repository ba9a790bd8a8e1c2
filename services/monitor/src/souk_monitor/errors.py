"""What a caller is told when something goes wrong: one table, core exception -> status code, reason and retry delay."""

from collections.abc import Callable

import grpc
from souk_common import postgres as pg
from souk_common.errors import COMMON_DOMAIN, ErrorTable, FieldViolation, ServiceError, invalid_fields

from souk_monitor import exceptions as exc

DOMAIN = "souk.monitor.v1"
Code = grpc.StatusCode
SOON, LATER = 0.1, 1.0
"""Seconds after which to come again."""


def _tell(code: Code, reason: str, *, domain: str = DOMAIN, **metadata: str) -> Callable[[Exception], ServiceError]:
    """metadata: name -> attribute of the exception."""

    def tell(error: Exception) -> ServiceError:
        told = {name: str(getattr(error, attribute)) for name, attribute in metadata.items()}
        delay: float | None = getattr(error, "retry_delay", None)
        return ServiceError(code, reason, str(error), domain=domain, metadata=told, retry_delay=delay)

    return tell


def _bad_fields(error: exc.FieldsError) -> ServiceError:
    return invalid_fields([FieldViolation(problem.field, problem.description) for problem in error.problems])


def _malformed(error: exc.MalformedError) -> ServiceError:
    violations = [FieldViolation(problem.field, problem.description) for problem in error.problems]
    return ServiceError(Code.INVALID_ARGUMENT, "MALFORMED", str(error), domain=DOMAIN, violations=violations)


def _unavailable(error: Exception) -> ServiceError:
    """Where the database is, is not for callers: the log has it."""
    return ServiceError(
        Code.UNAVAILABLE,
        "DEPENDENCY_UNAVAILABLE",
        "the database does not answer",
        metadata={"dependency": "database"},
        retry_delay=getattr(error, "retry_delay", None) or LATER,
    )


def _overloaded(error: Exception) -> ServiceError:
    delay: float | None = getattr(error, "retry_delay", None)
    return ServiceError(Code.UNAVAILABLE, "OVERLOADED", "the database is busy", retry_delay=delay or SOON)


ERRORS: ErrorTable = {
    exc.ProjectUnknownError: _tell(Code.NOT_FOUND, "PROJECT_UNKNOWN", project="project"),
    exc.ProjectExistsError: _tell(Code.ALREADY_EXISTS, "PROJECT_EXISTS", project="project"),
    exc.KeyUnknownError: _tell(Code.NOT_FOUND, "KEY_UNKNOWN", key="key"),
    exc.KeyInvalidError: _tell(Code.UNAUTHENTICATED, "KEY_INVALID"),
    exc.IssueUnknownError: _tell(Code.NOT_FOUND, "ISSUE_UNKNOWN", issue="issue"),
    exc.EventUnknownError: _tell(Code.NOT_FOUND, "EVENT_UNKNOWN", event="event"),
    exc.IssueChangedError: _tell(Code.FAILED_PRECONDITION, "ISSUE_CHANGED", revision="revision"),
    exc.FieldsError: _bad_fields,
    exc.MalformedError: _malformed,
    exc.TooLargeError: _tell(Code.INVALID_ARGUMENT, "TOO_LARGE", limit_bytes="limit_bytes"),
    exc.RequestIdReusedError: _tell(Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED", domain=COMMON_DOMAIN),
    exc.WatchFullError: _tell(Code.UNAVAILABLE, "OVERLOADED", domain=COMMON_DOMAIN),
    exc.QueueFullError: _tell(Code.UNAVAILABLE, "OVERLOADED", domain=COMMON_DOMAIN),
    exc.QuotaExceededError: _tell(Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", domain=COMMON_DOMAIN, project="project"),
    exc.StoreUnavailableError: _unavailable,
    pg.PoolBusyError: _overloaded,
    pg.UnavailableError: _unavailable,
    pg.LoginError: _unavailable,
    pg.ConflictError: _overloaded,
    pg.LockTimeoutError: _overloaded,
    pg.StatementTimeoutError: _overloaded,
    pg.ResourceError: _unavailable,
}
