"""Panics and stacks of Go: the goroutine that failed, and errors of github.com/pkg/errors as %+v prints them."""

import re

from souk_monitor.events import ExceptionInfo, Frame
from souk_monitor.stack_text.drafts import Draft, finish, number_at

_FILE = re.compile(r"^\t(\S.{0,2000}?):(\d+)(?: \+0x[0-9a-f]+)?(?: fp=0x[0-9a-f]+ sp=0x[0-9a-f]+ pc=0x[0-9a-f]+)?$")
_GOROUTINE = re.compile(r"^goroutine \d+ (?:gp=\S+ m=\S+ (?:mp=\S+ )?)?\[")
_PANIC = re.compile(r"^\s*panic: (.*)$")
_SERVING = "panic serving "
"""As net/http logs what a handler panicked with, after the address of the client."""
_RECOVERED = re.compile(r" \[recovered(?:, repanicked)?\]$")


def detects(text: str) -> bool:
    """Whether a text is one."""
    return bool(re.search(r"^goroutine \d+ .*\]:$|^\t\S.*\.(?:go|s):\d+(?: \+0x[0-9a-f]+)?$", text, re.MULTILINE))


def split_function(name: str) -> tuple[str, str]:
    """Package and function: `github.com/acme/shop` and `(*Cart).Add`."""
    end = name.find("[") if "[" in name else len(name)
    slash = name.rfind("/", 0, end)
    dot = name.find(".", slash + 1)
    return (name[:dot].replace("%2e", "."), name[dot + 1 :]) if dot >= 0 else ("", name)


def _frame(function: str, file: str, line: str) -> Frame:
    if function.endswith(")"):
        function = function[: function.rfind("(")]
    module, name = split_function(function)
    return Frame(function=name, module=module, file=file, abs_path=file, line=number_at(line))


def _panicked(draft: Draft, text: str) -> None:
    text = _RECOVERED.sub("", text)
    draft.type = "runtime.Error" if text.startswith("runtime error: ") else ""
    draft.lines = [text]


def _goroutine(lines: list[str], start: int, draft: Draft) -> None:
    """Frames of the goroutine whose heading is at `start`."""
    function = ""
    for line in lines[start + 1 :]:
        if _GOROUTINE.match(line) or (not line.strip() and draft.frames):
            return
        found = _FILE.match(line)
        if not found:
            function = line.strip()
        elif function and not function.startswith("created by "):
            draft.frames.append(_frame(function, found[1], found[2]))
            function = ""
        elif function.startswith("created by "):
            return


def _panic(lines: list[str]) -> tuple[ExceptionInfo, ...]:
    draft = Draft()
    said = False
    for index, line in enumerate(lines):
        if found := _PANIC.match(line):
            _panicked(draft, found[1])
            said = True
        elif not said and _SERVING in line:
            _panicked(draft, line.partition(_SERVING)[2].partition(": ")[2])
            said = True
        elif line.startswith("fatal error: ") and not said:
            draft.type = "runtime.Error"
            draft.add_line(line.removeprefix("fatal error: "))
            said = True
        elif _GOROUTINE.match(line):
            _goroutine(lines, index, draft)
            return finish(draft)
        elif (
            not line.startswith(("[signal ", "runtime stack:", "runtime: "))
            and (said or line.strip())
            and not line.startswith("\t")
        ):
            draft.add_line(line)
    return ()


def _errors(lines: list[str]) -> tuple[ExceptionInfo, ...]:
    """As `%+v` prints them: messages and stacks in turn, the innermost first."""
    found: Draft | None = None
    draft = Draft()
    function = ""
    for line in lines:
        at = _FILE.match(line)
        if at and function:
            draft.frames.append(_frame(function, at[1], at[2]))
            function = ""
            continue
        if function:
            if draft.frames:
                found, draft = draft, Draft(cause=draft)
            draft.add_line(function)
        function = line.strip()
    if function and draft.frames:
        draft = Draft(cause=draft)
        draft.add_line(function)
    return finish(draft if draft.frames or draft.lines else found)


def parse(text: str) -> tuple[ExceptionInfo, ...]:
    """The error of a stack, with its causes first where it has any."""
    lines = text.splitlines()
    return _panic(lines) or _errors(lines)
