"""Spans of OpenTelemetry: each of their exceptions that is an error is an event."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from souk_monitor.cutting import shorten
from souk_monitor.decoding import otlp
from souk_monitor.decoding.budget import Budget
from souk_monitor.decoding.lenient import text_of
from souk_monitor.decoding.occurrences import SpanOccurrences, kind_of
from souk_monitor.decoding.otlp_exceptions import ReadStack, exceptions_of
from souk_monitor.decoding.otlp_values import Cost, Resource, Scope, attributes_of, resource_of, scope_of
from souk_monitor.decoding.span_exceptions import WayOut, WaysOut, errors_of
from souk_monitor.events import Event, Source

_INGEST = ("opentelemetry.proto.collector.", "souk.monitor.v1.ErrorService")
_OWN = "souk-monitor"
_LONGEST_NAME = 1024


class SpanDecoder:
    """Decodes requests. An exception that leaves several spans is an event of the first that is told of."""

    def __init__(self, read_stack: ReadStack) -> None:
        self._read_stack = read_stack
        self._ways_out = WaysOut()

    def decode(self, request: ExportTraceServiceRequest, received: datetime) -> otlp.Batch:
        """The events of a request."""
        batch = otlp.Batch()
        for _ in self.steps(batch, request, received):
            pass
        return batch

    def steps(self, batch: otlp.Batch, request: ExportTraceServiceRequest, received: datetime) -> Generator[None, None, None]:
        """Put the events of a request into a batch, one or a span at each step, so that others may have their turn between them."""
        failed: list[_Failed] = []
        for of_resource in request.resource_spans:
            batch.budget.begin()
            resource = resource_of(of_resource.resource, batch.budget)
            for of_scope in of_resource.scope_spans:
                batch.budget.begin()
                scope = scope_of(of_scope.scope, batch.budget)
                for span in of_scope.spans:
                    if (raised := errors_of(span)) and not _is_own_ingest(resource, span):
                        failed.append(_Failed(resource, scope, span, raised))
                    else:
                        batch.ignored += 1
                    yield
        failed.sort(key=lambda each: each.span.end_time_unix_nano)  # those within before those around, whatever scope they are of
        for each in failed:
            yield from self._add(batch, each, received)

    def _add(self, batch: otlp.Batch, failed: "_Failed", received: datetime) -> Generator[None, None, None]:
        resource, scope, span, raised = failed
        problem = otlp.bad_ids(span.trace_id, span.span_id)
        if problem or not (span.trace_id and span.span_id):
            batch.rejected[problem or "a span without its ids"] += 1
            return
        own = _Own.of(span, batch.budget)
        occurrences, way_out = SpanOccurrences(), WayOut()
        for each in raised:
            yield
            if not batch.begin():
                continue
            event = self._event(batch.budget, resource, scope, own, each, received)
            kind = kind_of(event.trace_id, event.span_id, event.exceptions[-1])
            last = event.exceptions[-1]
            left_before = self._ways_out.passes(span, kind_of(event.trace_id, "", last), last.frames)
            if way_out.passes(kind, last.frames) or left_before:
                continue
            event.event_id = occurrences.id_of(kind)
            batch.add(resource.project, event)

    def _event(
        self, budget: Budget, resource: Resource, scope: Scope, own: "_Own", raised: Span.Event, received: datetime
    ) -> Event:
        attributes = attributes_of(raised.attributes, budget)
        of_span = own.attributes if own.cost.charged(budget, "contexts.span") else {}
        event = otlp.event_of(resource, scope, Source.OTLP_SPAN, otlp.time_of(raised.time_unix_nano, received), budget)
        event.trace_id, event.span_id = own.trace_id, own.span_id
        event.transaction = own.route or own.name
        otlp.take_known(event, {**of_span, **attributes})
        attributes.pop("error_id", None)
        event.exceptions = exceptions_of(attributes, resource.platform, self._read_stack, budget)
        more = {"attributes": attributes, "span": {"name": own.name, **of_span}}
        event.contexts = {**event.contexts, **{name: value for name, value in more.items() if value}}
        return event


class _Failed(NamedTuple):
    """A span with exceptions that are errors."""

    resource: Resource
    scope: Scope
    span: Span
    raised: list[Span.Event]


@dataclass(frozen=True, slots=True)
class _Own:
    """What the events of a span have in common."""

    name: str
    trace_id: str
    span_id: str
    route: str
    attributes: Mapping[str, Any]
    cost: Cost

    @classmethod
    def of(cls, span: Span, budget: Budget) -> Self:
        """Read once for all of them."""
        budget.begin()
        left = budget.left("values")
        attributes = attributes_of(span.attributes, budget)
        cost = Cost(left - budget.left("values"), span.status.ByteSize() + sum(each.ByteSize() for each in span.attributes))
        if span.status.message:
            attributes["status_message"] = span.status.message
        name = shorten(span.name, _LONGEST_NAME)
        return cls(name, span.trace_id.hex(), span.span_id.hex(), text_of(attributes.get("http.route")), attributes, cost)


def _is_own_ingest(resource: Resource, span: Span) -> bool:
    """Monitor that exports to itself must not report what it takes in."""
    return resource.service == _OWN and span.name.lstrip("/").startswith(_INGEST)
