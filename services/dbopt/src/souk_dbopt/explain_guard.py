"""Which texts of callers may be explained: one SELECT that changes nothing, whatever it calls.

The planner runs functions whose arguments it knows, so a plain EXPLAIN of a text is not harmless by itself. Whatever a text could
call is therefore looked up by its name before the server plans it: functions, also those behind operators, casts, domains, views.
"""

import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from souk_dbopt.exceptions import NotExplainableError
from souk_dbopt.sql_lexer import Kind, SqlSyntaxError, Token, tokens, without_comments

MAX_LENGTH = 100_000
"""Characters of a text."""
NAME_BYTES = 63
"""The server cuts longer names."""
_BEGINNINGS = ("select", "values", "table", "with", "(")
_CHANGES = frozenset({"insert", "update", "delete", "merge", "into"})
_LOCKS = (("update",), ("no", "key", "update"), ("share",), ("key", "share"))
_NAMES = (Kind.IDENTIFIER, Kind.QUOTED_IDENTIFIER)

HARMLESS = frozenset(
    {
        *("random", "random_normal", "gen_random_uuid", "uuidv4", "uuidv7", "clock_timestamp", "timeofday"),
        *("currval", "lastval"),
        *("pg_relation_size", "pg_table_size", "pg_indexes_size", "pg_total_relation_size", "pg_database_size"),
        *("pg_is_in_recovery", "pg_current_wal_lsn", "pg_current_wal_insert_lsn", "pg_last_wal_replay_lsn"),
    }
)
"""Functions of PostgreSQL itself that are VOLATILE only because they return another value each time, and change nothing."""
RUN_SQL = frozenset(
    {
        *("table_to_xml", "table_to_xmlschema", "table_to_xml_and_xmlschema", "query_to_xml", "query_to_xmlschema"),
        *("query_to_xml_and_xmlschema", "cursor_to_xml", "cursor_to_xmlschema", "schema_to_xml", "schema_to_xmlschema"),
        *("schema_to_xml_and_xmlschema", "database_to_xml", "database_to_xmlschema", "database_to_xml_and_xmlschema"),
        *("ts_stat", "ts_rewrite", "crosstab", "crosstab2", "crosstab3", "crosstab4", "crosstabn", "connectby", "xpath_table"),
        *("pg_input_is_valid", "pg_input_error_info"),
        *("txid_current", "pg_current_xact_id", "pg_export_snapshot"),
    }
)
"""Functions, some of them STABLE, that read what a text or a table tells them to, or a value as the type that a text names, or
take a transaction id. The overload of ts_rewrite that takes no text is refused with it."""
EXTENSIONS = frozenset(
    {
        *("btree_gin", "btree_gist", "citext", "cube", "earthdistance", "fuzzystrmatch", "hstore", "intarray", "isn", "ltree"),
        *("pg_trgm", "pgcrypto", "postgis", "seg", "tablefunc", "unaccent", "uuid-ossp", "vector"),
    }
)
"""Those whose functions may be called, where they are not VOLATILE and are written in C or SQL."""
LANGUAGES = frozenset({"c", "internal", "sql"})


Qualified: TypeAlias = tuple[str, str]
"""A schema, as far as it is one, and a name in it."""


@dataclass(frozen=True, slots=True)
class Mentioned:
    """What a text names. What is qualified is not among what is not, which is looked for along the search path."""

    calls: frozenset[str] = frozenset()
    """What is followed by a parenthesis: functions, and much that is none."""
    qualified_calls: frozenset[Qualified] = frozenset()
    attributes: frozenset[str] = frozenset()
    """What follows a dot: columns, or functions that are called like one."""
    names: frozenset[str] = frozenset()
    """Names that follow no dot: relations, types, columns, schemas."""
    qualified: frozenset[Qualified] = frozenset()
    operators: frozenset[str] = frozenset()
    qualified_operators: frozenset[Qualified] = frozenset()


@dataclass(frozen=True, slots=True)
class Function:
    """A function that a text may call."""

    schema: str
    name: str
    volatile: bool
    built_in: bool
    """It came with PostgreSQL."""
    oid: int = 0
    extension: str = ""
    """The one that it is part of."""
    language: str = ""
    security_definer: bool = False
    takes_cstring: bool = False
    """It reads a value of a type from its text, and is not meant to be called by hand."""
    is_expression: bool = False
    """It returns an expression, and is nothing but that; the server keeps it as it was understood when it was made, like a view."""
    called: bool = True
    """By its name; else by an operator, an aggregate or a type that needs it."""


def mentioned(sql: str) -> Mentioned:
    """What a text names, if it is one SELECT (VALUES, TABLE, WITH … SELECT) that locks and changes nothing. NotExplainableError."""
    return _named(_one_select(sql))


def named_in(definition: str) -> Mentioned:
    """The same of what the server says that a view, a policy, a constraint or an expression is."""
    return _named(_read(definition))


def constant_calls(definition: str, varying: Collection[str]) -> Mentioned:
    """The calls in a definition whose arguments have nothing that varies: no parameter, and none of those names. Whatever reads the
    table makes the planner do them."""
    found = _read(definition)
    varies = [token.kind is Kind.PARAMETER or (token.kind in _NAMES and name_of(token) in varying) for token in found]
    before = [0, *itertools.accumulate(varies)]
    opened: list[int] = []
    constant = set()
    for place, token in enumerate(found):
        if token.text == "(":
            opened.append(place)
        elif token.text == ")" and opened and before[place] == before[begin := opened.pop()]:
            constant.add(begin)
    calls, qualified = set(), set()
    for place, token in enumerate(found[:-1]):
        if token.kind in _NAMES and place + 1 in constant:
            if schema := _qualifier(found, place):
                qualified.add((schema, name_of(token)))
            else:
                calls.add(name_of(token))
    return Mentioned(calls=frozenset(calls), qualified_calls=frozenset(qualified))


def _named(found: list[Token]) -> Mentioned:
    calls, attributes, names, operators = set(), set(), set(), {"=", "<>", "<", "<=", ">", ">=", "~~"}
    qualified: set[Qualified] = set()
    qualified_calls: set[Qualified] = set()
    qualified_operators: set[Qualified] = set()
    words = set()
    for place, token in enumerate(found):
        is_name = token.kind in _NAMES
        if not is_name and token.kind is not Kind.OPERATOR:
            continue
        name = name_of(token) if is_name else {"!=": "<>"}.get(token.text, token.text)
        words.add(name)
        follows_dot = place > 0 and found[place - 1].text == "."
        is_call = is_name and place + 1 < len(found) and found[place + 1].text == "("
        if follows_dot and (schema := _qualifier(found, place)):
            (qualified if is_name else qualified_operators).add((schema, name))
            if is_call:
                qualified_calls.add((schema, name))
        elif not is_name:
            operators.add(name)
        elif not follows_dot:
            names.add(name)
            if is_call:
                calls.add(name)
        if is_name and follows_dot:
            attributes.add(name)
    if "ilike" in words:
        operators |= {"~~*", "!~~*"}
    if words & {"similar", "not"}:
        operators |= {"~", "!~", "!~~"}
    return Mentioned(
        calls=frozenset(calls),
        qualified_calls=frozenset(qualified_calls),
        attributes=frozenset(attributes),
        names=frozenset(names),
        qualified=frozenset(qualified),
        operators=frozenset(operators),
        qualified_operators=frozenset(qualified_operators),
    )


def _qualifier(found: list[Token], place: int) -> str:
    """The name before the dot before a name; empty where there is none."""
    if place < 2 or found[place - 1].text != "." or found[place - 2].kind not in _NAMES:
        return ""
    return name_of(found[place - 2])


def name_of(token: Token) -> str:
    """A name as the server keeps it: folded, or without its quotes, and cut."""
    name = token.word or token.text[1:-1].replace('""', '"')
    if name.isascii():
        return name[:NAME_BYTES]
    return name.encode()[:NAME_BYTES].decode(errors="ignore")


def _read(sql: str) -> list[Token]:
    if len(sql) > MAX_LENGTH or "\0" in sql:
        raise NotExplainableError(f"it must have at most {MAX_LENGTH:,} characters, and none of them U+0000")
    try:
        return without_comments(tokens(sql))
    except SqlSyntaxError as error:
        raise NotExplainableError(str(error)) from None


def _one_select(sql: str) -> list[Token]:
    found = _read(sql)
    while found and found[-1].text == ";":
        found.pop()
    if not found:
        raise NotExplainableError("there is no statement")
    if (found[0].word or found[0].text) not in _BEGINNINGS:
        raise NotExplainableError(f"{_shown(found[0].text)} is no SELECT")
    words = [token.word for token in found]
    is_label = False
    for number, (token, word) in enumerate(zip(found, words, strict=True)):
        if token.text == ";":
            raise NotExplainableError("there is a second statement")
        if token.kind is Kind.QUOTED_IDENTIFIER and token.text[0] != '"':
            raise NotExplainableError(f'{_shown(token.text)}: a name is written as "…", without Unicode escapes')
        if word in _CHANGES and not is_label:
            raise NotExplainableError(f'{token.text.upper()} changes something; a column of that name is written "{word}"')
        if word == "for" and any(tuple(words[number + 1 : number + 1 + len(lock)]) == lock for lock in _LOCKS):
            raise NotExplainableError("FOR UPDATE and FOR SHARE lock rows")
        is_label = token.text == "." or (word == "as" and not is_label)  # what follows is a name, whatever word it is
    return found


def refused_function(functions: Iterable[Function]) -> str:
    """Why one of these must not be called; empty where all may be."""
    for each in functions:
        if problem := _problem(each):
            return f"{each.name}() {problem}"
    return ""


def _problem(function: Function) -> str:
    if function.name in RUN_SQL:
        return "reads what it is told to, or takes a transaction id"
    if function.built_in:
        if function.takes_cstring and function.called:
            return "is of a type, and not to be called by hand"
        return "is VOLATILE, and may change something" if function.volatile and function.name not in HARMLESS else ""
    if function.extension and not function.called:
        known = True
    else:
        known = function.is_expression or (function.extension in EXTENSIONS and function.language in LANGUAGES)
    if not known or function.security_definer:
        return "is a function of your own, which may do anything"
    return "is VOLATILE, and may change something" if function.volatile else ""


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
