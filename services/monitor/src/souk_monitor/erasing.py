"""A user taken out of what was stored of errors: their part of the event, and their name wherever it is said."""

from typing import Any

import orjson

from souk_monitor.decoding import bodies

ERASED = "[erased]"
SHORTEST = 4
"""Characters of a name that is also taken out of longer texts; a shorter one is part of too much else."""


def erase(body: bytes, user: str) -> bytes:
    """A body without a user. user: what they are known by, as it was reported."""
    event = bodies.decode(body)
    event.user = None
    return orjson.dumps(_without(orjson.loads(bodies.encode(event)), user))


def without(text: str, user: str) -> str:
    """A text without a user."""
    return str(_without(text, user))


def _without(value: Any, user: str) -> Any:
    match value:
        case str():
            if value == user:
                return ERASED
            return value.replace(user, ERASED) if len(user) >= SHORTEST else value
        case list():
            return [_without(each, user) for each in value]
        case dict():
            return {_without(name, user): _without(each, user) for name, each in value.items()}
    return value
