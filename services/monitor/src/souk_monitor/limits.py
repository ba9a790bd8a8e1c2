"""How much of an event is kept: what is over a limit is cut and named in `scrubbed_fields`, text that cannot be stored is mended.

Nothing is refused here. Lengths are in characters, but for the body's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from souk_monitor.cutting import Cutting, Lengths
from souk_monitor.decoding import bodies
from souk_monitor.decoding.lenient import values_in
from souk_monitor.events import Event, ExceptionInfo, Frame
from souk_monitor.measuring import Measure


@dataclass(frozen=True, slots=True)
class Limits:
    """What an event may have."""

    lengths: Lengths = field(default_factory=Lengths)
    body: int = 262_144
    """Bytes of the whole. Beyond it go, until it fits: local variables, lines of source, all but the newest 20 breadcrumbs,
    contexts and extra, and at last all but ten frames of five exceptions."""
    small: int = 8192
    """Bytes of a body up to which its frames and what is nested in it are kept as they are. What events are searched and counted by
    has its limits always."""
    age: timedelta = timedelta(days=30)
    """What is said to have happened longer ago than this, or later than it was received, happened when it was received."""


DEFAULT = Limits()
_BREADCRUMBS = 20


def fit(event: Event, received: datetime, limits: Limits = DEFAULT) -> bytes:
    """Make the event fit into the limits, and into what UTF-8, JSON and PostgreSQL's text can hold; its body then."""
    noted: list[str] = []
    if not received - limits.age <= event.time <= received:
        event.time = received
        noted.append("time")
    cutting = Cutting(limits.lengths, noted.append)
    cutting.head(event)
    body = _body(event)
    if body is None or _is_to_cut(event, body, limits):
        cutting.whole(event)
        body = _body(event)
    for lighten in _LIGHTENING:
        if body is not None and len(body) <= limits.body:
            break
        noted.extend(lighten(event))
        body = _body(event)
    if noted or body is None:
        event.scrubbed_fields = tuple(dict.fromkeys((*event.scrubbed_fields, *noted)))[: limits.lengths.noted]
        body = bodies.encode(event)
    return body


def _is_to_cut(event: Event, body: bytes, limits: Limits) -> bool:
    """Much more than is kept is cut in one walk before parts of it are dropped, each of which needs it written anew; and what may
    have many more values than are kept, without a look at as many first."""
    if len(body) <= limits.small:
        return False
    is_much = len(body) > 4 * limits.body or (len(body) > limits.body // 4 and values_in(body) > limits.lengths.values)
    return is_much or not Measure(limits.lengths).fits(event)


def _body(event: Event) -> bytes | None:
    """The event's body; None where it cannot be written as it is, or has NULs."""
    try:
        body = bodies.encode(event)
    except (TypeError, RecursionError):  # half of a surrogate pair, a number beyond 64 bits, or no JSON at all
        return None
    return None if b"\\" in body and b"\\u0000" in body else body  # one byte is found at a tenth of the cost


def _drop_variables(event: Event) -> Iterator[str]:
    yield from _change_frames(event, "local_variables", lambda frame: replace(frame, local_variables={}))


def _drop_lines(event: Event) -> Iterator[str]:
    yield from _change_frames(event, "pre_context", lambda frame: replace(frame, pre_context=(), post_context=()))


def _drop_breadcrumbs(event: Event) -> Iterator[str]:
    crumbs = event.contexts.get("breadcrumbs")
    values = crumbs.get("values") if isinstance(crumbs, dict) else crumbs
    if isinstance(values, list) and len(values) > _BREADCRUMBS:
        yield "contexts.breadcrumbs"
        event.contexts = {**event.contexts, "breadcrumbs": values[-_BREADCRUMBS:]}


def _drop_contexts(event: Event) -> Iterator[str]:
    yield from (f"contexts.{name}" for name in event.contexts)
    yield from (f"extra.{name}" for name in event.extra)
    event.contexts, event.extra = {}, {}
    event.exceptions = tuple(replace(exception, extra={}) for exception in event.exceptions)
    yield from _change_frames(event, "extra", lambda frame: replace(frame, extra={}))
    if event.user:
        event.user = replace(event.user, extra={})


def _drop_most(event: Event) -> Iterator[str]:
    few = Lengths(message=1024, name=100, line=100, frames=10, exceptions=5, tags=20, tag_value=100)
    noted: list[str] = []
    Cutting(few, noted.append).whole(event)
    yield from noted


_LIGHTENING = (_drop_variables, _drop_lines, _drop_breadcrumbs, _drop_contexts, _drop_most)


def _change_frames(event: Event, name: str, change: Callable[[Frame], Frame]) -> Iterator[str]:
    """Change every frame, and name the stacks in which one had the field."""

    def changed(exception: ExceptionInfo) -> ExceptionInfo:
        return replace(exception, frames=tuple(map(change, exception.frames)))

    for number, exception in enumerate(event.exceptions):
        if any(getattr(frame, name) for frame in exception.frames):
            yield f"exceptions[{number}].frames.{name}"
    if any(getattr(frame, name) for frame in event.stack):
        yield f"stack.{name}"
    event.exceptions = tuple(map(changed, event.exceptions))
    event.stack = tuple(map(change, event.stack))
