"""Exceptions of PHP: previous ones first, as `__toString` and fatal errors print them.

Each line of a trace names a function and the place that it was called from; a frame here is a function with the place that it had
come to, so places move down by one.
"""

import re
from itertools import pairwise

from souk_monitor.events import ExceptionInfo, Frame
from souk_monitor.stack_text.drafts import Draft, finish, number_at

_CALL = re.compile(r"^#\d+ (?:(\{main\})|(?:(\[internal function\])|(.{1,1000}?)\((\d+)\)): (.{1,2000}))$")
_PLACE = re.compile(r"(\S.*?)(?::(\d+)| on line (\d+))$")
_HEADER = re.compile(
    r"^(?:\[[^\]]{0,100}\] )?(?:PHP )?(?:Fatal error: +)?(?:Uncaught )?(?:Next )?\\?([A-Z_a-z][\w\\]*(?:@anonymous)?)(?:: (.*))?$"
)
_OBJECT = re.compile(r"\(([\w\\]+)\(code: [^)]{0,100}\): ")
_END_OF_OBJECT = re.compile(r":(\d+)\)")


def detects(text: str) -> bool:
    """Whether a text is one."""
    return "PHP Fatal error:" in text or bool(
        re.search(r"^#\d+ (?:\{main\}$|\[internal function\]: |\S[^(\n]*\(\d+\): )", text, re.MULTILINE)
    )


class _Reader:
    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.before: list[str] = []
        self.place = ("", 0)

    def line(self, line: str) -> None:
        if line.startswith("#") and (found := _CALL.match(line)):
            self._call(found)
        elif "[object] (" in line:
            self._object(line)
        elif line.startswith(("Stack trace:", "[stacktrace]", "[previous exception]", "  thrown in ")):
            return
        elif (found := _PLACE.match(line.rpartition(" in ")[2])) and " in " in line:
            self._thrown(line.rpartition(" in ")[0], (found[1], number_at(found[2] or found[3])))
        elif line.strip() and len(self.before) < 200:
            self.before.append(line)

    def _thrown(self, line: str, place: tuple[str, int]) -> None:
        """The end of a message, and where it was thrown."""
        said = "\n".join([*self.before, line])
        self.before = []
        header, _, rest = said.partition("\n")
        head = _HEADER.match(header)
        value = (head[2] or "") if head else header
        if ", called in " in value:  # which PHP says of an argument's type, and goes on with where the function is
            value = value.removesuffix(" and defined")
        self._begin(head[1] if head else "", f"{value}\n{rest}" if rest else value, place)

    def _object(self, line: str) -> None:
        """As Monolog writes an exception: `[object] (Type(code: 0): message at /file.php:12)`."""
        begin = _OBJECT.match(line, line.index("[object] (") + len("[object] "))
        end = _END_OF_OBJECT.search(line, begin.end()) if begin else None
        if begin and end:
            value, _, file = line[begin.end() : end.start()].rpartition(" at ")
            self._begin(begin[1], value, (file, number_at(end[1])))

    def _begin(self, kind: str, value: str, place: tuple[str, int]) -> None:
        self.drafts.append(Draft(type=kind.replace("\0", ""), lines=[value]))
        self.place = place

    def _call(self, found: re.Match[str]) -> None:
        if not self.drafts:
            self.drafts.append(Draft())
        self.before = []
        file, line = self.place
        function = "{main}" if found[1] else found[5].partition("(")[0]
        self.drafts[-1].frames.append(Frame(function=function, file=file, abs_path=file, line=line))
        self.place = (found[3] or "", number_at(found[4] or ""))


def parse(text: str) -> tuple[ExceptionInfo, ...]:
    """Exceptions of a text, causes first."""
    logged = "[object] (" in text
    if logged:
        text = text.replace("\\\\", "\\")  # Monolog writes it as JSON
    reader = _Reader()
    for line in text.splitlines():
        reader.line(line)
    drafts = [draft for draft in reader.drafts if draft.type or draft.frames]
    if logged:  # and what was raised last first
        drafts.reverse()
    for inner, outer in pairwise(drafts):
        outer.cause = inner
    return finish(drafts[-1] if drafts else None, separator="\\")
