"""What a service tells monitor over OTLP: the errors that it logs, and the spans of calls that are traced.

Metrics are not told, because monitor takes none. What fails here is lost, and nothing else fails.
"""

from collections.abc import Callable

from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from souk_common.call import CURRENT, Call
from souk_common.telemetry.error_reports import ErrorReports

SEND_TIMEOUT = 30
"""Seconds that a batch is tried to be sent; then it is lost."""
MAX_WAITING = 2048
"""Errors that wait to be sent, and spans; what is more is lost."""
_SPANS_DELAY_MS = 1000


class ToMonitor:
    """Sends from threads of its own, in batches.

    `leave_out` says of which calls nothing is told, and whether of what is of none: monitor must not tell itself of its own ingest.
    """

    def __init__(self, endpoint: str, resource: Resource, token: str | None = None) -> None:
        """endpoint: OTLP/gRPC, as http://host:50054. token: to call with, where auth is on."""
        insecure = not endpoint.startswith("https://")
        headers = {"authorization": f"Bearer {token}"} if token else None
        self.leave_out: Callable[[Call | None], bool] = lambda _: False
        self.errors = ErrorReports(
            OTLPLogExporter(endpoint=endpoint, insecure=insecure, headers=headers, timeout=SEND_TIMEOUT),
            resource,
            max_waiting=MAX_WAITING,
            is_left_out=self._is_left_out,
        )
        self.spans = _Spans(
            OTLPSpanExporter(endpoint=endpoint, insecure=insecure, headers=headers, timeout=SEND_TIMEOUT), self._is_left_out
        )

    def _is_left_out(self) -> bool:
        return self.leave_out(CURRENT.get())


class _Spans(BatchSpanProcessor):
    def __init__(self, exporter: OTLPSpanExporter, is_left_out: Callable[[], bool]) -> None:
        super().__init__(exporter, max_queue_size=MAX_WAITING, schedule_delay_millis=_SPANS_DELAY_MS)
        self._is_left_out = is_left_out

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span, in the context of the call that it is of."""
        if not self._is_left_out():
            super().on_end(span)
