"""How much of an event is kept: what is over a limit is cut and named in `scrubbed_fields`, text that cannot be stored is mended.

Nothing is refused here. Lengths are in characters, but for the body's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from souk_monitor.cutting import Cutting, Lengths, mend
from souk_monitor.decoding import bodies
from souk_monitor.decoding.lenient import values_in
from souk_monitor.events import Event
from souk_monitor.lightening import lighten
from souk_monitor.measuring import Measure


@dataclass(frozen=True, slots=True)
class Limits:
    """What an event may have."""

    lengths: Lengths = field(default_factory=Lengths)
    body: int = 262_144
    """Bytes of the whole. Beyond it go, one after the other until it fits: stacks of threads that have not crashed, images that no
    frame of the crash is in, local variables, lines of source, all but the newest 20 breadcrumbs, the largest of contexts and
    extra, what frames have beside their fields, and at last all but ten frames of five exceptions."""
    small: int = 8192
    """Bytes of a body up to which its frames and what is nested in it are kept as they are. What events are searched and counted by
    has its limits always."""
    age: timedelta = timedelta(days=30)
    """What is said to have happened longer ago than this, or later than it was received, happened when it was received."""


DEFAULT = Limits()
_FEW = Lengths(message=1024, name=100, line=100, frames=10, exceptions=5, tags=20, tag_value=100, noted=100)
"""Of an event that is too large with nothing left but these."""


def fit(event: Event, received: datetime, limits: Limits = DEFAULT) -> bytes:
    """Make the event fit into the limits, and into what UTF-8, JSON and PostgreSQL's text can hold; its body then.

    It is written four times at the most, however much is to be dropped.
    """
    noted: list[str] = []
    if not received - limits.age <= event.time <= received:
        event.time = received
        noted.append("time")
    cutting = Cutting(limits.lengths, noted.append)
    cutting.head(event)
    body = _body(event)
    is_to_cut = body is None or _is_to_cut(event, body, limits)
    if is_to_cut:
        cutting.whole(event)
    if body is None or is_to_cut or noted:
        body = _named(event, noted, limits.lengths)
    if len(body) > limits.body:
        body = _named(event, lighten(event, len(body) - limits.body), limits.lengths)
    if len(body) > limits.body:
        noted.clear()
        Cutting(_FEW, noted.append).whole(event)
        body = _named(event, noted, _FEW)
    return body


def _named(event: Event, noted: Iterable[str], lengths: Lengths) -> bytes:
    """The body of an event that names what was cut, too."""
    event.scrubbed_fields = tuple(dict.fromkeys((*event.scrubbed_fields, *map(mend, noted))))[: lengths.noted]
    return bodies.encode(event)


def _is_to_cut(event: Event, body: bytes, limits: Limits) -> bool:
    """Much more than is kept is cut in one walk before parts of it are dropped, each of which is to be measured; and what may have
    many more values than are kept, without a look at as many first."""
    if len(body) <= limits.small:
        return False
    is_much = len(body) > 4 * limits.body or (len(body) > limits.body // 4 and values_in(body) > limits.lengths.values)
    return is_much or not Measure(limits.lengths).fits(event)


def _body(event: Event) -> bytes | None:
    """The event's body; None where it cannot be written as it is, or may have NULs."""
    try:
        body = bodies.encode(event)
    except (TypeError, RecursionError):  # half of a surrogate pair, a number beyond 64 bits, or no JSON at all
        return None
    return None if b"\\" in body and b"\\u0000" in body else body  # one byte is found at a tenth of the cost
