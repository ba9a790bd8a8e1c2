"""Everything that a call can end with.

SoukError
├── InvalidArgumentError      the request is wrong; `field_violations` names the fields
├── UnauthenticatedError      no credentials, or unknown ones
├── PermissionDeniedError     the scope is missing
├── NotFoundError
├── FailedPreconditionError   not now; `retry_delay` where it may be soon
├── AbortedError              another call is at it
├── ResourceExhaustedError    over the caller's quota
├── UnavailableError          the server is stopping, overloaded or not there; repeated by itself where that is safe. A server
│                             that stops answers calls which reach it too late with a bare CANCELLED: that is this error too
├── DeadlineExceededError
├── AlreadyExistsError
├── CancelledError            what the call was about was cancelled; one's own cancelling is asyncio.CancelledError
├── UnimplementedError        the server is older than this client, or another one
├── DataLossError             what arrived is not what was sent
├── CodecError                what is cached is not a value of the type: another release of the program wrote it
├── ParameterError            what is to have a fingerprint has none; `path` names the parameter
├── InternalError             a fault of the server; `error_id` finds it in its log
└── UnknownError              everything else
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from souk.common.v1 import errors_pb2

_DETAILS_KEY = "grpc-status-details-bin"
_PUSHBACK_KEY = "grpc-retry-pushback-ms"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One bad field of a request."""

    field: str
    """Its path, as "spec.owner"."""
    description: str
    """What it must be."""


class SoukError(Exception):
    """The root of the tree. `reason` and `domain` name a value of an enum ErrorReason in the protos, `metadata` what it
    documents."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        domain: str = "",
        metadata: Mapping[str, str] | None = None,
        field_violations: Iterable[FieldViolation] = (),
        retry_delay: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.domain = domain
        self.metadata = dict(metadata or {})
        self.field_violations = tuple(field_violations)
        self.retry_delay = retry_delay
        """Seconds after which the server says to come again; None where it says nothing."""

    @property
    def error_id(self) -> str:
        """What the server's log has the error under; empty where it has none."""
        return self.metadata.get("error_id", "")

    def __str__(self) -> str:
        return f"{self.message} [{self.reason or self.code.name}]"


class InvalidArgumentError(SoukError):
    """The request is wrong, and would be wrong again."""


class UnauthenticatedError(SoukError):
    """The call carries no credentials, or unknown ones."""


class PermissionDeniedError(SoukError):
    """The caller is known and may not do this."""


class NotFoundError(SoukError):
    """What the request names does not exist."""


class FailedPreconditionError(SoukError):
    """It cannot be done in the state that things are in."""


class AbortedError(SoukError):
    """Another call is at the same thing."""


class ResourceExhaustedError(SoukError):
    """The caller is over its quota."""


class UnavailableError(SoukError):
    """The server is stopping, overloaded, or not there."""


class DeadlineExceededError(SoukError):
    """It took longer than the caller gave it."""


class AlreadyExistsError(SoukError):
    """What the request would make is there."""


class CancelledError(SoukError):
    """What the call was about, as an operation, was cancelled; `reason` says by whom."""


class UnimplementedError(SoukError):
    """The server does not have this method."""


class DataLossError(SoukError):
    """What arrived is not what was sent."""


class CodecError(SoukError):
    """What is cached is not a value of the type."""


class ParameterError(SoukError):
    """A parameter is nothing that a fingerprint can be made of, as a float. It is raised before anything is sent."""

    def __init__(self, problem: str, path: Iterable[str]) -> None:
        self.path = ".".join(path)
        """The parameter, as price.max; empty for all of them."""
        super().__init__(f"{self.path or 'the parameters'}: {problem}", code=grpc.StatusCode.INVALID_ARGUMENT)


class InternalError(SoukError):
    """A fault of the server."""


class UnknownError(SoukError):
    """A status that says nothing else."""


_BY_CODE: Mapping[grpc.StatusCode, type[SoukError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgumentError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.ABORTED: AbortedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.CANCELLED: CancelledError,
    grpc.StatusCode.UNIMPLEMENTED: UnimplementedError,
    grpc.StatusCode.DATA_LOSS: DataLossError,
    grpc.StatusCode.INTERNAL: InternalError,
}


_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_Trailers = Iterable[tuple[str, str | bytes]]


def from_rpc_error(error: grpc.aio.AioRpcError) -> SoukError:
    """The typed error of a failed call. Details that are missing or damaged leave the fields empty, and nothing else happens."""
    code = error.code()
    trailers: list[tuple[str, str | bytes]] = list(error.trailing_metadata() or ())
    status = _status(trailers)
    if _CODES.get(status.code) is not code:  # something on the way has replaced the status, and its details are another one's
        status = status_pb2.Status()
    info, request, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    has_retry = False
    for detail in status.details:
        try:
            has_retry = (not detail.Unpack(info) and not detail.Unpack(request) and detail.Unpack(retry)) or has_retry
        except DecodeError:
            continue
    delay = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9 if has_retry else _pushback(trailers)
    kind, text = _BY_CODE.get(code, UnknownError), error.details() or status.message or code.value[1]
    if code is grpc.StatusCode.CANCELLED and not info.reason:  # gRPC's own, for what reaches a server that stops
        kind, text = UnavailableError, "the server ended the call without an answer; it may be stopping"
    return kind(
        text,
        code=code,
        reason=info.reason,
        domain=info.domain,
        metadata=info.metadata,
        field_violations=[FieldViolation(each.field, each.description) for each in request.field_violations],
        retry_delay=None if delay is None else max(0.0, delay),
    )


def from_failure(failure: errors_pb2.Failure) -> SoukError:
    """The error that a FAILED image or an operation carries, as a call would have raised it."""
    code = _CODES.get(failure.code, grpc.StatusCode.UNKNOWN)
    return _BY_CODE.get(code, UnknownError)(
        failure.message, code=code, reason=failure.reason, domain=failure.domain, metadata=failure.metadata
    )


def to_failure(error: SoukError) -> errors_pb2.Failure:
    """An error as a message carries it; the other way round from `from_failure`."""
    number: int = error.code.value[0]
    return errors_pb2.Failure(code=number, reason=error.reason, domain=error.domain, message=error.message, metadata=error.metadata)


def _status(trailers: _Trailers) -> status_pb2.Status:
    for key, value in trailers:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()


def _pushback(trailers: _Trailers) -> float | None:
    for key, value in trailers:
        if key == _PUSHBACK_KEY:
            try:
                return int(value) / 1000 if int(value) >= 0 else None
            except ValueError:
                break
    return None
