"""Exceptions while a stack text is read, and what becomes of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from souk_monitor.events import ExceptionInfo, Frame
from souk_monitor.functions import split_type

MOST_FRAMES = 1_000
"""Of a stack: what is more is left out in its middle, as most recursion is."""

MOST_EXCEPTIONS = 200
LONGEST_VALUE = 10_000


@dataclass(slots=True)
class Draft:
    """An exception that is being read."""

    type: str = ""
    lines: list[str] = field(default_factory=list)
    """Of its message."""
    frames: list[Frame] = field(default_factory=list)
    """In the order of the text."""
    cause: "Draft | None" = None
    members: list["Draft"] = field(default_factory=list)
    suppressed: list["Draft"] = field(default_factory=list)
    is_group: bool = False
    context: bool = False
    """Its cause is only what was being handled."""

    def add_line(self, line: str) -> None:
        """A line more of its message."""
        if len(self.lines) < 200:
            self.lines.append(line[:LONGEST_VALUE])

    @property
    def value(self) -> str:
        """Its message."""
        return "\n".join(self.lines).strip()[:LONGEST_VALUE]


def _bounded(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    if len(frames) <= MOST_FRAMES:
        return tuple(frames)
    return (*frames[: MOST_FRAMES // 2], *frames[-MOST_FRAMES // 2 :])


def _info(draft: Draft, separator: str, newest_first: bool) -> ExceptionInfo:
    module, kind = split_type(draft.type, separator)
    frames = draft.frames[::-1] if newest_first else draft.frames
    return ExceptionInfo(type=kind, module=module, value=draft.value, frames=_bounded(frames), is_group=draft.is_group)


def finish(root: Draft | None, *, separator: str = ".", newest_first: bool = True) -> tuple[ExceptionInfo, ...]:
    """Exceptions of a tree, causes first; numbered where there are groups."""
    if root is None:
        return ()
    listed: list[ExceptionInfo] = []
    numbered = False
    waiting: list[tuple[Draft, int | None, str]] = [(root, None, "")]
    while waiting and len(listed) < MOST_EXCEPTIONS:
        draft, parent, source = waiting.pop()
        info = _info(draft, separator, newest_first)
        info.exception_id, info.parent_id, info.source = len(listed), parent, source
        if source == "suppressed":
            info.mechanism = "suppressed"
        numbered = numbered or bool(draft.members or draft.suppressed)
        number = len(listed)
        listed.append(info)
        waiting.extend((one, number, "suppressed") for one in reversed(draft.suppressed))
        waiting.extend((one, number, f"exceptions[{index}]") for index, one in reversed(list(enumerate(draft.members))))
        if draft.cause is not None:
            waiting.append((draft.cause, number, "__context__" if draft.context else "__cause__"))
    if not numbered:
        for info in listed:
            info.exception_id = info.parent_id = None
    return tuple(reversed(listed))


def number_at(text: str) -> int:
    """A line's number; 0 where it is none or absurd."""
    return int(text) if text and len(text) <= 9 and text.isascii() and text.isdigit() else 0
