"""The metrics that only the cache has."""

from collections.abc import Callable
from dataclasses import asdict

from souk_common.telemetry.metrics import Metrics

from souk_cache.cache import Cache

EVENTS = "souk.cache.events"
ENTRIES = "souk.cache.memory.entries"
BYTES = "souk.cache.memory.bytes"
EVICTIONS = "souk.cache.memory.evictions"
COHERENT = "souk.cache.coherent"
WATCHERS = "souk.cache.watchers"
WARMING = "souk.cache.warming"
LOADS = "souk.cache.loads"
LOAD_DURATION_BUCKET = "souk.cache.load.duration.bucket"
LOAD_DURATION_SUM = "souk.cache.load.duration.sum"
LOAD_OUTCOME = "souk.cache.load.outcome"
NAMESPACE = "souk.cache.namespace"
EVENT = "souk.cache.event"


def register(metrics: Metrics, cache: Cache, watchers: Callable[[], int], warming: Callable[[], int]) -> None:
    """Export what happens in each namespace, and what memory holds."""
    metrics.methods(LOADS, LOAD_DURATION_BUCKET, LOAD_DURATION_SUM, LOAD_OUTCOME, NAMESPACE, cache.loads.methods)
    metrics.gauge(WARMING, "{key}", "Keys that wait to be warmed.", warming)
    metrics.counters(
        EVENTS,
        "{event}",
        "What happened in each namespace.",
        lambda: [
            (count, {NAMESPACE: name, EVENT: event})
            for name, counts in cache.counts.by_name.items()
            for event, count in asdict(counts).items()
        ],
    )
    memories = [partition.memory for partition in cache.partitions]
    metrics.gauge(ENTRIES, "{value}", "Values in memory.", lambda: sum(map(len, memories)))
    metrics.gauge(BYTES, "By", "What they take.", lambda: sum(memory.bytes for memory in memories))
    metrics.counters(
        EVICTIONS, "{value}", "Values that had to make room.", lambda: [(sum(memory.evicted for memory in memories), {})]
    )
    metrics.gauge(COHERENT, "1", "1 where this node knows of every invalidation.", lambda: int(cache.partitions.fresh))
    metrics.gauge(WATCHERS, "{stream}", "Near caches that are kept right by this node.", watchers)
