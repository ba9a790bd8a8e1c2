"""A user taken out of what was stored of errors: their part of the event, and each of their names wherever it is said."""

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from souk_monitor.decoding import bodies
from souk_monitor.events import ExceptionInfo, Frame, User

ERASED = "[erased]"
SHORTEST = 4
"""Characters of a name that is also taken out of longer texts; a shorter one is part of too much else."""
_NO_TEXT = frozenset(("event_id", "time", "source", "level", "platform", "trace_id", "span_id", "error_id"))
"""What of an event nobody writes, and it is found and read by."""


def erase(body: bytes, asked: str) -> tuple[bytes, list[str]]:
    """A body without its user, and the names that it knew them by. asked: the one of these that they are erased by."""
    event = bodies.decode(body)
    names = names_of(event.user, asked)
    event.user = None
    for each in fields(event):
        if each.name not in _NO_TEXT:
            setattr(event, each.name, _without(getattr(event, each.name), names))
    return bodies.encode(event), names


def names_of(user: User | None, asked: str) -> list[str]:
    """All that a user is known by, the longest first."""
    known = () if user is None else (user.id, user.email, user.username, user.ip_address)
    return longest_first({name for name in (asked, *known) if name})


def longest_first(names: Iterable[str]) -> list[str]:
    """Names in the order in which they are taken out of texts: one may be a part of another."""
    return sorted(names, key=lambda name: (-len(name), name))


def without(text: str, names: Sequence[str]) -> str:
    """A text without these names."""
    if text in names:
        return ERASED
    for name in names:
        if len(name) >= SHORTEST:
            text = text.replace(name, ERASED)
    return text


def _without(value: Any, names: Sequence[str], *, said: bool = False) -> Any:
    """said: it is data of the program's, in which a number may be a name; others are lines and columns."""
    match value:
        case str():
            return without(value, names)
        case int() | float() if said:
            return ERASED if str(value) in names else value
        case dict():
            return {without(name, names): _without(each, names, said=True) for name, each in value.items()}
        case list():
            return [_without(each, names, said=said) for each in value]
        case tuple():
            return tuple(_without(each, names, said=said) for each in value)
        case ExceptionInfo() | Frame():
            return replace(value, **{each.name: _without(getattr(value, each.name), names) for each in fields(value)})
    return value
