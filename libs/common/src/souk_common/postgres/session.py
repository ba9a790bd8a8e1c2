"""One connection, and the prepared statements that it keeps."""

import itertools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import asyncpg
import asyncpg.prepared_stmt

from souk_common.postgres.errors import DRIVER_ERRORS, PostgresError, translate

Record: TypeAlias = asyncpg.Record
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Statement: TypeAlias = "asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]"
STALE = (asyncpg.InvalidCachedStatementError, asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
"""The statement did not run: its plan is invalid, or the server does not have it (or another of its name)."""

BindExecute: TypeAlias = Callable[[Any, Sequence[Any], str, int, bool, float | None], Awaitable[list[Record]]]
"""The driver's own part of PreparedStatement.fetch, with its state, the arguments, a portal, a limit, whether more than rows is
returned, and a time-out. What is around it in asyncpg (three coroutines, and checks of what `fit` and `supply` know) costs a sixth
of a look-up by key."""
NUMBERS = itertools.count(1)
"""Of named statements: without a name, asyncpg would have the server parse each at every use, where its own cache is off."""


class Counts:
    """What all sessions of a pool have done."""

    __slots__ = ("interrupted", "prepared", "prepared_again")

    def __init__(self) -> None:
        self.interrupted = 0
        self.prepared = 0
        self.prepared_again = 0


class Session:
    """A connection of a pool, lent to one caller at a time.

    A caller that sets session parameters, listens or takes advisory locks says so with `spoil`, and the pool resets the session
    before the next has it; an open transaction it sees by itself.
    """

    __slots__ = (
        "_bind_execute",
        "_counts",
        "_in_transaction",
        "_max_statements",
        "_spoiled",
        "_statements",
        "connection",
        "expires",
        "local",
        "opened",
        "pinged",
        "pooled",
        "suspect",
        "taken",
        "used",
    )

    def __init__(
        self,
        connection: Connection,
        *,
        pooled: bool,
        local: str,
        max_statements: int,
        counts: Counts,
        now: float,
        expires: float,
    ) -> None:
        """pooled: a transaction pooler is between. local: what its transactions begin with."""
        self.connection = connection
        """asyncpg's. Its errors become ours when they leave `Pool.acquire` or `Pool.transaction`."""
        self.pooled = pooled
        self.local = local
        self.expires = expires
        self.opened = now
        self.taken = now
        self.used = now
        """When a caller gave it back; when it was opened, before."""
        self.pinged = now
        self.suspect = False
        """It must be looked at before the next caller has it."""
        self._spoiled = False
        self._max_statements = max_statements
        self._statements: OrderedDict[str, tuple[str, Statement]] = OrderedDict()
        self._counts = counts
        self._in_transaction = connection.is_in_transaction
        driver: Any = connection
        self._bind_execute: BindExecute = driver._protocol.bind_execute

    @property
    def fit(self) -> bool:
        """The next caller can have it as it is."""
        return not self.suspect and not self._in_transaction()

    def spoil(self) -> None:
        """Have the session reset before the next caller has it."""
        self.suspect = self._spoiled = True

    async def fetch(self, key: str, sql: str, args: Sequence[Any] = (), timeout: float | None = None) -> list[Record]:
        """All rows of a statement that stays prepared under `key`. timeout: seconds, for each answer of the
        server, beside the session's statement_timeout.

        One whose plan has become invalid is prepared again, once; inside a transaction that has failed with it.
        """
        if self.pooled:
            return await self._fetch_unnamed(sql, args, timeout)
        kept = self._statements.get(key)
        statement: Any
        if kept is None or kept[0] != sql:
            statement = await self.statement(key, sql, timeout)
        else:
            statement = kept[1]
            self._statements.move_to_end(key)
        try:
            return await self._bind_execute(statement._state, args, "", 0, False, timeout)
        except STALE as error:
            del self._statements[key]
            if self._in_transaction():
                raise self.failed(error) from error
            self._counts.prepared_again += 1
        except asyncpg.OutdatedSchemaCacheError as error:
            await self.connection.reload_schema_state()
            raise self.failed(error) from error
        except DRIVER_ERRORS as error:
            raise self.failed(error) from error
        except BaseException:
            self.interrupt()
            raise
        return await self._fetch_again(key, sql, args, timeout)

    async def statement(self, key: str, sql: str, timeout: float | None = None) -> Statement:
        """The prepared statement of a key, prepared where it is not yet; for a cursor, say, inside a transaction."""
        kept = self._statements.get(key)
        if kept is not None and kept[0] == sql:
            self._statements.move_to_end(key)
            return kept[1]
        if kept is not None:
            del self._statements[key]
        try:
            name = None if self.pooled else f"souk_{next(NUMBERS)}"
            statement = await self.connection.prepare(sql, name=name, timeout=timeout)
        except DRIVER_ERRORS as error:
            raise self.failed(error, sent=False) from error
        except BaseException:
            self.interrupt()
            raise
        self._counts.prepared += 1
        if self.pooled:
            return statement
        self._statements[key] = (sql, statement)
        if len(self._statements) > self._max_statements:
            self._statements.popitem(last=False)  # asyncpg closes it on the server with its next prepare
        return statement

    async def begin(self, head: str) -> None:
        """BEGIN, with what a transaction behind a pooler must set. head: `BEGIN …`, and further statements, whose settings win."""
        if self.pooled and self.local:
            opening, *more = head.split("; ", 1)
            head = "; ".join([opening, self.local, *more])
        await self.run(head, sent=False)

    async def commit(self) -> bool:
        """COMMIT. False: the server rolled back, since a statement had failed before."""
        return await self.run("COMMIT") == "COMMIT"

    async def run(self, constant: str, *, sent: bool = True) -> str:
        """Statements that nothing from outside is in; the status of the last. sent: as an error of it will say."""
        try:
            return await self.connection.execute(constant)
        except DRIVER_ERRORS as error:
            raise self.failed(error, sent=sent) from error
        except BaseException:
            self.interrupt()
            raise

    def failed(self, error: Exception, *, sent: bool = True) -> PostgresError:
        """What to raise for an error of the driver; the session is looked at before it is used again, where it needs it."""
        closed = self.connection.is_closed()
        if isinstance(error, TimeoutError):
            self.interrupt()
        elif closed or not isinstance(error, asyncpg.PostgresError):
            self.suspect = True
        if isinstance(error, asyncpg.OutdatedSchemaCacheError):
            self._statements.clear()
        return translate(error, sent=sent, closed=closed)

    def interrupt(self) -> None:
        """A statement was canceled on its way: whether the server has heard of it is to be seen."""
        self.suspect = True
        self._counts.interrupted += 1

    def inspect(self) -> None:
        """A caller has had the connection itself: see what it left."""
        self.suspect = self.suspect or self._is_bound()

    async def mend(self) -> bool:
        """Make it as new; False: it cannot be. May take as long as the server likes: bound it."""
        connection = self.connection
        if connection.is_closed() or self._is_bound():
            return False
        for attempt in range(2):
            try:
                await connection.execute("ROLLBACK" if connection.is_in_transaction() else "SELECT 1")
                break
            except asyncpg.QueryCanceledError:  # a cancellation that came late, for the statement before
                if attempt:
                    return False
        if connection.is_in_transaction():  # a BEGIN was on its way when its caller was canceled
            await connection.execute("ROLLBACK")
        if self._spoiled:
            await connection.execute(connection.get_reset_query())
        self.suspect = self._spoiled = False
        return True

    def _is_bound(self) -> bool:
        """asyncpg keeps a listener or a transaction of a caller's that nobody can take back."""
        connection: Any = self.connection
        return bool(connection._listeners) or connection._top_xact is not None

    async def _fetch_again(self, key: str, sql: str, args: Sequence[Any], timeout: float | None) -> list[Record]:
        statement = await self.statement(key, sql, timeout)
        try:
            return await statement.fetch(*args, timeout=timeout)
        except DRIVER_ERRORS as error:
            raise self.failed(error) from error
        except BaseException:
            self.interrupt()
            raise

    async def _fetch_unnamed(self, sql: str, args: Sequence[Any], timeout: float | None) -> list[Record]:
        alone = bool(self.local) and not self._in_transaction()
        if alone:
            await self.begin("BEGIN")
        try:
            rows = await self.connection.fetch(sql, *args, timeout=timeout)
        except DRIVER_ERRORS as error:
            raise self.failed(error) from error
        except BaseException:
            self.interrupt()
            raise
        if alone:
            await self.commit()
        return rows


async def connect(dsn: str, settings: dict[str, str], timeout: float) -> Connection:
    """A new connection; asyncpg keeps no statements for it, since a Session does."""
    return await asyncpg.connect(dsn, timeout=timeout, server_settings=settings, statement_cache_size=0)


async def is_pooled(connection: Connection) -> bool:
    """Whether a pooler answered: it makes up the process id that it tells who connects, since it cancels in their name.

    Asks until it is told, since the question is under the session's statement_timeout, and a new session has little in its caches.
    Bound it.
    """
    while True:
        try:
            return bool(await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid())
        except asyncpg.QueryCanceledError:
            continue
