"""The metrics that only imaging has."""

from souk_common.telemetry.metrics import Metrics

from souk_imaging.adapters.workers import WorkerPool
from souk_imaging.processing import Processor

WORKERS_BUSY = "souk.imaging.workers.busy"
WORKERS_RESTARTS = "souk.imaging.workers.restarts"
PHOTOS_QUEUED = "souk.imaging.photos.queued"
PHOTOS_IN_WORK = "souk.imaging.photos.in_work"
PHOTOS = "souk.imaging.photos"
BYTES_IN = "souk.imaging.bytes.received"
BYTES_OUT = "souk.imaging.bytes.stored"
VARIANT_SECONDS = "souk.imaging.variant.encode.time"
RESULT = "souk.imaging.result"
FORMAT = "souk.imaging.format"


def register(metrics: Metrics, workers: WorkerPool, processor: Processor) -> None:
    """Export what the workers and the processor do."""
    totals = processor.totals
    metrics.gauge(WORKERS_BUSY, "{worker}", "Workers at work.", lambda: workers.busy)
    metrics.counters(WORKERS_RESTARTS, "{worker}", "Workers replaced.", lambda: [(workers.restarts, {})])
    metrics.gauge(PHOTOS_QUEUED, "{photo}", "Photos that wait for a worker.", lambda: workers.queued)
    metrics.gauge(PHOTOS_IN_WORK, "{photo}", "Photos accepted and not finished.", lambda: processor.backlog)
    metrics.counters(PHOTOS, "{photo}", "Photos by result.", lambda: [(n, {RESULT: r}) for r, n in totals.photos.items()])
    metrics.counters(BYTES_IN, "By", "Bytes of photos received.", lambda: [(totals.bytes_in, {})])
    metrics.counters(
        BYTES_OUT, "By", "Bytes of variants stored, by format.", lambda: [(n, {FORMAT: f}) for f, n in totals.bytes_out.items()]
    )
    metrics.counters(
        VARIANT_SECONDS, "s", "Encoding, by format.", lambda: [(n, {FORMAT: f}) for f, n in totals.encode_seconds.items()]
    )
