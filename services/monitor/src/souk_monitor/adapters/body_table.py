"""monitor.bodies: what is kept of events, compressed and thinned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import zstandard
from souk_common.postgres import InvalidDataError, Session

from souk_monitor.adapters.event_claims import Claim
from souk_monitor.adapters.known_rows import KnownRows
from souk_monitor.preparing import Prepared
from souk_monitor.thinning import is_kept

_COLUMNS = ("day", "project", "event_id", "fingerprint", "time", "received", "trace", "error_id", "people", "body")


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept of bodies."""

    first: int = 100
    """Of the first so many events of a fingerprint all are kept."""
    level: int = 1
    """Of zstd."""


class Bodies:
    """The bodies of one batch, by the events that they are of."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping
        self._compressor = zstandard.ZstdCompressor(level=keeping.level)
        self._ready: dict[int, bytes] = {}

    def compress(self, events: Sequence[Prepared], known: KnownRows) -> None:
        """Make them ready, but for those that are surely not kept. It may be called in a thread, ahead of the transaction."""
        ahead: dict[int, int] = {}
        chosen: list[Prepared] = []
        for event in events:
            number = known.counted_by(event)
            ahead[number] = ahead.get(number, known.events.get(number, 0)) + 1
            if ahead[number] <= 2 * self._keeping.first or not number:
                chosen.append(event)
        if chosen:  # at once, because the thread would wait for the event loop between one and the next
            compressed = self._compressor.multi_compress_to_buffer([event.body for event in chosen])
            self._ready = {id(event): compressed[number].tobytes() for number, event in enumerate(chosen)}

    async def keep(self, session: Session, new: Sequence[Claim], totals: Mapping[int, int]) -> None:
        """Write those of new events that are kept. totals: events that each fingerprint has with them.

        By COPY: an INSERT of arrays with large bodies takes half as much again of the server's time, and twice the driver's.
        InvalidDataError: a value cannot be sent.
        """
        if kept := self._thinned(new, totals):
            rows = [self._row(*each) for each in kept]
            try:
                await session.connection.copy_records_to_table("bodies", schema_name="monitor", columns=_COLUMNS, records=rows)
            except (ValueError, TypeError, OverflowError) as error:  # of the codec: the driver translates these of statements alone
                raise InvalidDataError(str(error)) from error

    def _thinned(self, new: Sequence[Claim], totals: Mapping[int, int]) -> list[Claim]:
        count = dict(totals)
        for each in new:
            count[each.fingerprint] -= 1
        kept: list[Claim] = []
        for each in new:
            count[each.fingerprint] += 1
            if is_kept(count[each.fingerprint], self._keeping.first):
                kept.append(each)
        return kept

    def _row(self, event: Prepared, number: int) -> tuple[object, ...]:
        return (
            event.time.date(),
            event.project,
            event.event_id,
            number,
            event.time,
            event.received,
            event.trace_id or None,
            event.error_id or None,
            event.people or None,
            self._ready.get(id(event)) or self._compressor.compress(event.body),
        )
