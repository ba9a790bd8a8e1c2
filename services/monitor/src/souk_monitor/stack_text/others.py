"""Panics of Rust with a backtrace, stacks of Dart, and of Elixir and Erlang."""

import re

from souk_monitor.events import ExceptionInfo, Frame
from souk_monitor.stack_text.drafts import Draft, finish, number_at

_RUST_PANIC = re.compile(r"^thread '[^'\n]{0,200}'(?: \(\d+\))? panicked at (.*)$")
_RUST_FRAME = re.compile(r"^\s*\d+: +(?:0x[0-9a-f]+ - )?(\S.{0,1000})$")
_RUST_AT = re.compile(r"^\s+at (\S.{0,1000}?):(\d+)(?::\d+)?$")
_DART = re.compile(r"^#\d+ {1,10}(\S.*)\)$")
_DART_PLACE = re.compile(r"(.*?)(?::(\d+))?(?::\d+)?$")
_ELIXIR = re.compile(r"^\s+(?:\((\w+)(?: [^)]{0,50})?\) )?([^\s:][^:\n]{0,500}):(\d+): (\S.{0,500})$")
_ELIXIR_HEAD = re.compile(r"\*\* \(([\w.]+)\) ?(.*)$")


def detects_rust(text: str) -> bool:
    """Whether a text is a panic of Rust."""
    return "panicked at" in text or "stack backtrace:" in text


def detects_dart(text: str) -> bool:
    """Whether a text is a stack of Dart."""
    return bool(re.search(r"^#\d+ {4,10}\S.* \((?:package|dart|file|http)", text, re.MULTILINE))


def detects_elixir(text: str) -> bool:
    """Whether a text is a stack of Elixir."""
    return bool(re.search(r"^[ \t]*\*\* \(\w[\w.]*\)|^[ \t]+(?:\(\w+ [^)\n]*\) )?\S+\.(?:ex|exs|erl):\d+: ", text, re.MULTILINE))


def parse_rust(text: str) -> tuple[ExceptionInfo, ...]:
    """The panic of a text."""
    draft = Draft(type="panic")
    said = False
    for line in text.splitlines():
        if found := _RUST_PANIC.match(line):
            message = found[1][1:].rpartition("', ")[0] if found[1].startswith("'") else ""
            said = not message
            draft.lines = [message] if message else []
        elif line.startswith(("stack backtrace:", "note: ")):
            said = False
        elif said:
            draft.add_line(line)
        elif (found := _RUST_AT.match(line)) and draft.frames:
            draft.frames[-1].file = draft.frames[-1].abs_path = found[1]
            draft.frames[-1].line = number_at(found[2])
        elif found := _RUST_FRAME.match(line):
            draft.frames.append(Frame(function=found[1]))
    return finish(draft, separator="::") if draft.frames or draft.lines else ()


def parse_dart(text: str) -> tuple[ExceptionInfo, ...]:
    """The exception of a text."""
    draft = Draft()
    for line in text.splitlines():
        if found := _DART.match(line):
            function, _, place = found[1].rpartition(" (")
            at = _DART_PLACE.match(place)
            file, number = (at[1], number_at(at[2] or "")) if at else (place, 0)
            draft.frames.append(Frame(function=function, file=file, abs_path=file, line=number))
        elif not draft.frames and line.strip() and not line.startswith("Unhandled exception"):
            kind, colon, value = line.partition(": ")
            draft.type = kind if colon and kind.isidentifier() and not draft.lines else draft.type
            draft.add_line(value if colon and kind.isidentifier() else line)
    return finish(draft) if draft.frames else ()


def parse_elixir(text: str) -> tuple[ExceptionInfo, ...]:
    """The exception of a text."""
    draft = Draft()
    for line in text.splitlines():
        if found := _ELIXIR.match(line):
            module, _, function = found[4].rpartition(".")
            draft.frames.append(Frame(function=function, module=module, file=found[2], abs_path=found[2], line=number_at(found[3])))
        elif (found := _ELIXIR_HEAD.search(line)) and not draft.type:
            draft.type = found[1]
            draft.add_line(found[2])
    return finish(draft) if draft.frames or draft.type else ()
