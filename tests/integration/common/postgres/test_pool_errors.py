"""Each error of the table, said by a real server."""

import asyncio
from typing import Any

import asyncpg
import pytest
from pools import MakePool
from postgres_servers import PostgresServer
from souk_common import postgres

SCHEMA = """
CREATE TABLE shelf (id int PRIMARY KEY);
CREATE TABLE item (
    id int CONSTRAINT item_key PRIMARY KEY, shelf int CONSTRAINT item_shelf REFERENCES shelf,
    amount smallint NOT NULL CONSTRAINT item_amount CHECK (amount >= 0), span int4range,
    CONSTRAINT item_span EXCLUDE USING gist (span WITH &&)
);
INSERT INTO item VALUES (1, NULL, 1, '[1,5)'), (2, NULL, 1, '[5,9)');
CREATE VIEW few AS SELECT * FROM item WHERE amount < 5 WITH CHECK OPTION;
CREATE TABLE counted (id serial);
CREATE FUNCTION fails() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'not like this'; END $$;
"""


@pytest.fixture(scope="module")
def dsn(shared: PostgresServer) -> str:
    """One database for all of them: what fails leaves nothing."""

    async def make() -> None:
        connection = await asyncpg.connect(shared.dsn())
        await connection.execute(SCHEMA)
        await connection.close()

    asyncio.run(make())
    return shared.dsn()


@pytest.mark.parametrize(
    ("sql", "kind", "sqlstate", "named"),
    [
        ("INSERT INTO item VALUES (1, NULL, 1)", postgres.UniqueError, "23505", ("item_key", "item", "")),
        ("INSERT INTO item VALUES (3, 9, 1)", postgres.ForeignKeyError, "23503", ("item_shelf", "item", "")),
        ("INSERT INTO item VALUES (3, NULL, -1)", postgres.CheckError, "23514", ("item_amount", "item", "")),
        ("INSERT INTO item (id) VALUES (3)", postgres.NotNullError, "23502", ("", "item", "amount")),
        ("INSERT INTO item VALUES (3, NULL, 1, '[4,6)')", postgres.ExclusionError, "23P01", ("item_span", "item", "")),
        ("INSERT INTO few VALUES (3, NULL, 9)", postgres.ConstraintError, "44000", ("", "", "")),
        ("SELECT 1 / 0", postgres.InvalidDataError, "22012", None),
        ("INSERT INTO item VALUES (3, NULL, 70000)", postgres.InvalidDataError, "22003", None),
        ("SELECT 'x'::text::int", postgres.InvalidDataError, "22P02", None),
        ("SELECT (SELECT id FROM item)", postgres.InvalidDataError, "21000", None),
        ("SELEC 1", postgres.InvalidStatementError, "42601", None),
        ("SELECT id FROM item GROUP BY shelf", postgres.InvalidStatementError, "42803", None),
        ("SELECT * FROM nowhere", postgres.UndefinedError, "42P01", None),
        ("SELECT nothing FROM item", postgres.UndefinedError, "42703", None),
        ("SELECT nothing()", postgres.UndefinedError, "42883", None),
        ("SELECT 'x'::nothing", postgres.UndefinedError, "42704", None),
        ("CREATE TABLE nowhere.item ()", postgres.UndefinedError, "3F000", None),
        ("SELECT fails()", postgres.RaisedError, "P0001", None),
        ("SELECT generate_series(1, 2) FOR UPDATE", postgres.InvalidStatementError, "0A000", None),
        ("SELECT pg_terminate_backend(pg_backend_pid())", postgres.UnavailableError, "08003", None),
        ("SAVEPOINT nowhere", postgres.TransactionStateError, "25P01", None),
        ("SELECT currval(pg_get_serial_sequence('counted', 'id'))", postgres.TransactionStateError, "55000", None),
    ],
)
async def test_the_server_says_it_and_the_table_knows_it(
    dsn: str, pools: MakePool, sql: str, kind: type, sqlstate: str, named: tuple[str, str, str] | None
) -> None:
    pool = await pools(dsn, size=1)
    with pytest.raises(kind) as caught:
        await pool.fetch("it", sql)
    assert (type(caught.value), caught.value.sqlstate) == (kind, sqlstate)
    assert not caught.value.is_safe_to_repeat(read=False) or not caught.value.sent
    if named is not None:
        assert (caught.value.constraint, caught.value.table, caught.value.column) == named
    assert await pool.fetchval("one", "SELECT 1") == 1


async def test_a_write_in_a_read_only_transaction(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, server_settings={"default_transaction_read_only": "on"})
    with pytest.raises(postgres.ReadOnlyError):
        await pool.fetch("delete", "DELETE FROM item")


async def test_a_lock_that_is_not_to_be_had(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn, server_settings={"lock_timeout": "20ms"})
    async with other.transaction():
        await other.execute("LOCK TABLE item")
        with pytest.raises(postgres.LockTimeoutError):
            await pool.fetch("all", "SELECT * FROM item")
        with pytest.raises(postgres.LockTimeoutError):
            await pool.fetch("now", "SELECT * FROM shelf, item FOR UPDATE NOWAIT")


async def test_two_transactions_without_an_order(dsn: str, pools: MakePool, other: Any) -> None:
    pool = await pools(dsn)

    async def lose() -> None:
        async with pool.transaction(isolation="REPEATABLE READ") as session:
            await session.fetch("all", "SELECT * FROM item")
            await other.execute("UPDATE item SET amount = 2 WHERE id = 1")
            await session.fetch("update", "UPDATE item SET amount = 3 WHERE id = 1")

    with pytest.raises(postgres.SerializationError) as caught:
        await lose()
    assert caught.value.is_safe_to_repeat(read=False)


async def test_two_transactions_that_wait_for_one_another(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, server_settings={"deadlock_timeout": "20ms"})
    barrier = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with pool.transaction() as session:
            await session.fetch("update", "UPDATE item SET amount = 2 WHERE id = $1", (first,))
            await barrier.wait()
            await session.fetch("update", "UPDATE item SET amount = 2 WHERE id = $1", (second,))

    done = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert sorted(type(each) for each in done if each is not None) == [postgres.DeadlockError]
    error = next(each for each in done if each is not None)
    assert isinstance(error, postgres.DeadlockError)
    assert error.is_safe_to_repeat(read=False)


async def test_a_role_that_may_not(dsn: str, pools: MakePool, other: Any) -> None:
    await other.execute("CREATE ROLE visitor")
    pool = await pools(dsn)
    with pytest.raises(postgres.PermissionDeniedError):
        async with pool.transaction(settings={"role": "visitor"}) as session:
            await session.fetch("all", "SELECT * FROM item")


async def test_a_limit_of_the_server(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, server_settings={"temp_file_limit": "64kB", "work_mem": "64kB"})
    with pytest.raises(postgres.ResourceError):
        await pool.fetch("sort", "SELECT n FROM generate_series(1, 1000000) n ORDER BY -n")


async def test_a_wrong_argument_never_reaches_the_server(dsn: str, pools: MakePool) -> None:
    pool = await pools(dsn, size=1)
    with pytest.raises(postgres.InvalidDataError):
        await pool.fetch("add", "SELECT $1::int", ("x",))
    with pytest.raises(postgres.MisuseError) as caught:
        await pool.fetch("add", "SELECT $1::int")
    assert not caught.value.sent
    assert await pool.fetchval("add", "SELECT $1::int", (1,)) == 1
    assert pool.status().replaced == 0
