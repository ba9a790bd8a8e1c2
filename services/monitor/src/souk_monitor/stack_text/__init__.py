"""Stacks as languages print them: exceptions and frames of a text, whatever language it is of.

Nothing here fails on any text: of what is no stack the first line is the message. Every text is read line by line, once.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from souk_monitor.cutting import both_ends
from souk_monitor.events import ExceptionInfo
from souk_monitor.platforms import FAMILIES
from souk_monitor.stack_text import csharp, go, java, javascript, others, php, python, ruby

LONGEST = 1 << 20
"""Characters of a text that are read: its beginning, and its end, where Python has what counts."""

MOST_LINES = 5_000
"""Of such a text that are read, the same ones."""

_LONGEST_LINE = 4_000
_SAMPLED = 400
_HEADER = re.compile(r"^([A-Za-z_][\w.$\\:]{0,200}?)(?:: (.*))?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Language:
    detects: Callable[[str], bool]
    parse: Callable[[str], tuple[ExceptionInfo, ...]]


_LANGUAGES = {
    "python": _Language(python.detects, python.parse),
    "go": _Language(go.detects, go.parse),
    "rust": _Language(others.detects_rust, others.parse_rust),
    "dart": _Language(others.detects_dart, others.parse_dart),
    "php": _Language(php.detects, php.parse),
    "ruby": _Language(ruby.detects, ruby.parse),
    "java": _Language(java.detects, java.parse),
    "csharp": _Language(csharp.detects, csharp.parse),
    "javascript": _Language(javascript.detects, javascript.parse),
    "elixir": _Language(others.detects_elixir, others.parse_elixir),
}


def _bounded(text: str) -> str:
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}\n{text[-LONGEST // 2 :]}"
    text = text.replace("\r\n", "\n").replace("\x00", "")
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
    lines = text[: 1 << 18].splitlines()
    if len(text) > 1 << 18:
        lines += text[-(1 << 14) :].splitlines()
    if len(lines) > _SAMPLED:
        lines = [*lines[: _SAMPLED // 2], *lines[-_SAMPLED // 2 :]]
    return "\n".join(line[-300:] if len(line) > 600 and line.endswith(")") else line[:600] for line in lines)


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
    found = _HEADER.match(text)
    if found and (found[2] is not None or "\n" not in text):
        module, _, kind = found[1].rpartition(".")
        return (ExceptionInfo(type=kind, module=module, value=(found[2] or "")[:10_000]),)
    return (ExceptionInfo(value=text[:10_000]),)
