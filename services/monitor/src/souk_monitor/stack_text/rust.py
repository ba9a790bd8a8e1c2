"""Panics of Rust with a backtrace, backtraces by themselves, and errors of anyhow and eyre with their causes."""

import re

from souk_monitor.events import ExceptionInfo, Frame
from souk_monitor.stack_text.drafts import Draft, finish, number_at

_PANIC = re.compile(r"^thread '[^'\n]{0,200}'(?: \(\d+\))? panicked at (.*)$")
_FRAME = re.compile(r"^\s*\d+: +(?:0x[0-9a-f]+ - )?(\S.{0,1000})$")
_AT = re.compile(r"^\s+at (\S.{0,1000}?):(\d+)(?::\d+)?$")
_HEADING = re.compile(r"^[Ss]tack backtrace:| BACKTRACE ")
_NUMBERED = re.compile(r"^ +\d+: (\S.*)$")


def detects(text: str) -> bool:
    """Whether a text is one: `0: shop::pay::charge`, and `at ./src/pay.rs:3:5` below it or the next function."""
    return (
        "panicked at" in text
        or "stack backtrace:" in text
        or "Stack backtrace:" in text
        or bool(re.search(r"^ *\d+: +\S[^\n]*\n +at \S[^\n]*\.rs:\d+", text, re.MULTILINE))
        or bool(re.search(r"^ *0: +[\w<][^\n]*::[^\n]*\n *1: +\S", text, re.MULTILINE))
    )


def _panic(lines: list[str]) -> Draft:
    """The first panic: while it is handled another may be printed below it."""
    draft = Draft(type="panic")
    said = False
    for line in lines:
        if found := _PANIC.match(line):
            if draft.frames:
                break
            message = found[1][1:].rpartition("', ")[0] if found[1].startswith("'") else ""
            said = not message
            draft.lines = [message] if message else []
        elif line.startswith(("stack backtrace:", "note: ")):
            said = False
        elif said:
            draft.add_line(line)
        else:
            _frame(draft, line)
    return draft


def _frame(draft: Draft, line: str) -> bool:
    """Read a line of the backtrace; whether it is one."""
    if (found := _AT.match(line)) and draft.frames:
        draft.frames[-1].file = draft.frames[-1].abs_path = found[1]
        draft.frames[-1].line = number_at(found[2])
    elif found := _FRAME.match(line):
        draft.frames.append(Frame(function=found[1]))
    else:
        return False
    return True


def _error(lines: list[str]) -> Draft:
    """A message and its causes, where there are any, and then frames."""
    draft = last = Draft()
    heading = next((number for number, line in enumerate(lines) if _HEADING.search(line)), -1)
    in_causes = False
    for line in lines[: max(heading, 0)]:
        numbered = _NUMBERED.match(line)
        if line.startswith("Location:"):
            break
        if numbered and not draft.lines:
            draft.add_line(numbered[1])
        elif numbered or (in_causes and line.strip()):
            last.cause = Draft(lines=[numbered[1] if numbered else line.strip()])
            last = last.cause
        elif line.strip() == "Caused by:":
            in_causes = True
        elif said := line.removeprefix("Error:").strip():
            draft.add_line(said)
    for line in lines[heading + 1 :]:
        if not _frame(draft, line) and heading < 0 and not draft.frames:
            draft.add_line(line)
    return draft


def parse(text: str) -> tuple[ExceptionInfo, ...]:
    """The panic or the error of a text, causes first."""
    lines = text.splitlines()
    draft = _panic(lines) if "panicked at" in text else _error(lines)
    return finish(draft, separator="::") if draft.frames or draft.lines else ()
