"""The one layer between gRPC and the servicers: admission, auth, deadline, errors, metrics, trace and log line of every call.

A GenericRpcHandler with two cached handlers per method, one traced by opentelemetry-instrumentation-grpc and one not: that is
what leaves most of an empty
server's rate (docs/architecture.md has the measurements).
"""

import asyncio
import contextlib
import inspect
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeAlias

import grpc
import structlog
from opentelemetry import trace
from opentelemetry.instrumentation.grpc._aio_server import OpenTelemetryAioServerInterceptor
from opentelemetry.trace import Status, StatusCode

from souk_common import auth, errors
from souk_common.admission import Admission
from souk_common.call import CURRENT, Call
from souk_common.telemetry import logs, names
from souk_common.telemetry.metrics import Method
from souk_common.telemetry.tracing import attach_unsampled, decide

log = structlog.get_logger(__name__)
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Handlers: TypeAlias = "Mapping[str, Handler]"
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


class Collector:
    """Stands in for a server where generated code registers its handlers, and keeps them."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Nothing: the registered handlers are the same ones."""

    def add_registered_method_handlers(self, service: str, handlers: Handlers) -> None:
        """Keep the handlers by their full names."""
        self.handlers.update({f"/{service}/{name}": handler for name, handler in handlers.items()})


class Dispatcher(grpc.GenericRpcHandler):
    """Serves the collected handlers by one policy."""

    def __init__(self, handlers: Handlers, policy: Policy) -> None:
        self.policy = policy
        self.methods = {name: Method() for name in handlers}
        self.calls: set[Call] = set()
        self._plain = {name: self._wrap(name, handler) for name, handler in handlers.items()}
        self._traced: dict[str, Handler] = {}

    async def open(self, tracer: trace.Tracer) -> None:
        """Make the traced handlers."""
        interceptor = OpenTelemetryAioServerInterceptor(tracer)

        async def handler_of(details: grpc.HandlerCallDetails) -> Handler:
            return self._plain[details.method]

        for name in self._plain:
            self._traced[name] = await interceptor.intercept_service(handler_of, SimpleNamespace(method=name))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        """The handler of a call, traced or not; None where there is no such method."""
        method = handler_call_details.method
        if method not in self._plain:
            return None
        authorization = traceparent = None
        for key, value in handler_call_details.invocation_metadata or ():
            if key == "authorization":
                authorization = str(value)
            elif key == "traceparent":
                traceparent = str(value)
        decision = decide(traceparent, self.policy.trace_ratio)
        call = Call(method, decision.trace_id, decision.span_id)
        call.authorization = authorization
        CURRENT.set(call)
        if decision.sampled:
            call.traced = True
            return self._traced[method]
        attach_unsampled(decision)
        return self._plain[method]

    def end_calls(self, *, only_long_lived: bool) -> None:
        """End calls because the server stops: those that would never end by themselves, or all."""
        for call in list(self.calls):
            if not only_long_lived or call.method in self.policy.long_lived:
                call.end()

    def _wrap(self, method: str, handler: Handler) -> Handler:
        behavior = _behavior(handler)

        async def one(request: Any, context: Context) -> Any:
            async with _Serving(self, context):
                return await behavior(request, context)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with _Serving(self, context), contextlib.aclosing(behavior(request, context)) as responses:
                async for response in responses:
                    yield response

        if handler.response_streaming and not inspect.isasyncgenfunction(behavior):
            raise TypeError(f"{method} must be an async generator")
        return _remade(handler, stream if handler.response_streaming else one)


class _Serving:
    """One call, from its first look at the credentials to its log line."""

    __slots__ = ("_admitted", "_call", "_context", "_dispatcher", "_span")

    def __init__(self, dispatcher: Dispatcher, context: Context) -> None:
        call = CURRENT.get()
        if call is None:
            raise RuntimeError("a call without its context")
        self._dispatcher = dispatcher
        self._context = context
        self._call = call
        self._admitted = ""
        self._span = trace.get_current_span() if call.traced else trace.INVALID_SPAN

    async def __aenter__(self) -> None:
        call, policy, context = self._call, self._dispatcher.policy, self._context
        call.context = context
        call.task = asyncio.current_task()
        self._dispatcher.calls.add(call)
        if call.traced:
            ids = self._span.get_span_context()
            call.trace_id, call.span_id = ids.trace_id, ids.span_id
        try:
            if policy.authenticator is None:
                caller = context.peer().rpartition(":")[0]
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
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            remaining = self._context.time_remaining()
            self._finish("CANCELLED" if remaining is None or remaining > 0 else "DEADLINE_EXCEEDED")
        elif isinstance(error, grpc.aio.AbortError):
            self._finish(grpc.StatusCode(_code(self._context)).name)
        elif isinstance(error, Exception):
            await self._fail(errors.translate(error, self._dispatcher.policy.errors) or self._unforeseen(error))

    def _unforeseen(self, error: Exception) -> errors.ServiceError:
        told = errors.internal(errors.new_error_id())
        log.error("unforeseen error", error_id=told.metadata["error_id"], method=self._call.method, exc_info=error)
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
        call, policy = self._call, self._dispatcher.policy
        seconds = time.perf_counter() - call.started
        self._dispatcher.calls.discard(call)
        if self._admitted:
            policy.admission.leave(self._admitted)
        self._dispatcher.methods[call.method].record(code, seconds)
        if call.traced:
            self._span.set_attribute(names.PRINCIPAL, call.principal.name)
            if code in SERVER_FAULTS:
                self._span.set_status(Status(StatusCode.ERROR, code))
        slow = seconds > policy.slow_seconds and call.method not in policy.long_lived
        if code != "OK" or slow or random.random() < policy.log_success_ratio:  # noqa: S311 — a sample, not a secret
            call.peer = self._context.peer()
            failed = code in SERVER_FAULTS
            logs.call_line(call, event=names.EVENT_RPC, code=code, seconds=seconds, slow=slow, failed=failed, **more)


def _code(context: Context) -> Any:
    code = context.code()
    return next((known for known in grpc.StatusCode if code in (known, known.value[0])), grpc.StatusCode.UNKNOWN)


def _behavior(handler: Handler) -> Callable[..., Any]:
    found = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    if found is None:
        raise TypeError("a handler without a behavior")
    return found


def _remade(handler: Handler, behavior: Callable[..., Any]) -> Handler:
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    made: Handler = make(behavior, handler.request_deserializer, handler.response_serializer)
    return made
