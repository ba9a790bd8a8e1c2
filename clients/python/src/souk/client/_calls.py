"""Calls that raise the errors of this package, and nothing of gRPC."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Iterator
from typing import Any, TypeVar

import grpc
from souk.client._errors import from_rpc_error

T = TypeVar("T")


@contextlib.contextmanager
def typed_errors() -> Iterator[None]:
    """Raise what the body's call ended with as a SoukError."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None


async def typed(call: Awaitable[T]) -> T:
    """The answer of a call, or its typed error."""
    with typed_errors():
        return await call


async def responses(call: "grpc.aio.UnaryStreamCall[Any, T] | grpc.aio.StreamStreamCall[Any, T]") -> AsyncGenerator[T, None]:
    """The answers of a call that ends with the iteration, whichever way that ends."""
    try:
        with typed_errors():
            async for answer in call:
                yield answer
    finally:
        call.cancel()
