"""The pool: what callers have of it."""

import asyncio
import copy
import random
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from souk_common.postgres.errors import ASYNCPG_ERRORS, PoolClosedError, TransactionStateError
from souk_common.postgres.options import PoolOptions, PoolStatus, local_settings
from souk_common.postgres.session import Record, Session
from souk_common.postgres.slots import Slots
from souk_common.postgres.supply import Supply

Isolation = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


class Pool:
    """Connections to one server with the same session settings: a class of queries has a pool of its own.

    An async context manager, or `open` and `close`. A caller waits in a queue, first come, first served, and no longer than
    the options say; what a caller leaves behind is cleaned in a task of the pool's, so that giving back costs no round trip.
    Every error is a souk_common.postgres.PostgresError. Cancel the task that waits for an answer, and the server is told.
    """

    def __init__(
        self,
        dsn: str,
        options: PoolOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._options = options = options or PoolOptions()
        self._slots: Slots[Session] = Slots(
            name=options.name, size=options.size, max_waiting=options.max_waiting, timeout=options.acquire_timeout, clock=clock
        )
        self._supply = Supply(dsn, options, self._slots, clock=clock, random=random)
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Connect. It returns as soon as there is a connection, and also where none can be had: the pool tries on, callers get
        UnavailableError until it succeeds, and `status().down` says why."""
        try:
            await self._supply.start()
        except BaseException:
            await self.close(grace=0)
            raise

    async def close(self, grace: float = 5.0) -> None:
        """Refuse callers, fail those who wait, give those who have a connection `grace` seconds, and close all connections."""
        self._supply.closing = True
        self._slots.fail_all(_closed)
        if self._timer is not None:
            self._timer.cancel()
        await self._supply.stop(grace)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def revive(self) -> bool:
        """Connect at once, where the pool would still wait after a failure: for who knows that the server is back. Whether it
        could."""
        return await self._supply.revive()

    async def fetch(self, key: str, sql: str, args: Sequence[Any] = (), *, timeout: float | None = None) -> list[Record]:
        """All rows of one statement, which stays prepared under `key` on the connections that have run it.

        timeout: seconds for the answer, beside the session's statement_timeout. The statement commits by itself.
        """
        session = self._slots.take() or await self._wait()
        try:
            return await session.fetch(key, sql, args, timeout)
        finally:
            self._release(session)

    async def fetchrow(self, key: str, sql: str, args: Sequence[Any] = (), *, timeout: float | None = None) -> Record | None:
        """The first row; None where there is none. The server makes them all: let the statement have one."""
        rows = await self.fetch(key, sql, args, timeout=timeout)
        return rows[0] if rows else None

    async def fetchval(self, key: str, sql: str, args: Sequence[Any] = (), *, timeout: float | None = None) -> Any:
        """The first value of the first row; None where there is none."""
        # not through `fetch`: that is a coroutine more, for the call that is made most
        session = self._slots.take() or await self._wait()
        try:
            rows = await session.fetch(key, sql, args, timeout)
        finally:
            self._release(session)
        return rows[0][0] if rows else None

    def acquire(self) -> "Lease":
        """A session for as long as an `async with` lasts."""
        return Lease(self)

    def transaction(
        self,
        *,
        isolation: Isolation = "READ COMMITTED",
        read_only: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> "Transaction":
        """A session in a transaction for as long as an `async with` lasts: committed at its end, rolled back where the body ends
        with an exception. The rollback is not waited for. settings: SET LOCAL."""
        access = "READ ONLY" if read_only else "READ WRITE"
        local = local_settings(settings or {})
        return Transaction(self, f"BEGIN ISOLATION LEVEL {isolation} {access}" + (f"; {local}" if local else ""))

    @property
    def load(self) -> int:
        """Callers that have a connection or wait for one."""
        return self._supply.open - len(self._slots.free) + self._slots.waiting

    def status(self) -> PoolStatus:
        """How it is now, for GetPoolStatus and metrics."""
        slots, supply, free = self._slots, self._supply, len(self._slots.free)
        return PoolStatus(
            name=self._options.name,
            size=self._options.size,
            open=supply.open,
            free=free,
            in_use=max(0, supply.open - free - supply.in_care),
            in_care=supply.in_care,
            connecting=supply.connecting,
            waiting=slots.waiting,
            max_waiting=self._options.max_waiting,
            acquired=slots.acquired,
            waits=copy.deepcopy(slots.waits),
            service_seconds=slots.service_seconds,
            refused=slots.refused,
            timeouts=slots.timeouts,
            connects=supply.connects,
            reconnects=supply.reconnects,
            failed_connects=supply.failed_connects,
            lost=supply.lost,
            replaced=supply.replaced,
            interrupted=supply.counts.interrupted,
            prepared=supply.counts.prepared,
            prepared_again=supply.counts.prepared_again,
            server_version=supply.server_version,
            behind_pooler=supply.behind_pooler,
            down=supply.down,
        )

    async def _acquire(self) -> Session:
        return self._slots.take() or await self._wait()

    async def _wait(self) -> Session:
        if self._supply.closing:
            raise _closed()
        if self._supply.down is not None:
            raise self._supply.refusal()
        waiter = self._slots.join()
        self._supply.grow()
        if self._timer is None:  # one for all who wait: they have the same time, so the first is the first to give up
            self._timer = asyncio.get_running_loop().call_later(self._options.acquire_timeout, self._expire)
        try:
            return await waiter
        except BaseException:
            session = self._slots.leave(waiter)
            if session is not None:
                self._release(session)
            raise

    def _expire(self) -> None:
        rest = self._slots.expire()
        self._timer = None if rest is None else asyncio.get_running_loop().call_later(rest, self._expire)

    def _release(self, session: Session) -> None:
        now = self._slots.end_use(session)
        if session.fit:
            self._slots.give(session, now)
        else:
            self._supply.tend(session)


class Lease:
    """Lends a session while its body runs; the driver's errors that leave the body become ours."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._session: Session | None = None

    async def __aenter__(self) -> Session:
        self._session = await self._pool._acquire()
        return self._session

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        session = self._session
        if session is None:
            return
        try:
            if isinstance(error, ASYNCPG_ERRORS):
                raise session.failed(error) from error
            if isinstance(error, TimeoutError) or (error is not None and not isinstance(error, Exception)):
                session.suspect = True
        finally:
            session.inspect()
            self._pool._release(session)


class Transaction:
    """Lends a session in a transaction while its body runs."""

    def __init__(self, pool: Pool, head: str) -> None:
        self._lease = Lease(pool)
        self._head = head
        self._session: Session | None = None

    async def __aenter__(self) -> Session:
        self._session = await self._lease.__aenter__()
        try:
            await self._session.begin(self._head)
        except BaseException as error:
            await self._lease.__aexit__(type(error), error, error.__traceback__)
            raise
        return self._session

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        session = self._session
        try:
            if error is None and session is not None and not await session.commit():
                raise TransactionStateError("the transaction was rolled back, since a statement in it had failed", sent=False)
        except BaseException as failure:
            await self._lease.__aexit__(type(failure), failure, failure.__traceback__)
            raise
        await self._lease.__aexit__(kind, error, trace)


def _closed() -> PoolClosedError:
    return PoolClosedError("the pool is closed", sent=False)
