"""Queries from .sql files: a header of YAML in the comments at the top, and one statement with `:name` for its parameters."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from souk_dbopt.adapters.query_header import CacheFields, Header, Lines, ParameterFields, Problem, RefusedFile, line_of, read_header
from souk_dbopt.arguments import Parameter
from souk_dbopt.catalogue import MAX_RESULT_BYTES, PLACEHOLDER, CachePolicy, Catalogue, Column, Page, Query
from souk_dbopt.consistency import POSITION
from souk_dbopt.exceptions import ArgumentsError, CatalogueError
from souk_dbopt.query_classes import CLASSES
from souk_dbopt.sql_lexer import SqlSyntaxError
from souk_dbopt.statements import Statement


def load(own: Path | None = None, *, serve_shipped: bool = True, max_result_bytes: int = MAX_RESULT_BYTES) -> Catalogue:
    """The shipped queries, and those of the folder `own` in place of the shipped ones of the same names, or beside them.
    serve_shipped=False: only those of `own`. max_result_bytes: of the rows of one answer.

    CatalogueError that names each file, line and field that is wrong: headers, statements, two of a name and version in one folder,
    and a query in place of a shipped one that takes or gives something else.
    """
    problems: list[str] = []
    shipped = _folder(resources.files("souk_dbopt") / "queries", problems, max_result_bytes)
    found = [replace(query, is_custom=True) for query in _folder(own, problems, max_result_bytes)] if own is not None else []
    names = {query.name for query in found}
    for query in found:
        problems += [f"{query.source}: {problem}" for problem in _broken_promises(query, shipped)]
    if problems:
        raise CatalogueError(problems)
    return Catalogue([*(query for query in shipped if serve_shipped and query.name not in names), *found])


def _folder(folder: Path | Traversable, problems: list[str], max_result_bytes: int) -> list[Query]:
    """The queries of a folder, and of the folders in it."""
    if not folder.is_dir():
        problems.append(f"{folder}: there is no such folder")
        return []
    queries: dict[tuple[str, int], Query] = {}
    for file in _files(folder):
        where = str(file) if isinstance(folder, Path) else file.name
        try:
            query = read(file.read_text(encoding="utf-8"), where, max_result_bytes)
        except CatalogueError as error:
            problems += error.problems
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{where}: {error}")
            continue
        earlier = queries.setdefault((query.name, query.version), query)
        if earlier is not query:
            problems.append(f"{where}: name: {query.name} of version {query.version} is in {earlier.source}, too")
    return list(queries.values())


def _files(folder: Path | Traversable) -> Iterator[Path | Traversable]:
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        if each.is_dir():
            yield from _files(each)
        elif each.name.endswith(".sql"):
            yield each


def read(text: str, where: str, max_result_bytes: int = MAX_RESULT_BYTES) -> Query:
    """The query of one file. CatalogueError whose problems begin with `where`:LINE."""
    try:
        return _query(text, where, max_result_bytes)
    except RefusedFile as refused:
        raise CatalogueError(f"{where}:{line}: {problem}" for line, problem in refused.problems) from None


def _query(text: str, where: str, max_result_bytes: int) -> Query:
    header_text, first_line, body = _divided(text)
    header, lines = read_header(header_text, first_line)
    try:
        statement = Statement.read(body)
    except SqlSyntaxError as error:
        raise RefusedFile(Problem(error.line, error.problem)) from None
    start = body.index(statement.text)
    problems = [
        *_parameter_problems(header, lines, statement, body.count("\n", 0, start) + 1),
        *_effect_problems(header, lines, statement, body.count("\n", 0, start) + 1),
        *_reference_problems(header, lines),
    ]
    if problems:
        raise RefusedFile(*problems)
    names = list(header.parameters)
    query_class = CLASSES[header.class_]
    return Query(
        name=header.name,
        version=header.version,
        description=header.description,
        text=statement.numbered(names),
        json_text=statement.json_array(POSITION, max_bytes=max_result_bytes).numbered(names),
        json_rows_text=statement.json_rows(max_bytes=max_result_bytes).numbered(names),
        max_result_bytes=max_result_bytes,
        parameters=tuple(_parameter(name, fields) for name, fields in header.parameters.items()),
        columns=tuple(Column(name, type_name) for name, type_name in header.columns.items()),
        query_class=query_class,
        is_write=header.write,
        idempotent=header.idempotent or not header.write,
        timeout=header.timeout or query_class.timeout,
        one_row=header.one_row,
        tags=tuple(header.tags),
        cache=_cache(header.cache) if header.cache else None,
        page=Page(header.page.size, header.page.after) if header.page else None,
        source=where,
    )


def _divided(text: str) -> tuple[str, int, str]:
    """The YAML of the comment that a file begins with, the number of its first line, and the file with that comment blanked."""
    lines = text.splitlines()
    first = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    last = next((number for number, line in enumerate(lines[first:], first) if not line.startswith("--")), len(lines))
    if first == last:
        raise RefusedFile(Problem(first + 1, "must begin with a header of comments, as `-- name: product.get`"))
    header = [line.removeprefix("--").removeprefix(" ") for line in lines[first:last]]
    return "\n".join(header), first + 1, "\n".join([*[""] * last, *lines[last:]])


def _parameter(name: str, fields: ParameterFields) -> Parameter:
    return Parameter(name, **{**fields.model_dump(), "values": tuple(fields.values)})


def _cache(fields: CacheFields) -> CachePolicy:
    interval = (fields.interval[0], fields.interval[1]) if fields.interval else None
    return CachePolicy(fields.namespace, fields.ttl, fields.key, fields.alias, tuple(fields.aliases), interval)


def _parameter_problems(header: Header, lines: Lines, statement: Statement, first_line: int) -> Iterator[Problem]:
    used = set()
    for name, colon in statement.parameters():
        if name not in header.parameters and name not in used:
            line = first_line + statement.text.count("\n", 0, colon.start)
            yield Problem(line, f":{name} is not among the parameters of the header (an array's slice is written [1 : {name}])")
        used.add(name)
    for name, fields in header.parameters.items():
        path = ("parameters", name)
        if name not in used:
            yield Problem(line_of(lines, path), f"parameters.{name}: the statement does not use it")
        other = header.parameters.get(fields.as_many_as)
        if fields.as_many_as and (other is None or not other.type.endswith("[]")):
            yield Problem(line_of(lines, (*path, "as_many_as")), f"parameters.{name}.as_many_as: must be another array")
        if fields.default is not None:
            try:
                _parameter(name, fields).convert(fields.default)
            except ArgumentsError as error:
                line = line_of(lines, (*path, "default"))
                yield Problem(line, f"parameters.{name}.default: {error.problems[0].description}")


def _effect_problems(header: Header, lines: Lines, statement: Statement, first_line: int) -> Iterator[Problem]:
    """What it says of itself against what its text does."""
    effect = statement.side_effect()
    if effect is not None and not header.write:
        what, token = effect
        line = first_line + statement.text.count("\n", 0, token.start)
        yield Problem(line, f"{what} is no read: the header must say write: true")
    if header.write and not statement.returns_rows():
        yield Problem(first_line, "must return rows, by RETURNING or a SELECT in the end")
    if header.write != CLASSES[header.class_].is_write:
        fits = ", ".join(each.name for each in CLASSES.values() if each.is_write == header.write)
        yield Problem(line_of(lines, ("class",)), f"class: must be {fits} where write is {str(header.write).lower()}")
    if header.timeout is not None and header.timeout > CLASSES[header.class_].timeout:
        most = f"{CLASSES[header.class_].timeout:g}s"
        yield Problem(line_of(lines, ("timeout",)), f"timeout: must be at most that of class {header.class_}, {most}")
    if header.write and header.cache is not None:
        yield Problem(line_of(lines, ("cache",)), "cache: a write has none")


def _reference_problems(header: Header, lines: Lines) -> Iterator[Problem]:
    """Parameters and columns that other fields name."""
    parameters, either = header.parameters.keys(), header.parameters.keys() | header.columns.keys()
    of_json = {name for name, type_name in header.columns.items() if type_name == "json"}
    named: list[tuple[tuple[str, ...], list[str], set[str] | Any, str]] = []
    for number, tag in enumerate(header.tags):
        names = PLACEHOLDER.findall(tag)
        plain = [name for name in names if "." not in name]
        columns = [name.partition(".")[0] for name in names if "." in name]
        named += [
            (("tags", str(number)), plain, either, "a parameter or a declared column"),
            (("tags", str(number)), columns, of_json, "a declared column of JSON"),
        ]
    if (cache := header.cache) is not None:
        of_key = (either, "a parameter or a declared column") if cache.alias else (parameters, "a parameter")
        named += [
            (("cache", "key"), PLACEHOLDER.findall(cache.key), *of_key),
            (("cache", "alias"), PLACEHOLDER.findall(cache.alias), parameters, "a parameter"),
            (("cache", "interval"), cache.interval, parameters, "a parameter"),
        ]
        named += [(("cache", "aliases"), PLACEHOLDER.findall(alias), either, "a parameter or a column") for alias in cache.aliases]
        if len(cache.interval) == 1:
            yield Problem(line_of(lines, ("cache", "interval")), "cache.interval: must be two parameters, [since, until]")
    if (page := header.page) is not None:
        named += [
            (("page", "size"), [page.size], parameters, "a parameter"),
            (("page", "after"), list(page.after), {each for each in parameters if header.parameters[each].nullable}, "nullable"),
            (("page", "after"), list(page.after.values()), header.columns.keys(), "a declared column"),
        ]
    for path, names, allowed, what in named:
        for name in names:
            if name not in allowed:
                yield Problem(line_of(lines, path), f"{'.'.join(path)}: {name} must be {what}")


def _broken_promises(query: Query, shipped: list[Query]) -> Iterator[str]:
    """What callers of the shipped query of the same name would miss."""
    replaced = max((each for each in shipped if each.name == query.name), key=lambda each: each.version, default=None)
    if replaced is None:
        return
    parameters = {each.name: each for each in query.parameters}
    for each in replaced.parameters:
        other = parameters.pop(each.name, None)
        if other is None or other.type != each.type:
            yield f"parameters: must have {each.name} of type {each.type}, for it is in place of the shipped {query.name}"
        elif other.is_required and not each.is_required:
            yield f"parameters.{each.name}: must be nullable or have a default, as in the shipped {query.name}"
    for name, parameter in parameters.items():
        if parameter.is_required:
            yield f"parameters.{name}: must be nullable or have a default, for the shipped {query.name} does not take it"
    columns = {each.name: each.type for each in query.columns}
    for column in replaced.columns:
        if columns.get(column.name) != column.type:
            yield f"columns: must declare {column.name} of type {column.type}, for it is in place of the shipped {query.name}"
    if query.is_write != replaced.is_write:
        yield f"write: must be {str(replaced.is_write).lower()}, as in the shipped {query.name}"
    elif replaced.idempotent and not query.idempotent:
        yield f"idempotent: must be true, as in the shipped {query.name}, whose callers come again"
    if replaced.page is not None and query.page != replaced.page:
        yield f"page: must be as in the shipped {query.name}"
