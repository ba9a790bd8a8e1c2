"""The handlers that generated code registers: collected, and made anew around another behavior."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Handlers: TypeAlias = "Mapping[str, Handler]"


UNDECODABLE = object()
"""Stands for a request whose bytes are no message of its type: gRPC itself would answer UNKNOWN."""


class Collector:
    """Stands in for a server where generated code registers its handlers, and keeps them."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Nothing: the registered handlers are the same ones."""

    def add_registered_method_handlers(self, service: str, handlers: Handlers) -> None:
        """Keep the handlers by their full names."""
        self.handlers.update({f"/{service}/{name}": handler for name, handler in handlers.items()})


def behavior_of(handler: Handler) -> Callable[..., Any]:
    """The servicer's method, of whichever of the four kinds."""
    found = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    if found is None:
        raise TypeError("a handler without a behavior")
    return found


def remade(handler: Handler, behavior: Callable[..., Any]) -> Handler:
    """A handler of the same kind and the same messages with another behavior, which may be given UNDECODABLE."""
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    made: Handler = make(behavior, _deserializer(handler.request_deserializer), _serializer(handler.response_serializer))
    return made


def _deserializer(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    if deserialize is None:
        return None
    known: Callable[[bytes], Any] = deserialize

    def read(body: bytes) -> Any:
        try:
            return known(body)
        except DecodeError:
            return UNDECODABLE

    return read


def _serializer(serialize: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    """A servicer may answer with the bytes of its response, where it can make them for less than a message costs."""
    if serialize is None:
        return None
    return lambda response: response if type(response) is bytes else serialize(response)
