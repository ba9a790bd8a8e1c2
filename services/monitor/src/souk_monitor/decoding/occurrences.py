"""Ids of events that OpenTelemetry gives none: what is one occurrence has one id, by whatever way and however often it comes."""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from hashlib import blake2b

from souk_monitor.events import ExceptionInfo

_MAX_KINDS = 50_000
_MAX_TIMES = 1000


def digest_of(parts: Iterable[str | bytes]) -> str:
    """32 hexadecimal digits of texts, each of which counts for itself."""
    digest = blake2b(digest_size=16)
    for part in parts:
        body = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        digest.update(len(body).to_bytes(4))
        digest.update(body)
    return digest.hexdigest()


def kind_of(trace_id: str, span_id: str, raised: ExceptionInfo) -> str:
    """What the log record and the span event of one occurrence have in common, and hardly another has.

    The type without its module, because SDKs differ in that, and of the stack where it was raised, because it has the more outer
    calls the further out it was taken.
    """
    place = raised.frames[-1] if raised.frames else None
    where = (place.function, place.file or place.abs_path or place.module, str(place.line)) if place else ()
    return digest_of(("exception", trace_id, span_id, raised.type.rpartition(".")[2], raised.value.strip(), *where))


def numbered(kind: str, number: int) -> str:
    """The id of one of several occurrences of a kind in a span."""
    return digest_of((kind, str(number)))


class SpanOccurrences:
    """Ids for the events of one span, which come all at once."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def id_of(self, kind: str) -> str:
        """The id of the next of a kind."""
        number = self._seen[kind]
        self._seen[kind] += 1
        return numbered(kind, number)


class LogOccurrences:
    """Ids for log records, which come one by one, and again when an exporter repeats a batch.

    The first of a kind in a span has the id of the first event of that kind of the span, and so on: which is which does not matter,
    because they differ in nothing but their time. Where a span logs several of a kind, and they come to different nodes, or 50,000
    other kinds later, the later ones are taken for the first.
    """

    def __init__(self) -> None:
        self._times: OrderedDict[str, dict[int, int]] = OrderedDict()

    def id_of(self, kind: str, time: int) -> str:
        """The id of the record of a kind with this time, in nanoseconds."""
        times = self._times.setdefault(kind, {})
        self._times.move_to_end(kind)
        if len(self._times) > _MAX_KINDS:
            self._times.popitem(last=False)
        if time not in times and len(times) < _MAX_TIMES:
            times[time] = len(times)
        return numbered(kind, times.get(time, time))
