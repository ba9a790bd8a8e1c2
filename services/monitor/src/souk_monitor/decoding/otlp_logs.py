"""Log records of OpenTelemetry: those with an exception, and those as grave as ERROR, are events."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from souk_monitor.decoding import otlp
from souk_monitor.decoding.lenient import text_of
from souk_monitor.decoding.occurrences import LogOccurrences, Positions, digest_of, kind_of, numbered
from souk_monitor.decoding.otlp_values import Resource, attributes_of, resource_of, value_of
from souk_monitor.events import Event, Level, Source

_ERROR = 17
"""SEVERITY_NUMBER_ERROR, the lowest of the four of that name."""
_LEVELS = (Level.DEBUG, Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR, Level.FATAL)
_NAMED = {"fatal": Level.FATAL, "critical": Level.FATAL, "error": Level.ERROR}
_EXCEPTION_NAMES = frozenset({otlp.TYPE, otlp.MESSAGE, otlp.STACK})


class LogDecoder:
    """Decodes requests, one after the other."""

    def __init__(self, read_stack: otlp.ReadStack) -> None:
        self._read_stack = read_stack
        self._occurrences = LogOccurrences()

    def decode(self, request: ExportLogsServiceRequest, received: datetime) -> otlp.Batch:
        """The events of a request."""
        batch = otlp.Batch()
        for _ in self.steps(batch, request, received):
            pass
        return batch

    def steps(self, batch: otlp.Batch, request: ExportLogsServiceRequest, received: datetime) -> Iterator[None]:
        """Put the events of a request into a batch, a record at each step, so that others may have their turn between them."""
        for of_resource in request.resource_logs:
            batch.budget.begin()
            resource = resource_of(of_resource.resource, batch.budget)
            for of_scope in of_resource.scope_logs:
                for record in of_scope.log_records:
                    self._add(batch, resource, of_scope.scope.name, record, received)
                    yield

    def _add(self, batch: otlp.Batch, resource: Resource, logger: str, record: LogRecord, received: datetime) -> None:
        if not _is_error(record):
            batch.ignored += 1
            return
        problem = otlp.bad_ids(record.trace_id, record.span_id)
        if problem:
            batch.rejected[problem] += 1
        elif batch.begin():
            batch.add(resource.project, self._event(batch, resource, logger, record, received))

    def _event(self, batch: otlp.Batch, resource: Resource, logger: str, record: LogRecord, received: datetime) -> Event:
        budget = batch.budget
        attributes = attributes_of(record.attributes, budget)
        nanoseconds = record.time_unix_nano or record.observed_time_unix_nano
        event = otlp.event_of(resource, Source.OTLP_LOG, otlp.time_of(nanoseconds, received), budget)
        event.logger = logger
        event.level = _level(record)
        event.trace_id, event.span_id = _digits(record.trace_id), _digits(record.span_id)
        event.message = text_of(value_of(record.body, budget))
        event.transaction = text_of(attributes.pop("http.route", None))
        otlp.take_known(event, attributes)
        if otlp.is_exception(attributes):
            event.exceptions = otlp.exceptions_of(attributes, resource.platform, self._read_stack, budget)
        event.stack = otlp.code_of(attributes) if not event.exceptions else ()
        if attributes:
            event.contexts = {**event.contexts, "attributes": attributes}
        event.event_id = self._id_of(batch.positions, event, resource, record, nanoseconds)
        return event

    def _id_of(self, positions: Positions, event: Event, resource: Resource, record: LogRecord, nanoseconds: int) -> str:
        if event.exceptions and event.span_id:
            kind = kind_of(event.trace_id, event.span_id, event.exceptions[-1])
            return self._occurrences.id_of(kind, positions.next_of(kind, nanoseconds))
        whole = digest_of((resource.identity, event.logger, record.SerializeToString(deterministic=True)))
        time, position = positions.next_of(whole, nanoseconds)
        return numbered(whole, f"{time}.{position}")


def _is_error(record: LogRecord) -> bool:
    if record.severity_number >= _ERROR or (not record.severity_number and record.severity_text.lower() in _NAMED):
        return True
    return any(attribute.key in _EXCEPTION_NAMES for attribute in record.attributes)


def _level(record: LogRecord) -> Level:
    number: Any = record.severity_number
    if not 1 <= number <= 24:
        return _NAMED.get(record.severity_text.lower(), Level.ERROR)
    return _LEVELS[(number + 3) // 4 - 1]


def _digits(given: bytes) -> str:
    return given.hex() if any(given) else ""
