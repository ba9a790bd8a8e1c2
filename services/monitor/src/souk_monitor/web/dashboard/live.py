"""What has changed, as server-sent events: the ids of issues. Pages then ask for themselves again, with their own filter."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import orjson
import structlog
from souk_common.postgres import PostgresError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from souk_monitor import positions
from souk_monitor.exceptions import WatchFullError
from souk_monitor.lifecycle import Change
from souk_monitor.projects import Projects
from souk_monitor.watching import Changed, Changes, Places, Watch
from souk_monitor.web.dashboard.queries import number_of
from souk_monitor.web.dashboard.sessions import Visitor

COME_AGAIN_MS = 2_000
"""After a stream has ended; browsers wait so long by themselves."""
log = structlog.get_logger(__name__)
_HEADERS = {"x-accel-buffering": "no"}


class Streams:
    """The streams of this node; they end when it drains."""

    def __init__(self, watch: Watch, projects: Projects, *, most: int) -> None:
        self._watch = watch
        self._projects = projects
        self._places = Places(most)
        self._ending = asyncio.Event()

    async def end(self) -> None:
        """End them all, and open none any more."""
        self._ending.set()

    async def serve(self, request: Request, still: Callable[[], Visitor | None]) -> Response:
        """A stream, from Last-Event-ID on. still: who looks, where his session holds. ProjectUnknownError."""
        project = await number_of(self._projects, request.query_params.get("project", ""))
        if self._ending.is_set() or self._places.full:
            return Response(status_code=503, headers={"retry-after": "10"})
        known = positions.change(request.headers.get("last-event-id", ""))

        def wants(changed: Changed) -> bool:
            return project in (None, changed.project)

        events = self._events(self._watch.changes(wants, known), still)
        return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)

    async def _events(self, changes: Changes, still: Callable[[], object]) -> AsyncIterator[bytes]:
        yield f"retry: {COME_AGAIN_MS}\n".encode()
        try:
            with self._places.take():
                async with contextlib.aclosing(changes):
                    yield b"event: open\ndata: {}\n\n"
                    while (coming := await self._unless_ending(changes)) is not None and still() is not None:
                        yield _event(*coming)
        except (PostgresError, WatchFullError) as error:  # others may have taken the last place meanwhile
            log.warning("a stream of changes ended", problem=str(error))

    async def _unless_ending(self, changes: Changes) -> tuple[dict[int, Change], int] | None:
        """What comes next; None where the node drains."""
        coming, ending = asyncio.ensure_future(anext(changes)), asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait((coming, ending), return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() and not ending.done() else None
        finally:
            coming.cancel()
            ending.cancel()
            await asyncio.gather(coming, ending, return_exceptions=True)


def _event(pending: dict[int, Change], position: int) -> bytes:
    """Nothing: a sign of life, with where to go on."""
    if not pending:
        return f"id: {position}\n: \n\n".encode()
    data = orjson.dumps({"issues": {str(issue): change.name.lower() for issue, change in pending.items()}})
    return b"id: %d\nevent: change\ndata: %s\n\n" % (position, data)
