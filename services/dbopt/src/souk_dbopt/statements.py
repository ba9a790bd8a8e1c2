"""One statement of a query file: its named parameters, whether it only reads, and how its rows leave as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from souk_dbopt.sql_lexer import Kind, SqlSyntaxError, Token, tokens, without_comments

_BEGINNINGS = frozenset({"select", "values", "with", "insert", "update", "delete", "merge", "("})
_CHANGES = {"insert": ("into",), "delete": ("from",), "merge": ("into",), "update": ()}
"""The word that follows where it is a statement and no column of that name. UPDATE is followed by a table."""
_LOCKS = (("update",), ("no", "key", "update"), ("share",), ("key", "share"))
_SIDE_EFFECTS = frozenset({"nextval", "setval", "set_config", "pg_notify", "pg_cancel_backend", "pg_terminate_backend"})
_SIDE_EFFECT_PREFIXES = ("pg_advisory_", "pg_try_advisory_", "lo_", "dblink", "pg_logical_", "pg_create_", "pg_drop_")

_VARLENA = 4
"""Bytes that pg_column_size counts of a value that is in memory, besides its own."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A text of one statement without the semicolon, as it was written."""

    text: str
    tokens: tuple[Token, ...]
    """Without comments. Positions are of `text`."""

    @classmethod
    def read(cls, sql: str) -> "Statement":
        """SqlSyntaxError where there is none, more than one, or one that is no SELECT, VALUES, INSERT, UPDATE, DELETE, MERGE."""
        found = without_comments(tokens(sql))
        last = next((number for number, token in enumerate(found) if token.text == ";"), len(found))
        for token in found[last:]:
            if token.text != ";":
                raise SqlSyntaxError("there is a second statement", sql, token.start)
        found = found[:last]
        if not found:
            raise SqlSyntaxError("there is no statement", sql, len(sql))
        if (found[0].word or found[0].text) not in _BEGINNINGS:
            raise SqlSyntaxError("must be SELECT, VALUES, WITH, INSERT, UPDATE, DELETE or MERGE", sql, found[0].start)
        for token in found:
            if token.kind is Kind.PARAMETER:
                raise SqlSyntaxError(f"{token.text}: parameters have names, as :product_id", sql, token.start)
        start = found[0].start
        if start:
            found = [Token(kind, begin - start, end - start, text) for kind, begin, end, text in found]
        return cls(sql[start : start + found[-1].end], tuple(found))

    def parameters(self) -> Iterator[tuple[str, Token]]:
        """Each `:name` in the order of the text, with the token of its colon. `a[1 : n]`, with spaces, is a slice."""
        for colon, name in zip(self.tokens, self.tokens[1:], strict=False):
            if colon.text == ":" and colon.end == name.start and name.kind is Kind.IDENTIFIER:
                yield name.text, colon

    def numbered(self, names: Sequence[str]) -> str:
        """The text with $1 for each use of the first of `names`, $2 for the second … KeyError for a name that is not among them."""
        numbers = {name: number for number, name in enumerate(names, 1)}
        parts, copied = [], 0
        for name, colon in self.parameters():
            parts += [self.text[copied : colon.start], f"${numbers[name]}"]
            copied = colon.end + len(name)
        return "".join([*parts, self.text[copied:]])

    def side_effect(self) -> tuple[str, Token] | None:
        """What makes it more than a read, as its text tells: a change, a lock, a function known to have an effect."""
        for number, token in enumerate(self.tokens):
            if (word := token.word) and (effect := self._effect_of(word, number)) is not None:
                return effect, token
        return None

    def _effect_of(self, word: str, number: int) -> str | None:
        """word: of the token of that number."""
        if word in _CHANGES or word == "into":
            before = self.tokens[number - 1].text if number else ""
            if word == "into":
                return "SELECT INTO" if before.lower() not in ("insert", "merge") else None
            if before in ("", "(", ")"):
                follows = _CHANGES[word]
                is_statement = self._words(number + 1, 1)[0] in follows if follows else self._is_name(number + 1)
                return word.upper() if is_statement else None
        if word == "for":
            after = self._words(number + 1, 3)
            return next((f"FOR {' '.join(lock).upper()}" for lock in _LOCKS if after[: len(lock)] == lock), None)
        if word in _SIDE_EFFECTS or word.startswith(_SIDE_EFFECT_PREFIXES):
            is_call = number + 1 < len(self.tokens) and self.tokens[number + 1].text == "("
            return f"{word}()" if is_call else None
        return None

    def _words(self, start: int, count: int) -> tuple[str, ...]:
        words = tuple(token.word for token in self.tokens[start : start + count])
        return words + ("",) * (count - len(words))

    def _is_name(self, number: int) -> bool:
        return number < len(self.tokens) and self.tokens[number].kind in (Kind.IDENTIFIER, Kind.QUOTED_IDENTIFIER)

    def main(self) -> int:
        """The number of the token at which the statement begins that follows its WITH clause."""
        if self.tokens[0].word != "with":
            return 0
        depth = 0
        for number, token in enumerate(self.tokens):
            if token.text in ("(", "["):
                depth += 1
            elif depth == 0 and self.tokens[number - 1].text == ")" and token.word != "as" and token.text != ",":
                return number
            elif token.text in (")", "]"):
                depth -= 1
        raise SqlSyntaxError("nothing follows WITH", self.text, 0)

    def returns_rows(self) -> bool:
        """Whether it is a SELECT in the end, or has RETURNING."""
        depth = 0
        main = self.tokens[self.main() :]
        if main[0].word in ("select", "values", "table") or main[0].text == "(":
            return True
        for token in main:
            depth += (token.text == "(") - (token.text == ")")
            if depth == 0 and token.word == "returning":
                return True
        return False

    def json_array(self, more: str, *, max_bytes: int) -> "Statement":
        """A statement of one row: a text that is a JSON array of all rows, in their order, how many they are, and more columns.
        The text is NULL where it has more than `max_bytes`."""
        size = f"pg_column_size(json_agg(q)) > {max_bytes + _VARLENA}"
        rows = f"CASE WHEN {size} THEN NULL ELSE coalesce(json_agg(q), '[]')::text END"
        return self._wrapped(f"SELECT {rows} AS rows, count(*)::integer AS row_count, {more}")

    def json_rows(self, *, max_bytes: int) -> "Statement":
        """A statement of as many rows, each of one text that is a JSON object, or NULL where that has more than `max_bytes`."""
        size = f"pg_column_size(object) > {max_bytes + _VARLENA}"
        select = f"SELECT CASE WHEN {size} THEN NULL ELSE object::text END FROM (SELECT to_json(q) AS object"  # noqa: S608 — of constants
        return self._wrapped(select, " OFFSET 0) r")  # which keeps the planner from writing to_json in place of each `object`

    def _wrapped(self, select: str, end: str = "") -> "Statement":
        """A statement that changes something is no subquery: it becomes the last part of a WITH clause."""
        if self.side_effect() is None:
            return Statement.read(f"{select} FROM (\n{self.text}\n) q{end}")
        main = self.tokens[self.main()].start
        beginning = f"{self.text[:main].rstrip()}, " if main else "WITH "
        return Statement.read(f"{beginning}souk_rows AS (\n{self.text[main:]}\n)\n{select} FROM souk_rows q{end}")
