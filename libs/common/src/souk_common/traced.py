"""The span around a call, by opentelemetry-instrumentation-grpc.

gRPC ends a call that is refused by an exception, and whatever goes out through the instrumentation stands on the span as one: to
who reads spans for errors, each NOT_FOUND would be an error. So a refusal is kept from it, and raised around it.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
from opentelemetry.instrumentation.grpc import aio_server_interceptor
from opentelemetry.trace import TracerProvider

from souk_common.call import current
from souk_common.handlers import Handler, behavior_of, remade
from souk_common.lifetime import Context


async def traced(method: str, handler: Handler, provider: TracerProvider) -> Handler:
    """A handler whose calls each have a span of their own, under their callers'."""
    make = _stream if handler.response_streaming else _one
    return await make(method, handler, aio_server_interceptor(provider))


async def _one(method: str, handler: Handler, interceptor: grpc.aio.ServerInterceptor) -> Handler:
    behavior = behavior_of(handler)

    async def inside(request: Any, context: Context) -> Any:
        try:
            return await behavior(request, context)
        except grpc.aio.AbortError as refusal:
            current().refusal = refusal

    within_span = await _within_span(method, remade(handler, inside), interceptor)

    async def outside(request: Any, context: Context) -> Any:
        response = await within_span(request, context)
        _raise_refusal()
        return response

    return remade(handler, outside)


async def _stream(method: str, handler: Handler, interceptor: grpc.aio.ServerInterceptor) -> Handler:
    behavior = behavior_of(handler)

    async def each(request: Any, context: Context) -> AsyncGenerator[Any, None]:
        try:
            async with contextlib.aclosing(behavior(request, context)) as responses:
                async for response in responses:
                    yield response
        except grpc.aio.AbortError as refusal:
            current().refusal = refusal

    def inside(request: Any, context: Context) -> AsyncGenerator[Any, None]:
        current().responses = responses = each(request, context)
        return responses

    within_span = await _within_span(method, remade(handler, inside), interceptor)

    async def outside(request: Any, context: Context) -> AsyncIterator[Any]:
        async with contextlib.aclosing(within_span(request, context)) as responses:
            try:
                async for response in responses:
                    yield response
            finally:
                await _end_inside()
        _raise_refusal()

    return remade(handler, outside)


async def _within_span(method: str, handler: Handler, interceptor: grpc.aio.ServerInterceptor) -> Any:
    async def found(_: grpc.HandlerCallDetails) -> Handler:
        return handler

    details: Any = SimpleNamespace(method=method)
    intercept: Any = interceptor.intercept_service
    return behavior_of(await intercept(found, details))


async def _end_inside() -> None:
    """The instrumentation does not end what it iterates: a stream that is given up would say so after the end of its span."""
    call = current()
    responses, call.responses = call.responses, None
    if responses is not None:
        await responses.aclose()


def _raise_refusal() -> None:
    call = current()
    refusal, call.refusal = call.refusal, None  # which has the frames that have the call
    if refusal is not None:
        raise refusal
