"""Core dataclasses <-> proto messages."""

from google.protobuf.duration_pb2 import Duration
from souk.cache.v1 import cache_pb2 as pb

from souk_cache.counts import Counts
from souk_cache.namespaces import Consistency, Namespace
from souk_cache.protocol import CLIENTS, NODES
from souk_cache.results import Content, Description, FillStatus, Freshness, Hit, Lease, Level, Position, Read, Result, Wait
from souk_cache.rpc.validate import seconds

FRESHNESS = {
    Freshness.FRESH: pb.FRESHNESS_FRESH,
    Freshness.STALE: pb.FRESHNESS_STALE,
    Freshness.UNVERIFIED: pb.FRESHNESS_UNVERIFIED,
}
LEVELS = {Level.MEMORY: pb.LEVEL_MEMORY, Level.REDIS: pb.LEVEL_REDIS, Level.LOADER: pb.LEVEL_LOADER}
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
    wait = seconds(options.wait) if options.HasField("wait") else None
    return Read(wait, options.lease, options.allow_stale, after(options), options.load)


def after(options: pb.ReadOptions) -> tuple[Position, ...]:
    """What a read must see."""
    return tuple(Position(each.partition, each.epoch, each.sequence) for each in options.after.positions)


def content(request: pb.FillRequest | pb.PutRequest, *, load_seconds: float = 0.0) -> Content:
    """What is to be stored."""
    return Content(
        request.value if request.HasField("value") else None,
        tuple(request.tags),
        tuple(request.aliases),
        seconds(request.ttl) if request.HasField("ttl") else None,
        request.version if request.HasField("version") else None,
        load_seconds,
    )


def level(asked: pb.InvalidationLevel.ValueType) -> int:
    """Who is waited for."""
    return CLIENTS if asked == pb.INVALIDATION_LEVEL_CLIENTS else NODES


def result(found: Result, *, describe: bool = False) -> pb.Result:
    """The message of a result."""
    match found:
        case Hit():
            if found.data is None:
                negative = pb.NegativeHit(
                    freshness=FRESHNESS[found.freshness],
                    age=span(found.age),
                    level=LEVELS[found.level],
                    description=_description(found.description) if describe else None,
                )
                return pb.Result(negative=negative)
            return pb.Result(hit=_hit(found, found.data, describe=describe))
        case Lease():
            return pb.Result(lease=_lease(found))
        case Wait():
            return pb.Result(wait=pb.Wait(lease_remaining=span(found.seconds)))
    return pb.Result(miss=pb.Miss())


def token(positions: tuple[Position, ...]) -> pb.ConsistencyToken:
    """The message of a token."""
    return pb.ConsistencyToken(positions=map(_position, positions))


def invalidation(position: pb.Position, names: tuple[str, ...]) -> pb.Invalidation:
    """The message of what was invalidated."""
    message = pb.Invalidation(position=position)
    for name in names:
        kind, rest = name[0], name[1:]
        space, _, own = rest.partition(":")
        if kind == "+":
            message.tags.append(rest)
        elif kind == "=":
            message.namespaces.append(rest)
        elif kind == "~":
            message.aliases.add(namespace=space, alias=own)
        else:
            message.keys.add(namespace=space, key=own)
    return message


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
        loads=counts.loads,
        loads_failed=counts.loads_failed,
        refreshes=counts.refreshes,
    )


def namespace(space: Namespace) -> pb.Namespace:
    """The message of a namespace."""
    return pb.Namespace(
        name=space.name,
        ttl=span(space.ttl),
        negative_ttl=span(space.negative_ttl),
        stale_for=span(space.stale_for),
        consistency=CONSISTENCIES[space.consistency],
        max_value_bytes=space.max_value_bytes,
        alias_kinds=space.aliases,
        loader=space.loader.method if space.loader else "",
        jitter=space.jitter,
        refresh_beta=space.refresh_beta,
        unverified_ttl=span(space.unverified_ttl) if space.consistency is Consistency.AVAILABLE else None,
        load_lease=span(space.lease_seconds),
        compress=space.compress,
        time_buckets=space.time_buckets,
        bucket_grace=span(space.bucket_grace) if space.time_buckets else None,
        warm_hottest=space.warm_hottest,
    )


def _hit(found: Hit, data: bytes, *, describe: bool = False) -> pb.Hit:
    return pb.Hit(
        value=data,
        freshness=FRESHNESS[found.freshness],
        age=span(found.age),
        level=LEVELS[found.level],
        version=found.version,
        key=found.key,
        description=_description(found.description) if describe else None,
        refresh=_lease(found.refresh) if found.refresh is not None else None,
    )


def _lease(given: Lease) -> pb.Lease:
    stale = _hit(given.stale, given.stale.data) if given.stale is not None and given.stale.data is not None else None
    return pb.Lease(token=given.token, source_token=given.source, stale=stale)


def _description(of: Description) -> pb.Description:
    return pb.Description(position=_position(of.position), remaining=span(of.remaining), tags=of.tags, aliases=of.aliases)


def _position(of: Position) -> pb.Position:
    return pb.Position(partition=of.partition, epoch=of.epoch, sequence=of.seq)


def span(of: float) -> Duration:
    """The message of seconds."""
    message = Duration()
    message.FromMicroseconds(round(of * 1_000_000))
    return message
