"""A service for the tests of what all services share: it echoes, waits, fails and watches."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from souk_common.call import CURRENT, annotate
from souk_common.errors import FieldViolation, ServiceError, invalid_fields
from souk_common.health import Dependency
from souk_common.server import Application, Registration
from souk_common.settings import ServiceSettings
from souk_common.telemetry import Telemetry

SERVICE = "souk.test.v1.EchoService"
KINDS = {
    "Echo": grpc.unary_unary_rpc_method_handler,
    "Join": grpc.stream_unary_rpc_method_handler,
    "Count": grpc.unary_stream_rpc_method_handler,
    "Chat": grpc.stream_stream_rpc_method_handler,
    "Wait": grpc.unary_unary_rpc_method_handler,
    "Fail": grpc.unary_unary_rpc_method_handler,
    "Watch": grpc.unary_stream_rpc_method_handler,
    "FailLate": grpc.unary_stream_rpc_method_handler,
}


class EchoError(Exception):
    """An exception of the core that the table knows."""


class EchoChildError(EchoError):
    """One that it knows by its parent."""


class Echo:
    """The servicer; remembers what befell its calls."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.remaining: float | None = None

    async def Echo(self, request: StringValue, context: Any) -> StringValue:
        annotate(said=request.value)
        call = CURRENT.get()
        self.remaining = call.remaining() if call else None
        return request

    async def Join(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        return StringValue(value=" ".join([each.value async for each in requests]))

    async def Count(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        for number in range(int(request.value)):
            yield StringValue(value=str(number))

    async def Chat(self, requests: AsyncIterator[StringValue], context: Any) -> AsyncIterator[StringValue]:
        async for each in requests:
            yield each

    async def Wait(self, request: StringValue, context: Any) -> StringValue:
        self.waiting.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return request

    async def Fail(self, request: StringValue, context: Any) -> StringValue:
        match request.value:
            case "table":
                raise EchoChildError("by the table")
            case "fields":
                raise invalid_fields([FieldViolation("a", "must be b"), FieldViolation("c.d", "must be e")])
            case "abort":
                await context.abort(grpc.StatusCode.OUT_OF_RANGE, "by the servicer")
            case "timeout":
                raise TimeoutError
            case _:
                raise ZeroDivisionError("secret detail")

    async def Watch(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield request
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def FailLate(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield request
        raise EchoError("late")


def add_to_server(servicer: Echo, server: Any) -> None:
    """As generated code does it."""
    handlers = {
        name: make(getattr(servicer, name), StringValue.FromString, StringValue.SerializeToString) for name, make in KINDS.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


def application(servicer: Echo, *dependencies: Dependency, http: Any = None) -> Any:
    """What opens the service."""

    @contextlib.asynccontextmanager
    async def open_app(settings: ServiceSettings, reporting: Telemetry) -> AsyncIterator[Application]:
        yield Application(
            "echo",
            [Registration(add_to_server, servicer, SERVICE)],
            errors={EchoError: lambda error: ServiceError(grpc.StatusCode.ABORTED, "ECHO", str(error), domain="souk.test.v1")},
            scopes={f"/{SERVICE}/Echo": "echo.read"},
            dependencies=dependencies,
            http=http,
            long_lived=frozenset({f"/{SERVICE}/Watch"}),
        )

    return open_app


class Stub:
    """A client of it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        to, fro = StringValue.SerializeToString, StringValue.FromString
        self.unary = {name: channel.unary_unary(f"/{SERVICE}/{name}", to, fro) for name in ("Echo", "Wait", "Fail", "Missing")}
        self.join = channel.stream_unary(f"/{SERVICE}/Join", to, fro)
        self.chat = channel.stream_stream(f"/{SERVICE}/Chat", to, fro)
        self.stream = {name: channel.unary_stream(f"/{SERVICE}/{name}", to, fro) for name in ("Count", "Watch", "FailLate")}

    async def call(self, name: str, value: str = "x", **options: Any) -> str:
        """One unary call."""
        return str((await self.unary[name](StringValue(value=value), **options)).value)
