"""Fails in many ways, and reports each by every SDK as it is: `report_failures.py DSN HOST:PORT PROJECT`.

Each failure happens once, in a span that records it on its way out, and is logged there (`both`). Where it is handled it also goes
to Sentry's SDK, to souk.client, through the native rpc as the interpreter prints it, and, in spans of their own, to OpenTelemetry
as a log record alone and as an event of the span alone. Prints the names and the ways, as JSON.
"""

import contextlib
import json
import logging
import sys
import traceback
from collections.abc import Callable

import failures
import sentry_sdk
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from souk.client import Circumstances, MonitorReporter
from souk.monitor.v1 import error_pb2 as pb

WAYS = ("sentry", "client", "printed", "log", "span", "both")

log = logging.getLogger("shop.orders")


class Program:
    """All SDKs at once."""

    def __init__(self, dsn: str, grpc: str, project: str) -> None:
        sentry_sdk.init(dsn)
        self.reporter = MonitorReporter(grpc, project=project)
        resource = Resource.create({"service.name": "shop", "souk.project": project})
        self.logs, self.spans = LoggerProvider(resource=resource), TracerProvider(resource=resource)
        self.logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=grpc, insecure=True)))
        self.spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=grpc, insecure=True)))
        self.tracer = self.spans.get_tracer("shop")
        log.addHandler(LoggingHandler(logger_provider=self.logs))
        log.propagate = False

    def attempt(self, fail: Callable[[], object]) -> None:
        """Fail, as a request does that is traced."""
        name = fail.__name__
        both = told(name, "both")
        with contextlib.suppress(Exception), self.tracer.start_as_current_span(name, attributes=both):
            try:
                fail()
            except Exception as error:
                self.report(name, error)
                log.exception("%s failed", name, extra=both)
                raise

    def report(self, name: str, error: Exception) -> None:
        """By each way alone."""
        with sentry_sdk.new_scope() as scope:
            scope.set_tags(told(name, "sentry"))
            sentry_sdk.capture_exception(error)
        self.reporter.report(error, Circumstances(tags=told(name, "client")))
        text = "".join(traceback.format_exception(error))
        exception = pb.ExceptionReport(type=type(error).__name__, value=str(error), stack_text=text)
        self.reporter.take(pb.ErrorReport(platform="python", exceptions=[exception], tags=told(name, "printed")))
        with self.tracer.start_as_current_span(name):
            log.error("%s failed", name, exc_info=error, extra=told(name, "log"))
        with self.tracer.start_as_current_span(name, attributes=told(name, "span")) as span:
            span.record_exception(error)

    def close(self) -> None:
        """Send what waits."""
        sentry_sdk.flush(20)
        self.reporter.close(20)
        self.spans.shutdown()
        self.logs.shutdown()


def told(name: str, way: str) -> dict[str, str]:
    """What tells events apart."""
    return {"failure": name, "way": way}


def main(dsn: str, grpc: str, project: str) -> None:
    program = Program(dsn, grpc, project)
    for fail in failures.FAILURES:
        program.attempt(fail)
    program.close()
    print(json.dumps({"failures": [fail.__name__ for fail in failures.FAILURES], "ways": WAYS}))


if __name__ == "__main__":
    main(*sys.argv[1:])
