"""The metrics that only the cache has."""

from dataclasses import asdict

from souk_common.telemetry.metrics import Metrics

from souk_cache.cache import Cache

EVENTS = "souk.cache.events"
ENTRIES = "souk.cache.memory.entries"
BYTES = "souk.cache.memory.bytes"
EVICTIONS = "souk.cache.memory.evictions"
COHERENT = "souk.cache.coherent"
NAMESPACE = "souk.cache.namespace"
EVENT = "souk.cache.event"


def register(metrics: Metrics, cache: Cache) -> None:
    """Export what happens in each namespace, and what memory holds."""
    metrics.counters(
        EVENTS,
        "{event}",
        "What happened in each namespace.",
        lambda: [
            (count, {NAMESPACE: name, EVENT: event})
            for name, counts in cache.counts.items()
            for event, count in asdict(counts).items()
        ],
    )
    metrics.gauge(ENTRIES, "{value}", "Values in memory.", lambda: len(cache.memory))
    metrics.gauge(BYTES, "By", "What they take.", lambda: cache.memory.bytes)
    metrics.counters(EVICTIONS, "{value}", "Values that had to make room.", lambda: [(cache.memory.evicted, {})])
    metrics.gauge(COHERENT, "1", "1 where this node knows of every invalidation.", lambda: int(cache.node.coherence.fresh))
