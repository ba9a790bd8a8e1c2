"""The lexer against the server's own: texts that are cut into tokens and put together again mean the same there."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres_servers import PostgresServer
from souk_dbopt.sql_lexer import Kind, SqlSyntaxError, Token, tokens, without_comments

LITERALS = [
    *("1", "1_000", "0xFf", "0b101", "0o17", "1.5", ".5", "2.", "1e3", "1.e-2", "12_3.4_5"),
    *("'a'", "'it''s'", "'\\'", "E'a\\'b'", "E'\\\\'", "e'\\n''x'", "U&'d\\0061t'", "B'01'", "x'1f'", "N'n'", "''", "E''"),
    *("'a'\n'b'", "E'a'\n  '\\''", "'a' -- c\n 'b'", "$$a$$", "$x$ $$ ' $x$", "$ä$--$ä$", "'--'", "'/*'"),
]
OPERATORS = ["+", "-", "*", "||", "<", ">=", "<>", "!=", "=", "%", "^", "- -", "+-", "*-", "<-", "@-", "~", "!~~", "::text||", "/ "]
GAPS = ["", " ", "\n", "\t", "/* c */", "/* /* */ ' */", "-- c\n", "--\n", " -- '\r\n"]
PIECES = [
    *LITERALS,
    *OPERATORS,
    *GAPS,
    "(",
    ")",
    ",",
    '"a"',
    "'",
    "$",
    "E",
    "\\",
    "a",
    "$a$",
    ".",
    "::int",
    ":",
    "U&",
    "NULL",
    "@",
    "#",
    "?",
]


class Scanner:
    """A connection, from the same loop in every example."""

    def __init__(self, server: PostgresServer) -> None:
        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.run_until_complete(asyncpg.connect(server.dsn(), statement_cache_size=0))

    def values(self, sql: str) -> str:
        """What the server makes of `SELECT <sql>`: the values as text, or why not."""
        try:
            rows = self._loop.run_until_complete(self._connection.fetch(f"SELECT to_jsonb(q)::text FROM (SELECT {sql}\n) q"))
        except asyncpg.PostgresError as error:
            return f"! {error}"
        except asyncpg.InterfaceError:
            return "it takes parameters"
        return repr([list(row.values()) for row in rows])

    def close(self) -> None:
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()


@pytest.fixture(scope="module")
def scanner(postgres18: PostgresServer) -> Iterator[Scanner]:
    scanner = Scanner(postgres18)
    yield scanner
    scanner.close()


def cut(sql: str) -> list[Token] | None:
    try:
        return without_comments(tokens(sql))
    except SqlSyntaxError:
        return None


EXPRESSIONS = st.lists(
    st.tuples(st.sampled_from(LITERALS), st.sampled_from(GAPS), st.sampled_from(["::text||", ", "]), st.sampled_from(GAPS)),
    max_size=5,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EXPRESSIONS, st.sampled_from(LITERALS))
def test_what_the_server_reads_means_the_same_when_its_tokens_are_put_together_again(
    scanner: Scanner, parts: list[tuple[str, ...]], last: str
):
    sql = "".join(piece for part in parts for piece in part) + last
    found = cut(sql)
    assert found is not None
    values = scanner.values(sql)
    assert scanner.values(" ".join(token.text for token in found)) == values
    same = "".join(
        f"('{number}')" if token.kind in (Kind.STRING, Kind.NUMBER) else token.text for number, token in enumerate(found)
    )
    assert not scanner.values(same).startswith("!")


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_the_lexer_refuses_no_text_that_the_server_takes_and_takes_none_whose_end_the_server_misses(scanner: Scanner, sql: str):
    found, values = cut(sql), scanner.values(sql)
    if found is None:
        assert values.startswith("!")
    if "unterminated" in values or "trailing junk" in values or "zero-length" in values:
        assert found is None
    if found is not None and not values.startswith("!"):
        assert scanner.values(" ".join(token.text for token in found)) == values
