"""Backtraces of Ruby: newest first and, as terminals had it, newest last; with causes."""

import re
from itertools import pairwise

from souk_monitor.events import ExceptionInfo, Frame
from souk_monitor.stack_text.drafts import Draft, finish, number_at

_HEAD = re.compile(r"^\s*([^\s:][^:\n]{0,1000}|[A-Za-z]:[^:\n]{1,1000}):(\d+):in [`'](.{1,500}?)'(?:: (.*))?$")
_FROM = re.compile(r"^\s*(?:\d+: )?(?:from )?([^\s:][^:\n]{0,1000}|[A-Za-z]:[^:\n]{1,1000}):(\d+)(?::in [`'](.{1,500}?)')?$")
_TYPE = re.compile(r"^(.*) \(([A-Z][\w:]*)\)$")
_PLAIN = re.compile(r"^([A-Z][\w:]*)(?:: (.*)| \((.*)\)):?$")


def detects(text: str) -> bool:
    """Whether a text is one."""
    return bool(re.search(r"^[ \t]*(?:\d+: )?(?:from )?(?:[A-Za-z]:)?[^\s:][^:\n]*:\d+:in [`'][^'\n]+'", text, re.MULTILINE))


def _frame(file: str, line: str, function: str) -> Frame:
    return Frame(function=function, file=file, abs_path=file, line=number_at(line))


def _head(draft: Draft, text: str) -> None:
    if found := _TYPE.match(text):
        draft.type = found[2]
        draft.add_line(found[1])
    else:
        draft.add_line(text)


def parse(text: str) -> tuple[ExceptionInfo, ...]:
    """Exceptions of a backtrace, causes first."""
    drafts: list[Draft] = []
    early: list[Frame] = []
    newest_last = text.lstrip().startswith("Traceback (most recent call last)")
    plain: re.Match[str] | None = None
    for line in text.splitlines():
        found = _HEAD.match(line)
        if found and found[4] is not None:
            draft = Draft(frames=[_frame(found[1], found[2], found[3]), *reversed(early)])
            early = []
            _head(draft, found[4])
            drafts.append(draft)
        elif found := _FROM.match(line):
            frame = _frame(found[1], found[2], found[3] or "")
            if newest_last or not drafts:
                early.append(frame)
            else:
                drafts[-1].frames.append(frame)
        elif not drafts and not early:
            plain = plain or _PLAIN.match(line)
        elif drafts and len(drafts[-1].frames) == 1:
            drafts[-1].add_line(line)
    if not drafts and early:
        drafts.append(Draft(type=plain[1] if plain else "", lines=[(plain[2] or plain[3] or "") if plain else ""], frames=early))
    for outer, inner in pairwise(drafts):
        outer.cause = inner
    return finish(drafts[0] if drafts else None, separator="::")
