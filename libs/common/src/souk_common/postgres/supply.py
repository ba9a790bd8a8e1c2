"""Keeps a pool in connections: opens them, mends or replaces what a caller left unfit, and finds the server again."""

import asyncio
from collections.abc import Callable, Coroutine

import asyncpg
import structlog

from souk_common.postgres.errors import DRIVER_ERRORS, PostgresError, UnavailableError, translate_connecting
from souk_common.postgres.options import STARTUP_SETTINGS, PoolOptions, local_settings
from souk_common.postgres.session import Connection, Counts, Session, connect, is_pooled
from souk_common.postgres.slots import Slots

log = structlog.get_logger(__name__)


class Supply:
    """The sessions of one pool. What it does takes place in tasks of its own, never in a caller's, and each within a time limit."""

    def __init__(
        self,
        dsn: str,
        options: PoolOptions,
        slots: Slots[Session],
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._dsn = dsn
        self._options = options
        self._slots = slots
        self._clock = clock
        self._random = random
        self._local = local_settings(options.server_settings)
        self._sessions: set[Session] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._connectors: set[asyncio.Task[None]] = set()
        self._prompt: dict[object, asyncio.TimerHandle] = {}
        """Attempts to connect that may still be quick, with the end of that."""
        self._keeper: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._failures = 0
        self._missed = 0
        self._changed = asyncio.Event()
        self.closing = True
        self.down: PostgresError | None = None
        """Why there is no session and none can be had; None where there is one, or one may come."""
        self.counts = Counts()
        self.connecting = 0
        """Sessions on their way."""
        self.in_care = 0
        self.connects = 0
        self.reconnects = 0
        self.failed_connects = 0
        self.lost = 0
        self.replaced = 0
        self.server_version = ""
        self.behind_pooler = bool(options.behind_pooler)

    @property
    def open(self) -> int:
        """Sessions that there are, lent or not."""
        return len(self._sessions)

    async def start(self) -> None:
        """Open the first sessions; return when one is there, or it is known that none can be had."""
        self.closing = False
        self._keeper = asyncio.create_task(self._keep(), name=f"{self._options.name}-keeper")
        self._connect()
        self.grow()
        while not self._sessions and self.down is None:
            await self._changed.wait()
            self._changed.clear()

    async def stop(self, grace: float) -> None:
        """Close the free sessions at once, and those that are lent when they come back, or cut them off after `grace` seconds."""
        self.closing = True
        ending = [task for task in (self._keeper, *self._connectors) if task is not None]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if self._retry is not None:
            self._retry.cancel()
        for session in self._sessions:
            session.suspect = True
        while self._slots.free:
            self.tend(self._slots.free.pop())
        try:
            async with asyncio.timeout(grace):
                while self._sessions:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            for session in list(self._sessions):
                self._drop(session)
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def grow(self) -> None:
        """Open sessions, where callers wait for more than are on their way and there may be more."""
        if self.closing or self._retry is not None:
            return
        options = self._options
        while (total := len(self._sessions) + self.connecting) < options.size and len(self._prompt) < options.max_connecting:
            if total >= options.min_open and len(self._prompt) >= self._slots.waiting:
                return
            self._connect()

    async def revive(self) -> bool:
        """Connect now, where it waits until it may: somebody knows that the server is back. Whether there is a session then."""
        if self._retry is not None:
            self._retry.cancel()
            self._try_again()
        while not self._sessions and self.connecting and not self.closing:
            self._changed.clear()
            await self._changed.wait()
        return bool(self._sessions)

    def tend(self, session: Session) -> None:
        """Take a session that no caller may have as it is: mend it, or replace it."""
        if session not in self._sessions:
            return
        if session.connection.is_closed():
            self._lose(session)
        else:
            self.in_care += 1
            self._own(self._mend(session), self._tasks, "mend")

    def _own(self, work: Coroutine[None, None, None], tasks: set[asyncio.Task[None]], name: str) -> None:
        task = asyncio.create_task(work, name=f"{self._options.name}-{name}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _mend(self, session: Session) -> None:
        fit = False
        ending = self.closing or self._clock() >= session.expires
        try:
            async with asyncio.timeout(self._options.check_timeout):
                if ending:
                    await session.connection.close()
                else:
                    fit = await session.mend()
        except DRIVER_ERRORS as error:
            log.warning("a connection to PostgreSQL is given up", pool=self._options.name, error=str(error) or type(error).__name__)
        finally:
            self.in_care -= 1
            self._settle(session, fit=fit, ending=ending)

    def _settle(self, session: Session, *, fit: bool, ending: bool) -> None:
        if fit and not self.closing and session in self._sessions:
            session.pinged = now = self._clock()
            self._slots.give(session, now)
            return
        self.replaced += session in self._sessions and not self.closing and not ending
        self._drop(session)

    def _drop(self, session: Session) -> None:
        """Give a session up, whatever it does."""
        self._sessions.discard(session)
        session.connection.terminate()
        self._changed.set()
        self.grow()
        if self._retry is not None:
            self._go_down(UnavailableError("the last connection was lost", sent=False))

    def _lose(self, session: Session) -> None:
        """It has ended without us."""
        if session not in self._sessions:
            return
        session.suspect = True
        self._slots.withdraw(session)
        if not self.closing:
            self.lost += 1
            self._missed += 1
            if session.taken == session.opened:  # nobody has had it: as if it had not been opened
                self._back_off()
        self._drop(session)

    def _connect(self) -> None:
        self.connecting += 1
        attempt = object()
        later = asyncio.get_running_loop().call_later
        self._prompt[attempt] = later(self._options.slow_connect, self._overtake, attempt)
        self._own(self._open(attempt), self._connectors, "connect")

    def _overtake(self, attempt: object) -> None:
        """Let others connect beside one that may hang."""
        del self._prompt[attempt]
        self.grow()

    def _end_attempt(self, attempt: object) -> None:
        self.connecting -= 1
        timer = self._prompt.pop(attempt, None)
        if timer is not None:
            timer.cancel()

    async def _open(self, attempt: object) -> None:
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                session = await self._new_session()
        except DRIVER_ERRORS as error:
            self._end_attempt(attempt)
            self.failed_connects += 1
            self._back_off()
            self._go_down(translate_connecting(error))
            self._changed.set()
        except BaseException:
            self._end_attempt(attempt)
            raise
        else:
            self._end_attempt(attempt)
            self._opened(session)

    async def _new_session(self) -> Session:
        options = self._options
        connection, pooled = await self._new_connection()
        try:
            if options.behind_pooler is None and not pooled:
                pooled = await is_pooled(connection)
        except BaseException:
            connection.terminate()
            raise
        version = connection.get_server_version()
        self.server_version = f"{version.major}.{version.micro}"  # asyncpg counts as before version 10
        self.behind_pooler = pooled
        now = self._clock()
        session = Session(
            connection,
            pooled=pooled,
            local=self._local,
            max_statements=options.max_statements,
            counts=self.counts,
            now=now,
            expires=now + options.max_age * (0.9 + 0.2 * self._random()),
        )
        connection.add_termination_listener(lambda _: self._lose(session))
        return session

    async def _new_connection(self) -> tuple[Connection, bool]:
        """A connection, and whether it is known already that a pooler is between."""
        options = self._options
        settings = dict(options.server_settings)
        accepted = {name: value for name, value in settings.items() if name in STARTUP_SETTINGS}
        if self.behind_pooler:
            return await connect(self._dsn, accepted, options.connect_timeout), True
        try:
            return await connect(self._dsn, settings, options.connect_timeout), False
        except asyncpg.ProtocolViolationError as error:
            if options.behind_pooler is not None or "startup parameter" not in str(error):
                raise
        return await connect(self._dsn, accepted, options.connect_timeout), True

    def _opened(self, session: Session) -> None:
        self.connects += 1
        if self._missed:
            self._missed -= 1
            self.reconnects += 1
        if self.down is not None:
            log.info("PostgreSQL answers again", pool=self._options.name)
        self._failures = 0
        self.down = None
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._sessions.add(session)
        self._changed.set()
        self._slots.give(session, self._clock())
        self.grow()

    def _back_off(self) -> None:
        """Connect no more for a while, which grows with each failure."""
        if self._retry is None and not self.closing:
            options = self._options
            delay = min(options.max_reconnect_delay, options.reconnect_delay * 2.0 ** min(self._failures, 30))
            self._failures += 1
            self._retry = asyncio.get_running_loop().call_later(delay * (1.0 - 0.5 * self._random()), self._try_again)

    def _go_down(self, cause: PostgresError) -> None:
        """With no session left and none on its way, who waits waits in vain."""
        if self._sessions or self.connecting or self.closing:
            return
        if self.down is None:
            log.warning("PostgreSQL does not answer", pool=self._options.name, error=cause.message)
        self.down = cause
        self._slots.fail_all(self.refusal)
        self._changed.set()

    def refusal(self) -> UnavailableError:
        """What a caller is told while there is no session and none can be had."""
        cause = self.down
        delay = self._options.reconnect_delay
        if self._retry is not None:
            delay = max(delay, self._retry.when() - asyncio.get_running_loop().time())
        text = f"no connection to PostgreSQL: {cause.message if cause else 'it was lost'}"
        kind = type(cause) if isinstance(cause, UnavailableError) else UnavailableError
        return kind(text, sqlstate=cause.sqlstate if cause else "", sent=False, retry_delay=delay)

    def _try_again(self) -> None:
        self._retry = None
        if self.down is not None:
            self._connect()
        self.grow()

    async def _keep(self) -> None:
        """Look at the sessions now and then: ping the idle, close the superfluous, replace the old."""
        options = self._options
        while True:
            await asyncio.sleep(min(options.keep_alive, options.idle_timeout, options.max_age) / 2)
            now = self._clock()
            for session in self._sessions:
                session.suspect = session.suspect or now >= session.expires
            superfluous = len(self._sessions) - options.min_open
            for session in list(self._slots.free):
                if superfluous > 0 and now - session.used >= options.idle_timeout:
                    superfluous -= 1
                    session.expires = now
                if now >= session.expires or now - max(session.used, session.pinged) >= options.keep_alive:
                    self._slots.withdraw(session)
                    self.tend(session)
