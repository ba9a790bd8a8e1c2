"""What a condition of a plan compares, as far as an index or statistics could help it."""

from collections.abc import Iterator
from dataclasses import dataclass

from souk_dbopt.sql_lexer import Kind, SqlSyntaxError, Token, tokens

_NAMES = (Kind.IDENTIFIER, Kind.QUOTED_IDENTIFIER)
_OPERATORS = frozenset({"=", "<", "<=", ">", ">="})
_WORDS = frozenset(
    {
        *("any", "all", "array", "row", "null", "true", "false", "is", "not", "and", "or", "case", "when", "then", "else", "end"),
        *("initplan", "subplan", "hashed", "alternatives", "distinct", "from", "at", "time", "zone", "like", "between"),
        *("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "current_user", "session_user"),
    }
)
"""What EXPLAIN writes that is no name of a column."""
_CLOSING = {")": "(", "]": "["}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What every row is compared by, with something that does not depend on the row."""

    what: str
    """A column, or an expression, as SQL writes it, without the name of the table."""
    is_equal: bool
    """By =; else by <, <=, > or >=."""
    is_column: bool
    is_cast: bool
    """A column that is made another type."""


def compared(condition: str) -> tuple[list[str], list[str]]:
    """The columns that every row is compared by with =, and those by <, <=, > or >=, each once, in their order."""
    found = [each for each in comparisons(condition) if each.is_column]
    equal = dict.fromkeys(each.what for each in found if each.is_equal)
    ranged = dict.fromkeys(each.what for each in found if not each.is_equal and each.what not in equal)
    return list(equal), list(ranged)


def expressions(condition: str) -> list[str]:
    """What every row is compared by that is neither a column nor one that is made another type, each once."""
    return list(dict.fromkeys(each.what for each in comparisons(condition) if not each.is_column and not each.is_cast))


def casts(condition: str) -> list[str]:
    """Columns that are made another type before every row is compared by them, as SQL writes that."""
    return list(dict.fromkeys(each.what for each in comparisons(condition) if each.is_cast))


def comparisons(condition: str) -> list[Comparison]:
    """All that every row is compared by. What is but one of several alternatives is not among it, nor is what compares two columns
    of one table."""
    read = _Condition(condition)
    return [found for part in read.parts(read.whole, "and") if (found := read.comparison(part)) is not None]


def alternatives(condition: str) -> list[str]:
    """The conditions of which one is enough, where they are all that there is; else none."""
    read = _Condition(condition)
    arms = read.parts(read.whole, "or")
    return [read.text(arm) for arm in arms] if len(arms) > 1 else []


class _Condition:
    """The tokens of a condition, and where its parentheses close. A part of it is a range of tokens."""

    def __init__(self, condition: str) -> None:
        self._text = condition
        try:
            self._tokens = tokens(condition)
        except SqlSyntaxError:
            self._tokens = []
        self._ends: dict[int, int] = {}
        opened: list[int] = []
        for place, token in enumerate(self._tokens):
            if token.text in _CLOSING.values():
                opened.append(place)
            elif token.text in _CLOSING and opened:
                self._ends[opened.pop()] = place
        self.whole = range(len(self._tokens))

    def text(self, part: range) -> str:
        """As it is written."""
        return self._text[self._tokens[part[0]].start : self._tokens[part[-1]].end] if part else ""

    def parts(self, part: range, word: str) -> list[range]:
        """What AND, or OR, connects, also in parentheses; the whole where it connects nothing."""
        found: list[range] = []
        todo = [part]
        while todo:
            part = self._unwrapped(todo.pop())
            places = [place for place in self._outside(part) if self._tokens[place].word == word]
            if places:
                starts, ends = [part.start, *(place + 1 for place in places)], [*places, part.stop]
                todo += reversed([range(start, end) for start, end in zip(starts, ends, strict=True)])
            else:
                found.append(part)
        return found

    def comparison(self, part: range) -> Comparison | None:
        """What it compares, if it is one comparison with what does not depend on the row."""
        outside = list(self._outside(part))
        if any(self._tokens[place].word in ("or", "not", "and") for place in outside):
            return None
        operators = [place for place in outside if self._tokens[place].kind is Kind.OPERATOR]
        if len(operators) != 1 or self._tokens[operators[0]].text not in _OPERATORS:
            return None
        left = self._unwrapped(range(part.start, operators[0]))
        tables = set(self._tables(left))
        if not tables or tables & set(self._tables(range(operators[0] + 1, part.stop))):
            return None
        is_column = self._is_column(left)
        is_cast = not is_column and self._is_cast(left)
        return Comparison(self._without_tables(left), self._tokens[operators[0]].text == "=", is_column, is_cast)

    def _unwrapped(self, part: range) -> range:
        while len(part) > 1 and self._tokens[part[0]].text == "(" and self._ends.get(part[0]) == part[-1]:
            part = part[1:-1]
        return part

    def _outside(self, part: range) -> Iterator[int]:
        """Its tokens that are in no parentheses of it."""
        place = part.start
        while place < part.stop:
            yield place
            place = self._ends.get(place, place) + 1

    def _is_column(self, part: range) -> bool:
        kinds = [self._tokens[place].kind in _NAMES for place in part]
        return kinds in ([True], [True, False, True]) and all(self._tokens[place].text == "." for place in part[1:-1])

    def _is_cast(self, part: range) -> bool:
        while casts := [place for place in self._outside(part) if self._tokens[place].text == "::"]:
            part = self._unwrapped(range(part.start, casts[-1]))
            if self._is_column(part):
                return True
        return False

    def _tables(self, part: range) -> Iterator[str]:
        """The table of each column in it; "" where it is not written."""
        in_type = False
        for place in part:
            token = self._tokens[place]
            before = self._at(place - 1)
            in_type = before is not None and (before.text == "::" or (in_type and (before.kind in _NAMES or before.text == ".")))
            if token.kind not in _NAMES or in_type or token.word in _WORDS or token.word == "collate":
                continue
            if before is not None and (before.text == "." or before.word == "collate"):
                continue
            end = place
            while self._text_at(end + 1) == ".":
                end += 2
            if self._text_at(end + 1) != "(":
                yield token.text if end > place else ""

    def _without_tables(self, part: range) -> str:
        written = []
        start = self._tokens[part[0]].start
        for place in part:
            is_table = self._tokens[place].kind in _NAMES and self._text_at(place + 1) == "."
            if is_table and self._text_at(place + 3) != "(" and self._text_at(place - 1) != "::":
                written.append(self._text[start : self._tokens[place].start])
                start = self._tokens[place + 1].end
        return "".join([*written, self._text[start : self._tokens[part[-1]].end]])

    def _at(self, place: int) -> Token | None:
        return self._tokens[place] if 0 <= place < len(self._tokens) else None

    def _text_at(self, place: int) -> str:
        token = self._at(place)
        return token.text if token is not None else ""
