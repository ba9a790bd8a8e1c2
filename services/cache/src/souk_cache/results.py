"""What is asked of the cache, and what it answers."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """Where a value came from."""

    MEMORY = "memory"
    REDIS = "redis"
    LOADER = "loader"


class Freshness(Enum):
    """What is known of a value."""

    FRESH = "fresh"
    STALE = "stale"
    """Past its TTL. Only for callers who allow it."""
    UNVERIFIED = "unverified"
    """From memory, while this node cannot know of invalidations."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the order of one partition's mutations."""

    partition: int
    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class Description:
    """What a near cache must know of a value."""

    position: Position
    """It was right there."""
    remaining: float
    """Seconds that it is fresh from now on."""
    tags: tuple[str, ...]
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lease:
    """There is no fresh value, and the caller is the one who may load it."""

    token: str
    source: int | None
    """What the load must see at least: the highest source token of an invalidation of the namespace."""
    stale: "Hit | None" = None
    """What there was, for a caller who allows it."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A value."""

    data: bytes | None
    """None: it is known that there is nothing."""
    level: Level
    freshness: Freshness
    age: float
    version: int | None
    description: Description
    key: str = ""
    """The key, where an alias was read."""
    refresh: Lease | None = None
    """The right to load it anew before its TTL is over."""


@dataclass(frozen=True, slots=True)
class Wait:
    """There is no fresh value, and another loads it."""

    seconds: float
    """Until that lease is over at the latest."""


@dataclass(frozen=True, slots=True)
class Miss:
    """There is no value."""


Result = Hit | Lease | Wait | Miss


class FillStatus(Enum):
    """What came of a fill or a put."""

    STORED = "stored"
    LEASE_LOST = "lease"
    """The lease is over, was another's, or never was."""
    INVALIDATED = "tainted"
    """What was loaded is older than an invalidation: it may be shown to who waits for it, and is not cached."""
    OLDER = "older"
    """There is a newer version."""
    RELEASED = "released"
    """The lease was given back."""


@dataclass(frozen=True, slots=True)
class Read:
    """How a caller wants to read."""

    wait: float | None = None
    """Seconds to wait for a value that another loads. None: as long as a load by the loader may take, else not at all."""
    lease: bool = True
    """Take the right to load where nobody has it."""
    allow_stale: bool = False
    after: tuple[Position, ...] = ()
    """See at least these mutations."""
    load: bool = False
    """Have the namespace's loader load it."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be stored."""

    data: bytes | None
    """None: there is nothing."""
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    ttl: float | None = None
    version: int | None = None
    load_seconds: float = 0.0
    """How long loading took."""
