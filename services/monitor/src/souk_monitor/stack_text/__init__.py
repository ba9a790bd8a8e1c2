"""Stacks as languages print them: exceptions and frames of a text, whatever language it is of.

Nothing here fails on any text: of what is no stack the first line is the message. Every text is read line by line, once.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from souk_monitor.cutting import both_ends
from souk_monitor.events import ExceptionInfo
from souk_monitor.platforms import FAMILIES
from souk_monitor.stack_text import csharp, go, java, javascript, others, php, python, ruby, rust

LONGEST = 1 << 18
"""Characters of a text that are read: its beginning, and its end, where Python has what counts."""

MOST_LINES = 2_000
"""Of such a text that are read, the same ones."""

_LONGEST_LINE = 4_000
_SAMPLED, _SAMPLED_HEAD, _SAMPLED_TAIL = 400, 1 << 15, 1 << 14
"""Lines by which the language of a text is known, within so many characters of its beginning and of its end."""
_SEPARATORS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""What `str.splitlines` parts lines at."""
_COLOURS = re.compile(r"\x1b\[[0-9;]{0,20}m")
_BRACKETS = re.compile(r"^\[([^\[\n].*)\](?: \{[^\n]*(?:\n.*)?)?$", re.DOTALL)
"""As Node prints an error that has no stack."""

_HEADER = re.compile(r"^([A-Za-z_][\w.$\\:]{0,200}?)(?:: (.*))?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Language:
    detects: Callable[[str], bool]
    parse: Callable[[str], tuple[ExceptionInfo, ...]]


_LANGUAGES = {
    "python": _Language(python.detects, python.parse),
    "go": _Language(go.detects, go.parse),
    "rust": _Language(rust.detects, rust.parse),
    "dart": _Language(others.detects_dart, others.parse_dart),
    "php": _Language(php.detects, php.parse),
    "ruby": _Language(ruby.detects, ruby.parse),
    "java": _Language(java.detects, java.parse),
    "csharp": _Language(csharp.detects, csharp.parse),
    "javascript": _Language(javascript.detects, javascript.parse),
    "elixir": _Language(others.detects_elixir, others.parse_elixir),
}


def lines_in(text: str) -> int:
    """How many lines of a text are read, without it being split: it may have a million."""
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + text[-LONGEST // 2 :]
    ended = sum(map(text.count, _SEPARATORS)) - text.count("\r\n")
    return min(MOST_LINES, ended + (text[-1:] not in _SEPARATORS))


def _bounded(text: str) -> str:
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}\n{text[-LONGEST // 2 :]}"
    text = text.replace("\r\n", "\n").replace("\x00", "")
    if "\x1b[" in text:
        text = _COLOURS.sub("", text)
    if text.count("\n") > MOST_LINES:
        text = "\n".join((*text.split("\n", MOST_LINES // 2)[:-1], *text.rsplit("\n", MOST_LINES // 2)[1:]))
    if len(text) > _LONGEST_LINE:
        return "\n".join(line[:_LONGEST_LINE] for line in both_ends(text.splitlines(), MOST_LINES))
    return text


def language_of(text: str, platform: str = "") -> str:
    """The family of languages that a stack text is of; empty: of none that is known."""
    head = _sample(text)
    family = FAMILIES.get(platform.lower(), "")
    if family in _LANGUAGES and _LANGUAGES[family].detects(head):
        return family
    return next((name for name, language in _LANGUAGES.items() if language.detects(head)), "")


def _sample(text: str) -> str:
    """Enough of a text to know its language by: its first and last lines, and their beginnings."""
    lines = text[:_SAMPLED_HEAD].splitlines()
    if len(text) > _SAMPLED_HEAD:
        lines += text[max(_SAMPLED_HEAD, len(text) - _SAMPLED_TAIL) :].splitlines()
    if len(lines) > _SAMPLED:
        lines = [*lines[: _SAMPLED // 2], *lines[-_SAMPLED // 2 :]]
    return _COLOURS.sub("", "\n".join(line[-300:] if len(line) > 600 and line.endswith(")") else line[:600] for line in lines))


def parse(text: str, platform: str = "") -> tuple[ExceptionInfo, ...]:
    """Exceptions of a stack text, causes first; each frame's call that was made last is the last.

    `platform` is what the reporter says; a text of another language is read as what it is. Never fails: a text that is no stack
    is one exception without frames, and an empty one is none.
    """
    text = _bounded(text)
    language = language_of(text, platform)
    found = _LANGUAGES[language].parse(text) if language else ()
    return found or _plain(text)


def _plain(text: str) -> tuple[ExceptionInfo, ...]:
    text = text.strip()
    if not text:
        return ()
    if brackets := _BRACKETS.match(text):
        text = brackets[1]
    found = _HEADER.match(text)
    if found and (found[2] is not None or "\n" not in text):
        module, _, kind = found[1].rpartition(".")
        return (ExceptionInfo(type=kind, module=module, value=(found[2] or "")[:10_000]),)
    return (ExceptionInfo(value=text[:10_000]),)
