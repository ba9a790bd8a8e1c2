"""Requests that are decoded and stored at once: how many, and how much of them is here."""

import contextlib
from collections.abc import Iterator


class FullError(Exception):
    """There is no room for one more."""


class Room:
    """Takes requests in while there are fewer than `most`, and less than `most_bytes` of all of them is here."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self.count = 0
        self.bytes = 0

    @contextlib.contextmanager
    def place(self, size: int) -> Iterator["Place"]:
        """Room for a body of so many bytes while the context lasts. FullError, which a single one never meets."""
        if self.count >= self._most or self.bytes >= self._most_bytes:
            raise FullError
        self.count += 1
        place = Place(self)
        place.holds(size)
        try:
            yield place
        finally:
            place.holds(0)
            self.count -= 1


class Place:
    """That of one request."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._bytes = 0

    def holds(self, size: int) -> None:
        """It has so many bytes now."""
        self._room.bytes += size - self._bytes
        self._bytes = size
