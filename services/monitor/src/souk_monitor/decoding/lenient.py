"""JSON as reporters write it: NaN, halves of surrogate pairs and bytes that are no UTF-8 are mended, not refused."""

import json
from collections.abc import Mapping
from typing import Any

import orjson

from souk_monitor.events import Json
from souk_monitor.exceptions import MalformedError

MOST_VALUES = 200_000
"""Of the JSON of one request, as `values_in` counts them."""


def values_in(text: bytes) -> int:
    """No fewer values than a JSON text has, for much less than reading it costs: commas and brackets."""
    count = _marks(text)
    if count <= MOST_VALUES:
        return count
    plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")  # so that every quote is one end of a string
    if plain.count(b'"') > 4 * MOST_VALUES:  # as many values have no more, with their names
        return count
    return _marks(b"".join(plain.split(b'"')[::2]))


def _marks(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{") + 1


def parse(text: bytes, what: str) -> Json:
    """The value; MalformedError that says that `what` is no JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(text.decode("utf-8", "replace"), parse_constant=str)
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits is a ValueError
        raise MalformedError(f"{what} is no JSON") from None


def parse_object(text: bytes, what: str) -> dict[str, Json]:
    """The object; MalformedError where it is none."""
    value = parse(text, what)
    if not isinstance(value, dict):
        raise MalformedError(f"{what} is no JSON object")
    return value


def text_of(value: Json) -> str:
    """A text as it is, nothing as nothing, and anything else as its JSON."""
    if value.__class__ is str:
        return str(value)
    if value is None:
        return ""
    try:
        return orjson.dumps(value).decode()
    except (TypeError, ValueError):
        pass
    try:
        return str(value)[:8192]
    except RecursionError:  # Python's own text of what is nested a thousand deep
        return "…"


def object_of(value: Json) -> dict[str, Json]:
    """An object as it is, and nothing of anything else."""
    return value if isinstance(value, dict) else {}


def list_of(value: Json) -> list[Json]:
    """A list as it is, and nothing of anything else."""
    return value if isinstance(value, list) else []


def rest_of(value: Mapping[str, Json]) -> dict[str, Any]:
    """What is left of an object, without what is null."""
    return {name: each for name, each in value.items() if each is not None}


def values_of(given: Json) -> tuple[list[Json], Json]:
    """The members of {values: […]} or of a list, or an object by itself; and what is none of these, None where that is nothing."""
    if isinstance(given, dict) and "values" in given:
        values = given["values"]
        beside = rest_of({**given, "values": None if isinstance(values, list) else values})
        return list_of(values), beside or None
    if isinstance(given, dict):
        return [given] if given else [], None
    return list_of(given), None if isinstance(given, list) else given or None


def objects_in(values: list[Json]) -> tuple[list[dict[str, Json]], list[Json]]:
    """Those of a list that are objects and not empty; and all that are none and say something."""
    objects = [each for each in values if isinstance(each, dict) and each]
    return objects, [each for each in values if each and not isinstance(each, dict)] if len(objects) < len(values) else []
