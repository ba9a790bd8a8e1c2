"""Stack traces of Java, Kotlin and others on the JVM: causes with their common frames expanded, also first, suppressed ones."""

import re

from souk_monitor.events import ExceptionInfo, Frame
from souk_monitor.stack_text.drafts import MOST_EXCEPTIONS, Draft, finish, number_at

_AT = re.compile(r"^(\s*)at ([^\s(][^(]{0,1000})\(([^)]{0,500})\)")
_THREAD = re.compile(r'^(?:Exception in thread "[^"\n]{0,200}" |FATAL EXCEPTION: .{0,200}$)')
_HEADER = re.compile(r"^((?:[A-Za-z_$][\w$]*[./])*[A-Za-z_$][\w$]*)(?:(?:: |; (?:\w{1,20}: [^;]{0,500}; ){1,4})(.*)|:?$)")
"""What was raised, and where a parser of XML was then."""

_WITHIN = re.compile(r"(?<![\w.$])((?:[a-z_]\w{0,100}\.){1,20}\w{1,200}(?:Exception|Error))(?:: (.*))?$")
"""An exception at the end of a line of a log."""
_INNER = re.compile(r"^(\s*)(Caused by|Suppressed|Wrapped by): (.*)$")
_CIRCULAR = "[CIRCULAR REFERENCE:"
"""Instead of an exception that is above."""
_MORE = re.compile(r"^\s*\.\.\. (\d+) (?:more|common frames omitted)")


def detects(text: str) -> bool:
    """Whether a text is one: `at com.acme.Orders.place(Orders.java:12)`."""
    return bool(
        re.search(
            r"^[ \t]*at [^\s(]+\((?:[\w$-]+\.[a-z]+(?::\d+)?|SourceFile(?::\d+)?|Native Method|Unknown Source)\)",
            text,
            re.MULTILINE,
        )
        or re.search(r"^[ \t]*\.\.\. \d+ more$", text, re.MULTILINE)
    )


def _frame(name: str, place: str) -> Frame:
    name = name.rpartition("//" if "$$Lambda" in name else "/")[2]
    module, _, function = name.strip().rpartition(".")
    file, _, line = place.partition(":")
    if file in ("Native Method", "Unknown Source"):
        file = ""
    return Frame(function=function, module=module, file=file, line=number_at(line))


def _head(draft: Draft, text: str) -> None:
    found = _HEADER.match(text)
    draft.type = found[1] if found else ""
    draft.add_line((found[2] or "") if found else text)


class _Reader:
    def __init__(self) -> None:
        self.root: Draft | None = None
        self.before: list[str] = []
        self.open: list[tuple[int, Draft, Draft | None]] = []
        """Indentation, exception, and the one whose frames its last ones are."""
        self.omitted: dict[int, int] = {}
        """By the id of exceptions that are no causes of ones before them: how many of their frames are those of what wraps them."""

    def line(self, line: str) -> None:
        stripped = line.lstrip()
        if stripped.startswith("at ") and (found := _AT.match(line)):
            self._current().frames.append(_frame(found[2], found[3]))
        elif stripped.startswith(("Caused by: ", "Suppressed: ", "Wrapped by: ")) and (found := _INNER.match(line)):
            self._inner(len(found[1]), found[2], found[3])
        elif stripped.startswith("... ") and (found := _MORE.match(line)):
            self._more(number_at(found[1]))
        elif not self.open:
            if len(self.before) < 400:
                self.before.append(line)
        elif not self.open[-1][1].frames:
            self.open[-1][1].add_line(line)

    def _current(self) -> Draft:
        if not self.open:
            self.root = Draft()
            _first(self.root, self.before)
            self.open.append((0, self.root, None))
        return self.open[-1][1]

    def _inner(self, indent: int, how: str, header: str) -> None:
        self._current()
        if header.startswith(_CIRCULAR):
            return
        if how == "Wrapped by":
            self._wrap(header)
            return
        deeper = how == "Suppressed"
        while len(self.open) > 1 and (self.open[-1][0] > indent or (deeper and self.open[-1][0] == indent)):
            self.open.pop()
        parent = self.open[-1][1]
        draft = Draft()
        _head(draft, header)
        if deeper:
            parent.suppressed.append(draft)
            if len(self.open) < 50:
                self.open.append((indent, draft, parent))
        else:
            parent.cause = draft
            self.open[-1] = (self.open[-1][0], draft, parent)

    def _wrap(self, header: str) -> None:
        """What is above is the cause of what follows, as logging frameworks print it with the root cause first."""
        self.root = Draft(cause=self.root)
        _head(self.root, header)
        self.open = [(0, self.root, None)]

    def _more(self, count: int) -> None:
        if not self.open:
            return
        _, draft, enclosing = self.open[-1]
        if enclosing is None:
            self.omitted[id(draft)] = count
        elif count > 0 and len(draft.frames) < 5_000:
            draft.frames.extend(enclosing.frames[-min(count, 5_000) :])

    def expand(self) -> None:
        """Give causes that were printed first the frames that they have in common with what wraps them."""
        wrapper = self.root
        for _ in range(MOST_EXCEPTIONS):
            cause = wrapper.cause if wrapper else None
            if wrapper is None or cause is None:
                return
            count = self.omitted.get(id(cause), 0)
            cause.frames.extend(wrapper.frames[-count:] if count else ())
            wrapper = cause


def _first(draft: Draft, lines: list[str]) -> None:
    """Type and message of the first, of the lines before its stack."""
    for index, line in enumerate(lines):
        text = _THREAD.sub("", line)
        found = _HEADER.match(text)
        if (
            found
            and (found[2] is None or "." in found[1] or len(text) < len(line) or index == len(lines) - 1)
            and " " not in found[1]
        ):
            draft.type = found[1]
            draft.add_line(found[2] or "")
            for more in lines[index + 1 :]:
                draft.add_line(more)
            return
    for line in lines[-1:]:
        found = _WITHIN.search(line)
        draft.type = found[1] if found else ""
        draft.add_line((found[2] or "") if found else line)


def parse(text: str) -> tuple[ExceptionInfo, ...]:
    """Exceptions of a stack trace, causes first."""
    reader = _Reader()
    for line in text.splitlines():
        reader.line(line)
    reader.expand()
    return finish(reader.root)
