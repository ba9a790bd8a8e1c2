"""What JSON can say as Struct of protobuf, and back."""

import math
from collections.abc import Mapping
from itertools import islice
from typing import Any

import orjson
from google.protobuf.struct_pb2 import Struct, Value

from souk_monitor.decoding.budget import Budget

_DEPTH = 16
_EXACT = 2**53
"""Whole numbers up to it are numbers of a Struct."""


def values(message: Struct, budget: Budget, path: str) -> dict[str, Any]:
    """A Struct as what JSON would be in Python, as much of it as may be read; a number that JSON cannot say is its name."""
    fields = message.fields
    names = islice(fields, budget.members(len(fields), path))  # not its items(), which are slow: they are no part of upb
    return {name: (value := fields[name]).string_value or _value(value, budget, path) for name in names}  # most are texts


def struct(known: Mapping[str, Any]) -> Struct:
    """What JSON can say as a Struct. Whole numbers beyond 2^53, as addresses may be, are their texts, for it would round them; so
    is what is nested deeper than 16, because a message may be nested 100 deep, and a Struct is by three for each level."""
    message = Struct()
    message.update({name: _flat(value, _DEPTH) for name, value in known.items()})
    return message


def _flat(value: Any, depth: int) -> Any:
    if not isinstance(value, dict | list):
        return str(value) if value.__class__ is int and abs(value) > _EXACT else value
    if depth == 0:
        return orjson.dumps(value).decode()
    if isinstance(value, dict):
        return {name: _flat(each, depth - 1) for name, each in value.items()}
    return [_flat(each, depth - 1) for each in value]


def _value(message: Value, budget: Budget, path: str) -> Any:
    match message.WhichOneof("kind"):
        case "string_value":
            return message.string_value
        case "number_value":
            return _number(message.number_value)
        case "bool_value":
            return message.bool_value
        case "list_value":
            parts = message.list_value.values
            return [_value(each, budget, path) for each in parts[: budget.members(len(parts), path)]]
        case "struct_value":
            return values(message.struct_value, budget, path)
    return None


def _number(number: float) -> Any:
    if not math.isfinite(number):
        return str(number)
    return int(number) if number.is_integer() and abs(number) <= _EXACT else number
