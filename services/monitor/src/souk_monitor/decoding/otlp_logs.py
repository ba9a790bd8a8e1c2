"""Log records of OpenTelemetry: those with an exception, and those as grave as ERROR, are events."""

from collections.abc import Generator
from datetime import datetime

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from souk_monitor.decoding import otlp
from souk_monitor.decoding.lenient import text_of
from souk_monitor.decoding.occurrences import LogOccurrences, Positions, digest_of, kind_of, numbered
from souk_monitor.decoding.otlp_exceptions import MESSAGE, STACK, TYPE, ReadStack, exceptions_of, is_exception
from souk_monitor.decoding.otlp_severity import level_of
from souk_monitor.decoding.otlp_values import Resource, Scope, attributes_of, resource_of, scope_of, value_of
from souk_monitor.events import Event, Level, Source

_EXCEPTION_NAMES = frozenset({TYPE, MESSAGE, STACK})


class LogDecoder:
    """Decodes requests, one after the other."""

    def __init__(self, read_stack: ReadStack) -> None:
        self._read_stack = read_stack
        self._occurrences = LogOccurrences()

    def decode(self, request: ExportLogsServiceRequest, received: datetime) -> otlp.Batch:
        """The events of a request."""
        batch = otlp.Batch()
        for _ in self.steps(batch, request, received):
            pass
        return batch

    def steps(self, batch: otlp.Batch, request: ExportLogsServiceRequest, received: datetime) -> Generator[None, None, None]:
        """Put the events of a request into a batch, a record at each step, so that others may have their turn between them."""
        for of_resource in request.resource_logs:
            batch.budget.begin()
            resource = resource_of(of_resource.resource, batch.budget)
            for of_scope in of_resource.scope_logs:
                batch.budget.begin()
                scope = scope_of(of_scope.scope, batch.budget)
                for record in of_scope.log_records:
                    self._add(batch, resource, scope, record, received)
                    yield

    def _add(self, batch: otlp.Batch, resource: Resource, scope: Scope, record: LogRecord, received: datetime) -> None:
        level = level_of(record)
        if not _is_error(record, level):
            batch.ignored += 1
            return
        problem = otlp.bad_ids(record.trace_id, record.span_id)
        if problem:
            batch.rejected[problem] += 1
        elif batch.begin():
            event = self._event(batch, resource, scope, record, received)
            event.level = level or Level.ERROR
            batch.add(resource.project, event)

    def _event(self, batch: otlp.Batch, resource: Resource, scope: Scope, record: LogRecord, received: datetime) -> Event:
        budget = batch.budget
        attributes = attributes_of(record.attributes, budget)
        nanoseconds = record.time_unix_nano or record.observed_time_unix_nano
        event = otlp.event_of(resource, scope, Source.OTLP_LOG, otlp.time_of(nanoseconds, received), budget)
        event.trace_id, event.span_id = _digits(record.trace_id), _digits(record.span_id)
        event.message = text_of(value_of(record.body, budget)) or record.event_name
        event.transaction = text_of(attributes.pop("http.route", None))
        otlp.take_known(event, attributes)
        if is_exception(attributes):
            event.exceptions = exceptions_of(attributes, resource.platform, self._read_stack, budget)
        event.stack = otlp.code_of(attributes) if not event.exceptions else ()
        known = {"record": {"event_name": record.event_name} if record.event_name else {}, "attributes": attributes}
        event.contexts = {**event.contexts, **{name: each for name, each in known.items() if each}}
        event.event_id = self._id_of(batch.positions, event, resource, record, nanoseconds)
        return event

    def _id_of(self, positions: Positions, event: Event, resource: Resource, record: LogRecord, nanoseconds: int) -> str:
        if event.exceptions and event.span_id:
            kind = kind_of(event.trace_id, event.span_id, event.exceptions[-1])
            return self._occurrences.id_of(kind, positions.next_of(kind, nanoseconds))
        whole = digest_of((resource.identity, event.logger, record.SerializeToString(deterministic=True)))
        time, position = positions.next_of(whole, nanoseconds)
        return numbered(whole, f"{time}.{position}")


def _is_error(record: LogRecord, level: Level | None) -> bool:
    return (level or 0) >= Level.ERROR or any(attribute.key in _EXCEPTION_NAMES for attribute in record.attributes)


def _digits(given: bytes) -> str:
    return given.hex() if any(given) else ""
