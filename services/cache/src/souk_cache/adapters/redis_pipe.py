"""One connection to Redis that scripts are run over: what is called in one turn of the event loop goes out as one message, and
answers come in the order of the calls.

It is a connection of redis-py without its pool, its pipelines and its time limit for each read and write: those cost more than the
round trip does (bench/cache_l2.py).
"""

import asyncio
import contextlib
from collections import deque

import redis.asyncio as redis
from hiredis import pack_command
from redis.exceptions import ConnectionError as ConnectionLostError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from souk_cache.scripts import NAMES, Call, Reply, ScriptName, source

Answer = Reply | ResponseError
DOUBTS, DOUBT_SECONDS = 3, 0.02
"""Looks before an answer is late, and the seconds between them."""


class Pipe:
    """Connects by itself. When the connection is lost, or Redis does not answer in time, it is closed: every call that is under way
    fails, and the owner opens another one."""

    def __init__(self, connection: redis.Connection, *, timeout: float) -> None:
        """timeout: seconds that each answer has, from the call or from the answer before it."""
        self.closed = False
        """It takes no more calls."""
        self._connection = connection
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._shas: dict[ScriptName, bytes] = {}
        self._unsent: list[Call] = []
        self._waiting: deque[tuple[asyncio.Future[Answer], float]] = deque()
        self._due = asyncio.Event()
        self._watch: asyncio.TimerHandle | None = None
        self._late = False
        self._doubts = 0
        self._heard = 0.0
        """When the last answer came: those who wait behind many others are not late while answers come."""
        self._living = asyncio.create_task(self._live(), name="redis-pipe")

    @property
    def under_way(self) -> int:
        """Calls that have no answer yet."""
        return len(self._waiting)

    def send(self, call: Call) -> asyncio.Future[Answer]:
        """The answer of a script, or the error that Redis answered. RedisError, OSError or TimeoutError where there is none."""
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._unsent.append(call)
        self._waiting.append((answer, self._loop.time()))
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout, self._look)
        self._due.set()
        return answer

    async def close(self) -> None:
        """End it; who waits is cancelled."""
        self._living.cancel()
        await asyncio.gather(self._living, return_exceptions=True)

    async def _live(self) -> None:
        writing: asyncio.Task[None] | None = None
        error: BaseException = ConnectionLostError("the connection is closed")
        try:
            await self._open()
            writing = asyncio.create_task(self._write(), name="redis-pipe-write")
            await self._read()
        except (RedisError, OSError, TimeoutError) as lost:
            error = lost
        except asyncio.CancelledError as ended:
            error = TimeoutError("Redis did not answer in time") if self._late else ended
            if not self._late:
                raise
        finally:
            self.closed = True
            if self._watch is not None:
                self._watch.cancel()
            if writing is not None:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
            for answer, _ in self._waiting:
                if isinstance(error, asyncio.CancelledError):
                    answer.cancel()
                elif not answer.done():
                    answer.set_exception(error)
            self._waiting.clear()
            with contextlib.suppress(RedisError, OSError):
                await self._connection.disconnect(nowait=True)

    async def _open(self) -> None:
        await self._connection.connect()  # type: ignore[no-untyped-call]
        for name in NAMES:
            await self._connection.send_packed_command(_packed("SCRIPT", "LOAD", source(name)), check_health=False)
            self._shas[name] = await self._connection.read_response()

    async def _write(self) -> None:
        """Send what there is, each time that there is something."""
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                unsent, self._unsent = self._unsent, []
                packed = [_packed("EVALSHA", self._shas[call.script], len(call.keys), *call.keys, *call.args) for call in unsent]
                await self._connection.send_packed_command(b"".join(packed), check_health=False)
        except (RedisError, OSError):
            return  # reading fails, too

    async def _read(self) -> None:
        """Hand out the answers, until the connection is lost, or there are none left to come on one whose scripts are gone."""
        read, waiting = self._connection.read_response, self._waiting
        while not (self.closed and not waiting):
            try:
                answer: Answer = await read()
            except ResponseError as error:
                answer = error
                self.closed = self.closed or isinstance(error, NoScriptError)
            self._heard = self._loop.time()
            future, _ = waiting.popleft()
            if not future.done():
                future.set_result(answer)

    def _look(self) -> None:
        """Whether the call that has waited longest still may."""
        if not self._waiting:
            self._watch = None
            return
        left = max(self._waiting[0][1], self._heard) + self._timeout - self._loop.time()
        if left > 0:
            self._doubts = 0
            self._watch = self._loop.call_later(left, self._look)
            return
        if self._doubts < DOUBTS:  # it may be this process that stood still, and the answer may be there to be read
            self._doubts += 1
            self._watch = self._loop.call_later(DOUBT_SECONDS, self._look)
            return
        self._late = True
        self._living.cancel()


def _packed(*parts: str | int | bytes) -> bytes:
    packed: bytes = pack_command(parts)  # type: ignore[arg-type]  # it takes any number of them
    return packed
