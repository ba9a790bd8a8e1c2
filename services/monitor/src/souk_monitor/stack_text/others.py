"""Stacks of Dart, and of Elixir and Erlang."""

import re
from collections.abc import Sequence
from itertools import takewhile

from souk_monitor.events import ExceptionInfo, Frame
from souk_monitor.stack_text.drafts import Draft, finish, number_at

_FLUTTER = "The following "
"""Begins the line in which Flutter says that something was thrown."""
_DART = re.compile(r"^#\d+ {1,10}(\S.*)\)$")
_DART_PLACE = re.compile(r"(.*?)(?::(\d+))?(?::\d+)?$")
_ELIXIR = re.compile(r"^\s+(?:\((\w+)(?: [^)]{0,50})?\) )?([^\s:][^:\n]{0,500}):(\d+): (\S.{0,500})$")
_RAISED = "an exception was raised:"
"""Of an exit for an exception, which is said in the next line."""
_ELIXIR_HEAD = re.compile(r"\*\* \(([\w.]+)\) ?(.*)$")


def detects_dart(text: str) -> bool:
    """Whether a text is a stack of Dart."""
    return bool(re.search(r"^#\d+ {4,10}\S.* \((?:package|dart|file|http)", text, re.MULTILINE))


def detects_elixir(text: str) -> bool:
    """Whether a text is a stack of Elixir."""
    return bool(re.search(r"^[ \t]*\*\* \(\w[\w.]*\)|^[ \t]+(?:\(\w+ [^)\n]*\) )?\S+\.(?:ex|exs|erl):\d+: ", text, re.MULTILINE))


def parse_dart(text: str) -> tuple[ExceptionInfo, ...]:
    """The exception of a text."""
    lines = text.splitlines()
    draft = _thrown(lines)
    said = bool(draft.lines)
    for line in lines:
        if found := _DART.match(line):
            function, _, place = found[1].rpartition(" (")
            at = _DART_PLACE.match(place)
            file, number = (at[1], number_at(at[2] or "")) if at else (place, 0)
            draft.frames.append(Frame(function=function, file=file, abs_path=file, line=number))
        elif not said and not draft.frames and line.strip() and not line.startswith("Unhandled exception"):
            kind, colon, value = line.partition(": ")
            draft.type = kind if colon and kind.isidentifier() and not draft.lines else draft.type
            draft.add_line(value if colon and kind.isidentifier() else line)
    return finish(draft) if draft.frames else ()


def _thrown(lines: Sequence[str]) -> Draft:
    """What Flutter says of an exception in its report, before the stack; nothing of other texts."""
    draft = Draft()
    begins = (number for number, line in enumerate(lines) if line.startswith(_FLUTTER) and " was thrown" in line)
    start = next(begins, len(lines))
    rest = iter(lines[start:])
    opened = 0
    for line in rest:  # it may be wrapped, and ends with a colon
        opened += line.count("(") - line.count(")")
        if line.startswith(_FLUTTER):
            kind = line.removeprefix(_FLUTTER).partition(" ")[0]
            draft.type = kind if kind.isidentifier() and not kind[0].islower() else ""
        if line.endswith(":") and opened <= 0:
            break
    for line in takewhile(str.strip, rest):
        draft.add_line(line)
    return draft


def parse_elixir(text: str) -> tuple[ExceptionInfo, ...]:
    """The exception of a text."""
    draft = Draft()
    for line in text.splitlines():
        if found := _ELIXIR.match(line):
            module, _, function = found[4].rpartition(".")
            module = module.rpartition(" in ")[2]  # anonymous fn/1 in Shop.Orders
            path, number, application = found[2], number_at(found[3]), found[1] or ""
            draft.frames.append(Frame(function, module, path, path, number, package=application))
        elif (found := _ELIXIR_HEAD.search(line)) and (not draft.type or draft.value == _RAISED):
            draft.type, draft.lines = found[1], [found[2]]
    return finish(draft) if draft.frames or draft.type else ()
