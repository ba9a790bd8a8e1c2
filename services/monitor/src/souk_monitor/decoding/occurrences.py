"""Ids of events that OpenTelemetry gives none: what is one occurrence has one id, by whatever way and however often it comes."""

import secrets
from collections import Counter, OrderedDict
from collections.abc import Iterable
from hashlib import blake2b

from souk_monitor.decoding.otlp_exceptions import STACK_MESSAGE, STACK_TYPE
from souk_monitor.events import ExceptionInfo

_MAX_KINDS = 50_000
_MAX_MOMENTS, _MAX_KNOWN = 1000, 200_000


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
    calls the further out it was taken. Type and message as the stack says them, because SDKs differ in those, too.
    """
    place = raised.frames[-1] if raised.frames else None
    where = (place.function, place.file or place.abs_path or place.module, str(place.line)) if place else ()
    kind, value = raised.extra.get(STACK_TYPE, raised.type), raised.extra.get(STACK_MESSAGE, raised.value)
    return digest_of(("exception", trace_id, span_id, kind.rpartition(".")[2], value.strip(), *where))


def numbered(kind: str, number: int | str) -> str:
    """The id of one of several occurrences of a kind."""
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


class Positions:
    """What tells records of one request apart that are alike: which of them each is. A repeat of the request has them again."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, int]] = Counter()
        self._no_time = -secrets.randbits(62)

    def next_of(self, kind: str, time: int) -> tuple[int, int]:
        """The time of the next record of a kind and a time, and which of these it is. time 0, which says none, is another in every
        request."""
        time = time or self._no_time
        position = self._seen[kind, time]
        self._seen[kind, time] += 1
        return time, position


class LogOccurrences:
    """Ids for log records of spans, which come one by one, and again when an exporter repeats a batch.

    The first of a kind in a span has the id of the first event of that kind of the span, and so on: which is which does not matter,
    because they differ in nothing but their time. Where a span logs several of a kind, and they come to different nodes, or 50,000
    other kinds later, the later ones are taken for the first.
    """

    def __init__(self) -> None:
        self._moments: OrderedDict[str, dict[tuple[int, int], int]] = OrderedDict()
        self.known = 0
        """Records that are known, of all kinds."""

    def id_of(self, kind: str, moment: tuple[int, int]) -> str:
        """The id of the record of a kind at a moment (Positions)."""
        moments = self._moments.setdefault(kind, {})
        self._moments.move_to_end(kind)
        if moment not in moments and len(moments) < _MAX_MOMENTS:
            moments[moment] = len(moments)
            self.known += 1
        while len(self._moments) > _MAX_KINDS or (self.known > _MAX_KNOWN and len(self._moments) > 1):
            _, oldest = self._moments.popitem(last=False)
            self.known -= len(oldest)
        return numbered(kind, moments.get(moment, f"{moment[0]}.{moment[1]}"))
