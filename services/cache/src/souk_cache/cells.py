"""When names were invalidated, as far as a node knows: one cell for each name that an entry in memory carries."""

from weakref import WeakValueDictionary, getweakrefs

from souk_cache.untracked import untrack

SHARDS = 64
"""A dict of a million names that grows stops the process for 30 ms; one of these for less than one."""


class Cell:
    """When one name was last invalidated, as far as this node knows. Shared by all entries that carry the name."""

    __slots__ = ("__weakref__", "name", "seq")

    def __init__(self, name: str) -> None:
        self.name = name
        self.seq = 0


class Cells:
    """The cells of all names that something in memory carries, and of no others."""

    def __init__(self) -> None:
        self._shards: dict[int, WeakValueDictionary[str, Cell]] = {}

    def find(self, name: str) -> Cell | None:
        """The cell of a name; None where nothing carries it."""
        shard = self._shards.get(hash(name) % SHARDS)
        return None if shard is None else shard.get(name)

    def of(self, names: tuple[str, ...]) -> tuple[Cell, ...]:
        """The cells of names, for an entry that is kept."""
        found = []
        for name in names:
            cell = None if name.startswith("#") else self.find(name)  # a key is removed by itself, nobody looks for its cell
            if cell is None:
                cell = Cell(name)
                if not name.startswith("#"):
                    self._shards.setdefault(hash(name) % SHARDS, WeakValueDictionary())[name] = cell
                for reference in getweakrefs(cell):
                    untrack(reference)
                untrack(cell)
            found.append(cell)
        return tuple(found)
