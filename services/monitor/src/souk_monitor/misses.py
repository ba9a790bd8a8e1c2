"""What was looked for and not found, for some seconds: whoever asks for it again and again is no work for the database."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Misses(Generic[K]):
    """Remembers keys. The oldest go where there are too many."""

    def __init__(self, seconds: float, most: int, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._until: OrderedDict[K, float] = OrderedDict()

    def add(self, key: K) -> None:
        """It was not there."""
        self._until[key] = self._clock() + self._seconds
        self._until.move_to_end(key)
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def __contains__(self, key: object) -> bool:
        until = self._until.get(key)  # type: ignore[arg-type]
        return until is not None and until > self._clock()

    def clear(self) -> None:
        """All may be there now."""
        self._until.clear()
