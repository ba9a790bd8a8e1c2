"""Namespaces: what is cached for how long, and how far it may be believed when Redis is gone."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from souk_cache.exceptions import NamespaceUnknownError


class Consistency(Enum):
    """What a namespace does while this node cannot know of invalidations."""

    STRICT = "strict"
    """It answers UNAVAILABLE."""
    AVAILABLE = "available"
    """It goes on from memory, and says that the values are not verified."""


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

    def fresh_for(self, *, negative: bool, asked: float | None, chance: float) -> float:
        """The TTL of a value, with jitter by `chance` (0 to 1). A caller may ask for less than the namespace has, not for more."""
        ttl = self.negative_ttl if negative else self.ttl
        if asked is not None:
            ttl = min(ttl, asked)
        return ttl * (1.0 - self.jitter * chance)


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
