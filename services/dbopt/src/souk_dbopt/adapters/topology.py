"""The servers of a cluster, looked at from time to time: what each is, how far it is, and whether it answers."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import structlog
from souk_common.postgres import Pool, PoolOptions, PostgresError, Record

from souk_dbopt.consistency import POSITION
from souk_dbopt.lag import PrimaryLog
from souk_dbopt.routing import Role, Router, Server

log = structlog.get_logger(__name__)
_LOOK = f"""
SELECT {POSITION}, pg_is_in_recovery(),
    CASE WHEN pg_is_in_recovery()
         THEN (SELECT greatest(timeline_id, min_recovery_end_timeline) FROM pg_control_checkpoint(), pg_control_recovery())
         ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END,
    (SELECT system_identifier FROM pg_control_system())
"""  # noqa: S608 — of constants
"""position, start time, is a replica, timeline, system identifier"""
PAUSE = 0.1
"""Of the interval between two looks: so long a server is not looked at again, whoever asks for it."""


class Topology:
    """All servers with their connections. Open it as a context manager; leaving it closes them."""

    def __init__(
        self,
        dsns: Mapping[str, str],
        classes: Mapping[str, PoolOptions],
        router: Callable[[Sequence[Server]], Router],
        *,
        interval: float,
        timeout: float,
        clock: Callable[[], float],
    ) -> None:
        """dsns: by the address that is shown. classes: what the pools of each server are like. interval, timeout: seconds between
        two looks at a server, and for one."""
        self._watched = [
            _Watched(
                Server(address, {name: Pool(dsn, options) for name, options in classes.items()}),
                Pool(dsn, PoolOptions(name="check", size=1, min_open=1, connect_timeout=timeout, acquire_timeout=timeout)),
            )
            for address, dsn in dsns.items()
        ]
        self.router = router([each.server for each in self._watched])
        self.router.check_soon = self._check_soon
        self._interval = interval
        self._timeout = timeout
        self._clock = clock
        self._written = PrimaryLog(self.router.max_lag)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(pool.open() for each in self._watched for pool in each.all_pools()))
        await asyncio.gather(*map(self._look, self._watched))
        replicas = [each for each in self._watched if each.server.role is Role.REPLICA]
        await asyncio.gather(*map(self._look, replicas))  # now that the primary's place is known, their lag is
        self._tasks = [asyncio.create_task(self._keep_looking(each), name=f"look-{each.server.address}") for each in self._watched]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(pool.close() for each in self._watched for pool in each.all_pools()))

    async def check(self) -> None:
        """Return if queries that write can run; ServerUnavailableError if not."""
        self.router.primary()

    async def _keep_looking(self, watched: "_Watched") -> None:
        while True:
            await asyncio.sleep(self._interval * PAUSE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval * (1 - PAUSE)):
                    await watched.due.wait()
            watched.due.clear()
            await self._look(watched)

    def _check_soon(self, server: Server) -> None:
        for watched in self._watched:
            if watched.server is server:
                watched.due.set()

    async def _look(self, watched: "_Watched") -> None:
        server = watched.server
        was = (server.role, server.problem)
        try:
            async with asyncio.timeout(self._timeout):
                problem = await self._ask(watched)
        except TimeoutError:
            problem = f"no answer within {self._timeout:g} s"
        except PostgresError as error:
            problem = error.message or type(error).__name__
        server.problem = problem
        if (server.role, server.problem) != was:
            tell = log.warning if problem else log.info
            tell("server", address=server.address, role=server.role.value, problem=problem, timeline=server.timeline)

    async def _ask(self, watched: "_Watched") -> str:
        """What a server says of itself; why nothing can run on it, or nothing."""
        server, pool = watched.server, watched.pool
        if pool.status().down is not None:
            await pool.revive()
        row = await pool.fetchrow("look", _LOOK, timeout=self._timeout)
        assert row is not None  # noqa: S101 — it has one row
        self._take(server, row)
        server.version = pool.status().server_version
        down = [each for each in server.pools.values() if each.status().down is not None]
        revived = await asyncio.gather(*(each.revive() for each in down))
        return "" if all(revived) else "it takes no more connections"

    def _take(self, server: Server, row: Record) -> None:
        lsn, started, is_replica, timeline, system = row
        role = Role.REPLICA if is_replica else Role.PRIMARY
        if (role, timeline) != (server.role, server.timeline):
            server.lsn = 0
        server.role, server.timeline, server.system = role, timeline, system & 0xFFFFFFFFFFFFFFFF
        server.saw(lsn or 0, started)
        if role is Role.PRIMARY:
            self._written.add(self._clock(), lsn)
            server.lag, server.lag_bytes = None, 0
        else:
            server.lag, server.lag_bytes = self._written.behind(self._clock(), server.lsn)


class _Watched:
    """A server, and the connection that looks at it."""

    def __init__(self, server: Server, pool: Pool) -> None:
        self.server = server
        self.pool = pool
        self.due = asyncio.Event()

    def all_pools(self) -> list[Pool]:
        return [self.pool, *self.server.pools.values()]
