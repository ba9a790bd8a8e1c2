"""What is done for every call around the servicer's method: admission, auth, errors, metrics, span and log line."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import grpc
import structlog
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from souk_common import auth, errors
from souk_common.admission import Admission
from souk_common.call import Call
from souk_common.telemetry import logs, names
from souk_common.telemetry.metrics import Method

log = structlog.get_logger(__name__)
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
NOTHING: Mapping[str, str] = MappingProxyType({})
SERVER_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
"""The codes that make a server's span an error, by OpenTelemetry's semantic conventions."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the layer is told for one service."""

    admission: Admission
    errors: errors.ErrorTable
    scopes: Mapping[str, str]
    authenticator: auth.Authenticator | None
    mutual_tls: bool
    trace_ratio: float
    log_success_ratio: float
    slow_seconds: float
    long_lived: frozenset[str]


class Lifetime:
    """The calls of one method, each from the first look at its credentials to its log line: `begin`, and then `finish` or `fail`.

    No context manager: an `async with` costs two coroutines and an object for each call.
    """

    __slots__ = ("_calls", "_is_long_lived", "_metrics", "_policy")

    def __init__(self, method: str, policy: Policy, calls: set[Call], metrics: Method) -> None:
        """calls: where those in flight are kept."""
        self._policy = policy
        self._calls = calls
        self._metrics = metrics
        self._is_long_lived = method in policy.long_lived

    def begin(self, call: Call, context: Context) -> None:
        """Take a call in, or raise the ServiceError that its caller is told: then `fail` with it."""
        policy = self._policy
        call.context = context
        call.task = asyncio.current_task()
        call.peer = peer = context.peer()
        self._calls.add(call)
        if call.traced:
            call.span = trace.get_current_span()
            ids = call.span.get_span_context()
            call.trace_id, call.span_id = ids.trace_id, ids.span_id
        if policy.authenticator is None:
            caller = peer.rpartition(":")[0]
        else:
            certificate = auth.certificate_names(context.auth_context()) if policy.mutual_tls else ()
            call.principal = auth.authenticate(policy.authenticator, call.authorization, certificate)
            auth.authorize(call.principal, call.method, policy.scopes)
            caller = call.principal.name
        policy.admission.enter(caller)
        call.admitted = caller

    async def fail(self, call: Call, context: Context, error: BaseException) -> None:
        """The servicer's method has raised: tell the caller, by an exception of `abort`, or leave the error to be raised again."""
        if isinstance(error, asyncio.CancelledError) and call.ended and call.task:
            call.task.uncancel()
            await self._abort(call, context, errors.shutting_down())
        elif isinstance(error, GeneratorExit):  # a stream that nobody ends is ended with the loop: the context may be gone by then
            self.finish(call, "CANCELLED")
        elif isinstance(error, asyncio.CancelledError):
            remaining = context.time_remaining()
            self.finish(call, "CANCELLED" if remaining is None or remaining > 0 else "DEADLINE_EXCEEDED")
        elif isinstance(error, grpc.aio.AbortError):
            self.finish(call, grpc.StatusCode(_code(context)).name)
        elif isinstance(error, Exception):
            await self._abort(call, context, errors.translate(error, self._policy.errors) or _unforeseen(call, error))

    async def _abort(self, call: Call, context: Context, error: errors.ServiceError) -> None:
        more = {names.LOG_REASON: error.reason}
        if "error_id" in error.metadata:
            more[names.LOG_ERROR_ID] = error.metadata["error_id"]
        if call.traced:
            call.span.set_attribute(names.ERROR_REASON, error.reason)
            if "error_id" in error.metadata:
                call.span.set_attribute(names.ERROR_ID, error.metadata["error_id"])
        self.finish(call, error.code.name, more)
        try:
            await context.abort(error.code, error.message, error.trailers())
        except grpc.aio.InternalError as gone:  # the caller gave up meanwhile, and nobody is left to be told
            raise asyncio.CancelledError from gone

    def finish(self, call: Call, code: str, more: Mapping[str, str] = NOTHING) -> None:
        """It is over; `OK`: the servicer's method has returned. more: for its log line."""
        policy = self._policy
        seconds = time.perf_counter() - call.started
        self._calls.discard(call)
        call.context = call.task = None  # the task's context has the call: what refers to itself lives until the collector comes
        if call.admitted:
            policy.admission.leave(call.admitted)
        self._metrics.record(code, seconds)
        if call.traced:
            _describe(call, code)
        slow = seconds > policy.slow_seconds and not self._is_long_lived
        if code != "OK" or slow or random.random() < policy.log_success_ratio:  # noqa: S311 — a sample, not a secret
            failed = code in SERVER_FAULTS
            logs.call_line(call, event=names.EVENT_RPC, code=code, seconds=seconds, slow=slow, failed=failed, more=more)


def _unforeseen(call: Call, error: Exception) -> errors.ServiceError:
    told = errors.internal(errors.new_error_id())
    error_id = told.metadata["error_id"]
    log.error("unforeseen error", error_id=error_id, method=call.method, exc_info=error)
    if call.traced:
        call.span.record_exception(error, {names.LOG_ERROR_ID: error_id})
    return told


def _describe(call: Call, code: str) -> None:
    """A refusal is no exception, and an error of the server only where its code says so."""
    number: int = grpc.StatusCode[code].value[0]
    call.span.set_attributes({names.PRINCIPAL: call.principal.name, names.STATUS_CODE: number})
    if code in SERVER_FAULTS:
        call.span.set_status(Status(StatusCode.ERROR, code))


def _code(context: Context) -> Any:
    code = context.code()
    return next((known for known in grpc.StatusCode if code in (known, known.value[0])), grpc.StatusCode.UNKNOWN)
