"""The metrics that only dbopt has."""

from collections.abc import Iterator

from souk_common.postgres import PoolStatus
from souk_common.telemetry.metrics import Metrics

from souk_dbopt.dispatching import Dispatcher
from souk_dbopt.plan_watch import PlanWatch
from souk_dbopt.popularity import Popularity
from souk_dbopt.result_cache import ResultCounts
from souk_dbopt.routing import Router

CONNECTIONS = "souk.dbopt.connections"
WAITING = "souk.dbopt.waiting"
ACQUIRED = "souk.dbopt.acquired"
REFUSED = "souk.dbopt.refused"
TIMED_OUT = "souk.dbopt.acquire.timeouts"
LAG = "souk.dbopt.replica.lag"
SERVER_UP = "souk.dbopt.server.up"
ROUTED = "souk.dbopt.reads.routed"
CACHE_READS = "souk.dbopt.cache.reads"
OUTBOX_ROWS = "souk.dbopt.outbox.rows"
OUTBOX_AGE = "souk.dbopt.outbox.age"
OUTBOX_TOLD = "souk.dbopt.outbox.told"
OUTBOX_FAILURES = "souk.dbopt.outbox.failures"
PLAN_LOOKS = "souk.dbopt.plans.looks"
PLAN_TIME = "souk.dbopt.plans.time"
PLAN_BUDGET = "souk.dbopt.plans.budget"
POPULARITY_PRODUCTS = "souk.dbopt.popularity.products"
POPULARITY_CHANGED = "souk.dbopt.popularity.changed"
OUTCOME = "souk.dbopt.cache.outcome"
PLAN_OUTCOME = "souk.dbopt.plans.outcome"
SERVER, CLASS, STATE, ROUTE = "souk.dbopt.server", "souk.dbopt.class", "souk.dbopt.connection.state", "souk.dbopt.route"


def register(metrics: Metrics, router: Router) -> None:
    """Export what the connections do, and where reads with a token go."""

    def pools() -> Iterator[tuple[PoolStatus, dict[str, str]]]:
        for server in router.servers:
            for name, pool in server.pools.items():
                yield pool.status(), {SERVER: server.address, CLASS: name}

    metrics.gauges(
        CONNECTIONS,
        "{connection}",
        "Connections, by what they do.",
        lambda: [
            (float(count), {**labels, STATE: state})
            for status, labels in pools()
            for state, count in (("free", status.free), ("in_use", status.in_use), ("in_care", status.in_care))
        ],
    )
    metrics.gauges(
        WAITING, "{call}", "Callers who wait for a connection.", lambda: [(float(s.waiting), labels) for s, labels in pools()]
    )
    metrics.counters(ACQUIRED, "{call}", "Connections handed out.", lambda: [(s.acquired, labels) for s, labels in pools()])
    metrics.counters(REFUSED, "{call}", "Callers turned away at once.", lambda: [(s.refused, labels) for s, labels in pools()])
    metrics.counters(TIMED_OUT, "{call}", "Callers who waited in vain.", lambda: [(s.timeouts, labels) for s, labels in pools()])
    metrics.gauges(
        LAG,
        "s",
        "Seconds that a replica is behind the primary.",
        lambda: [(server.lag, {SERVER: server.address}) for server in router.servers if server.lag is not None],
    )
    metrics.gauges(
        SERVER_UP,
        "1",
        "1 where queries run on a server.",
        lambda: [(float(server.available), {SERVER: server.address}) for server in router.servers],
    )
    metrics.counters(
        ROUTED,
        "{call}",
        "Reads with a consistency token, by who answered.",
        lambda: [(router.counts.by_replica, {ROUTE: "replica"}), (router.counts.by_primary, {ROUTE: "primary"})],
    )


def register_cache(metrics: Metrics, counts: ResultCounts, dispatcher: Dispatcher) -> None:
    """Export what the cache of results saves, and how far the outbox is."""
    metrics.counters(
        CACHE_READS,
        "{call}",
        "Reads of queries with a cache policy, by what became of them.",
        lambda: [(getattr(counts, name), {OUTCOME: name}) for name in ("hits", "loads", "bypassed", "uncached")],
    )
    metrics.gauge(OUTBOX_ROWS, "{row}", "Writes that the cache is to be told of.", lambda: dispatcher.backlog.rows)
    metrics.gauge(OUTBOX_AGE, "s", "Age of the oldest of them.", lambda: dispatcher.backlog.seconds)
    metrics.counters(OUTBOX_TOLD, "{row}", "Writes that it was told of.", lambda: [(dispatcher.told, {})])
    metrics.counters(OUTBOX_FAILURES, "{attempt}", "Attempts that failed.", lambda: [(dispatcher.failures, {})])


def register_plans(metrics: Metrics, watch: PlanWatch) -> None:
    """Export what looking at plans finds, and what it costs."""
    names = ("captured", "run", "cut", "unaffordable", "failed")
    metrics.counters(
        PLAN_LOOKS,
        "{look}",
        "Looks at plans, by what became of them.",
        lambda: [(getattr(watch.counts, name), {PLAN_OUTCOME: name}) for name in names],
    )
    metrics.gauge(PLAN_BUDGET, "s", "Seconds of the database that looking at plans may still take.", lambda: watch.budget.left)
    metrics.counters(PLAN_TIME, "ms", "Milliseconds that it took.", lambda: [(round(watch.budget.spent * 1000), {})])


def register_popularity(metrics: Metrics, popularity: Popularity) -> None:
    """Export how far products' popularity is refreshed."""
    metrics.counters(POPULARITY_PRODUCTS, "{product}", "Products looked at.", lambda: [(popularity.total.products, {})])
    metrics.counters(POPULARITY_CHANGED, "{product}", "Those that had another one.", lambda: [(popularity.total.changed, {})])
