"""The shop that the cache is in front of: rows with versions, which take a while to read."""

import asyncio
import random
import struct
import time
from dataclasses import dataclass, field

_HEAD = struct.Struct(">dQ")
LONGEST_LOAD = 0.1


@dataclass(frozen=True)
class Row:
    """What a key of the cache stands for."""

    namespace: str
    key: str
    tag: str

    @property
    def name(self) -> str:
        """Its one name."""
        return f"{self.namespace}:{self.key}"


@dataclass(frozen=True)
class Seen:
    """What a value says of itself."""

    load_began: float
    version: int
    name: str


def seen(value: bytes) -> Seen:
    """Read a value."""
    began, version = _HEAD.unpack_from(value)
    return Seen(began, version, value[_HEAD.size :].decode())


@dataclass
class Database:
    """Rows, and how often each was written."""

    rows: list[Row]
    chance: random.Random
    loads: int = 0
    loading: list[Row] = field(default_factory=list)
    versions: dict[Row, int] = field(default_factory=dict)
    locks: dict[Row, asyncio.Lock] = field(default_factory=dict)
    """Held by a writer from its write until the cache knows of it."""

    def __post_init__(self) -> None:
        self.versions = dict.fromkeys(self.rows, 0)
        self.locks = {row: asyncio.Lock() for row in self.rows}

    def now(self, row: Row) -> bytes:
        """What a row has at this moment."""
        return _HEAD.pack(time.monotonic(), self.versions[row]) + row.name.encode()

    async def load(self, row: Row) -> bytes:
        """Read a row: what it had when the load began."""
        self.loads += 1
        value = self.now(row)
        self.loading.append(row)
        try:
            await asyncio.sleep(self.chance.random() ** 2 * LONGEST_LOAD)
        finally:
            self.loading.remove(row)
        return value

    def write(self, row: Row) -> None:
        """Commit a write."""
        self.versions[row] += 1
