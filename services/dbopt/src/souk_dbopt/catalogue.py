"""The catalogue: the queries that may run, by name and version."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from souk_dbopt.arguments import Parameter, convert
from souk_dbopt.exceptions import ArgumentProblem, ArgumentsError, QueryUnknownError
from souk_dbopt.query_classes import QueryClass

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)?)\}")
"""In templates of tags and keys: a parameter, or else a column of the result; in tags also a member of a JSON column, as
`items.product_id`."""


MAX_RESULT_BYTES = 3 * 1024 * 1024
"""Of the rows of one answer, in JSON, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Column:
    """One of a result."""

    name: str
    type: str
    """As a parameter's."""


@dataclass(frozen=True, slots=True)
class Page:
    """How a query is read page by page: the next one begins after the last row of this one."""

    size: str
    """The parameter that limits the rows."""
    after: Mapping[str, str]
    """Parameter -> the column of the last row that it takes. All are given, or none for the first page."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Under which name a result is cached, and for how long."""

    namespace: str
    """Of the cache service."""
    ttl: float | None = None
    """Seconds. None: the namespace's."""
    key: str = ""
    """A template. Empty: the query's name, its version and a fingerprint of the arguments."""
    alias: str = ""
    """A template: the result is looked up by this alias instead, and the key is of columns."""
    aliases: tuple[str, ...] = ()
    """Templates of all aliases that the result has."""
    interval: tuple[str, str] | None = None
    """The parameters that begin and end (excluded) a span of time, which the key then ends with."""


@dataclass(frozen=True, slots=True)
class Query:
    """One statement that may run."""

    name: str
    """As `product.get`."""
    version: int
    description: str
    text: str
    """With $1, $2 … for the parameters in their order."""
    json_text: str
    """The same; its one row is a JSON array of all rows, as text, how many they are, and the columns of `consistency.POSITION`. The
    text is NULL where it has more than `max_result_bytes`."""
    json_rows_text: str
    """The same; each row is one text, a JSON object."""
    parameters: tuple[Parameter, ...]
    columns: tuple[Column, ...]
    """Empty: not declared."""
    query_class: QueryClass
    is_write: bool
    """It changes or locks something, and goes to the primary."""
    idempotent: bool
    """Whoever does not know whether it ran may run it again."""
    timeout: float
    """Seconds, at most those of the class."""
    one_row: bool = False
    """It has one row or none."""
    tags: tuple[str, ...] = ()
    """Templates: what a read depends on, and what a write changes."""
    cache: CachePolicy | None = None
    page: Page | None = None
    source: str = ""
    """The file that it was read from."""
    max_result_bytes: int = MAX_RESULT_BYTES
    """Of the rows of one answer, or of one row of a stream, in JSON."""
    is_custom: bool = False
    """It is of the user's own folder."""
    key: str = field(init=False, repr=False, compare=False)
    """Its name and version, as `product.get@1`."""
    own_timeout: float | None = field(init=False, repr=False, compare=False)
    """Its time-out where that is shorter than its class's, which the connection has."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.name}@{self.version}")
        object.__setattr__(self, "own_timeout", self.timeout if self.timeout < self.query_class.timeout else None)

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """What asyncpg takes after the text. values: as they come in JSON, by name. ArgumentsError that names all that is bad."""
        converted = self.converted(values)
        return list(converted.values())

    def converted(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The same by name."""
        converted = convert(self.parameters, values)
        if self.page is not None:
            given = [name for name in self.page.after if converted[name] is not None]
            if given and len(given) < len(self.page.after):
                missing = [name for name in self.page.after if name not in given]
                raise ArgumentsError(ArgumentProblem(name, f"must be given where {given[0]} is") for name in missing)
        return converted

    def next_page(self, rows: Sequence[Mapping[str, Any]], size: int) -> dict[str, Any] | None:
        """The arguments that make the next page, out of the rows of this one. None: there is none, for the page is not full."""
        if self.page is None or len(rows) < size:
            return None
        return {name: rows[-1][column] for name, column in self.page.after.items()}

    def cache_key(self, arguments: Mapping[str, Any]) -> str | None:
        """The key under which the result for `arguments` (of `converted`) is cached. None: under none that is known before.

        So it is where there is no policy, an alias is looked up, a placeholder is NULL, or a span of time is empty or not of whole
        seconds.
        """
        if self.cache is None or self.cache.alias:
            return None
        key = _filled(self.cache.key, arguments) if self.cache.key else f"{self.name}/{self.version}:{_fingerprint(arguments)}"
        if self.cache.interval is None or key is None:
            return key
        interval = _interval(*(arguments[name] for name in self.cache.interval))
        return interval and f"{key}@{interval}"

    def cache_alias(self, arguments: Mapping[str, Any]) -> str | None:
        """The alias by which the result for `arguments` is read. None: by none."""
        return _filled(self.cache.alias, arguments) if self.cache is not None and self.cache.alias else None

    def cached_key(self, row: Mapping[str, Any]) -> str | None:
        """The key of a result that was looked up by an alias, out of its row."""
        return _filled(self.cache.key, row) if self.cache is not None else None

    def cached_tags(self, arguments: Mapping[str, Any], rows: Iterable[Mapping[str, Any]] = ()) -> tuple[str, ...]:
        """The tags of a result, each once: a placeholder that is no parameter is a column, and gives a tag for each row.

        What is NULL gives none; a parameter that is an array gives one for each element, a member of a JSON array one for each.
        """
        return self._all_filled(self.tags, arguments, rows)

    def cached_aliases(self, arguments: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
        """The aliases of a result."""
        return self._all_filled(self.cache.aliases, arguments, rows) if self.cache is not None else ()

    def _all_filled(
        self, templates: Iterable[str], arguments: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]
    ) -> tuple[str, ...]:
        every_row = list(rows)
        found: dict[str, None] = {}
        for template in templates:
            names = PLACEHOLDER.findall(template)
            for each in [arguments] if all(name in arguments for name in names) else every_row:
                found.update(dict.fromkeys(_filled_with_each(template, names, each, arguments)))
        return tuple(found)


def _filled_with_each(template: str, names: Sequence[str], row: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[str]:
    """A template for each element where its placeholder is an array, or a member of each of several objects."""
    found = {name: _member(row, name) if "." in name else arguments.get(name, row.get(name)) for name in names}
    for name, value in found.items():
        if isinstance(value, list):
            return [text for each in value if (text := _filled(template, {**found, name: each})) is not None]
    text = _filled(template, found)
    return [] if text is None else [text]


def _member(row: Mapping[str, Any], name: str) -> Any:
    """A member of the object that a column is, or of each where it is an array; None where it is neither."""
    column, _, member = name.partition(".")
    value = row.get(column)
    if isinstance(value, list):
        return [each.get(member) for each in value if isinstance(each, dict)]
    return value.get(member) if isinstance(value, dict) else None


def _filled(template: str, values: Mapping[str, Any]) -> str | None:
    """A template with its placeholders' values. None where one of them is NULL."""
    names = PLACEHOLDER.findall(template)
    if any(values.get(name) is None for name in names):
        return None
    return PLACEHOLDER.sub(lambda found: str(values[found[1]]), template)


def _fingerprint(arguments: Mapping[str, Any]) -> str:
    """26 letters and digits, the same for the same arguments."""
    text = json.dumps(arguments, sort_keys=True, default=str)
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:16]).decode().rstrip("=").lower()


def _interval(start: date, end: date) -> str | None:
    """ISO 8601's <start>/<duration>, as keys of time buckets end."""
    moments = [each if isinstance(each, datetime) else datetime.combine(each, time(), UTC) for each in (start, end)]
    length = moments[1] - moments[0]
    if length <= timedelta() or any(moment.microsecond for moment in moments):
        return None
    return f"{moments[0]:%Y-%m-%dT%H:%M:%S}Z/PT{round(length.total_seconds())}S"


class Catalogue:
    """Queries by name. Of a name with several versions, the newest is meant where none is said."""

    def __init__(self, queries: Iterable[Query]) -> None:
        """ValueError for two of one name and version."""
        self._versions: dict[str, dict[int, Query]] = {}
        for query in queries:
            versions = self._versions.setdefault(query.name, {})
            if query.version in versions:
                raise ValueError(f"there are two queries {query.name!r} of version {query.version}")
            versions[query.version] = query
        self._newest = {name: versions[max(versions)] for name, versions in self._versions.items()}

    def get(self, name: str, version: int | None = None) -> Query:
        """QueryUnknownError where there is none."""
        query = self._newest.get(name)
        if query is None:
            raise QueryUnknownError(name)
        if version is not None:
            query = self._versions[name].get(version)
        if query is None:
            raise QueryUnknownError(name, version)
        return query

    def list(self, prefix: str = "") -> tuple[Query, ...]:
        """Those whose names begin so, every version, sorted by name and version."""
        return tuple(query for query in self if query.name.startswith(prefix))

    def __iter__(self) -> Iterator[Query]:
        for name in sorted(self._versions):
            for version in sorted(self._versions[name]):
                yield self._versions[name][version]

    def __len__(self) -> int:
        return sum(map(len, self._versions.values()))
