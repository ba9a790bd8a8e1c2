"""Namespaces: what is cached for how long, and how far it may be believed when Redis is gone."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from souk_cache.exceptions import AliasKindUnknownError, NamespaceUnknownError, TimeBucketUnreadableError
from souk_cache.time_buckets import bucket_of
from souk_cache.values import Value


class Consistency(Enum):
    """What a namespace does while this node cannot know of invalidations."""

    STRICT = "strict"
    """It answers UNAVAILABLE."""
    AVAILABLE = "available"
    """It goes on from memory, and says that the values are not verified."""


LEASE_MARGIN = 1.0
"""Seconds that a lease outlasts the longest load by: what storing the value, and clocks that run apart, may take."""


@dataclass(frozen=True, slots=True)
class LoaderPolicy:
    """Who loads the values of a namespace, and how long that may take. Spans are in seconds."""

    target: str
    """host:port, or a gRPC name such as dns:///dbopt:50053."""
    method: str
    """package.Service/Method that takes a LoadRequest."""
    list_method: str = ""
    """package.Service/Method that takes a ListKeysRequest. Empty: it lists nothing."""
    soft_timeout: float = 0.05
    """A caller who takes a stale value gets it after so long; loading goes on."""
    hard_timeout: float = 2.0
    """Loading is given up after so long."""
    concurrency: int = 32
    """Values that one node loads at once."""
    tls: bool = False
    """TLS with the authorities that gRPC knows."""
    tls_ca_file: Path | None = None
    """PEM file of the authorities that the loader's certificate must be of. Set: TLS."""
    tls_cert_file: Path | None = None
    """PEM file of this service's own certificate, for mTLS."""
    tls_key_file: Path | None = None
    """PEM file of its private key."""
    tls_server_name: str | None = None
    """The name that the loader's certificate is checked for, where it is not that of the target."""
    token_file: Path | None = None
    """File with the token that is sent with every call. Refused without TLS, unless the target is this machine."""
    allow_plaintext: bool = False
    """Send the token without TLS to another machine, where something else protects the connection."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One kind of thing that is cached. Spans are in seconds."""

    name: str
    ttl: float
    """A value is fresh for so long."""
    negative_ttl: float = 30.0
    """So is the knowledge that there is nothing."""
    jitter: float = 0.1
    """Share of a TTL by which it is made shorter at random, so that what was loaded together does not expire together."""
    stale_for: float = 0.0
    """A value may be served, flagged as stale, for so long after its TTL to callers who allow it."""
    load_lease: float = 5.0
    """How long one loader may take before another is let in."""
    consistency: Consistency = Consistency.STRICT
    unverified_ttl: float = 60.0
    """In an available namespace without Redis, memory is believed for so long."""
    max_value_bytes: int = 1024 * 1024
    compress: bool = True
    """Values of 1 KiB and more are kept as zstd in Redis, where that is smaller."""
    aliases: Mapping[str, bool] = field(default_factory=dict)
    """Kinds of aliases that its keys may have -> whether upper and lower case of A to Z are the same."""
    time_buckets: bool = False
    """Its keys end with a span of time, and values of one that is not closed are fresh until it is, at most."""
    bucket_grace: float = 60.0
    """A bucket counts as open for so long after its end: late events come in."""
    loader: LoaderPolicy | None = None
    """None: callers load what is missing."""
    refresh_beta: float = 1.0
    """How eagerly a value is loaded anew before its TTL is over; 0: never."""
    warm_hottest: int = 0
    """Keys that a node warms after its start: those that were read most before."""

    @property
    def lease_seconds(self) -> float:
        """How long a lease of its keys lasts: long enough for its own loader."""
        return max(self.load_lease, self.loader.hard_timeout + LEASE_MARGIN) if self.loader else self.load_lease

    def alias(self, given: str) -> str:
        """An alias <kind>:<name> as it is compared; AliasKindUnknownError where the namespace has no such kind."""
        kind, colon, name = given.partition(":")
        ignores_case = self.aliases.get(kind)
        if ignores_case is None or not colon or not name:
            known = ", ".join(f"{each}:…" for each in self.aliases) or "none"
            raise AliasKindUnknownError(f"{given[:64]!r} is no alias of {self.name}; it has {known}", known=known)
        return f"{kind}:{_lower(name) if ignores_case else name}"

    def check_key(self, key: str) -> None:
        """TimeBucketUnreadableError where a key must end with a time bucket, and does not."""
        if self.time_buckets:
            bucket_of(key)

    def fresh_for(self, *, negative: bool, asked: float | None, chance: float) -> float:
        """The TTL of a value, with jitter by `chance` (0 to 1). A caller may ask for less than the namespace has, not for more."""
        ttl = self.negative_ttl if negative else self.ttl
        if asked is not None:
            ttl = min(ttl, asked)
        return ttl * (1.0 - self.jitter * chance)

    def within_bucket(self, key: str, value: Value, *, stored: float) -> Value:
        """A value, fresh no longer than its time bucket allows. stored: when it was stored, in seconds of the Unix epoch.

        Whoever stores it and whoever reads it asks, for it is under way for a while. What has no bucket is not fresh: it was stored
        before the namespace had them.
        """
        if not self.time_buckets:
            return value
        try:
            bucket = bucket_of(key)
        except TimeBucketUnreadableError:
            return replace(value, fresh_for=0.0)
        loaded = stored - value.load_seconds
        allowed = bucket.fresh_for(value.fresh_for, loaded=loaded, stored=stored, grace=self.bucket_grace)
        return value if allowed >= value.fresh_for else replace(value, fresh_for=allowed)


class Namespaces:
    """All that this service knows."""

    def __init__(self, known: Mapping[str, Namespace]) -> None:
        self._known = dict(known)

    def get(self, name: str) -> Namespace:
        """The namespace of a name; NamespaceUnknownError where there is none."""
        found = self._known.get(name)
        if found is None:
            raise NamespaceUnknownError(f"no namespace is called {name[:64]!r}", known=", ".join(sorted(self._known)))
        return found

    def all(self) -> list[Namespace]:
        """All of them, by name."""
        return [self._known[name] for name in sorted(self._known)]


def _lower(name: str) -> str:
    """With A to Z made small, and nothing else: other letters' cases do not always name the same (ß is not ss)."""
    return name.encode().lower().decode()
