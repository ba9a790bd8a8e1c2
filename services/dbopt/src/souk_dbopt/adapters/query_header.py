"""The header of a query file: the YAML at its top, with the line of each field, and what is told where it is wrong."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

import yaml
from annotated_types import Ge, Le
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from souk_common import yaml_text

from souk_dbopt.arguments import MAX_ITEMS, TYPES
from souk_dbopt.query_classes import CLASSES

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NAME = r"^[a-z][a-z0-9_]*$"


def _span(value: Any) -> Any:
    """Seconds of a span like 500ms, 30s, 5m, 2h, 1d."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value)):
        return float(found[1]) * _UNITS[found[2]]
    raise ValueError("must be a span such as 500ms, 30s, 5m, 2h or 1d")


def _type(value: Any) -> Any:
    if not isinstance(value, str) or value.removesuffix("[]") not in TYPES:
        raise ValueError(f"must be one of {', '.join(TYPES)}, or an array, as bigint[]")
    return value


def _pattern(value: Any) -> Any:
    try:
        re.compile(value)
    except (re.error, TypeError) as error:
        raise ValueError(f"must be a regular expression: {error}") from None
    return value


Span = Annotated[float, BeforeValidator(_span), Ge(0.001), Le(30 * 86400)]
Type = Annotated[str, BeforeValidator(_type)]
Pattern = Annotated[str, BeforeValidator(_pattern)]
Name = Annotated[str, Field(pattern=_NAME, max_length=63)]


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ParameterFields(_Fields):
    """`parameters.<name>`."""

    type: Type
    description: str = Field(min_length=1)
    nullable: bool = False
    default: Any = None
    min: int | float | None = None
    max: int | float | None = None
    max_length: int | None = Field(None, ge=1, le=1_000_000)
    min_length: int = Field(0, ge=0, le=1_000_000)
    pattern: Pattern = ""
    values: list[str] = []
    min_items: int = Field(0, ge=0)
    max_items: int = Field(MAX_ITEMS, ge=1, le=100_000)
    as_many_as: str = ""
    sensitive: bool = False

    @model_validator(mode="after")
    def _has_limits_of_its_type(self) -> Self:
        base = self.type.removesuffix("[]")
        given = self.model_fields_set
        numbers, arrays = {"min", "max"}, {"min_items", "max_items", "as_many_as"}
        for fields, fits, whose in (
            (numbers, base in ("int", "bigint", "float", "numeric"), "a number"),
            ({"max_length"}, base in ("text", "json"), "a text or JSON"),
            ({"values", "min_length", "pattern"}, base == "text", "a text"),
            (arrays, self.type.endswith("[]"), "an array"),
        ):
            if not fits and (wrong := sorted(fields & given)):
                raise ValueError(f"{wrong[0]}: is a limit of {whose}, and this is {self.type}")
        return self


class CacheFields(_Fields):
    """`cache`."""

    namespace: Name
    ttl: Span | None = None
    key: str = ""
    alias: str = ""
    aliases: list[str] = Field([], max_length=16)
    interval: list[str] = Field([], max_length=2)


class PageFields(_Fields):
    """`page`."""

    size: str
    after: dict[str, str] = Field(min_length=1)


class Header(_Fields):
    """All fields; souk_dbopt.catalogue.Query says what they mean."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$", max_length=100)
    version: int = Field(ge=1)
    description: str = Field(min_length=1)
    class_: Literal[*CLASSES] = Field(alias="class")  # type: ignore[valid-type]
    write: bool = False
    idempotent: bool = False
    timeout: Span | None = None
    one_row: bool = False
    parameters: dict[Name, ParameterFields] = {}
    columns: dict[Name, Type] = {}
    tags: list[str] = Field([], max_length=16)
    cache: CacheFields | None = None
    page: PageFields | None = None


class Problem(NamedTuple):
    """What is wrong, and in which line of the file."""

    line: int
    text: str


class RefusedFile(Exception):  # noqa: N818 — it never leaves this module
    """A file is not as it must be."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__()
        self.problems = problems


_PARTS: Mapping[str, type[BaseModel]] = {"parameters": ParameterFields, "cache": CacheFields, "page": PageFields}

Lines = Mapping[tuple[str, ...], int]
"""Path of a field in the header -> its line in the file."""


def read_header(text: str, first_line: int) -> tuple[Header, Lines]:
    """The fields of a header that begins in a line of a file. RefusedFile with all that is wrong."""
    try:
        content, node = yaml_text.load_located(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = first_line + (mark.line if mark is not None else 0)
        raise RefusedFile(Problem(line, f"the header is no YAML: {getattr(error, 'problem', None) or error}")) from None
    if not isinstance(content, dict):
        raise RefusedFile(Problem(first_line, "the header must be fields, as `name: product.get`"))
    lines: dict[tuple[str, ...], int] = {(): first_line}
    problems = list(_located(node, (), first_line, lines))
    if problems:
        raise RefusedFile(*problems)
    try:
        return Header.model_validate(content), lines
    except ValidationError as error:
        raise RefusedFile(*_invalid(error, lines)) from None


def _located(
    node: yaml.Node | None, path: tuple[str, ...], first_line: int, lines: dict[tuple[str, ...], int]
) -> Iterator[Problem]:
    """Fill in the lines of all fields; a field that is given twice is a problem."""
    if isinstance(node, yaml.SequenceNode):
        for number, each in enumerate(node.value):
            lines[*path, str(number)] = first_line + each.start_mark.line
        return
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        place = (*path, str(key.value))
        line = first_line + key.start_mark.line
        if place in lines:
            yield Problem(line, f"{'.'.join(place)}: is given twice")
        lines[place] = line
        yield from _located(value, place, first_line, lines)


def line_of(lines: Lines, path: tuple[str, ...]) -> int:
    """Where a field is, or what it would be in."""
    while path not in lines:
        path = path[:-1]
    return lines[path]


def _invalid(error: ValidationError, lines: Lines) -> Iterator[Problem]:
    told = set()
    for each in error.errors(include_url=False):
        path = tuple(str(part) for part in each["loc"] if part != "[key]")
        while path and path not in lines and each["type"] != "missing":
            path = path[:-1]  # pydantic adds which kind of several it tried
        if path not in told:
            told.add(path)
            yield Problem(line_of(lines, path), f"{'.'.join(path)}: {_said(each['type'], each.get('ctx', {}), each['msg'], path)}")


def _said(kind: str, context: dict[str, Any], message: str, path: tuple[str, ...]) -> str:
    match kind:
        case "extra_forbidden":
            model = _PARTS.get(path[0], Header) if len(path) > 1 else Header
            fields = ", ".join(field.alias or name for name, field in model.model_fields.items())
            return f"there is no such field; those there are: {fields}"
        case "missing":
            return "must be given"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f"must be {context['expected'].replace(chr(39), '')}"
        case "string_too_short" | "too_short":
            return "must not be empty"
        case "string_pattern_mismatch":
            what = "dotted names of a-z, 0-9 and _, as product.get" if path == ("name",) else "a name of a-z, 0-9 and _"
            return f"must be {what}"
    return re.sub("^input should be", "must be", message[:1].lower() + message[1:])
