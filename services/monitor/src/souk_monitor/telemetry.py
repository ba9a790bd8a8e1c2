"""The metrics that only monitor has, and of which of its calls it does not tell itself."""

from collections.abc import Mapping

from souk_common.call import Call
from souk_common.postgres import Pool
from souk_common.telemetry.metrics import Metrics

from souk_monitor.ingest import Pipeline

EVENTS = "souk.monitor.events"
QUEUE_EVENTS = "souk.monitor.queue.events"
QUEUE_BYTES = "souk.monitor.queue.bytes"
BATCHES = "souk.monitor.batches"
CONNECTIONS = "souk.monitor.connections"
OUTCOME, POOL = "souk.monitor.outcome", "souk.monitor.pool"

_INGEST = (
    "/souk.monitor.v1.ErrorService/ReportError",
    "/opentelemetry.proto.collector.",
    "POST /api/",
    "GET /api/",
)
"""What the methods of calls begin with that bring errors in."""


def is_own_ingest(call: Call | None) -> bool:
    """Whether errors and spans of this call, or of none, are left out of what monitor tells itself: they would bring more in."""
    return call is None or call.method.startswith(_INGEST)


def register(metrics: Metrics, pipeline: Pipeline, pools: Mapping[str, Pool]) -> None:
    """Export what becomes of events, how many wait, and how many connections are in use."""
    counts = pipeline.counts
    metrics.counters(
        EVENTS,
        "{event}",
        "Events, by what became of them.",
        lambda: [(getattr(counts, name), {OUTCOME: name}) for name in ("stored", "repeated", "rejected", "turned_away", "failed")],
    )
    metrics.gauge(QUEUE_EVENTS, "{event}", "Events that wait to be stored, or are being stored.", lambda: pipeline.events)
    metrics.gauge(QUEUE_BYTES, "By", "Bytes of their bodies.", lambda: pipeline.bytes)
    metrics.counters(BATCHES, "{transaction}", "Transactions that stored events.", lambda: [(counts.batches, {})])
    metrics.gauges(
        CONNECTIONS,
        "{connection}",
        "Connections in use.",
        lambda: [(float(pool.status().in_use), {POOL: name}) for name, pool in pools.items()],
    )
