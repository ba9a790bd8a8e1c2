"""The parameters of a query, and how values of JSON become the arguments of asyncpg.

A number of JSON is a double: 5.0 is the integer 5, 5.5 is none, and an integer beyond 2^53 comes as a string.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from souk_dbopt.exceptions import ArgumentProblem, ArgumentsError

MAX_LENGTH = 1_000
"""Characters of a text for which the query says nothing else."""
MAX_JSON_LENGTH = 20_000
"""Characters of a JSON value when it is written, where the query says nothing else."""
MAX_ITEMS = 1_000
"""Elements of an array for which the query says nothing else."""
_EXACT = 2**53
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NUMERIC = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_MAX_NUMERIC_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a query takes under a name."""

    name: str
    type: str
    """One of TYPES, or `<type>[]`."""
    description: str
    nullable: bool = False
    """NULL is allowed, and is what it has when nothing is given."""
    default: Any = None
    """As it comes in JSON. None: it must be given, unless it is nullable."""
    min: int | float | None = None
    """The smallest number; of an array, of each element. So do the other limits of a value."""
    max: int | float | None = None
    max_length: int | None = None
    """Characters of a text, or of a JSON value when it is written. None: MAX_LENGTH, MAX_JSON_LENGTH."""
    min_length: int = 0
    """Characters of a text."""
    pattern: str = ""
    """A regular expression that a text matches as a whole. Empty: any."""
    values: tuple[str, ...] = ()
    """The texts that are allowed. Empty: any."""
    min_items: int = 0
    max_items: int = MAX_ITEMS
    as_many_as: str = ""
    """Another array that must have as many elements."""
    sensitive: bool = False
    """Never kept: not in samples, not in logs."""
    is_array: bool = field(init=False, repr=False, compare=False)
    """Whether it takes a list."""
    is_required: bool = field(init=False, repr=False, compare=False)
    """Whether it must be given."""
    _is_limited: bool = field(init=False, repr=False, compare=False)
    """Whether not every value of its type is allowed."""
    _of_json: Callable[[Any], Any] = field(init=False, repr=False, compare=False)
    """Makes an argument of a value, or of an element of it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_array", self.type.endswith("[]"))
        object.__setattr__(self, "is_required", self.default is None and not self.nullable)
        of_json = TYPES[self.type.removesuffix("[]")]
        object.__setattr__(self, "_of_json", of_json)
        is_text = of_json in (_text, _json)
        object.__setattr__(self, "_is_limited", is_text or self.min is not None or self.max is not None)

    def convert(self, value: Any) -> Any:
        """As asyncpg takes it. ArgumentsError with one problem."""
        if value is None:
            if not self.nullable:
                raise self._error("must not be null")
            return None
        if not self.is_array:  # not by `_element`, which is a call more, for what most parameters are
            try:
                converted = self._of_json(value)
                if self._is_limited:
                    self._check(converted)
            except _Refused as refused:
                raise self._error(str(refused)) from None
            return converted
        if not isinstance(value, list | tuple):
            raise self._error(f"must be an array of {self.type.removesuffix('[]')}")
        if not self.min_items <= len(value) <= self.max_items:
            limits = f"{self.min_items:,} to {self.max_items:,}" if self.min_items else f"at most {self.max_items:,}"
            raise self._error(f"must have {limits} elements, and has {len(value):,}")
        return [self._element(each, f"{self.name}[{number}]") for number, each in enumerate(value)]

    def _element(self, value: Any, field: str) -> Any:
        try:
            converted = self._of_json(value)
            self._check(converted)
        except _Refused as refused:
            raise ArgumentsError([ArgumentProblem(field, str(refused))]) from None
        return converted

    def _check(self, value: Any) -> None:
        if isinstance(value, str):
            longest = self.max_length or (MAX_JSON_LENGTH if self.type.startswith("json") else MAX_LENGTH)
            if len(value) > longest:
                raise _Refused(f"must have at most {longest:,} characters, and has {len(value):,}")
            if len(value) < self.min_length:
                raise _Refused(f"must have at least {self.min_length:,} characters, and has {len(value):,}")
            if self.pattern and re.fullmatch(self.pattern, value) is None:
                raise _Refused(f"must match {self.pattern}")
            if self.values and value not in self.values:
                raise _Refused(f"must be {' or '.join(self.values)}")
        elif (self.min is not None and value < self.min) or (self.max is not None and value > self.max):
            raise _Refused(f"must be {self.limits()}")

    def limits(self) -> str:
        """The range of a number, in words."""
        words = [f"at least {self.min:,}"] if self.min is not None else []
        return ", ".join(words + ([f"at most {self.max:,}"] if self.max is not None else []))

    def _error(self, description: str) -> ArgumentsError:
        return ArgumentsError([ArgumentProblem(self.name, description)])


def convert(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of all parameters, in their order, with defaults and NULLs where nothing is given.

    ArgumentsError that names everything that is wrong: missing, unknown, of another type, beyond its limits.
    """
    converted: dict[str, Any] = {}
    problems: list[ArgumentProblem] = []
    paired: list[Parameter] = []
    given = 0
    for parameter in parameters:
        if parameter.as_many_as:
            paired.append(parameter)
        name, value = parameter.name, parameter.default
        if name in values:
            given, value = given + 1, values[name]
        elif parameter.is_required:
            problems.append(ArgumentProblem(name, f"must be given: {_article(parameter.type)}"))
            continue
        try:
            converted[name] = parameter.convert(value)
        except ArgumentsError as error:
            problems += error.problems
    for parameter in paired:
        if {parameter.name, parameter.as_many_as} <= converted.keys():
            count, other = (len(converted[name] or ()) for name in (parameter.name, parameter.as_many_as))
            if count != other:
                text = f"must have as many elements as {parameter.as_many_as}, which has {other:,}, and has {count:,}"
                problems.append(ArgumentProblem(parameter.name, text))
    if given < len(values):
        problems += _unknown(parameters, values)
    if problems:
        raise ArgumentsError(problems)
    return converted


def _unknown(parameters: Sequence[Parameter], values: Iterable[str]) -> list[ArgumentProblem]:
    known = {parameter.name for parameter in parameters}
    allowed = ", ".join(sorted(known)) or "none"
    return [ArgumentProblem(name, f"is no parameter; those there are: {allowed}") for name in values if name not in known]


class _Refused(Exception):  # noqa: N818 — it never leaves this module
    """A value is not what it must be; the text says what it must be."""


def _article(type_name: str) -> str:
    name = type_name.removesuffix("[]")
    return f"an array of {name}" if type_name.endswith("[]") else name


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Refused("must be true or false")
    return value


def _integer(bits: int) -> Callable[[Any], int]:
    expected, least, most = f"must be a whole number of {bits} bits", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    low, high = max(least, -_EXACT), min(most, _EXACT)

    def convert_integer(value: Any) -> int:
        if value.__class__ is float and low <= value <= high and (whole := int(value)) == value:
            return whole  # as most are
        if isinstance(value, float) and value.is_integer():
            if abs(value) > _EXACT:
                raise _Refused("must be a string where it is beyond 2^53")
            value = int(value)
        elif isinstance(value, str) and len(value) <= 20 and re.fullmatch(r"-?\d+", value, re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise _Refused(expected)
        if not least <= value <= most:
            raise _Refused(expected)
        return value

    return convert_integer


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Refused("must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Refused("must be a finite number")
    return number


def _numeric(value: Any) -> Decimal:
    if isinstance(value, float) and math.isfinite(value):
        if abs(value) > _EXACT:
            raise _Refused("must be a string where it is beyond 2^53")
        return Decimal(repr(value))
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < 512:
        return Decimal(value)
    if isinstance(value, str) and len(value) <= _MAX_NUMERIC_LENGTH and _NUMERIC.fullmatch(value):
        return Decimal(value)
    raise _Refused("must be a decimal number in a string, as 12.50")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Refused("must be a string")
    if "\0" in value:
        raise _Refused("must not contain the character U+0000")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Refused("must not contain a lone surrogate") from None
    return value


def _timestamp(value: Any) -> datetime:
    if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            raise _Refused(f"must be a time that there is; {value} is none") from None
    raise _Refused("must be a time as RFC 3339 writes it, as 2026-11-25T10:00:00Z")


def _date(value: Any) -> date:
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            return date.fromisoformat(value)
    except ValueError:
        raise _Refused(f"must be a day that there is; {value} is none") from None
    raise _Refused("must be a day, as 2026-11-25")


def _uuid(value: Any) -> UUID:
    if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value):
        return UUID(value)
    raise _Refused("must be a UUID, as 123e4567-e89b-12d3-a456-426614174000")


def _json(value: Any) -> str:
    """The text of a JSON value."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise _Refused("must be a JSON value") from None
    if r"\u0000" in text and re.search(r"(?<!\\)(\\\\)*\\u0000", text):
        raise _Refused("must not contain the character U+0000")
    return _text(text)


TYPES: Mapping[str, Callable[[Any], Any]] = {
    "bool": _bool,
    "int": _integer(32),
    "bigint": _integer(64),
    "float": _float,
    "numeric": _numeric,
    "text": _text,
    "timestamptz": _timestamp,
    "date": _date,
    "uuid": _uuid,
    "json": _json,
}
"""The types of parameters and columns, and what makes an argument of a value."""
