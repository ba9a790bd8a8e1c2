"""What a report says of its parts beside their fields, as names and values."""

import json
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

MOST, LONGEST = 30, 200
"""Facts of one part, and characters of one, that are shown."""
_DEPTH = 3
_LARGE = ("raw_stacktrace", "stacktrace")
"""Stacks and registers, which `--json` has."""


def facts(extra: Struct) -> list[tuple[str, str]]:
    """Names and values, objects within as names with dots: mechanism.meta.signal.number and 11."""
    known = {name: value for name, value in MessageToDict(extra).items() if name not in _LARGE}
    return [(name[:LONGEST], said(value)) for name, value in sorted(_flat(known, _DEPTH), key=itemgetter(0))[:MOST]]


def fact(extra: Struct, name: str) -> str:
    """One of them; empty: there is none."""
    return said(MessageToDict(extra.fields[name])) if name in extra.fields else ""


def said(value: Any) -> str:
    """A value of JSON, in which all numbers are of the same kind, as it is read best."""
    value = _whole(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _flat(known: dict[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in known.items():
        if depth and isinstance(value, dict):
            yield from ((f"{name}.{within}", each) for within, each in _flat(value, depth - 1))
        else:
            yield name, value


def _whole(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_whole(each) for each in value]
        case dict():
            return {name: _whole(each) for name, each in value.items()}
    return value
