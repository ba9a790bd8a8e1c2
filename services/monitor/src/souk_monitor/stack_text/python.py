"""Tracebacks of Python: chained causes, trees of exception groups, syntax errors, notes."""

import re
from dataclasses import dataclass

from souk_monitor.events import ExceptionInfo, Frame
from souk_monitor.stack_text.drafts import Draft, finish, number_at

_BEGIN = "Traceback (most recent call last):"
_GROUP = "Exception Group Traceback (most recent call last):"
_FILE = re.compile(r'^\s{2,}File "(.{0,2000})", line (\d+), in (.{1,500})$')
_SYNTAX = re.compile(r'^\s{2,}File "[^"\n]{0,2000}", line \d+$')
_HEADER = re.compile(r"^((?:[^\W\d]\w*|<locals>)(?:\.(?:[^\W\d]\w*|<locals>))*)(?:: ?(.*))?$")
_FIRST_MEMBER = re.compile(r"^ *\+-\+-+ (?:\d+|\.\.\.) -+$")
_NEXT_MEMBER = re.compile(r"^ *\+-+ (?:\d+|\.\.\.) -+$")
_END_OF_MEMBERS = re.compile(r"^ *\+-{10,}$")
_MARGIN = re.compile(r"^ *[|+] ?")
_END_OF_REMOTE = '"""'
"""Of the traceback of another process, which is a text in that of the one that waited for it."""
_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"


def detects(text: str) -> bool:
    """Whether a text is one."""
    return bool(re.search(r'^[ \t|]*File "[^"\n]+", line \d+', text, re.MULTILINE))


@dataclass(slots=True)
class _Chain:
    """Exceptions of one level: the last one that ended, and the one that is being read."""

    parent: Draft | None = None
    """The group that it is a member of."""
    ended: Draft | None = None
    """The cause of the next."""
    context: bool = False
    draft: Draft | None = None
    in_frames: bool = False

    def begin(self, is_group: bool) -> Draft:
        self.end()
        self.draft = Draft(is_group=is_group, cause=self.ended, context=self.context)
        self.ended, self.in_frames = None, True
        return self.draft

    def end(self) -> None:
        if self.draft is not None and (self.draft.type or self.draft.frames):
            self.ended = self.draft
        self.draft, self.in_frames = None, False


class _Reader:
    def __init__(self) -> None:
        self.chains = [_Chain()]
        self.in_group = False
        self.margin = ""
        """What all lines of a traceback within another text begin with."""

    def line(self, line: str) -> None:
        if self.in_group:
            if "-----" in line and self._member(line):
                return
            line = _MARGIN.sub("", line, count=1) if line.lstrip().startswith(("|", "+")) else line
        elif line.lstrip().startswith("+ " + _GROUP):
            self.in_group = True
            line = _GROUP
        elif line.endswith(_BEGIN):
            self.margin = line[: len(line) - len(line.lstrip())]
        self._content(line.removeprefix(self.margin))

    def _member(self, line: str) -> bool:
        chain = self.chains[-1]
        if _FIRST_MEMBER.match(line):
            if len(self.chains) < 50:
                group = chain.draft or chain.ended
                self.chains.append(_Chain(parent=group))
        elif _NEXT_MEMBER.match(line):
            self._close(chain)
            self.chains[-1] = _Chain(parent=chain.parent)
        elif _END_OF_MEMBERS.match(line):
            self._close(chain)
            if len(self.chains) > 1:
                self.chains.pop()
            self.in_group = len(self.chains) > 1 or self.in_group
        else:
            return False
        return True

    def _close(self, chain: _Chain) -> None:
        chain.end()
        if chain.parent is not None and chain.ended is not None:
            chain.parent.members.append(chain.ended)
            chain.parent.is_group = True

    def _content(self, line: str) -> None:
        chain = self.chains[-1]
        stripped = line.strip()
        if stripped in (_BEGIN, _GROUP) or stripped.endswith(_BEGIN):
            chain.begin(is_group=stripped.endswith(_GROUP))
        elif stripped in (_CAUSE, _CONTEXT):
            chain.end()
            chain.context = stripped == _CONTEXT
        elif (chain.draft is None or chain.in_frames) and (found := _FILE.match(line)):
            draft = chain.draft or chain.begin(is_group=False)
            draft.frames.append(Frame(function=found[3], abs_path=found[1], file=found[1], line=number_at(found[2])))
        elif chain.draft is None:
            self._without_stack(chain, line)
        elif chain.in_frames:
            self._after_frame(chain.draft, chain, line)
        elif stripped != _END_OF_REMOTE:
            chain.draft.add_line(line)

    def _without_stack(self, chain: _Chain, line: str) -> None:
        """A member of a group that was never raised is only its last line."""
        found = _HEADER.match(line)
        if found and chain.parent is not None:
            draft = chain.begin(is_group=False)
            chain.in_frames = False
            draft.type = found[1]
            draft.add_line(found[2] or "")

    def _after_frame(self, draft: Draft, chain: _Chain, line: str) -> None:
        if line.startswith(" ") or not line.strip():
            frames = draft.frames
            if frames and not frames[-1].context_line and line.startswith("    ") and not _SYNTAX.match(line):
                frames[-1].context_line = line.strip()[:500]
            return
        chain.in_frames = False
        found = _HEADER.match(line)
        draft.type = found[1] if found else ""
        draft.add_line((found[2] or "") if found else line)


def parse(text: str) -> tuple[ExceptionInfo, ...]:
    """Exceptions of a traceback, causes first."""
    reader = _Reader()
    for line in text.splitlines():
        reader.line(line)
    while len(reader.chains) > 1:
        reader._close(reader.chains[-1])
        reader.chains.pop()
    chain = reader.chains[0]
    chain.end()
    return finish(chain.ended, newest_first=False)
