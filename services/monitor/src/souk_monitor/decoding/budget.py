"""What reading one request may cost: what is beyond it is left out of its events, and named, before any work goes into it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from souk_monitor.cutting import both_ends
from souk_monitor.stack_text import MOST_LINES, lines_in

T = TypeVar("T")
Kind = Literal["frames", "values", "lines", "bytes"]
OF_REQUEST: dict[Kind, int] = {"frames": 50_000, "values": 200_000, "lines": 100_000, "bytes": 32 * 1024 * 1024}
"""frames: of stacks. values: of attributes, contexts and local variables. lines: of texts of stacks that are read. bytes: of
what its events have in common, for each of them."""
OF_EVENT: dict[Kind, int] = {"frames": 1_000, "values": 10_240, "lines": MOST_LINES, "bytes": 1024 * 1024}
MOST_EXCEPTIONS = 200
"""Of one event."""
MOST_SOURCE = 20
"""Lines of source, before a frame's own and after it, that are looked at: more than are kept."""
FEWEST_FRAMES = 5
"""Of a stack that has as many, while there are any for the event."""


def share_of(stacks: int) -> int:
    """Frames of each of so many stacks of an event."""
    return max(FEWEST_FRAMES, OF_EVENT["frames"] // max(1, stacks))


@dataclass(slots=True)
class Budget:
    """Of one request. What limits.py allows by default, for each of a thousand events of a common size, is within it."""

    noted: list[str] = field(default_factory=list)
    """Paths of what is left out of the event that is read."""
    _request: dict[Kind, int] = field(default_factory=lambda: dict(OF_REQUEST))
    _event: dict[Kind, int] = field(default_factory=lambda: dict(OF_EVENT))

    def begin(self) -> None:
        """The next event is read."""
        self.noted = []
        self._event = dict(OF_EVENT)

    def take(self, kind: Kind, wanted: int) -> int:
        """How many of as many may be read."""
        granted = min(wanted, self._event[kind], self._request[kind])
        self._event[kind] -= granted
        self._request[kind] -= granted
        return granted

    def takes_whole(self, kind: Kind, wanted: int, path: str) -> bool:
        """Whether all of it may be read; none of it is to be otherwise."""
        if wanted <= self._event[kind] and wanted <= self._request[kind]:
            self.take(kind, wanted)
            return True
        self.noted.append(path)
        return False

    def exceptions(self, parts: Sequence[T]) -> Sequence[T]:
        """Those at both ends."""
        return self._ends(parts, MOST_EXCEPTIONS, "exceptions")

    def frames(self, parts: Sequence[T], path: str, stacks: int = 1) -> Sequence[T]:
        """Those at both ends of one of so many stacks."""
        return self._ends(parts, self.take("frames", min(len(parts), share_of(stacks))), path)

    def members(self, wanted: int, path: str) -> int:
        """How many members of an object or a list may be read."""
        granted = self.take("values", wanted)
        if granted < wanted:
            self.noted.append(path)
        return granted

    def left(self, kind: Kind) -> int:
        """How many the event may still have."""
        return min(self._event[kind], self._request[kind])

    def reads_stack(self, text: str) -> bool:
        """Whether the text of a stack may be read."""
        return bool(text) and self.takes_whole("lines", lines_in(text), "stack_text")

    def _ends(self, parts: Sequence[T], most: int, path: str) -> Sequence[T]:
        if len(parts) > most:
            self.noted.append(path)
        return both_ends(parts, most)
