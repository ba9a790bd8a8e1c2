"""For the tests of every service: a real server in the test's own loop, a real OTLP collector, and a clock that is set."""

import asyncio
import contextlib
import io
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import orjson
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from souk_common import telemetry
from souk_common.server import Addresses, OpenApp, S, serving

T = TypeVar("T")


class FakeClock:
    """A clock that stands until it is moved."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds


class LogLines(io.RawIOBase):
    """Takes log lines, and lets a test wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self._written = b""
        self._changed = threading.Condition()

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Take what the log's thread writes."""
        with self._changed:
            self._written += bytes(data)
            self._changed.notify_all()
        return len(data)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Every line so far, parsed."""
        with self._changed:
            return [orjson.loads(line) for line in self._written.splitlines()]

    async def wait_for(self, wanted: Callable[[dict[str, Any]], bool], timeout: float = 10.0) -> dict[str, Any]:
        """The first line that is wanted, as soon as it is there; TimeoutError where it does not come."""

        def wait() -> dict[str, Any]:
            with self._changed:
                found: list[dict[str, Any]] = []
                if not self._changed.wait_for(lambda: _first(found, self.lines, wanted), timeout):
                    raise TimeoutError(f"no such line among {len(self.lines)}")
                return found[0]

        return await asyncio.to_thread(wait)


def _first(found: list[dict[str, Any]], lines: list[dict[str, Any]], wanted: Callable[[dict[str, Any]], bool]) -> bool:
    found[:] = [line for line in lines if wanted(line)][:1]
    return bool(found)


@dataclass
class RunningServer:
    """A service in the test's event loop."""

    addresses: Addresses
    log: LogLines
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    def channel(self, credentials: grpc.ChannelCredentials | None = None, **options: Any) -> grpc.aio.Channel:
        """A new channel to it, closed with it."""
        arguments = [(f"grpc.{name}", value) for name, value in options.items()]
        address = self.addresses.grpc
        channel = (
            grpc.aio.secure_channel(address, credentials, options=arguments)
            if credentials
            else grpc.aio.insecure_channel(address, options=arguments)
        )
        self.channels.append(channel)
        return channel

    @property
    def http_url(self) -> str:
        """The root of its HTTP."""
        return f"http://{self.addresses.http}"


@contextlib.asynccontextmanager
async def running_server(settings: S, name: str, open_app: OpenApp[S]) -> AsyncIterator[RunningServer]:
    """Serve in this loop while the body runs, then drain."""
    lines = LogLines()
    reporting = telemetry.setup(settings, name, stream=lines)  # type: ignore[arg-type]  # write() is all that is used
    try:
        async with serving(settings, open_app, reporting) as addresses:
            running = RunningServer(addresses, lines)
            try:
                yield running
            finally:
                await asyncio.gather(*(channel.close() for channel in running.channels))
    finally:
        await asyncio.to_thread(reporting.close)


class Collector:
    """A real OTLP collector that keeps what it gets."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.spans: list[Span] = []
        self.metrics: list[Metric] = []
        self.records: list[LogRecord] = []
        self._changed = asyncio.Condition()

    async def span(self, wanted: Callable[[Span], bool], timeout: float = 10.0) -> Span:
        """The first span that is wanted, as soon as it is there."""
        return await self._wait(lambda: next(filter(wanted, self.spans), None), timeout)

    async def metric(self, name: str, timeout: float = 10.0) -> Metric:
        """The newest metric of this name, as soon as there is one."""
        return await self._wait(lambda: next((m for m in reversed(self.metrics) if m.name == name), None), timeout)

    async def record(self, wanted: Callable[[LogRecord], bool], timeout: float = 10.0) -> LogRecord:
        """The first log record that is wanted, as soon as it is there."""
        return await self._wait(lambda: next(filter(wanted, self.records), None), timeout)

    async def _wait(self, find: Callable[[], T | None], timeout: float) -> T:
        async with asyncio.timeout(timeout), self._changed:
            while (found := find()) is None:
                await self._changed.wait()
            return found

    async def take(self, spans: Sequence[Span] = (), metrics: Sequence[Metric] = (), records: Sequence[LogRecord] = ()) -> None:
        """Keep what an export brought."""
        async with self._changed:
            self.spans += spans
            self.metrics += metrics
            self.records += records
            self._changed.notify_all()


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    async def Export(self, request: Any, context: Any) -> Any:
        spans = [s for resource in request.resource_spans for scope in resource.scope_spans for s in scope.spans]
        await self._collector.take(spans)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    async def Export(self, request: Any, context: Any) -> Any:
        metrics = [m for resource in request.resource_metrics for scope in resource.scope_metrics for m in scope.metrics]
        await self._collector.take(metrics=metrics)
        return metrics_service_pb2.ExportMetricsServiceResponse()


class _Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    async def Export(self, request: Any, context: Any) -> Any:
        records = [r for resource in request.resource_logs for scope in resource.scope_logs for r in scope.log_records]
        await self._collector.take(records=records)
        return logs_service_pb2.ExportLogsServiceResponse()


@contextlib.asynccontextmanager
async def collecting(port: int = 0) -> AsyncIterator[Collector]:
    """A collector while the body runs. port: 0 for a free one."""
    collector = Collector()
    server = grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(collector), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(collector), server)
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(_Logs(collector), server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(None)
