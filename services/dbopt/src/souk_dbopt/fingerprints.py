"""Fingerprints of SQL texts: the same for two that differ only in their values and in how they are written.

What is taken for the same: literals and parameters, with their signs and casts; lists of values in IN, ARRAY and VALUES, however
long; comments and white space; the case of key words and of names that are not quoted. pg_stat_statements has texts with $1 for
literals: they have the fingerprints of the texts that it saw.
"""

import hashlib
from dataclasses import dataclass

from souk_dbopt.sql_lexer import Kind, SqlSyntaxError, Token, tokens, without_comments

VALUE = "?"
"""Stands for a literal or a parameter."""
UNREADABLE = "(a text that cannot be read)"
MAX_TEXT = 20_000
"""Characters of a text that are shown."""
_OPERATORS = {"!=": "<>", "?": "??"}
"""Of two spellings one; and jsonb's ?, as JDBC writes it, for it is no value."""
_VALUES = (Kind.STRING, Kind.NUMBER, Kind.PARAMETER)
_LITERALS = frozenset({"null", "true", "false"})
_IS = frozenset({"is", "not"})
"""Before NULL, TRUE and FALSE: then they are a test, and no value."""
_BEFORE_SIGN = frozenset(
    {
        *("select", "distinct", "all", "from", "where", "on", "using", "and", "or", "not", "in", "any", "some", "between", "is"),
        *(
            "like",
            "ilike",
            "similar",
            "to",
            "escape",
            "case",
            "when",
            "then",
            "else",
            "as",
            "with",
            "by",
            "having",
            "set",
            "values",
        ),
        *("limit", "offset", "fetch", "first", "next", "returning", "return"),
    }
)
"""Words that no operand ends with: a sign that follows is that of the number behind it."""
_TYPES = frozenset(
    {
        *(
            "smallint",
            "int",
            "integer",
            "bigint",
            "int2",
            "int4",
            "int8",
            "decimal",
            "numeric",
            "real",
            "float",
            "float4",
            "float8",
        ),
        *("money", "text", "char", "character", "varchar", "bytea", "bool", "boolean", "date", "time", "timetz", "timestamp"),
        *("timestamptz", "interval", "uuid", "json", "jsonb", "xml", "bit", "inet", "cidr", "macaddr"),
        *("point", "line", "lseg", "box", "path", "polygon", "circle"),
    }
)
"""Before a string they make a literal of that type: date '2026-01-01'."""
_FIELDS = frozenset({"year", "month", "day", "hour", "minute", "second", "to"})
_SECOND_WORDS = {"double": ("precision",), "character": ("varying",), "char": ("varying",), "bit": ("varying",)}
_NO_SPACE_BEFORE = frozenset({",", ")", "]", ".", ";", "::", "[", ":"})
_NO_SPACE_AFTER = frozenset({"(", "[", ".", "::", ":"})


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a text is known by."""

    key: str
    """As ~5f0c3a9e1b7d2c44."""
    text: str
    """Without its values."""


def fingerprint(sql: str) -> Fingerprint:
    """Of any text. One that the server's scanner refuses is the same only as itself, and is not shown: it may have values."""
    try:
        text = normalised(sql)
    except SqlSyntaxError:
        return Fingerprint(_key(sql), UNREADABLE)
    return Fingerprint(_key(text), text[:MAX_TEXT])


def normalised(sql: str) -> str:
    """The text with ? for its values, written in one way. SqlSyntaxError."""
    words = _without_casts(_without_signs(_words(without_comments(tokens(sql)))))
    words = _short_lists(words)
    while words and words[-1] == ";":
        words.pop()
    return _written(words)


def _key(text: str) -> str:
    return "~" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _words(found: list[Token]) -> list[str]:
    """Each token as it is compared: a value is ?, a name or a key word is in small letters."""
    words: list[str] = []
    for token in found:
        word = token.word
        if token.kind in _VALUES or (word in _LITERALS and not (words and words[-1] in _IS)):
            words.append(VALUE)
        elif token.kind is Kind.OPERATOR:
            words.append(_OPERATORS.get(token.text, token.text))
        else:
            words.append(word or token.text)
    return words


def _without_signs(words: list[str]) -> list[str]:
    """Without + and - that belong to the value behind them."""
    kept: list[str] = []
    for number, word in enumerate(words):
        if word in ("-", "+") and words[number + 1 : number + 2] == [VALUE] and not (kept and _ends_operand(kept[-1])):
            continue
        kept.append(word)
    return kept


def _ends_operand(word: str) -> bool:
    return word in (VALUE, ")", "]") or _is_name(word)


def _is_name(word: str) -> bool:
    """As far as that can be told: not of the key words that are asked about here."""
    return (word[0].isalpha() or word[0] in '_"' or word[0] > "\x7f") and word not in _BEFORE_SIGN


def _without_casts(words: list[str]) -> list[str]:
    """Without the casts of values: ?::date, CAST(? AS date), date ?."""
    kept: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        if word == "::" and kept and kept[-1] == VALUE:
            position = _type_end(words, position + 1)
        elif word == VALUE and kept and kept[-1] in _TYPES and kept[-2:-1] not in (["::"], ["."]):
            position = _fields_end(words, position + 1) if kept[-1] == "interval" else position + 1
            kept[-1] = VALUE
        elif word == VALUE and kept[-2:] == ["cast", "("] and words[position + 1 : position + 2] == ["as"]:
            position = _closing(words, _type_end(words, position + 2)) + 1
            kept[-2:] = [VALUE]
        else:
            kept.append(word)
            position += 1
    return kept


def _type_end(words: list[str], position: int) -> int:
    """Where the name of a type that begins there ends: timestamp(3) with time zone, my.kind, numeric(10, 2)[]."""

    def at(place: int) -> str:
        return words[place] if place < len(words) else ""

    first = at(position)
    position += 1
    while at(position) == ".":
        position += 2
    if at(position) in _SECOND_WORDS.get(first, ()):
        position += 1
    if at(position) == "(":
        position = _closing(words, position) + 1
    if first in ("time", "timestamp") and at(position) in ("with", "without") and at(position + 1) == "time":
        position += 3
    if first == "interval":
        position = _fields_end(words, position)
    if at(position) == "array":
        position += 1
    while at(position) == "[":
        position += 2 if at(position + 1) == "]" else 3
    return position


def _closing(words: list[str], position: int) -> int:
    """The next parenthesis that closes, or the end."""
    while position < len(words) and words[position] != ")":
        position += 1
    return position


def _fields_end(words: list[str], position: int) -> int:
    while position < len(words) and words[position] in _FIELDS:
        position += 1
    return position


def _short_lists(words: list[str]) -> list[str]:
    """With one element for all of IN (?, ?), ARRAY[?, ?], and one row for all of VALUES (?, ?), (?, ?)."""
    kept: list[str] = []
    ends = _parentheses(words)
    position = 0
    while position < len(words):
        word = words[position]
        kept.append(word)
        position += 1
        if word == "values" or (word in ("(", "[") and kept[-2:] in (["in", "("], ["array", "["])):
            element, position = _repeated(words, position, ends.get(position, position))
            kept += element
    return kept


def _parentheses(words: list[str]) -> dict[int, int]:
    """Where each that opens is closed."""
    ends, opened = {}, []
    for place, word in enumerate(words):
        if word == "(":
            opened.append(place)
        elif word == ")" and opened:
            ends[opened.pop()] = place
    return ends


def _repeated(words: list[str], position: int, last: int) -> tuple[list[str], int]:
    """The element that a list begins with, and where it is followed by something else than a comma and itself again. An element is
    a value, or a row of anything in parentheses, which ends at `last`."""
    end = last + 1
    element = words[position:end]
    if element != [VALUE] and (element[:1] != ["("] or last == position):
        return [], position
    again = [",", *element]
    while words[end : end + len(again)] == again:
        end += len(again)
    return element, end


def _written(words: list[str]) -> str:
    parts: list[str] = []
    before = ""
    for word in words:
        tight = not before or word in _NO_SPACE_BEFORE or before in _NO_SPACE_AFTER or (word == "(" and _is_name(before))
        parts.append(word if tight else f" {word}")
        before = word
    return "".join(parts)
