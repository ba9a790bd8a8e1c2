"""An imaging server in the test's own loop whose answers a test writes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from souk.imaging.v1 import imaging_pb2 as pb
from souk.imaging.v1 import imaging_pb2_grpc as pb_grpc

Handler: TypeAlias = Callable[..., Any]


class ScriptedImaging(pb_grpc.ImagingServiceServicer):
    """Answers each call with the next handler of `script`; the last one stays."""

    def __init__(self) -> None:
        self.script: list[Handler] = []
        self.calls: list[str] = []
        self.metadata: list[dict[str, Any]] = []
        self.target = ""

    def __getattribute__(self, name: str) -> Any:
        if name in {method.name for method in pb.DESCRIPTOR.services_by_name["ImagingService"].methods}:
            streams = name in {"WatchImage", "DownloadVariant"}
            return self._streamed(name) if streams else self._answered(name)
        return super().__getattribute__(name)

    def _next(self, name: str, context: Any) -> Handler:
        self.calls.append(name)
        self.metadata.append(dict(context.invocation_metadata()))
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def _answered(self, name: str) -> Callable[[Any, Any], Awaitable[Any]]:
        async def handle(request: Any, context: Any) -> Any:
            return await self._next(name, context)(request, context)

        return handle

    def _streamed(self, name: str) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def handle(request: Any, context: Any) -> AsyncIterator[Any]:
            async for answer in self._next(name, context)(request, context):
                yield answer

        return handle


@contextlib.asynccontextmanager
async def serving(servicer: ScriptedImaging, credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[ScriptedImaging]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    pb_grpc.add_ImagingServiceServicer_to_server(servicer, server)
    port = server.add_secure_port("localhost:0", credentials) if credentials else server.add_insecure_port("127.0.0.1:0")
    servicer.target = f"{'localhost' if credentials else '127.0.0.1'}:{port}"
    await server.start()
    try:
        yield servicer
    finally:
        await server.stop(None)


def rich(code: grpc.StatusCode, message: str, *details: Message) -> tuple[tuple[str, bytes], ...]:
    """The trailers of an error with these details."""
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    status = status_pb2.Status(code=code.value[0], message=message, details=packed)
    return (("grpc-status-details-bin", status.SerializeToString()),)


def info(reason: str, **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain="souk.imaging.v1", metadata=metadata)


def retry(seconds: float) -> error_details_pb2.RetryInfo:
    return error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=round(seconds * 1e9)))


async def abort(context: Any, code: grpc.StatusCode, reason: str, *details: Message, **metadata: str) -> None:
    """End a call as the service does."""
    await context.abort(code, f"text of {reason}", rich(code, f"text of {reason}", info(reason, **metadata), *details))


async def drain(requests: AsyncIterator[pb.UploadImageRequest]) -> list[pb.UploadImageRequest]:
    return [request async for request in requests]


async def reached(condition: Callable[[], bool]) -> None:
    """Come back as soon as the loop has made `condition` true."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)
