"""Telemetry by OpenTelemetry: traces, metrics and log lines out of every service. What fails here never fails a request.

Exporters are imported where there is something to export to: they take a tenth of a service's start.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, BinaryIO

import structlog
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from souk_common.settings import ServiceSettings
from souk_common.telemetry import logs, names, process
from souk_common.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from souk_common.telemetry.to_monitor import ToMonitor

EXPORT_TIMEOUT = 5
"""Seconds that one export may take."""
SHUTDOWN_SECONDS = 2.0
"""How long the last export may hold the end of the process up."""


@dataclass(slots=True)
class Telemetry:
    """What one service reports with. `open` starts it, `close` sends the rest."""

    tracer_provider: TracerProvider
    metrics: Metrics
    lag: process.LoopLag
    writer: logs.LineWriter
    spans: list[SpanProcessor] = field(default_factory=list)
    """What sends spans, to each who takes them."""
    to_monitor: "ToMonitor | None" = None
    """None: monitor is told nothing."""
    meter_provider: MeterProvider | None = None
    _endpoint: str | None = None
    _interval: float = 15.0

    def open(self) -> None:
        """Start the export of metrics; call it when every metric is registered."""
        if self._endpoint is None:
            return
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

        exporter = OTLPMetricExporter(endpoint=self._endpoint, insecure=_insecure(self._endpoint), timeout=EXPORT_TIMEOUT)
        reader = PeriodicExportingMetricReader(
            exporter, export_interval_millis=self._interval * 1000, export_timeout_millis=EXPORT_TIMEOUT * 1000
        )
        self.meter_provider = MeterProvider([reader], resource=self.tracer_provider.resource)
        self.metrics.register(self.meter_provider.get_meter("souk"))

    def close(self) -> None:
        """Send what is left, everywhere at once, for at most SHUTDOWN_SECONDS."""
        closing: list[Callable[[], object]] = [spans.shutdown for spans in self.spans]
        if self.to_monitor:
            closing.append(self.to_monitor.errors.close)
        if self.meter_provider:
            closing.append(self.meter_provider.shutdown)
        threads = [threading.Thread(target=close, name="telemetry-shutdown", daemon=True) for close in closing]
        for thread in threads:
            thread.start()
        until = time.monotonic() + SHUTDOWN_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            structlog.get_logger(__name__).warning("telemetry could not be sent in time")
        self.writer.close()


def setup(settings: ServiceSettings, service: str, *, stream: BinaryIO | None = None) -> Telemetry:
    """Telemetry of `service`. Log lines go to `stream`, or else to standard output."""
    resource = Resource.create({"service.name": f"souk-{service}", "service.version": _version(service)})
    to_monitor = None
    if settings.monitor_endpoint is not None:
        from souk_common.telemetry.to_monitor import ToMonitor

        token = settings.monitor_token.get_secret_value() if settings.monitor_token else None
        to_monitor = ToMonitor(settings.monitor_endpoint, resource, token)
    writer = logs.setup(service, settings.log_level, stream, to_monitor.errors if to_monitor else None)
    # the decision is made before, in rpc.py: what comes here without a parent is to be sampled
    provider = TracerProvider(sampler=ParentBased(ALWAYS_ON), resource=resource, shutdown_on_exit=False)
    spans: list[SpanProcessor] = [to_monitor.spans] if to_monitor else []
    endpoint = settings.otlp_endpoint
    if endpoint is not None:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(endpoint=endpoint, insecure=_insecure(endpoint), timeout=EXPORT_TIMEOUT)
        spans.append(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    for each in spans:
        provider.add_span_processor(each)
    metrics = Metrics()
    lag = process.LoopLag()
    process.register(metrics, lag)
    metrics.counters(names.LOG_LINES_DROPPED, "{line}", "Log lines that could not be written.", lambda: [(writer.dropped, {})])
    return Telemetry(provider, metrics, lag, writer, spans, to_monitor, None, endpoint, settings.metrics_interval)


def _version(service: str) -> str:
    try:
        return metadata.version(f"souk-{service}")
    except metadata.PackageNotFoundError:
        return ""


def _insecure(endpoint: str) -> bool:
    return not endpoint.startswith("https://")
