"""What callers are told of what PostgreSQL has against a query, on real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from integration.dbopt.shop import client_of, dbopt
from postgres_servers import PostgresServer
from souk.client import (
    AbortedError,
    DbClient,
    FailedPreconditionError,
    InvalidArgumentError,
    ResourceExhaustedError,
    SoukError,
)
from souk_dbopt.adapters import schema

Connection = asyncpg.Connection
HEADER = "-- name: own.{name}\n-- version: 1\n-- description: A query that fails.\n-- class: {of_class}\n"
NUMBER = "-- parameters: {n: {type: int, description: A number.}}\n"
OWN_FILES = {
    "divide": ("lookup", f"{NUMBER}SELECT 1 / :n::int AS quotient"),
    "overflow": ("lookup", f"{NUMBER}SELECT :n::int + 1 AS sum"),
    "writes": ("lookup", f"{NUMBER}SELECT note(:n::int)::text AS nothing"),
    "long": ("lookup", f"{NUMBER}SELECT length(repeat('x', :n::int)) AS length"),
    "nap": ("analytics", f"{NUMBER}SELECT pg_sleep(:n::int)::text AS nothing"),
    "note": ("write", f"-- write: true\n{NUMBER}INSERT INTO notes (n) VALUES (:n) RETURNING n"),
}
TABLES = """
CREATE TABLE notes (n int NOT NULL);
GRANT ALL ON notes TO souk_service;
CREATE FUNCTION note(n int) RETURNS void LANGUAGE sql AS 'INSERT INTO notes VALUES (n)';
CREATE FUNCTION rest() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF new.n = 7 THEN RAISE EXCEPTION 'seller is on holiday'; END IF;
    RETURN new;
END $$;
CREATE TRIGGER rest BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION rest();
"""


@pytest.fixture
async def db(postgres: PostgresServer, database: str, owner: Connection, tmp_path: Path) -> AsyncIterator[DbClient]:
    """A client of dbopt with queries that fail."""
    await schema.migrate(owner)
    await owner.execute(TABLES)
    for name, (of_class, text) in OWN_FILES.items():
        (tmp_path / f"{name}.sql").write_text(HEADER.format(name=name, of_class=of_class) + text)
    explain_dsn = postgres.dsn(database, "souk_explain")
    async with (
        dbopt(
            postgres.dsn(database, "souk_service"),
            queries_dir=tmp_path,
            shipped_queries=False,
            explain_dsn=explain_dsn,
            plan_budget=0,
        ) as server,
        client_of(server, attempts=1) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("query", "number", "kind", "reason", "sqlstate"),
    [
        ("own.divide", 0, InvalidArgumentError, "DATA_INVALID", "22012"),
        ("own.overflow", 2**31 - 1, InvalidArgumentError, "DATA_INVALID", "22003"),
        ("own.writes", 1, FailedPreconditionError, "STATEMENT_REFUSED", "25006"),
        ("own.long", 2_000_000_000, ResourceExhaustedError, "PROGRAM_LIMIT", "54000"),
    ],
)
async def test_what_the_database_has_against_a_query_has_a_reason(
    db: DbClient, query: str, number: int, kind: type[SoukError], reason: str, sqlstate: str
):
    with pytest.raises(kind) as told:
        await db.execute(query, {"n": number})
    assert (told.value.reason, told.value.metadata["sqlstate"], told.value.retry_delay) == (reason, sqlstate, None)
    with pytest.raises(kind) as told:
        async for _ in db.stream(query, {"n": number}):
            pass
    assert told.value.reason == reason


async def test_a_query_that_fails_while_it_is_explained_says_why(db: DbClient):
    with pytest.raises(InvalidArgumentError) as told:
        await db.explain("own.divide", {"n": 0}, analyze=True)
    assert told.value.reason == "DATA_INVALID"


async def test_a_rule_that_says_no_is_heard(db: DbClient, owner: Connection):
    with pytest.raises(FailedPreconditionError, match="seller is on holiday") as told:
        await db.write("own.note", {"n": 7}, request_id="one")
    assert (told.value.reason, told.value.metadata["sqlstate"]) == ("RULE_RAISED", "P0001")
    assert await owner.fetchval("SELECT count(*) FROM notes") == 0


async def test_a_query_that_somebody_cancels_is_not_said_to_have_timed_out(db: DbClient, owner: Connection):
    call = asyncio.create_task(db.execute("own.nap", {"n": 50}))
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'"
    cancelled: Any = None
    while not cancelled:
        cancelled = await owner.fetchval(cancel)
    with pytest.raises(AbortedError) as told:
        await call
    assert told.value.reason == "QUERY_CANCELLED"
