"""Runs queries of the catalogue: reads wherever they may run, and elsewhere where a server fails; writes on the primary, once."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from souk_common.postgres import (
    ConflictError,
    PoolBusyError,
    PostgresError,
    ReadOnlyError,
    Record,
    Session,
    UnavailableError,
)

from souk_dbopt.catalogue import Query
from souk_dbopt.consistency import EVERYTHING, POSITION, Position
from souk_dbopt.exceptions import (
    ConsistencyTokenInvalidError,
    OutcomeUnknownError,
    QueryTimedOutError,
    RequestIdReusedError,
    RequestInProgressError,
    ResultTooLargeError,
    ServerUnavailableError,
    TooFarBehindError,
)
from souk_dbopt.routing import Role, Router, Server
from souk_dbopt.timeouts import is_timeout

ATTEMPTS = 4
"""Of one query, where a repeat is safe."""
BACKOFF = 0.01
"""Seconds before the second attempt after a conflict; doubled each time, spread by half."""
MAX_BATCH_BYTES = 2**20 - 1024
"""Of one batch of a stream, if it has more than one row: with what is around it, a response has 1 MiB."""
FIRST_FETCH, MAX_FETCH = 8, 64
"""Rows of a stream that the server is asked for at once. All of them are in memory, and may be larger than those before."""
WRITE = "write"
"""The class that writes."""
DID_NOT_RUN = (
    ConsistencyTokenInvalidError,
    PoolBusyError,
    RequestIdReusedError,
    RequestInProgressError,
    ServerUnavailableError,
    TooFarBehindError,
)
"""Errors of calls that came to no server."""


@dataclass(slots=True)
class Rows:
    """What a query returned. Not frozen, as to make one would take twice the time; nobody changes it."""

    text: str
    """A JSON array of objects."""
    count: int
    position: Position | None
    """A read that has seen this has seen what this one saw, or wrote. None: not known, of what the cache says that there is not."""
    role: Role | None
    """Of the server that answered. None: the cache did."""
    seconds: float
    """That it took, with the wait for a connection."""
    repeated: bool = False
    """A write that an earlier call made."""
    seen: Position | None = None
    """Of a read: the server was known to be here before it began. None: not known."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a stream, in their order."""

    text: str
    """A JSON array of objects."""
    count: int
    position: Position
    role: Role


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """What makes two writes the same one."""

    principal: str
    request_id: str
    fingerprint: bytes
    """Of the query and its arguments."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a write returned, as it is kept for its repeats."""

    text: str
    count: int


class Requests(Protocol):
    """What was written under which request id, kept in the transaction that wrote it."""

    async def begin(self, session: Session, request: WriteRequest) -> Written | None:
        """Claim a request id; what was written under it, where it was. RequestIdReusedError, RequestInProgressError."""

    async def finish(self, session: Session, request: WriteRequest, written: Written) -> None:
        """Keep what was written."""


class Observer(Protocol):
    """Told of each query that ran, when it is over; of writes that were repeats, and of calls that came to no server, it is not."""

    def __call__(
        self, query: Query, arguments: Sequence[Any], seconds: float, rows: int, error: BaseException | None, role: Role | None
    ) -> None:
        """seconds: with the wait for a connection. error: of one that failed, or that its caller gave up. role: of the server that
        answered."""


class Executor:
    """Runs queries on the servers of a cluster."""

    def __init__(
        self,
        router: Router,
        requests: Requests,
        *,
        observe: Observer,
        clock: Callable[[], float] = time.perf_counter,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._router = router
        self._requests = requests
        self._observe = observe
        self._clock = clock
        self._chance = chance

    async def read(self, query: Query, arguments: Sequence[Any], position: Position | None = None) -> Rows:
        """Run a query that reads, on a server that has seen `position`. One that fails on a server is run on another."""
        # one coroutine, for the call that is made most: not through `_observed`, and another only where one may have to wait
        failed: list[Server] = []
        router = self._router
        started = began = self._clock()
        try:
            while True:
                if position is None:
                    server = router.reader_of_anything(without=failed)
                else:
                    server = await router.reader(position, without=failed)
                    began = self._clock()
                was_started, known = server.started, server.lsn
                pool = server.pools[query.query_class.name]
                try:
                    rows = await pool.fetch(query.key, query.json_text, arguments, timeout=query.own_timeout)
                except PostgresError as error:
                    if not self._may_go_on(server, error, failed):
                        raise _told(query, error, self._clock() - began) from error
                    began = self._clock()
                    continue
                text, count, lsn, now_started = rows[0]
                same = (lsn == known and now_started == was_started) or server.saw(lsn, now_started)
                if position is not None and server.role is Role.REPLICA and now_started != was_started:
                    continue  # it was started anew, and what it was known to have seen it may not have seen since
                if text is None:
                    raise ResultTooLargeError(query.max_result_bytes)
                seconds = self._clock() - began
                break
        except DID_NOT_RUN:
            raise
        except BaseException as error:
            self._observe(query, arguments, self._clock() - started, 0, error, None)
            raise
        self._observe(query, arguments, seconds, count, None, server.role)
        place = server.place(lsn)
        seen = None
        if same and now_started == was_started:
            seen = place if lsn == known else server.place(known)
        return Rows(text, count, place, server.role, seconds, seen=seen)

    async def stream(
        self, query: Query, arguments: Sequence[Any], position: Position | None = None, *, batch: int
    ) -> AsyncGenerator[Batch, None]:
        """The rows of a query that reads, of one moment, at most `batch` and MAX_BATCH_BYTES at a time; the database is read no
        faster than they are taken. ResultTooLargeError for a row that is too large for an answer."""
        began, taken, count, role = self._clock(), 0.0, 0, None
        failed: BaseException | None = None
        try:
            async with contextlib.aclosing(self._stream(query, arguments, position, batch)) as batches:
                async for each in batches:
                    count, role, paused = count + each.count, each.role, self._clock()
                    try:
                        yield each
                    finally:
                        taken += self._clock() - paused
        except GeneratorExit:
            raise
        except BaseException as error:
            failed = error
            raise
        finally:
            if not isinstance(failed, DID_NOT_RUN):
                self._observe(query, arguments, self._clock() - began - taken, count, failed, role)

    async def write(self, query: Query, arguments: Sequence[Any], request: WriteRequest) -> Rows:
        """Run a query that writes, once for each request id: a repeat returns what the first call returned.

        It is run again where the server took it back for a conflict. OutcomeUnknownError where the connection broke while it was
        being committed.
        """
        return await self._observed(query, arguments, self._write_once(query, arguments, request))

    async def write_idempotent(self, query: Query, arguments: Sequence[Any]) -> Rows:
        """Run a query that writes and that does no harm when it is run twice, as one that has a request id of its own."""
        return await self._observed(query, arguments, self._write_again(query, arguments))

    async def _observed(self, query: Query, arguments: Sequence[Any], running: Coroutine[Any, Any, Rows]) -> Rows:
        began = self._clock()
        try:
            found = await running
        except DID_NOT_RUN:
            raise
        except BaseException as error:
            self._observe(query, arguments, self._clock() - began, 0, error, None)
            raise
        if not found.repeated:
            self._observe(query, arguments, found.seconds, found.count, None, found.role)
        return found

    async def _stream(
        self, query: Query, arguments: Sequence[Any], position: Position | None, batch: int
    ) -> AsyncGenerator[Batch, None]:
        server = await self._router.reader(position)
        started, cursor = server.started, None
        try:
            async with server.pools[query.query_class.name].transaction(isolation="REPEATABLE READ", read_only=True) as session:
                lsn, now_started = (await session.fetch("position", f"SELECT {POSITION}"))[0]
                server.saw(lsn, now_started)
                if position is not None and server.role is Role.REPLICA and now_started != started:
                    raise ServerUnavailableError("the replica was started anew; come again")  # before the first row
                at = server.place(lsn)
                cursor = await _Cursor.open(session, query, arguments, self._clock)
                async with contextlib.aclosing(cursor.batches(batch)) as batches:
                    async for texts in batches:
                        yield Batch(f"[{', '.join(texts)}]", len(texts), at, server.role)
        except PostgresError as error:
            if isinstance(error, UnavailableError) and not isinstance(error, PoolBusyError):
                self._router.failed(server, error)
            raise _told(query, error, cursor.seconds if cursor is not None else 0.0) from error

    async def _write_once(self, query: Query, arguments: Sequence[Any], request: WriteRequest) -> Rows:
        return await self._on_primary(query, lambda server: self._write(server, query, arguments, request))

    async def _write_again(self, query: Query, arguments: Sequence[Any]) -> Rows:
        async def write(server: Server) -> tuple[Written, bool]:
            pool, limit = server.pools[WRITE], _time_limit(query)
            if limit is None:
                rows = await pool.fetch(query.key, query.json_text, arguments)
            else:
                async with pool.transaction(settings=limit) as session:
                    rows = await session.fetch(query.key, query.json_text, arguments)
            return _written(query, rows), False

        return await self._on_primary(query, write)

    async def _on_primary(self, query: Query, write: Callable[[Server], Coroutine[Any, Any, tuple[Written, bool]]]) -> Rows:
        """Write, and again where the server took it back for a conflict. write: what is written, and whether it was before."""
        began = self._clock()
        for attempt in range(1, ATTEMPTS + 1):
            server, attempted = self._router.primary(), self._clock()
            try:
                written, repeated = await write(server)
                break
            except ConflictError:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(BACKOFF * 2**attempt * (0.5 + self._chance()))
            except PostgresError as error:
                raise self._write_failed(server, query, error, self._clock() - attempted) from error
        position = await self._position_after(server)
        return Rows(written.text, written.count, position, Role.PRIMARY, self._clock() - began, repeated)

    async def _write(self, server: Server, query: Query, arguments: Sequence[Any], request: WriteRequest) -> tuple[Written, bool]:
        async with server.pools[WRITE].transaction(settings=_time_limit(query)) as session:
            before = await self._requests.begin(session, request)
            if before is not None:
                return before, True
            written = _written(query, await session.fetch(query.key, query.json_text, arguments))
            await self._requests.finish(session, request, written)
        return written, False

    async def _position_after(self, server: Server) -> Position:
        """A place that a write which has just been committed is before."""
        try:
            row = await server.pools[WRITE].fetchrow("position", f"SELECT {POSITION}")
        except PostgresError:
            row = None
        return server.place(EVERYTHING if row is None else row[0])

    def _may_go_on(self, server: Server, error: PostgresError, failed: list[Server]) -> bool:
        """Whether a read that failed on a server is to be tried on another."""
        elsewhere = isinstance(error, ConflictError)  # on a replica: the primary removed rows that it was reading
        if isinstance(error, UnavailableError) and not isinstance(error, PoolBusyError):
            self._router.failed(server, error)
            elsewhere = True
        failed.append(server)
        return elsewhere and len(failed) < ATTEMPTS

    def _write_failed(self, server: Server, query: Query, error: PostgresError, seconds: float) -> Exception:
        if isinstance(error, PoolBusyError):
            return error
        if isinstance(error, ReadOnlyError):  # it was the primary, and is a replica now
            self._router.failed(server, error)
            return ServerUnavailableError("the primary has become a replica; another is being looked for")
        if isinstance(error, UnavailableError):
            self._router.failed(server, error)
            return OutcomeUnknownError("the connection broke while the query was being written") if error.sent else error
        return _told(query, error, seconds)


def _told(query: Query, error: PostgresError, seconds: float) -> Exception:
    """What an error of a query is that took so long."""
    return QueryTimedOutError(query.name, query.timeout) if is_timeout(error, seconds, query.timeout) else error


def _written(query: Query, rows: Sequence[Record]) -> Written:
    text, count, _, _ = rows[0]
    if text is None:
        raise ResultTooLargeError(query.max_result_bytes)
    return Written(text, count)


def _time_limit(query: Query) -> Mapping[str, str] | None:
    """What ends a write that takes longer than its own time-out. It is the server that does, for who has the server told to cancel
    does not know whether it had committed before."""
    return None if query.own_timeout is None else {"statement_timeout": f"{max(1, round(query.own_timeout * 1000))}ms"}


class _Cursor:
    """Rows of a query as they are asked for, in a transaction. StatementTimeoutError where the server has worked on them for longer
    than the query may take in all; the time between two fetches is the caller's."""

    def __init__(self, session: Session, query: Query, clock: Callable[[], float]) -> None:
        self.seconds = 0.0
        """That the server has worked on it."""
        self._session = session
        self._limit = query.timeout
        self._max_row_bytes = query.max_result_bytes
        self._clock = clock
        self._cursor: Any = None

    @classmethod
    async def open(cls, session: Session, query: Query, arguments: Sequence[Any], clock: Callable[[], float]) -> Self:
        """Have the server plan the query."""
        cursor = cls(session, query, clock)
        statement = await session.statement(f"{query.key}#rows", query.json_rows_text)
        cursor._cursor = await cursor._timed(lambda left: statement.cursor(*arguments, timeout=left))
        return cursor

    async def batches(self, size: int) -> AsyncGenerator[list[str], None]:
        """The rows, at most `size` of them together, and at most MAX_BATCH_BYTES, or one."""
        texts: list[str] = []
        total, ahead = 0, FIRST_FETCH
        while rows := await self._fetch(min(ahead, size - len(texts))):
            largest = 1
            for (text,) in rows:
                if text is None:
                    raise ResultTooLargeError(self._max_row_bytes, is_one_row=True)
                length = _bytes(text) + len(", ")
                if texts and total + length > MAX_BATCH_BYTES:
                    yield texts
                    texts, total = [], 0
                texts.append(text)
                total, largest = total + length, max(largest, length)
            if len(texts) >= size:
                yield texts
                texts, total = [], 0
            ahead = max(1, min(ahead * 2, MAX_FETCH, MAX_BATCH_BYTES // largest))
        if texts:
            yield texts

    async def _fetch(self, count: int) -> Sequence[Record]:
        rows: list[Record] = await self._timed(lambda left: self._cursor.fetch(count, timeout=left))
        return rows

    async def _timed(self, work: Callable[[float], Awaitable[Any]]) -> Any:
        began = self._clock()
        try:
            return await work(self._limit - self.seconds)
        except TimeoutError as error:
            raise self._session.failed(error) from error
        finally:
            self.seconds += self._clock() - began


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
