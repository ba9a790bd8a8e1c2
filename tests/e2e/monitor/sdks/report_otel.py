"""Reports a failure of the shop by OpenTelemetry's SDK as it is: `report_otel.py ENDPOINT logs,spans,metrics`."""

import logging
import sys

import shop
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def main(endpoint: str, ways: list[str]) -> None:
    resource = Resource.create({"service.name": "shop", "service.version": "1.2", "deployment.environment.name": "test"})
    logs, spans = LoggerProvider(resource=resource), TracerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=endpoint, insecure=True)))
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True)))
    set_logger_provider(logs)
    logger = logging.getLogger("shop.orders")
    logger.addHandler(LoggingHandler(logger_provider=logs))
    logger.propagate = False

    def report(name: str, error: Exception) -> None:
        with spans.get_tracer("shop").start_as_current_span(name) as span:
            if "spans" in ways:
                span.record_exception(error)
            if "logs" in ways:
                logger.error("%s failed", name, exc_info=error)

    if "metrics" in ways:
        exporter = OTLPMetricExporter(endpoint=endpoint, insecure=True)
        metrics = MeterProvider([PeriodicExportingMetricReader(exporter)], resource=resource)
        metrics.get_meter("shop").create_counter("shop.orders").add(1)
        metrics.shutdown()
    shop.fail_in_every_way(report)
    spans.shutdown()
    logs.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2].split(","))
