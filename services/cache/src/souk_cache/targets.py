"""What a read or a write is of, and the names that invalidate it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from souk_cache.loading import Loaded, Wanted
from souk_cache.memory import Entry
from souk_cache.namespaces import Namespace
from souk_cache.partitions import Partition
from souk_cache.protocol import ALIAS
from souk_cache.results import Content, Description, Freshness, Hit, Level, Position


@dataclass(frozen=True, slots=True)
class Target:
    """What is read: a key, or an alias that stands for one."""

    space: Namespace
    partition: Partition
    full: str
    """Where it is kept."""
    alias_name: str = ""
    """The name that invalidates it, where it is an alias."""

    @property
    def wanted(self) -> Wanted:
        """As a loader is asked for it."""
        name = self.full[len(self.space.name) + 1 :]
        return Wanted(self.space, alias=name) if self.alias_name else Wanted(self.space, key=name)


@dataclass(frozen=True, slots=True)
class Named:
    """What an invalidation names."""

    keys: Sequence[tuple[str, str]] = ()
    """(namespace, key)"""
    aliases: Sequence[tuple[str, str]] = ()
    """(namespace, alias)"""
    tags: Sequence[str] = ()
    """Over all namespaces."""
    namespaces: Sequence[str] = ()


def loaded_hit(target: Target, loaded: Loaded, freshness: Freshness) -> Hit:
    """What was loaded, as it is shown to who waits for it; no near cache may keep it."""
    content = loaded.content
    description = Description(Position(target.partition.index, "", 0), 0.0, content.tags, content.aliases)
    return Hit(content.data, Level.LOADER, freshness, 0.0, content.version, description, loaded.key)


def has_name(entry: Entry, name: str) -> bool:
    """Whether an invalidation of a name concerns an entry."""
    return any(cell.name == name for cell in entry.tags)


def alias_key(space: Namespace, alias: str) -> str:
    """Where it is kept which key an alias stands for."""
    return f"{space.name}{ALIAS}{alias}"


def alias_names(space: Namespace, aliases: Iterable[str]) -> tuple[str, ...]:
    """What invalidates aliases, each once."""
    return tuple(f"~{space.name}:{space.alias(alias)}" for alias in dict.fromkeys(aliases))


def names_of(target: Target, content: Content) -> tuple[str, ...]:
    """What invalidates a value."""
    own = target.alias_name or f"#{target.full}"
    tags = (f"+{tag}" for tag in dict.fromkeys(content.tags))
    return (f"={target.space.name}", own, *tags, *alias_names(target.space, content.aliases))


def description(target: Target, epoch: str, seq: int, remaining: float, names: Sequence[str]) -> Description:
    """What a near cache has to know of a value. remaining: seconds that it is fresh; names: what invalidates it."""
    prefix = f"~{target.space.name}:"
    return Description(
        Position(target.partition.index, epoch, seq),
        max(0.0, remaining),
        tuple(name[1:] for name in names if name.startswith("+")),
        tuple(name[len(prefix) :] for name in names if name.startswith(prefix)),
    )
