"""Stacks of JavaScript: V8 (Node, Chrome) with causes and aggregates as Node prints them, and those of Firefox and Safari."""

import re
from dataclasses import dataclass

from souk_monitor.events import ExceptionInfo, Frame
from souk_monitor.stack_text.drafts import Draft, finish, number_at

_AT = re.compile(r"^(\s*)at (\S.*)$")
_CAUSE = re.compile(r"^(\s*)\[cause\]: (.*)$")
_ERRORS = re.compile(r"^(\s*)\[errors\]: \[\s*(.*)$")
_NO_ERRORS = frozenset(("undefined", "null", "true", "false"))
_ELIDED = re.compile(r"^\s*\.\.\. (\d+) lines matching cause stack trace \.\.\.")
_HEADER = re.compile(
    r"^(?:(?:error: )?Uncaught (?:\(in promise\) )?|\(in promise\) )?((?:[^\W\d]|\$)[\w$.]{0,200})(?: \[(\w{1,100})\])?(?:: (.*)|$)"
)
_REFERENCE = re.compile(r"<ref \*\d+> ")
"""Before an error that has itself in it."""

_GECKO = re.compile(r"^\s*([^@\n]{0,500})@(\S.*)$")
_GECKO_PLACE = re.compile(r"(?:[\w.+-]+:/|/|\[native code\]|native|<anonymous>|\w+:\d+)|.*:\d+$")


def detects(text: str) -> bool:
    """Whether a text is one: V8's `at f (file:1:2)`, or `f@file:1:2`."""
    return bool(
        re.search(r"^[ \t]*at .*(?::\d+:\d+|<anonymous>|native|index \d+)\)?(?:,| \{)?$", text, re.MULTILINE)
        or re.search(r"^[^\s@]*@\S+:\d+$", text, re.MULTILINE)
    )


def _place(text: str) -> tuple[str, int, int]:
    """File, line, column of `file:12:5`."""
    rest, _, last = text.rpartition(":")
    if not last.isdigit():
        return text, 0, 0
    file, _, line = rest.rpartition(":")
    if line.isdigit():
        return file, number_at(line), number_at(last)
    return rest, number_at(last), 0


def _frame(text: str) -> Frame:
    """Of what comes after `at `."""
    text = text.rstrip(" ,{]}").removeprefix("async ")
    function, found, place = text.partition(" (")
    if not found:
        file, line, column = _place(text)
        if not line and "/" not in file:
            return Frame(function=file, file="<anonymous>", abs_path="<anonymous>")
        return Frame(file=file, abs_path=file, line=line, column=column)
    place = place.removesuffix(")")
    if place.startswith("eval at "):
        place = "<anonymous>"
    file, line, column = _place(place.removeprefix("address at "))
    if place.startswith("index "):
        file = "<anonymous>"
    return Frame(function=function, file=file, abs_path=file, line=line, column=column)


@dataclass(slots=True)
class _Level:
    """An error that Node printed within another, and how far it is indented."""

    indent: int
    draft: Draft
    lists_members: bool = False


class _Reader:
    def __init__(self) -> None:
        self.root = Draft()
        self.levels = [_Level(-1, self.root)]
        self.before: list[str] = []
        self.elided: list[tuple[Draft, int, int]] = []

    def line(self, line: str) -> None:
        stripped = line.lstrip()
        indent = len(line) - len(stripped)
        if stripped.startswith("at ") and (found := _AT.match(line)):
            self.top(indent).draft.frames.append(_frame(found[2]))
        elif stripped.startswith("[cause]: ") and (found := _CAUSE.match(line)):
            if found[2] not in _NO_ERRORS:
                self._open(indent, found[2], is_member=False)
        elif stripped.startswith(("caused by: ", "Caused by: ")) and self.levels[-1].draft.frames:
            self._caused(indent, stripped[len("caused by: ") :])
        elif stripped.startswith("[errors]: [") and (found := _ERRORS.match(line)):
            level = self.top(indent)
            level.lists_members = level.draft.is_group = True
            if _HEADER.match(found[2].removeprefix("[")):  # and no `[Array]`, nor what is no error
                self._open(indent + 1, found[2], is_member=True)
        elif stripped.startswith("... ") and (found := _ELIDED.match(line)):
            draft = self.top(indent).draft
            self.elided.append((draft, len(draft.frames), number_at(found[1])))
        else:
            self._other(line, stripped, indent)

    def top(self, indent: int) -> _Level:
        """The error that a line with this indentation belongs to."""
        while len(self.levels) > 1 and self.levels[-1].indent >= indent:
            self.levels.pop()
        return self.levels[-1]

    def _open(self, indent: int, header: str, *, is_member: bool) -> None:
        parent = self.top(indent).draft
        draft = Draft()
        _head(draft, [header])
        if is_member:
            parent.members.append(draft)
        else:
            parent.cause = draft
        if len(self.levels) < 50:
            self.levels.append(_Level(indent, draft))

    def _caused(self, indent: int, header: str) -> None:
        """As libraries print the cause of what is above it."""
        draft = Draft()
        _head(draft, [header])
        self.levels[-1].draft.cause = draft
        if len(self.levels) < 50:
            self.levels.append(_Level(indent, draft))

    def _other(self, line: str, stripped: str, indent: int) -> None:
        if not self.root.frames and not self.root.is_group and len(self.levels) == 1:
            if len(self.before) < 400:
                self.before.append(line)
            return
        outer = next((level for level in reversed(self.levels) if level.indent < indent), self.levels[0])
        if outer.lists_members and _HEADER.match(stripped) and not stripped.endswith(("],", "]")):
            self._open(indent, stripped, is_member=True)
        elif len(self.levels) > 1 and not self.levels[-1].draft.frames:
            self.levels[-1].draft.add_line(line)


def _head(draft: Draft, lines: list[str]) -> None:
    """Type and message, of the lines before the stack: Node prints the source first, and [Error: …] where there is no stack."""
    lines = [_REFERENCE.sub("", line, count=1) if line.startswith("<ref ") else line for line in lines]
    lines = [line.removesuffix(" {").removesuffix("]")[1:] if line.startswith("[") else line for line in lines]
    start = next((index for index, line in enumerate(lines) if _begins(lines, index) and _HEADER.match(line)), None)
    if start is None:
        last = next((line for line in reversed(lines) if line.strip()), "").removeprefix("Uncaught ")
        found = _HEADER.match(last.strip())  # within a line of a log
        named = found is not None and found[3] and found[1].endswith(("Error", "Exception"))
        draft.type = found[1] if found and named else ""
        draft.add_line(found[3] if found and named else last)
        return
    found = _HEADER.match(lines[start])
    if found is None:
        return
    if found[3] is None and " " in lines[start].strip():
        draft.add_line(lines[start])
    else:
        name, beside = found[1], found[2] or ""
        draft.type = name if not beside or beside.isupper() else beside  # a code, ERR_…, or the name, beside that of its class
        draft.add_line(found[3] or "")
    for line in lines[start + 1 :]:
        draft.add_line(line)


def _begins(lines: list[str], index: int) -> bool:
    return index == 0 or not lines[index - 1].strip()


def _expand(draft: Draft, at: int, count: int) -> None:
    """Put back frames that Node left out because the cause has the same: those after the one that is before the gap."""
    cause = draft.cause
    if cause is None or not 0 < at <= len(draft.frames):
        return
    last = draft.frames[at - 1]
    index = next((index for index, frame in enumerate(cause.frames) if frame == last), None)
    if index is not None:
        draft.frames[at:at] = cause.frames[index + 1 : index + 1 + min(count, 1000)]


def _v8(text: str) -> tuple[ExceptionInfo, ...]:
    reader = _Reader()
    for line in text.splitlines():
        reader.line(line)
    _head(reader.root, reader.before)
    for draft, at, count in reversed(reader.elided[:50]):
        _expand(draft, at, count)
    return finish(reader.root) if reader.root.frames or reader.root.cause or reader.root.members else ()


def _gecko(text: str) -> tuple[ExceptionInfo, ...]:
    """Firefox and Safari: without message, or with it before."""
    draft = Draft()
    before: list[str] = []
    for line in text.splitlines():
        found = _GECKO.match(line)
        if found and _GECKO_PLACE.match(found[2]):
            place = found[2]
            if " line " in place and " > " in place:
                file, _, evaluated = place.partition(" line ")
                place = f"{file}:{evaluated.partition(' ')[0]}"
            file, number, column = _place(place)
            draft.frames.append(Frame(function=found[1], file=file, abs_path=file, line=number, column=column))
        elif not draft.frames and len(before) < 400:
            before.append(line)
        elif line.strip() == "[native code]":
            draft.frames.append(Frame(file="[native code]"))
    if before:
        _head(draft, before)
    return finish(draft) if draft.frames else ()


def parse(text: str) -> tuple[ExceptionInfo, ...]:
    """Errors of a stack, causes first."""
    return _v8(text) or _gecko(text)
