"""What is done for every call around the servicer's method: admission, auth, errors, metrics, span and log line."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import structlog
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from souk_common import auth, errors
from souk_common.admission import Admission
from souk_common.call import CURRENT, Call
from souk_common.telemetry import logs, names, tracing
from souk_common.telemetry.metrics import Method

log = structlog.get_logger(__name__)
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
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
    tracer: trace.Tracer
    trace_ratio: float
    log_success_ratio: float
    slow_seconds: float
    long_lived: frozenset[str]


class Lifetime:
    """One call, from the first look at its credentials to its log line: an async context manager around the servicer's method."""

    __slots__ = ("_admitted", "_call", "_calls", "_context", "_metrics", "_policy", "_span")

    def __init__(self, policy: Policy, calls: set[Call], metrics: Method, context: Context) -> None:
        call = CURRENT.get()
        if call is None:
            raise RuntimeError("a call without its context")
        self._policy = policy
        self._calls = calls
        self._metrics = metrics
        self._context = context
        self._call = call
        self._admitted = ""
        self._span: trace.Span = trace.INVALID_SPAN

    async def __aenter__(self) -> None:
        call, policy, context = self._call, self._policy, self._context
        call.context = context
        call.task = asyncio.current_task()
        call.peer = context.peer()
        self._calls.add(call)
        if call.traced:
            self._span = tracing.start(policy.tracer, call.method, context.invocation_metadata(), call.peer)
            ids = self._span.get_span_context()
            call.trace_id, call.span_id = ids.trace_id, ids.span_id
        try:
            if policy.authenticator is None:
                caller = call.peer.rpartition(":")[0]
            else:
                certificate = auth.certificate_names(context.auth_context()) if policy.mutual_tls else ()
                call.principal = auth.authenticate(policy.authenticator, call.authorization, certificate)
                auth.authorize(call.principal, call.method, policy.scopes)
                caller = call.principal.name
            policy.admission.enter(caller)
            self._admitted = caller
        except errors.ServiceError as error:
            await self._fail(error)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None:
            self._finish("OK")
        elif isinstance(error, asyncio.CancelledError) and self._call.ended and self._call.task:
            self._call.task.uncancel()
            await self._fail(errors.shutting_down())
        elif isinstance(error, GeneratorExit):  # a stream that nobody ends is ended with the loop: the context may be gone by then
            self._finish("CANCELLED")
        elif isinstance(error, asyncio.CancelledError):
            remaining = self._context.time_remaining()
            self._finish("CANCELLED" if remaining is None or remaining > 0 else "DEADLINE_EXCEEDED")
        elif isinstance(error, grpc.aio.AbortError):
            self._finish(grpc.StatusCode(_code(self._context)).name)
        elif isinstance(error, Exception):
            await self._fail(errors.translate(error, self._policy.errors) or self._unforeseen(error))

    def _unforeseen(self, error: Exception) -> errors.ServiceError:
        told = errors.internal(errors.new_error_id())
        error_id = told.metadata["error_id"]
        log.error("unforeseen error", error_id=error_id, method=self._call.method, exc_info=error)
        if self._call.traced:
            self._span.record_exception(error, {names.LOG_ERROR_ID: error_id})
        return told

    async def _fail(self, error: errors.ServiceError) -> None:
        if self._call.traced:
            self._span.set_attribute(names.ERROR_REASON, error.reason)
            if "error_id" in error.metadata:
                self._span.set_attribute(names.ERROR_ID, error.metadata["error_id"])
        more = {names.LOG_REASON: error.reason}
        if "error_id" in error.metadata:
            more[names.LOG_ERROR_ID] = error.metadata["error_id"]
        self._finish(error.code.name, **more)
        await self._context.abort(error.code, error.message, error.trailers())

    def _finish(self, code: str, **more: str) -> None:
        call, policy = self._call, self._policy
        seconds = time.perf_counter() - call.started
        self._calls.discard(call)
        if self._admitted:
            policy.admission.leave(self._admitted)
        self._metrics.record(code, seconds)
        if call.traced:
            self._end_span(code)
        slow = seconds > policy.slow_seconds and call.method not in policy.long_lived
        if code != "OK" or slow or random.random() < policy.log_success_ratio:  # noqa: S311 — a sample, not a secret
            failed = code in SERVER_FAULTS
            logs.call_line(call, event=names.EVENT_RPC, code=code, seconds=seconds, slow=slow, failed=failed, **more)

    def _end_span(self, code: str) -> None:
        """A refusal is no exception, and an error of the server only where its code says so."""
        number: int = grpc.StatusCode[code].value[0]
        self._span.set_attributes({names.PRINCIPAL: self._call.principal.name, names.STATUS_CODE: number})
        if code in SERVER_FAULTS:
            self._span.set_status(Status(StatusCode.ERROR, code))
        self._span.end()


def _code(context: Context) -> Any:
    code = context.code()
    return next((known for known in grpc.StatusCode if code in (known, known.value[0])), grpc.StatusCode.UNKNOWN)
