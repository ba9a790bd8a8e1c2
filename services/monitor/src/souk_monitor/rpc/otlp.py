"""opentelemetry.proto.collector: logs and traces that any OpenTelemetry SDK exports.

Requests are parsed here and not by gRPC, which would answer INTERNAL to bytes that are no message.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from souk_common.call import annotate
from souk_common.server import Registration

from souk_monitor.decoding.mending import mended
from souk_monitor.decoding.otlp import Batch
from souk_monitor.decoding.otlp_exceptions import ReadStack
from souk_monitor.decoding.otlp_logs import LogDecoder
from souk_monitor.decoding.otlp_spans import SpanDecoder
from souk_monitor.events import Event
from souk_monitor.exceptions import MalformedError, ProjectUnknownError
from souk_monitor.ingest import TURN_SECONDS, Pipeline, Rejected
from souk_monitor.projects import Project, Projects

LOGS = "opentelemetry.proto.collector.logs.v1.LogsService"
TRACES = "opentelemetry.proto.collector.trace.v1.TraceService"
SCOPES = {f"/{service}/Export": "monitor.report" for service in (LOGS, TRACES)}
PROJECT_KEY = "souk-project"
"""The metadata that names the project of a call; the resource attribute souk.project is stronger."""
_REASONS = 5
"""Different reasons that an answer names."""

T = TypeVar("T")
Request = TypeVar("Request", logs_pb.ExportLogsServiceRequest, trace_pb.ExportTraceServiceRequest)
Response = logs_pb.ExportLogsServiceResponse | trace_pb.ExportTraceServiceResponse
Context = grpc.aio.ServicerContext[Any, Any]


class Export(Generic[Request]):
    """Export of one kind of signal."""

    def __init__(
        self,
        request: type[Request],
        steps: Callable[[Batch, Request, datetime], Generator[None, None, None]],
        answer: Callable[[int, str], Response],
        take: "Intake",
    ) -> None:
        self._request: type[Request] = request
        self._steps: Callable[[Batch, Request, datetime], Generator[None, None, None]] = steps
        self._answer = answer
        self._take = take

    async def export(self, body: bytes, context: Context) -> bytes:
        """Store the errors of a request."""
        request = await self._parsed(body)
        batch = Batch()
        await _in_turns(self._steps(batch, request, datetime.now(UTC)))
        rejected = await self._take(batch, _project_of(context))
        if rejected and not batch.events:
            raise MalformedError(_told(rejected))
        return self._answer(rejected.total(), _told(rejected)).SerializeToString()

    async def _parsed(self, body: bytes) -> Request:
        """The parser refuses a request whole for one text that is no UTF-8; such texts are mended."""
        request = self._request()
        try:
            request.ParseFromString(body)
        except DecodeError:
            try:
                request.ParseFromString(await _in_turns(mended(body, request.DESCRIPTOR)))
            except DecodeError:
                raise MalformedError("the request is no message of the protocol") from None
        return request


async def _in_turns(steps: Generator[None, None, T]) -> T:
    """What steps come to, with turns of others between them."""
    start = time.perf_counter()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if time.perf_counter() - start > TURN_SECONDS:
            await asyncio.sleep(0)
            start = time.perf_counter()


class Intake:
    """Puts the events of batches into their projects."""

    def __init__(self, pipeline: Pipeline, projects: Projects) -> None:
        self._pipeline = pipeline
        self._projects = projects

    async def __call__(self, batch: Batch, named: str) -> Counter[str]:
        """Why and how many errors were not taken. `named`: the project of what names none."""
        rejected = Counter(batch.rejected)
        events = sum(map(len, batch.events.values()))
        annotate(events=events, ignored=batch.ignored, rejected=rejected.total() or None)
        parts: list[tuple[Project, list[Event]]] = []
        for own, found in batch.events.items():
            project = await self._project(own or named, own, rejected, len(found))
            if project is not None:
                parts.append((project, found))
        return rejected + await self._submit(parts)

    async def _project(self, name: str, own: str, rejected: Counter[str], count: int) -> Project | None:
        """None where a resource names one that there is not: the others of the batch are taken all the same."""
        try:
            return await self._projects.by_name(name)
        except ProjectUnknownError as error:
            if not own:
                raise
            rejected[str(error)] += count
            return None

    async def _submit(self, parts: Sequence[tuple[Project, Sequence[Event]]]) -> Counter[str]:
        outcomes = await self._pipeline.submit_all(parts) if parts else []
        return Counter(outcome.message for outcome in outcomes if isinstance(outcome, Rejected))


def registrations(pipeline: Pipeline, projects: Projects, read_stack: ReadStack) -> list[Registration]:
    """LogsService and TraceService."""
    take = Intake(pipeline, projects)
    logs = Export(logs_pb.ExportLogsServiceRequest, LogDecoder(read_stack).steps, _logs_answer, take)
    spans = Export(trace_pb.ExportTraceServiceRequest, SpanDecoder(read_stack).steps, _spans_answer, take)
    return [_registration(LOGS, logs), _registration(TRACES, spans)]


def _registration(service: str, export: Export[Any]) -> Registration:
    def add(servicer: Any, server: Any) -> None:
        handler: Any = grpc.unary_unary_rpc_method_handler(servicer.export)
        server.add_registered_method_handlers(service, {"Export": handler})

    return Registration(add, export, service)


def _logs_answer(rejected: int, told: str) -> Response:
    """partial_success is left unset on full success, as the protocol asks."""
    if not rejected:
        return logs_pb.ExportLogsServiceResponse()
    partial = logs_pb.ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=told)
    return logs_pb.ExportLogsServiceResponse(partial_success=partial)


def _spans_answer(rejected: int, told: str) -> Response:
    if not rejected:
        return trace_pb.ExportTraceServiceResponse()
    partial = trace_pb.ExportTracePartialSuccess(rejected_spans=rejected, error_message=told)
    return trace_pb.ExportTraceServiceResponse(partial_success=partial)


def _told(rejected: Counter[str]) -> str:
    return "; ".join(f"{count} × {reason}" for reason, count in rejected.most_common(_REASONS))


def _project_of(context: Context) -> str:
    metadata: Any = context.invocation_metadata() or ()
    return next((str(value) for key, value in metadata if key == PROJECT_KEY), "")
