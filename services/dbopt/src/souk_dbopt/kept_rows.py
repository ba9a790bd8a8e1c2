"""What the cache keeps of a query: its rows, and what must be known of them before they are shown again."""

import zlib
from dataclasses import dataclass

from souk_dbopt.catalogue import Query
from souk_dbopt.consistency import Position
from souk_dbopt.exceptions import ConsistencyTokenInvalidError
from souk_dbopt.executing import Rows

FORM = b"souk-rows-1"
_NOWHERE = "-"


def shape(query: Query) -> str:
    """Tells apart rows of which one cannot stand for the other: of another version, or with other columns. Queries that share their
    keys, as those that find a user, have the same."""
    columns = [f"{column.name} {column.type}" for column in query.columns] or [query.name]
    return f"{zlib.crc32(f'{query.version} {columns}'.encode()):08x}"


@dataclass(frozen=True, slots=True)
class KeptRows:
    """Rows, and of when they are. As bytes: a line of what else is known, and the JSON."""

    shape: str
    count: int
    position: Position
    """A read that has seen this has seen what this one saw."""
    seen: Position | None
    """They are of a moment at which a server was past this. None: not known."""
    text: str
    """A JSON array of objects."""

    @classmethod
    def of(cls, query_shape: str, rows: Rows) -> "KeptRows | None":
        """What a server returned; None for what is of the cache itself."""
        return None if rows.position is None else cls(query_shape, rows.count, rows.position, rows.seen, rows.text)

    def encode(self) -> bytes:
        """What is stored."""
        head = f" {self.shape} {self.count} {self.position} {self.seen or _NOWHERE}\n"
        return FORM + head.encode() + self.text.encode()

    @classmethod
    def decode(cls, data: bytes) -> "KeptRows | None":
        """None for what something else has stored."""
        head, _, text = data.partition(b"\n")
        try:
            form, rows_shape, count, position, seen = head.decode().split(" ")
            at = Position.parse(position)
            if form.encode() != FORM or at is None:
                return None
            before = None if seen == _NOWHERE else Position.parse(seen)
            return cls(rows_shape, int(count), at, before, text.decode())
        except (ValueError, ConsistencyTokenInvalidError):
            return None
