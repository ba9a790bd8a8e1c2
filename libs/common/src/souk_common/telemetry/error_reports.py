"""Errors that a service logs, as log records of OpenTelemetry."""

import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import TraceFlags

from souk_common.call import CURRENT, Call
from souk_common.telemetry import names

_BATCH = 100
_DELAY_MS = 500
_SEVERITIES = {"error": SeverityNumber.ERROR, "critical": SeverityNumber.FATAL}
_OF_CALLS = frozenset((names.EVENT_RPC, names.EVENT_HTTP))
"""The canonical lines, which say of a call that has failed what was told before, and of one that was turned away nothing new."""
_OF_EXPORT = "opentelemetry"
"""What exporters say of a monitor that does not answer is not for monitor."""
_LEFT_OUT = frozenset((names.LOG_TIME, names.LOG_LEVEL, names.LOG_EVENT, names.LOG_LOGGER, "exc_info", "stack_info"))

Event = MutableMapping[str, Any]


class ErrorReports:
    """Takes lines of the levels error and critical on their way to the log, and sends them from a thread of its own."""

    def __init__(
        self, exporter: LogRecordExporter, resource: Resource, *, max_waiting: int, is_left_out: Callable[[], bool]
    ) -> None:
        """is_left_out: whether nothing is told of the call that is being served."""
        self._provider = LoggerProvider(resource, shutdown_on_exit=False)
        self._provider.add_log_record_processor(
            BatchLogRecordProcessor(
                exporter, schedule_delay_millis=_DELAY_MS, max_export_batch_size=_BATCH, max_queue_size=max_waiting
            )
        )
        self._is_left_out = is_left_out

    def __call__(self, _: Any, __: str, event: Event) -> Event:
        """Look at a line; it goes on as it is."""
        severity = _SEVERITIES.get(event.get(names.LOG_LEVEL, ""))
        if severity is not None and event.get(names.LOG_EVENT) not in _OF_CALLS:
            logger = str(event.get(names.LOG_LOGGER, ""))
            if logger.partition(".")[0] != _OF_EXPORT and not self._is_left_out():
                self._provider.get_logger(logger or "souk").emit(_record(event, severity, CURRENT.get()))
        return event

    def close(self) -> None:
        """Send what waits, as long as it takes: the caller has a limit."""
        self._provider.shutdown()


def _record(event: Event, severity: SeverityNumber, call: Call | None) -> LogRecord:
    record = LogRecord(
        timestamp=time.time_ns(),
        severity_number=severity,
        severity_text=str(event.get(names.LOG_LEVEL, "")).upper(),
        body=str(event.get(names.LOG_EVENT, "")),
        attributes={name: _plain(value) for name, value in event.items() if name not in _LEFT_OUT},
        exception=_exception(event.get("exc_info")),
    )
    if call is not None:
        record.trace_id, record.span_id = call.trace_id, call.span_id
        record.trace_flags = TraceFlags(TraceFlags.SAMPLED if call.traced else TraceFlags.DEFAULT)
    return record


def _exception(told: Any) -> BaseException | None:
    if isinstance(told, BaseException):
        return told
    if isinstance(told, tuple):
        return told[1] if isinstance(told[1], BaseException) else None
    return sys.exc_info()[1] if told else None


def _plain(value: Any) -> str | bool | int | float:
    return value if isinstance(value, str | bool | int | float) else repr(value)
