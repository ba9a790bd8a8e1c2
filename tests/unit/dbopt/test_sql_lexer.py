"""The lexer: what the server's scanner makes of a text, and what it refuses."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_dbopt import fingerprints, sql_lexer
from souk_dbopt.sql_lexer import Kind, SqlSyntaxError, tokens, without_comments


def kinds(sql: str) -> list[tuple[str, str]]:
    return [(token.kind.name, token.text) for token in tokens(sql)]


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("name", Kind.IDENTIFIER),
        ("größe$1", Kind.IDENTIFIER),
        ('"a ""b"" c"', Kind.QUOTED_IDENTIFIER),
        ('U&"d\\0061t"', Kind.QUOTED_IDENTIFIER),
        ("'it''s \\'", Kind.STRING),
        ("E'it\\'s \\\\'", Kind.STRING),
        ("e'a''b\\''", Kind.STRING),
        ("U&'\\0041'", Kind.STRING),
        ("b'01'", Kind.STRING),
        ("X'1F'", Kind.STRING),
        ("n'a'", Kind.STRING),
        ("'one' -- and\n  -- then\n 'two'", Kind.STRING),
        ("E'one\\''\n'\\'two'", Kind.STRING),
        ("$$it's $1$$", Kind.STRING),
        ("$a$ $$ $b$ $a$", Kind.STRING),
        ("$ä1$x$ä1$", Kind.STRING),
        ("42", Kind.NUMBER),
        ("1_000", Kind.NUMBER),
        ("0xFF_ff", Kind.NUMBER),
        ("0o17", Kind.NUMBER),
        ("0b1_0", Kind.NUMBER),
        ("1.", Kind.NUMBER),
        (".5", Kind.NUMBER),
        ("1.5e-3", Kind.NUMBER),
        ("1_0.e+1_0", Kind.NUMBER),
        ("$12", Kind.PARAMETER),
        ("->>", Kind.OPERATOR),
        ("@-", Kind.OPERATOR),
        ("<=", Kind.OPERATOR),
        ("::", Kind.PUNCTUATION),
        (":=", Kind.PUNCTUATION),
        ("..", Kind.PUNCTUATION),
        ("-- to the end", Kind.COMMENT),
        ("/* one /* in */ another */", Kind.COMMENT),
    ],
)
def test_one_token_is_read_as_one(sql: str, kind: Kind):
    assert kinds(sql) == [(kind.name, sql)]


@pytest.mark.parametrize(
    ("sql", "texts"),
    [
        ("2*-1", ["2", "*", "-", "1"]),
        ("a<=-1", ["a", "<=", "-", "1"]),
        ("a@-1", ["a", "@-", "1"]),
        ("a+--b\n+c", ["a", "+", "--b", "+", "c"]),
        ("a*/* b */c", ["a", "*", "/* b */", "c"]),
        ("1..10", ["1", "..", "10"]),
        ("x::int", ["x", "::", "int"]),
        ("f(a=>1)", ["f", "(", "a", "=>", "1", ")"]),
        ("a[1:n]", ["a", "[", "1", ":", "n", "]"]),
        (":name", [":", "name"]),
        ("a$b$c", ["a$b$c"]),
        ("'a' 'b'", ["'a'", "'b'"]),
        ("'a'/**/\n'b'", ["'a'", "/**/", "'b'"]),
        ("'a'\n/**/'b'", ["'a'", "/**/", "'b'"]),
        ("E'a'E'b'", ["E'a'", "E'b'"]),
        ('t."c".d', ["t", ".", '"c"', ".", "d"]),
        ("$1::text||$2", ["$1", "::", "text", "||", "$2"]),
        ("a?|b", ["a", "?|", "b"]),
    ],
)
def test_tokens_end_where_the_server_ends_them(sql: str, texts: list[str]):
    assert [token.text for token in tokens(sql)] == texts


@pytest.mark.parametrize(
    ("sql", "problem", "position"),
    [
        ("'a", "the string does not end", 0),
        ("x 'a''", "the string does not end", 2),
        ("E'a\\'", "the string does not end", 0),
        ("'a'\n'b", "the string does not end", 4),
        ("$a$ $b$", "the string $a$ does not end", 0),
        ('"a', "the name in quotes is empty, or does not end", 0),
        ('a ""', "the name in quotes is empty, or does not end", 2),
        ("/* /* */", "the comment does not end", 0),
        ("12abc", "'12a': a letter or digit follows a number", 0),
        ("$1a", "'$1a': a letter or digit follows a number", 0),
        ("0x", "'0x': a letter or digit follows a number", 0),
        ("1_0$$a$$", "'1_0$': a letter or digit follows a number", 0),
        ("1__0", "'1_': a letter or digit follows a number", 0),
        ("a \\ b", "'\\\\' begins nothing", 2),
        ("{", "'{' begins nothing", 0),
        ("a\0", "'\\x00' begins nothing", 1),
    ],
)
def test_what_the_server_refuses_is_refused_with_its_place(sql: str, problem: str, position: int):
    with pytest.raises(SqlSyntaxError) as refused:
        tokens(f"\n{sql}")
    assert (refused.value.problem, refused.value.position - 1) == (problem, position)
    assert refused.value.line == 2 + sql.count("\n", 0, position)


def test_key_words_and_names_are_folded_as_the_server_folds_them():
    assert [token.word for token in tokens("SELECT Größe, ÄB, \"Größe\", 'A'")] == ["select", "größe", "", "Äb", "", "", "", ""]


def test_comments_can_be_left_out():
    assert [token.text for token in without_comments(tokens("/* a */ b -- c"))] == ["b"]


@given(st.text(alphabet="aE'\"$1 \n-/*+@U&\\x.:_", max_size=30))
def test_tokens_are_the_text_without_white_space(sql: str):
    try:
        found = tokens(sql)
    except SqlSyntaxError:
        return
    position = 0
    for token in found:
        assert sql[position : token.start].strip(" \n") == ""
        assert sql[token.start : token.end] == token.text != ""
        position = token.end
    assert sql[position:].strip(" \n") == ""


class Counted:
    """An expression that counts the characters that its matches span, and those that a search looks through."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self.characters = 0

    def match(self, text: str, start: int = 0) -> re.Match[str] | None:
        found = self._pattern.match(text, start)
        self.characters += 1 + (found.end() - start if found else 0)
        return found

    def search(self, text: str, start: int = 0, end: int = 2**31) -> re.Match[str] | None:
        self.characters += 1 + max(0, min(end, len(text)) - start)
        return self._pattern.search(text, start, end)

    def finditer(self, text: str, start: int) -> Iterator[re.Match[str]]:
        end = start
        for found in self._pattern.finditer(text, start):
            self.characters += found.end() - end
            end = found.end()
            yield found


LONG = {
    "signs": "+-" * 5_000 + "1",
    "signs behind an operator": "@+" + "+-" * 5_000,
    "operators of all kinds": "1" + "<>+*%^=!~@-#&|`?" * 600 + "1",
    "signs that a comment ends": "1 +- /**/" * 1_000 + "1",
    "slashes": "1" + "/" * 5_000 + "1",
    "sums": "1" + "+1" * 5_000,
    "comments in comments": "/*" * 2_500 + "*/" * 2_500 + "1",
    "comments": "/**/-- a\n" * 1_000,
    "dollar quotes": "$a$ $b$ $a$" * 900,
    "dollar quotes in a dollar quote": "$x$" + "$a$" * 3_000 + "$x$",
    "quotes": "'" + "''" * 5_000 + "'",
    "quoted names": '"a""b" ' * 1_400,
    "quotes in a quoted name": '"' + '""' * 5_000 + '"',
    "unicode escapes": "U&'\\0041' U&\"\\0041\" " * 500,
    "backslashes": "E'" + "\\\\" * 5_000 + "'",
    "literals that go on": "'a'\n" * 2_500,
    "lines behind a literal": "'a'" + "\n" * 10_000 + "x",
    "comments behind a literal": "'a'" + "\n-- b" * 2_000 + "\nx",
    "names": "e.E,n.N " * 1_200,
    "one name": "a$" * 5_000,
    "numbers": "1_0.5e-1 " * 1_100,
    "one number": "1" + "_1" * 5_000 + ".",
    "a number that a dollar follows": "1" + "_1" * 5_000 + ".$",
    "lists that do not end": "true IN ((" * 1_000,
    "lists in lists": "true IN ((" * 1_000 + "1" + "))" * 1_000,
    "casts that do not end": "1::a(" * 2_000,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_a_text_is_read_in_as_many_steps_as_it_is_long(text: str, monkeypatch: pytest.MonkeyPatch):
    counted: list[Counted] = []
    for name, value in vars(sql_lexer).copy().items():
        if isinstance(value, re.Pattern):
            counted.append(Counted(value))
            monkeypatch.setattr(sql_lexer, name, counted[-1])
    try:
        tokens(text)
    except SqlSyntaxError:
        assert text.endswith("$")
    assert sum(each.characters for each in counted) <= 5 * len(text) + 10


class Words(list[str]):
    """A list that counts what is taken of it."""

    taken = 0

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        Words.taken += len(found) if isinstance(place, slice) else 1
        return found


@pytest.mark.parametrize("text", ["true in ((" * 1_000, "true in ((" * 1_000 + "))" * 1_000, "values (" * 1_000])
def test_lists_are_shortened_in_as_many_steps_as_there_are_words(text: str):
    Words.taken = 0
    words = Words(token.text for token in tokens(text))
    fingerprints._short_lists(words)
    assert Words.taken <= 5 * len(words)
