"""The lexer: what the server's scanner makes of a text, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
