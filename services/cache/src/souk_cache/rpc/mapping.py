"""Core dataclasses <-> proto messages."""

from google.protobuf.duration_pb2 import Duration
from souk.cache.v1 import cache_pb2 as pb

from souk_cache.cache import Counts, FillStatus, Freshness, Hit, Lease, Level, Read, Result, Wait
from souk_cache.namespaces import Consistency, Namespace
from souk_cache.protocol import Token
from souk_cache.rpc.validate import seconds

FRESHNESS = {
    Freshness.FRESH: pb.FRESHNESS_FRESH,
    Freshness.STALE: pb.FRESHNESS_STALE,
    Freshness.UNVERIFIED: pb.FRESHNESS_UNVERIFIED,
}
LEVELS = {Level.MEMORY: pb.LEVEL_MEMORY, Level.REDIS: pb.LEVEL_REDIS}
OUTCOMES = {
    FillStatus.STORED: pb.FILL_OUTCOME_STORED,
    FillStatus.LEASE_LOST: pb.FILL_OUTCOME_LEASE_LOST,
    FillStatus.INVALIDATED: pb.FILL_OUTCOME_INVALIDATED,
    FillStatus.OLDER: pb.FILL_OUTCOME_OLDER,
    FillStatus.RELEASED: pb.FILL_OUTCOME_RELEASED,
}
CONSISTENCIES = {
    Consistency.STRICT: pb.CONSISTENCY_STRICT,
    Consistency.AVAILABLE: pb.CONSISTENCY_AVAILABLE,
}


def read_from(options: pb.ReadOptions) -> Read:
    """How a caller wants to read."""
    after = Token(options.after.epoch, options.after.sequence) if options.HasField("after") else None
    return Read(seconds(options.wait), options.lease, options.allow_stale, after)


def result(found: Result) -> pb.Result:
    """The message of a result."""
    match found:
        case Hit():
            if found.data is None:
                negative = pb.NegativeHit(freshness=FRESHNESS[found.freshness], age=_span(found.age), level=LEVELS[found.level])
                return pb.Result(negative=negative)
            return pb.Result(hit=_hit(found, found.data))
        case Lease():
            stale = _hit(found.stale, found.stale.data) if found.stale is not None and found.stale.data is not None else None
            return pb.Result(lease=pb.Lease(token=found.token, source_token=found.source, stale=stale))
        case Wait():
            return pb.Result(wait=pb.Wait(lease_remaining=_span(found.seconds)))
    return pb.Result(miss=pb.Miss())


def token(made: Token) -> pb.ConsistencyToken:
    """The message of a token."""
    return pb.ConsistencyToken(epoch=made.epoch, sequence=made.seq)


def stats(name: str, counts: Counts) -> pb.NamespaceStats:
    """The message of a namespace's counts."""
    return pb.NamespaceStats(
        namespace=name,
        hits_memory=counts.hits_memory,
        hits_redis=counts.hits_redis,
        negatives=counts.negatives,
        stale_served=counts.stale_served,
        unverified_served=counts.unverified_served,
        misses=counts.misses,
        leases=counts.leases,
        waits=counts.waits,
        fills=counts.fills,
        fills_refused=counts.fills_refused,
        invalidations=counts.invalidations,
    )


def namespace(space: Namespace) -> pb.Namespace:
    """The message of a namespace."""
    return pb.Namespace(
        name=space.name,
        ttl=_span(space.ttl),
        negative_ttl=_span(space.negative_ttl),
        stale_for=_span(space.stale_for),
        consistency=CONSISTENCIES[space.consistency],
        max_value_bytes=space.max_value_bytes,
    )


def _hit(found: Hit, data: bytes) -> pb.Hit:
    return pb.Hit(
        value=data, freshness=FRESHNESS[found.freshness], age=_span(found.age), level=LEVELS[found.level], version=found.version
    )


def _span(of: float) -> Duration:
    message = Duration()
    message.FromMicroseconds(round(of * 1_000_000))
    return message
