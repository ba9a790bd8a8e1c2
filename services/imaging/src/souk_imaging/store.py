"""The object store as the core sees it: flat keys, whole objects, ordered listing. adapters/ has disk and S3."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PIECE_BYTES = 256 * 1024
"""The largest piece that a read yields."""
_KEY = re.compile(r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._:~=-]{1,255}(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._:~=-]{1,255})*")
_MAX_KEY = 512


def check_key(key: str) -> str:
    """The key itself; ValueError where it is not one."""
    if len(key) > _MAX_KEY or not _KEY.fullmatch(key):
        raise ValueError(f"not a key: {key[:80]!r}")
    return key


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store knows of one object."""

    key: str
    """Its whole key."""
    size: int
    """In bytes."""


class ObjectStore(Protocol):
    """Where objects are kept.

    Keys are `/`-separated, 1 to 512 ASCII characters of `a-z A-Z 0-9 . _ : ~ = -` and `/`, no part of them is empty, `.` or
    `..`, and a part has at
    most 255 characters; another key is a ValueError. An object appears whole or not at all, and a reader of one that is replaced
    goes on with the
    one it began. Every method raises StoreUnavailableError where the store does not answer, and is safe to cancel.
    """

    async def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Store `data`, replacing what was there. Durable when it returns."""

    async def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        """Store a copy of the file; the file stays. Durable when it returns. Uses parts for a large file where the store has
        them."""

    async def get(self, key: str) -> bytes | None:
        """Return the whole object, or None where there is none. For small objects."""

    async def info(self, key: str) -> ObjectInfo | None:
        """Return what is known of the object, or None where there is none."""

    def read(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield `length` bytes (None: to the end) from `offset` in pieces of at most 256 KiB; KeyError where there is no such
        object."""

    async def fetch(self, key: str, path: Path) -> bool:
        """Write the object to the file at `path`; False where there is no such object."""

    def keys(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncGenerator[str, None]:
        """Yield the keys that begin with `prefix` and sort after `after`, in ASCII order, at most `limit` of them."""

    async def delete(self, key: str) -> None:
        """Delete the object; nothing happens where there is none."""

    async def delete_prefix(self, prefix: str) -> int:
        """Delete every object whose key begins with `prefix`, which must end with `/`; return how many there were."""

    async def check(self) -> None:
        """Return if the store can be read and written now; raise StoreUnavailableError if not."""

    async def close(self) -> None:
        """Give back connections and threads."""
