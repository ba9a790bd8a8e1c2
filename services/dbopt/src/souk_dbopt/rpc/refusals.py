"""Everything that is wrong with a request, told at once: its fields, its tokens, the parameters of its query."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from souk_common.errors import FieldViolation, ServiceError, invalid_fields

from souk_dbopt.errors import parameter_violations
from souk_dbopt.exceptions import ArgumentsError, ConsistencyTokenInvalidError, QueryUnknownError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
REFUSED = (ServiceError, ArgumentsError, ConsistencyTokenInvalidError, QueryUnknownError)
"""What checks of a request raise."""


class Refusals:
    """Gathers what checks of one request refuse, each of which names what it finds."""

    def __init__(self) -> None:
        self._errors: list[Exception] = []

    def of(self, check: Callable[[*Ts], T], *arguments: *Ts) -> T | None:
        """What a check returns; None where it refuses, which `check` raises."""
        try:
            return check(*arguments)
        except REFUSED as error:
            self._errors.append(error)
            return None

    def check(self) -> None:
        """Raise what was refused: as it is where it is one thing, else INVALID_FIELD with all of it."""
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise invalid_fields([violation for error in self._errors for violation in _violations(error)])


def _violations(error: Exception) -> list[FieldViolation]:
    match error:
        case ServiceError():
            return list(error.violations)
        case ArgumentsError():
            return parameter_violations(error)
        case ConsistencyTokenInvalidError():
            return [FieldViolation("consistency_token", "must be that of an answer of this database")]
    return [FieldViolation("name", f"must be that of a query: {error}")]
