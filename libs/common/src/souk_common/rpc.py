"""The one layer between gRPC and the servicers: admission, auth, deadline, errors, metrics, trace and log line of every call.

A GenericRpcHandler with two cached handlers per method, one traced and one not: that is what leaves most of an empty server's rate
(docs/architecture.md has the measurements). handlers.py collects what it serves, lifetime.py has what is done for each call, and
traced.py the span around it.
"""

import contextlib
import inspect
from collections.abc import AsyncIterator
from typing import Any

import grpc
from opentelemetry.trace import TracerProvider

from souk_common import errors
from souk_common.call import CURRENT, Call, current
from souk_common.handlers import UNDECODABLE, Handler, Handlers, behavior_of, remade
from souk_common.lifetime import Context, Lifetime, Policy
from souk_common.telemetry.metrics import Method
from souk_common.telemetry.tracing import leave_unsampled, new_call
from souk_common.traced import traced


class Dispatcher(grpc.GenericRpcHandler):
    """Serves the collected handlers by one policy."""

    def __init__(self, handlers: Handlers, policy: Policy) -> None:
        self.policy = policy
        self.methods = {name: Method() for name in handlers}
        self.calls: set[Call] = set()
        self._plain = {name: self._wrap(name, handler) for name, handler in handlers.items()}
        self._traced: dict[str, Handler] = {}

    async def open(self, provider: TracerProvider) -> None:
        """Make the traced handlers."""
        self._traced = {name: await traced(name, handler, provider) for name, handler in self._plain.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        """The handler of a call, which is decided to be traced or not; None where there is no such method."""
        method = handler_call_details.method
        plain = self._plain.get(method)
        if plain is None:
            return None
        authorization = traceparent = None
        for key, value in handler_call_details.invocation_metadata or ():
            if key == "authorization":
                authorization = str(value)
            elif key == "traceparent":
                traceparent = str(value)
        call = new_call(method, traceparent, self.policy.trace_ratio)
        if authorization is not None:
            call.authorization = authorization
        CURRENT.set(call)
        if call.traced:
            leave_unsampled()
            return self._traced[method]
        return plain

    def end_calls(self, *, only_long_lived: bool) -> None:
        """End calls because the server stops: those that would never end by themselves, or all."""
        for call in list(self.calls):
            if not only_long_lived or call.method in self.policy.long_lived:
                call.end()

    def _wrap(self, method: str, handler: Handler) -> Handler:
        behavior = behavior_of(handler)
        is_stream = handler.request_streaming
        lifetime = Lifetime(method, self.policy, self.calls, self.methods[method])

        async def one(request: Any, context: Context) -> Any:
            call = current()
            try:
                lifetime.begin(call, context)
                if request is UNDECODABLE:
                    raise errors.malformed()
                response = await behavior(_each_decoded(request) if is_stream else request, context)
            except BaseException as error:
                await lifetime.fail(call, context, error)
                raise
            lifetime.finish(call, "OK")
            return response

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            call = current()
            try:
                lifetime.begin(call, context)
                if request is UNDECODABLE:
                    raise errors.malformed()
                given = _each_decoded(request) if is_stream else request
                async with contextlib.aclosing(behavior(given, context)) as responses:
                    async for response in responses:
                        yield response
            except BaseException as error:
                await lifetime.fail(call, context, error)
                raise
            lifetime.finish(call, "OK")

        if handler.response_streaming and not inspect.isasyncgenfunction(behavior):
            raise TypeError(f"{method} must be an async generator")
        return remade(handler, stream if handler.response_streaming else one)


async def _each_decoded(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The requests; MALFORMED where one is none."""
    async for request in requests:
        if request is UNDECODABLE:
            raise errors.malformed()
        yield request
