"""The tokens of PostgreSQL's SQL, as its own scanner sees them (src/backend/parser/scan.l of 18).

standard_conforming_strings is on, as it is by default. White space is no token; spans say where it was. Two things are taken
together that the server tells apart, for who reads tokens wants them so: N'…', and strings that go on in the next line.
"""

import re
import string
from enum import Enum
from typing import NamedTuple

_FOLDED = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
"""The server folds no other letters where the encoding is UTF-8."""


class Kind(Enum):
    """What a token is."""

    IDENTIFIER = "identifier"
    """Not quoted: a name or a key word, in any case."""
    QUOTED_IDENTIFIER = "quoted identifier"
    """As it is written: "…" or U&"…"."""
    STRING = "string"
    """A literal of any form: '…', E'…', U&'…', B'…', X'…', N'…', $tag$…$tag$; with all the parts that continue it."""
    NUMBER = "number"
    PARAMETER = "parameter"
    """$1."""
    OPERATOR = "operator"
    PUNCTUATION = "punctuation"
    """, ( ) [ ] . .. ; : :: :="""
    COMMENT = "comment"


class Token(NamedTuple):
    """A piece of a statement."""

    kind: Kind
    start: int
    """In characters from the beginning of the statement."""
    end: int
    """Excluded."""
    text: str

    @property
    def word(self) -> str:
        """An identifier or a key word as the server folds it; anything else is "" (and a quoted identifier is no key word)."""
        if self.kind is not Kind.IDENTIFIER:
            return ""
        return self.text.lower() if self.text.isascii() else self.text.translate(_FOLDED)


class SqlSyntaxError(ValueError):
    """A text that the server's scanner refuses, too."""

    def __init__(self, problem: str, sql: str, position: int) -> None:
        self.problem = problem
        self.position = position
        """In characters."""
        self.line = sql.count("\n", 0, position) + 1
        """The first is 1."""
        super().__init__(f"line {self.line}: {problem}")


_SPACE = r"[ \t\n\r\f\v]"
_LETTER = r"A-Za-z_\x80-\U0010ffff"
# Groups are not possessive: until 3.11.5 Python forgot to go back where the last round of one had matched by half.
_PLAIN = r"'(?:[^']++|'')*'(?!')"
_ESCAPED = r"'(?:[^'\\]++|\\.|'')*'(?!')"
# Only white space with a line's end in it, comments of one line included, joins two literals.
_JOIN = rf"[ \t\f\v]*+(?:--[^\n\r]*+)?[\n\r](?:{_SPACE}|--[^\n\r]*+[\n\r])*"
_DIGITS = r"[0-9](?:_?[0-9])*"

# What there is most of comes first. No alternative reads on and gives back more than it takes: a text is read once.
_TOKEN = re.compile(
    rf"""
      (?P<space>{_SPACE}++)
    | (?P<identifier>(?![eEbBxXnN]'|[uU]&['"])[{_LETTER}][{_LETTER}0-9$]*+)
    | (?P<punctuation>[,()\[\];] | :[:=]? | \.(?![0-9])\.? | \.\.)
    | (?P<number>0[xX](?:_?[0-9a-fA-F])+ | 0[oO](?:_?[0-7])+ | 0[bB](?:_?[01])+
        | (?:{_DIGITS}(?:\.(?!\.)(?:{_DIGITS})?)? | \.{_DIGITS})(?:[eE][-+]?{_DIGITS})?)
    | (?P<operators>(?:[~!@#^&|`?+*%<>=]++|-(?!-)|/(?!\*))+)
    | (?P<parameter>\$[0-9]++)
    | (?P<comment>--[^\n\r]*+)
    | (?P<block>/\*)
    | (?P<string>[eE]{_ESCAPED}(?:{_JOIN}{_ESCAPED})* | (?:[bBxXnN]|[uU]&)?{_PLAIN}(?:{_JOIN}{_PLAIN})*)
    | (?P<quoted>(?:[uU]&)?"(?:[^"]++|"")+"(?!"))
    | (?P<unfinished>(?:[eEbBxXnN]|[uU]&)?' | (?:[uU]&)?")
    | (?P<dollar>\$(?:[{_LETTER}][{_LETTER}0-9]*+)?\$)
    """,
    re.VERBOSE | re.DOTALL,
)
_KINDS = {
    "identifier": Kind.IDENTIFIER,
    "punctuation": Kind.PUNCTUATION,
    "number": Kind.NUMBER,
    "operators": Kind.OPERATOR,
    "parameter": Kind.PARAMETER,
    "comment": Kind.COMMENT,
    "block": Kind.COMMENT,
    "string": Kind.STRING,
    "quoted": Kind.QUOTED_IDENTIFIER,
    "dollar": Kind.STRING,
}
_ENDS_WHERE_IT_SAYS = frozenset({"identifier", "punctuation", "operators", "comment", "quoted"})
_GOES_ON = re.compile(f"{_JOIN}'", re.DOTALL)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_MAY_END_WITH_SIGN = re.compile(r"[~!@#^&|`?%]")
_JUNK = re.compile(rf"[{_LETTER}0-9]")
_NAME_START = re.compile(r"[a-zA-Z_]")


def tokens(sql: str) -> list[Token]:
    """All tokens in their order, comments too, in a time that grows as the text does. SqlSyntaxError where the text cannot be read
    to its end."""
    found: list[Token] = []
    position, length = 0, len(sql)
    while position < length:
        match = _TOKEN.match(sql, position)
        if match is None:
            raise SqlSyntaxError(f"{sql[position]!r} begins nothing", sql, position)
        group = match.lastgroup or ""
        end = match.end()
        if group == "operators" and end - position > 1:
            found += _operators(match[0], position)
        elif group != "space":
            if group not in _ENDS_WHERE_IT_SAYS:
                end = _end(group, match)
            found.append(Token(_KINDS[group], position, end, sql[position:end]))
        position = end
    return found


def without_comments(found: list[Token]) -> list[Token]:
    """What the server's parser gets."""
    return [token for token in found if token.kind is not Kind.COMMENT]


def _end(group: str, match: re.Match[str]) -> int:
    """Where a token ends, which an expression alone does not always say."""
    sql, start, end = match.string, match.start(), match.end()
    match group:
        case "block":
            return _comment_end(sql, start)
        case "dollar":
            closing = sql.find(match[0], end)
            if closing < 0:
                raise SqlSyntaxError(f"the string {match[0]} does not end", sql, start)
            return closing + len(match[0])
        case "string" if (more := _GOES_ON.match(sql, end)) is not None:
            raise SqlSyntaxError("the string does not end", sql, more.end() - 1)
        case "number" | "parameter" if _JUNK.match(sql, end) or (sql.startswith("$", end) and _ends_as_name(match[0])):
            raise SqlSyntaxError(f"{sql[start : end + 1]!r}: a letter or digit follows a number", sql, start)
        case "unfinished":
            what = "the name in quotes is empty, or" if match[0].endswith('"') else "the string"
            raise SqlSyntaxError(f"{what} does not end", sql, start)
    return end


def _comment_end(sql: str, start: int) -> int:
    """Comments hold comments."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(sql, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    raise SqlSyntaxError("the comment does not end", sql, start)


def _ends_as_name(number: str) -> bool:
    """1_0 and 1e5: with the $ that a name may have, the server reads 1 and the longer name _0$."""
    return _NAME_START.search(number, max(map(number.rfind, ".+-")) + 1) is not None


def _operators(run: str, start: int) -> list[Token]:
    """What the server makes of a run of operators' characters, which a comment ends: only an operator with an unusual character
    ends with a sign, so that `2*-1` is a product; the signs at the end of another are each by itself."""
    length = len(run)
    if run[-1] in "+-" and _MAY_END_WITH_SIGN.search(run, 0, length - 1) is None:
        length = max(1, len(run.rstrip("+-")))
    places = [(0, length), *((place, place + 1) for place in range(length, len(run)))]
    return [Token(Kind.OPERATOR, start + begin, start + end, run[begin:end]) for begin, end in places]
