"""A user taken out of what was stored of errors: their part of the event, and each of their names wherever it is said.

A name is looked for in what people and programs say, as a word by itself: `ana-17` is in "basket of ana-17", and is not in ana-170.
Where words are not parted, as in Chinese, it goes wherever it is. What is code (functions, types, lines of source) says nothing of
a user; of paths, the home of somebody does, and of URLs all.
"""

import re
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from souk_monitor import templates
from souk_monitor.decoding import bodies
from souk_monitor.events import ExceptionInfo, Frame, User

ERASED = "[erased]"
SHORTEST = 4
"""Characters of a name that is also taken out of longer texts; a shorter one is part of too much else."""
DISTINCTIVE = 8
"""Characters of a name that is hardly ever anything else than a name."""
_NO_TEXT = frozenset(("event_id", "time", "source", "level", "trace_id", "span_id", "error_id"))
"""What of an event nobody writes, and it is found and read by."""
_CODE = frozenset(("platform", "service", "release", "environment", "dist", "logger", "type", "mechanism", "function")) | frozenset(
    ("context_line", "pre_context", "post_context", "source")
)
_PATHS = frozenset(("file", "abs_path", "module", "package"))
_PARTED = "0-9A-Za-z\u00aa\u00b5\u00ba\u00c0-\u024f\u0370-\u03ff\u0400-\u052f\u0531-\u0587\u10a0-\u10ff"
"""Letters and digits of scripts that part words: Latin, Greek, Cyrillic, Armenian, Georgian."""
_BEFORE = rf"(?:(?<![{_PARTED}])|(?<=%[0-9A-Fa-f]{{2}})|(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{{4}}))"
"""Where a word may begin: also after what is written as %2F, \\n or \\u0022."""
_AFTER = rf"(?![{_PARTED}])"
_NAME_OF_CODE = re.compile(r"[\w.$:<>#()-]*|\S* in \S*")
"""As culprits are: a function, or a place and a function in it."""


class Names:
    """The names of one user."""

    def __init__(self, names: Iterable[str]) -> None:
        self.all = sorted({name for name in names if name}, key=lambda name: (-len(name), name))
        """The longest first: one may be a part of another."""
        self._whole = frozenset(self.all)
        longer = "|".join(_word(name) for name in self.all if len(name) >= SHORTEST)
        self._words = re.compile(longer) if longer else None
        quoted = "|".join(map(re.escape, self.all))
        self._homes = re.compile(rf"(?i)((?:^|[/\\])(?:home|users)[/\\])(?:{quoted})(?=[/\\]|$)")

    def are_in(self, text: str) -> bool:
        """Whether a text says one of them."""
        return text in self._whole or (self._words is not None and self._words.search(text) is not None)

    def without(self, text: str) -> str:
        """A text without them."""
        if text in self._whole:
            return ERASED
        return self._words.sub(ERASED, text) if self._words is not None else text

    def without_in_template(self, text: str) -> str:
        """A template of messages without them, in which numbers of theirs may stand as `*`."""
        forms = [form for form in map(templates.of_message, self.all) if len(form) >= SHORTEST]
        return Names((*self.all, *forms)).without(text)

    def without_in_code(self, text: str) -> str:
        """The same of what may be the name of a function or module, which then is left as it is, but for a name alone."""
        return text if _NAME_OF_CODE.fullmatch(text) and text not in self._whole else self.without(text)

    def without_in_path(self, path: str) -> str:
        """A URL without them, or a path without them as the home of somebody."""
        return self.without(path) if "://" in path else self._homes.sub(rf"\1{ERASED}", path)


def erase(body: bytes, asked: str) -> tuple[bytes, Names]:
    """A body without its user, and the names that it knew them by. asked: the one of these that they are erased by."""
    event = bodies.decode(body)
    names = names_of(event.user, asked)
    event.user = None
    for each in fields(event):
        if each.name not in _NO_TEXT:
            setattr(event, each.name, _field(each.name, getattr(event, each.name), names))
    return bodies.encode(event), names


def names_of(user: User | None, asked: str) -> Names:
    """All that a user is known by."""
    known = () if user is None else (user.id, user.email, user.username, user.ip_address)
    return Names((asked, *known))


def is_distinctive(name: str) -> bool:
    """Whether a name is taken to mean the same user in every text of a project: one with an @, or of eight characters and more, of
    which one is a digit. Others may be a year, a role or a word."""
    return "@" in name or (len(name) >= DISTINCTIVE and any(map(str.isdecimal, name)))


def _word(name: str) -> str:
    """A pattern of a name that is a word by itself; a short one of digits is no part of a date, a time or a number either."""
    before = _BEFORE if re.match(f"[{_PARTED}]", name[0]) else ""
    after = _AFTER if re.match(f"[{_PARTED}]", name[-1]) else ""
    if name.isdecimal() and len(name) < DISTINCTIVE:
        before, after = rf"{before}(?<!\d[.,:-])", rf"{after}(?![.,:-]\d)"
    return f"{before}{re.escape(name)}{after}"


def _field(name: str, value: Any, names: Names) -> Any:
    """What is left of a field of an event, an exception or a frame."""
    if name in _CODE:
        return value
    if name in _PATHS:
        return names.without_in_path(value)
    return _without(value, names)


def _without(value: Any, names: Names, *, said: bool = False) -> Any:
    """said: it is data of the program's, in which a number may be a name; others are lines and columns."""
    match value:
        case str():
            return names.without(value)
        case int() | float() if said:
            return ERASED if str(value) in names.all else value
        case dict():
            return {names.without(name): _without(each, names, said=True) for name, each in value.items()}
        case list():
            return [_without(each, names, said=said) for each in value]
        case tuple():
            return tuple(_without(each, names, said=said) for each in value)
        case ExceptionInfo() | Frame():
            return replace(value, **{each.name: _field(each.name, getattr(value, each.name), names) for each in fields(value)})
    return value
