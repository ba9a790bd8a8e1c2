"""Errors on the wire: google.rpc.Status with exactly one ErrorInfo, and what else helps the caller."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2
from souk.common.v1.errors_pb2 import Failure

COMMON_DOMAIN = "souk.common.v1"
"""The domain of the reasons in souk.common.v1.ErrorReason."""
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""The trailer that gRPC's own retries obey; they do not read RetryInfo. Below 0: there is to be none."""

Trailers = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One bad field of a request."""

    field: str
    """Its path, as `spec.owner`."""
    description: str
    """What it must be."""


class ServiceError(Exception):
    """An error as a caller is told it.

    `code` and `reason` (a name of the enum ErrorReason in package `domain`, without its prefix) say what it is, `metadata` what
    the reason documents,
    `violations` names the bad fields, and `retry_delay`, in seconds, says when to come again. repeated=False: gRPC does not come
    again by itself.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        *,
        domain: str = COMMON_DOMAIN,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_delay: float | None = None,
        repeated: bool = True,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.domain = domain
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_delay = retry_delay
        self.repeated = repeated

    def status(self) -> status_pb2.Status:
        """The google.rpc.Status."""
        details: list[message.Message] = [
            error_details_pb2.ErrorInfo(reason=self.reason, domain=self.domain, metadata=self.metadata)
        ]
        if self.violations:
            request = error_details_pb2.BadRequest()
            for violation in self.violations:
                request.field_violations.add(field=violation.field, description=violation.description)
            details.append(request)
        if self.retry_delay is not None:
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(round(self.retry_delay * 1000))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        number: int = self.code.value[0]
        return status_pb2.Status(code=number, message=self.message, details=list(_packed(details)))

    def failure(self) -> Failure:
        """The error as data, in a message."""
        number: int = self.code.value[0]
        return Failure(code=number, reason=self.reason, domain=self.domain, message=self.message, metadata=self.metadata)

    def trailers(self) -> Trailers:
        """The trailing metadata that carries the status."""
        details = (DETAILS_KEY, self.status().SerializeToString())
        if not self.repeated:
            return (details, (PUSHBACK_KEY, "-1"))
        if self.retry_delay is None:
            return (details,)
        return (details, (PUSHBACK_KEY, str(round(self.retry_delay * 1000))))


ErrorTable = Mapping[type[Exception], Callable[[Any], ServiceError]]
"""Core exception -> what the caller is told. An exception is looked up by its class, then by the classes it derives from."""


def invalid_fields(violations: Sequence[FieldViolation]) -> ServiceError:
    """INVALID_ARGUMENT that names every bad field."""
    text = "; ".join(f"{violation.field} {violation.description}" for violation in violations)
    return ServiceError(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", text, violations=violations)


def malformed() -> ServiceError:
    """INVALID_ARGUMENT of a request that is no message."""
    return ServiceError(grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED", "the request is no message of the type that the rpc takes")


def new_error_id() -> str:
    """An id that a caller can quote and that the log and the trace carry."""
    return secrets.token_hex(8)


def internal(error_id: str) -> ServiceError:
    """INTERNAL that shows nothing but an id."""
    return ServiceError(
        grpc.StatusCode.INTERNAL,
        "INTERNAL",
        f"a fault of the server; its log has it under error_id {error_id}",
        metadata={"error_id": error_id},
    )


def shutting_down() -> ServiceError:
    """UNAVAILABLE because the server is stopping."""
    return ServiceError(
        grpc.StatusCode.UNAVAILABLE,
        "SHUTTING_DOWN",
        "the server is stopping; another replica will answer",
        retry_delay=0.1,
    )


def deadline_exceeded() -> ServiceError:
    """DEADLINE_EXCEEDED by a time limit of the server's own."""
    return ServiceError(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the call took longer than it may")


def translate(error: Exception, table: ErrorTable) -> ServiceError | None:
    """What the caller is told of `error`; None where nobody foresaw it."""
    if isinstance(error, ServiceError):
        return error
    for kind in type(error).__mro__:
        if kind in table:
            return table[kind](error)
    return deadline_exceeded() if isinstance(error, TimeoutError) else None


def _packed(details: Iterable[message.Message]) -> Iterable[any_pb2.Any]:
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        yield packed
