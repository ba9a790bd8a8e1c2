"""Exceptions of .NET: inner ones, aggregates, and frames of asynchronous methods as they are printed."""

import re

from souk_monitor.events import ExceptionInfo, Frame
from souk_monitor.stack_text.drafts import Draft, finish, number_at

_AT = re.compile(r"^at ([^(\n]{1,1000})\(([^)\n]{0,1000})\)(?:\s*\[\w+\])?(?: in (.{1,1000}?)(?::(?:line )?(\d+))?)? ?$")
_HEADER = re.compile(
    r"^(?:Unhandled [Ee]xception[.:] )?([A-Za-z_][\w.+`]*(?:\[[^:\n]{1,1000}\])?)"
    r"(?: \((?:0x[0-9A-Fa-f]{8}|-?\d{1,10})\))?(?:: (.*))?$"
)
"""A type, with what a generic one is of, and the code of an error of the system, and the message."""
_INNER = re.compile(r"^\s*---> (?:\(Inner Exception #(\d+)\) )?(.*)$")
_END = "--- End of inner exception stack trace ---"


def detects(text: str) -> bool:
    """Whether a text is one."""
    return (
        _END in text
        or "   at System." in text
        or bool(re.search(r"^[ \t]*at [^(\n]+\([^)\n]*\) in .*:line \d+$", text, re.MULTILINE))
        or bool(re.search(r"^[ \t]*at [^(\n]+ \([^)\n]*\) \[0x[0-9a-f]+\] in ", text, re.MULTILINE))
        or bool(re.search(r"^   at [\w.<>`+\[\],]+\((?:[\w.`\[\]&<>]+ \w+(?:, |(?=\))))*\)$", text, re.MULTILINE))
    )


def _frame(name: str, file: str, line: str) -> Frame:
    module, _, function = name.strip().rpartition(".")
    if module.endswith("."):
        module, function = module[:-1], f".{function}"
    if file.startswith("<"):  # Mono's id of an assembly
        file = ""
    return Frame(function=function, module=module, file=file, abs_path=file, line=number_at(line))


def _head(draft: Draft, text: str) -> None:
    found = _HEADER.match(text.strip())
    draft.type, draft.lines = found[1] if found else "", []
    draft.add_line((found[2] or "") if found else text)
    draft.is_group = draft.type.endswith("AggregateException")


class _Reader:
    def __init__(self) -> None:
        self.root = Draft()
        self.open = [self.root]
        self.begun = False

    def line(self, line: str) -> None:
        stripped = line.strip()
        if stripped.startswith("at ") and (found := _AT.match(stripped)):
            self.open[-1].frames.append(_frame(found[1], found[3] or "", found[4] or ""))
        elif stripped.startswith("---> ") and (found := _INNER.match(line)):
            self._inner(found[1], found[2])
        elif stripped == _END:
            if len(self.open) > 1:
                self.open.pop()
        elif stripped.startswith("--- End of stack trace") or not stripped:
            return
        elif not self.begun or self._begins(line):
            self.begun = True
            _head(self.root, line)
        elif not self.open[-1].frames:
            self.open[-1].add_line(line)

    def _begins(self, line: str) -> bool:
        """Whether an exception begins with a line, and what was before it is of a log."""
        if self.root.type or self.root.frames or len(self.open) > 1:
            return False
        found = _HEADER.match(line.strip())
        return found is not None and found[2] is not None and "." in found[1] and found[1].endswith("Exception")

    def _inner(self, member: str | None, header: str) -> None:
        if member is not None:
            del self.open[1:]
        parent = self.open[-1]
        draft = Draft()
        _head(draft, header)
        if parent.is_group:
            if not (member == "0" and parent.members):
                parent.members.append(draft)
        elif parent.cause is None:
            parent.cause = draft
        if len(self.open) < 100:
            self.open.append(draft)


def parse(text: str) -> tuple[ExceptionInfo, ...]:
    """Exceptions of a text, causes first."""
    reader = _Reader()
    for line in text.replace("<---", "").splitlines():
        reader.line(line)
    return finish(reader.root) if reader.root.frames or reader.root.cause or reader.root.members else ()
