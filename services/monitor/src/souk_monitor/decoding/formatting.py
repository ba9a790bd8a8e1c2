"""Messages with their parameters, as Python's logging (`%s`) and loggers of other languages (`{}`) put them in, within a budget of
characters.

A width or a precision would make a great text of a small one: of a template those of two digits are followed, and no others. Of
what is in braces names and positions are, and no attributes, indexes or formats.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from souk_monitor.decoding.lenient import list_of, text_of
from souk_monitor.events import Json

MAX_TEMPLATE = 8192
"""Characters of a template that is formatted; a longer one stays as it is."""
MAX_MESSAGE = 65_536
"""Characters after which no more parameters are put into a message; what comes of one parameter is small."""
_MAX_PARAM = 1000
_SPECIFIER = re.compile(r"%(?:\(([^()]*)\))?([#0 +-]*(?:\d{1,2})?(?:\.\d{0,2})?)[hlL]?([diouxXeEfFgGcrsa%])")
_BRACES = re.compile(r"\{(\w{0,100})\}", re.ASCII)
_MISFITS = (TypeError, ValueError, KeyError, OverflowError)


class Formatted(NamedTuple):
    """A message that was made of a template."""

    text: str
    has_all: bool
    """Whether each of the parameters can be read in it."""


class _Params:
    """By name, or by position: what a template asks for."""

    def __init__(self, given: Json) -> None:
        self._given = given if isinstance(given, dict) else dict(enumerate(list_of(given)))
        self._read: dict[str | int, tuple[Json, str]] = {}
        self._is_hidden = not isinstance(given, dict | list)
        self.positions = len(list_of(given))
        """How many have no names."""

    def __getitem__(self, key: str | int) -> Json:
        """A number, or a text of at most 1,000 characters; KeyError."""
        return self._both(key)[0]

    def text(self, key: str | int) -> str:
        """The same as its text; KeyError."""
        return self._both(key)[1]

    def shown(self, key: str | int, text: str) -> str:
        """The text, which is put into the message for a parameter."""
        self._is_hidden |= self.text(key) not in text
        return text

    def _both(self, key: str | int) -> tuple[Json, str]:
        if key not in self._read:
            value = self._given[key]
            text, is_number = text_of(value), isinstance(value, int | float)
            self._is_hidden |= len(text) > _MAX_PARAM and not is_number
            text = text[:_MAX_PARAM]
            self._read[key] = (value if is_number else text), text
        return self._read[key]

    @property
    def are_shown(self) -> bool:
        """Whether each was put in, and none of them cut."""
        return not self._is_hidden and len(self._read) == len(self._given)

    @property
    def are_used(self) -> bool:
        """Whether any was put in."""
        return bool(self._read)


def formatted(template: str, params: Json) -> Formatted:
    """The message; the template where there are no parameters, or not those that it asks for."""
    if params and len(template) <= MAX_TEMPLATE:
        for sign, parts in _WAYS:
            if sign in template and (made := _formatted(template, params, parts)):
                return made
    return Formatted(template, not params)


def _formatted(template: str, params: Json, parts: "_Parts") -> Formatted | None:
    """None: the template asks for others, or for none."""
    given = _Params(params)
    budget = MAX_MESSAGE
    made: list[str] = []
    try:
        for part in parts(template, given):
            made.append(part)
            budget -= len(part)
            if budget < 0:
                return Formatted("".join(made), has_all=False)
    except _MISFITS:
        return None
    return Formatted("".join(made), given.are_shown) if given.are_used else None


def _percent(template: str, params: _Params) -> Iterator[str]:
    """ValueError, TypeError, KeyError, OverflowError: the template asks for others."""
    start = positions = 0
    for found in _SPECIFIER.finditer(template):
        yield _literal(template[start : found.start()])
        start = found.end()
        name, how, kind = found.groups()
        if kind == "%":
            yield "%"
            continue
        key: str | int = positions if name is None else name
        yield params.shown(key, f"%{how}{kind}" % (params[key],))
        positions += name is None
    yield _literal(template[start:])
    if positions < params.positions:
        raise ValueError("too many parameters")


def _literal(text: str) -> str:
    if "%" in text:
        raise ValueError("a specifier that is none")
    return text


def _braces(template: str, params: _Params) -> Iterator[str]:
    """`{}`, `{0}` and `{name}`, all else stays. There may be more parameters; KeyError: the template asks for others."""
    start = position = 0
    for found in _BRACES.finditer(template):
        yield template[start : found.start()]
        start = found.end()
        name = found.group(1)
        key: str | int = position if not name else int(name) if name.isdigit() and params.positions else name
        yield params.shown(key, params.text(key))
        position += not name
    yield template[start:]


_Parts: TypeAlias = Callable[[str, _Params], Iterator[str]]
_WAYS: tuple[tuple[str, _Parts], ...] = (("%", _percent), ("{", _braces))
