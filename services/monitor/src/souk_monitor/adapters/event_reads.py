"""Events whose bodies are kept, read from PostgreSQL."""

import asyncio
from datetime import UTC, date, datetime
from uuid import UUID

import zstandard
from souk_common.postgres import Pool, Record

from souk_monitor.decoding import bodies
from souk_monitor.exceptions import EventUnknownError
from souk_monitor.issues import EventFilter, EventPlace, KeptEvent
from souk_monitor.overflow import FINGERPRINT

_COLUMNS = (
    "b.project, f.issue, f.fingerprint, b.received, b.body "
    "FROM monitor.bodies b JOIN monitor.fingerprints f ON f.id = b.fingerprint"
)
_WHICH = {
    "issue": "b.fingerprint = ANY (ARRAY(SELECT id FROM monitor.fingerprints WHERE issue = $1))",
    "trace": "b.trace = $1",
    "error": "b.error_id = $1",
    "event": "b.event_id = $1",
}
_PAGE = """
SELECT {columns} WHERE {which} AND b.day BETWEEN $2::date AND $3::date AND b.time >= $4 AND b.time < $5
    AND (b.time, b.event_id, b.project) {beyond} ($6, $7, $8::bigint)
ORDER BY b.time {order}, b.event_id {order}, b.project {order} LIMIT $9
"""
_ONE = f"SELECT {_COLUMNS} WHERE b.event_id = $1 AND b.project = $2 LIMIT 1"
_LATEST = f"SELECT {_COLUMNS} WHERE f.project = $1 AND f.fingerprint = $2 ORDER BY b.time DESC LIMIT 1"
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
NEWEST = (LATEST, UUID(int=2**128 - 1), 2**63 - 1)


class EventRows:
    """monitor.bodies."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, wanted: EventFilter, after: EventPlace | None, size: int) -> list[KeptEvent]:
        """Up to `size` events, the newest first. after: the place of the last one of the page before."""
        since = wanted.since or EARLIEST
        return await self._page(wanted, since.date(), after or NEWEST, size)

    async def before(self, wanted: EventFilter, place: EventPlace, size: int) -> list[KeptEvent]:
        """Up to `size` events that are next newer than one, the newest first. place: of that one."""
        return (await self._page(wanted, place[0].date(), place, size, back=True))[::-1]

    async def _page(self, wanted: EventFilter, first: date, place: EventPlace, size: int, *, back: bool = False) -> list[KeptEvent]:
        """first: the day that the earliest can be of."""
        kind, value = _which(wanted)
        since, until = wanted.since or EARLIEST, wanted.until or LATEST
        way = {"beyond": ">", "order": "ASC"} if back else {"beyond": "<", "order": "DESC"}
        sql = _PAGE.format(columns=_COLUMNS, which=_WHICH[kind], **way)
        arguments = (value, first, until.date(), since, until, *place, size)
        return await _read(await self._pool.fetch(f"bodies.{kind}{'.before' if back else ''}", sql, arguments))

    async def one(self, project: int, event_id: str) -> KeptEvent:
        """An event. EventUnknownError."""
        found = await _read(await self._pool.fetch("bodies.one", _ONE, (UUID(event_id), project)))
        if not found:
            raise EventUnknownError(event_id)
        return found[0]

    async def latest(self, project: int, fingerprint: bytes) -> KeptEvent | None:
        """The newest of a fingerprint."""
        found = await _read(await self._pool.fetch("bodies.latest", _LATEST, (project, fingerprint)))
        return found[0] if found else None


def open_body(body: bytes) -> bytes:
    """As it was encoded."""
    return zstandard.ZstdDecompressor().decompress(body)


def _which(wanted: EventFilter) -> tuple[str, object]:
    if wanted.issue is not None:
        return "issue", wanted.issue
    if wanted.event_id:
        return "event", UUID(wanted.event_id)
    return ("trace", UUID(wanted.trace_id)) if wanted.trace_id else ("error", wanted.error_id)


async def _read(rows: list[Record]) -> list[KeptEvent]:
    return await asyncio.to_thread(lambda: list(map(_kept, rows))) if len(rows) > 1 else list(map(_kept, rows))


def _kept(row: Record) -> KeptEvent:
    event = bodies.decode(open_body(row["body"]))
    return KeptEvent(event, row["project"], row["issue"], row["received"], row["fingerprint"] == FINGERPRINT)
