"""Whether an event is within its lengths as it is, which most are: to see that is much cheaper than to cut."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from operator import attrgetter

from souk_monitor.cutting import MAX_INT, NAMES, Lengths, longest
from souk_monitor.events import Event, ExceptionInfo, Frame, Json


class Measure:
    """Says for events whether `Cutting.whole` would change anything of them but their heads and what JSON cannot hold."""

    def __init__(self, lengths: Lengths) -> None:
        self._lengths = lengths
        self._left = lengths.values

    def fits(self, event: Event) -> bool:
        """Whether nothing is to be cut. No more values are looked at than an event may have."""
        lengths = self._lengths
        self._left = lengths.values
        return (
            len(event.message) <= lengths.message
            and len(event.template) <= lengths.message
            and longest(event.fingerprint) <= lengths.tag_value
            and len(event.exceptions) <= lengths.exceptions
            and all(map(self._exception, event.exceptions))
            and self._frames(event.stack)
            and self._object(event.contexts)
            and self._object(event.extra)
        )

    def _exception(self, exception: ExceptionInfo) -> bool:
        return (
            longest(_exception_names(exception)) <= self._lengths.name
            and len(exception.value) <= self._lengths.message
            and self._frames(exception.frames)
            and (not exception.extra or self._object(exception.extra))
        )

    def _frames(self, frames: Sequence[Frame]) -> bool:
        """What all frames have is looked at together."""
        lengths = self._lengths
        return (
            len(frames) <= lengths.frames
            and longest(chain.from_iterable(map(_frame_names, frames))) <= lengths.name
            and longest(map(_context_line, frames)) <= lengths.line
            and all(map(self._rest, frames))
        )

    def _rest(self, frame: Frame) -> bool:
        return (
            self._lines(frame.pre_context)
            and self._lines(frame.post_context)
            and (not frame.local_variables or self._object(frame.local_variables))
            and (not frame.extra or self._object(frame.extra))
        )

    def _lines(self, lines: Sequence[str]) -> bool:
        return not lines or (len(lines) <= self._lengths.lines and longest(lines) <= self._lengths.line)

    def _object(self, value: Mapping[str, Json], depth: int = 0) -> bool:
        self._left -= len(value)
        return (
            self._left >= 0
            and len(value) <= self._lengths.members
            and longest(value) <= self._lengths.name
            and self._values(value.values(), depth + 1)
        )

    def _values(self, values: Collection[Json], depth: int) -> bool:
        """depth: theirs. What is of no class of JSON's is to be cut, for it is to be made a text or a list."""
        limit = self._lengths.text
        if len(values) >= _SEVERAL and set(map(type, values)) == _TEXTS:
            return longest(values) <= limit
        for value in values:
            kind = value.__class__
            if kind is str:
                if len(value) > limit:
                    return False
            elif kind is dict:
                if depth >= self._lengths.depth or (value and not self._object(value, depth)):
                    return False
            elif kind is list:
                self._left -= len(value)
                if self._left < 0 or depth >= self._lengths.depth or len(value) > self._lengths.members:
                    return False
                if not self._values(value, depth + 1):
                    return False
            elif not _is_plain(value):
                return False
        return True


_TEXTS, _SEVERAL = {str}, 4
"""Of so many values it is quicker to look at their types together."""


def _is_plain(value: Json) -> bool:
    kind = value.__class__
    if kind is float:
        return math.isfinite(value)
    return value is None or kind is bool or (kind is int and -MAX_INT <= value < MAX_INT)


_exception_names: Callable[[ExceptionInfo], tuple[str, ...]] = attrgetter(*NAMES[ExceptionInfo])
_frame_names: Callable[[Frame], tuple[str, ...]] = attrgetter(*NAMES[Frame])
_context_line: Callable[[Frame], str] = attrgetter("context_line")
