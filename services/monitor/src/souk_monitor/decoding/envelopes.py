"""Envelopes of Sentry's SDKs, read as they come: what is not kept of them is read past.

https://develop.sentry.dev/sdk/data-model/envelopes/: a line of JSON, and then items, each of a line of JSON and a payload that
is as long as its header says, or ends with its line.
"""

import re
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from souk_monitor.decoding.lenient import parse_object
from souk_monitor.events import Json
from souk_monitor.exceptions import MalformedError, TooLargeError

MAX_ITEMS = 1000
EVENT, SECURITY = "event", "raw_security"
KEPT = frozenset({EVENT, SECURITY})
"""Kinds of items that may be errors."""
_LONGEST_HEADER = 65_536
_KNOWN = frozenset({
    "attachment", "check_in", "client_report", "feedback", "form_data", "log", "metric_buckets", "metric_meta", "minidump", "nel",
    "otel_log", "profile", "profile_chunk", "replay_event", "replay_recording", "replay_video", "security",
    "session", "sessions", "span", "statsd", "trace_metric", "transaction", "unreal_report", "user_report",
})  # fmt: skip
"""Kinds of items that are no errors. They are counted by their kind, all others as `unknown`."""
_OF_EVENTS = frozenset({
    "culprit", "environment", "exception", "level", "logentry", "message", "platform", "release", "stacktrace", "tags", "timestamp",
    "sentry.interfaces.Exception", "sentry.interfaces.Message",
})  # fmt: skip
"""Fields of events, which the header of an envelope has not."""
_NO_SPACE = re.compile(rb"\S")


@dataclass(frozen=True, slots=True)
class Item:
    """A part of an envelope that may be an error."""

    kind: str
    payload: bytes


@dataclass(slots=True)
class Envelope:
    """What an SDK sends at once."""

    header: Mapping[str, Json] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    """Items that are no errors, by their kind."""


def parse_envelope(body: bytes) -> Envelope:
    """The parts of a whole envelope. Errors as of EnvelopeReader."""
    reader = EnvelopeReader(len(body))
    reader.feed(body)
    return reader.end()


def public_key_of(header: Mapping[str, Json]) -> str:
    """The public key of the DSN that the header of an envelope names; empty where there is none."""
    dsn = header.get("dsn")
    if not isinstance(dsn, str):
        return ""
    user = dsn.partition("://")[2].rpartition("@")[0]
    return user.partition(":")[0]


class EnvelopeReader:
    """Reads an envelope from bytes that come by and by, and looks into none of its parts.

    Of an item that is no error no more is kept than its kind. `feed` and `end` raise MalformedError where it is no envelope, or
    ends too early, and TooLargeError as soon as more than `most_bytes` of it are kept; nothing is to be read after that.
    """

    def __init__(self, most_bytes: int) -> None:
        self.held = 0
        """Bytes of it that are kept."""
        self._most_bytes = most_bytes
        self._data, self._start = b"", 0
        self._is_over = False
        self._envelope = Envelope()
        self._reading = self._read()
        next(self._reading)

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        self._reading.send(data)

    def end(self) -> Envelope:
        """There are no more."""
        self._is_over = True
        try:
            self._reading.send(b"")
        except StopIteration:
            return self._envelope
        raise AssertionError("an envelope is read to its end")

    def _read(self) -> Generator[None, bytes, None]:
        envelope = self._envelope
        yield from self._more()
        envelope.header = yield from self._header("the envelope")
        number = 0
        while True:
            if (found := _NO_SPACE.search(self._data, self._start)) is None:
                if (yield from self._more()):
                    continue
                break
            self._start = found.start()
            number += 1
            if number > MAX_ITEMS:
                raise MalformedError(f"the envelope has more than {MAX_ITEMS} items")
            header = yield from self._header(f"item {number}")
            kind = header.get("type")
            if not isinstance(kind, str) or not kind:
                raise MalformedError(f"the header of item {number} has no type")
            payload = yield from self._payload(_length(header.get("length"), number), number, kind in KEPT)
            if kind in KEPT:
                envelope.items.append(Item(kind, payload))
            else:
                envelope.dropped[kind if kind in _KNOWN else "unknown"] += 1
        if not number and not _OF_EVENTS.isdisjoint(envelope.header):
            raise MalformedError("this is an event, no envelope: it goes to /store/, or into an item behind two lines of headers")

    def _more(self) -> Generator[None, bytes, bool]:
        """Wait for the next bytes; False where there are none."""
        if not self._is_over:
            self._data, self._start = (yield), 0
        return not self._is_over

    def _header(self, what: str) -> Generator[None, bytes, dict[str, Json]]:
        """The JSON of a line, which is left behind."""
        end = self._data.find(b"\n", self._start)
        line = self._data[self._start : end] if end >= 0 else (yield from self._line())
        if len(line) > _LONGEST_HEADER:
            raise MalformedError(f"the header of {what} has more than {_LONGEST_HEADER} bytes")
        if end >= 0:
            self._start = end + 1
        return parse_object(line, f"the header of {what}")

    def _line(self) -> Generator[None, bytes, bytes]:
        """A line of which the end has not come yet, or as much of it as no header may have."""
        line = bytearray()
        while True:
            end = self._data.find(b"\n", self._start)
            line += self._data[self._start : end if end >= 0 else None]
            self._start = end + 1 if end >= 0 else len(self._data)
            if end >= 0 or len(line) > _LONGEST_HEADER or not (yield from self._more()):
                return bytes(line)

    def _payload(self, length: int | None, number: int, is_kept: bool) -> Generator[None, bytes, bytes]:
        """As many bytes, or those up to the end of the line; empty where it is not kept."""
        whole, read = bytearray(), 0
        while True:
            end = self._data.find(b"\n", self._start) if length is None else self._start + length - read
            is_here = 0 <= end <= len(self._data)
            here = slice(self._start, end if is_here else len(self._data))
            self._start = here.stop
            read += here.stop - here.start
            if is_kept:
                self._keep(here.stop - here.start)
                whole += self._data[here]
            if is_here:
                break
            if not (yield from self._more()):
                if length is not None:
                    raise MalformedError(f"item {number} is to have {length} bytes, and the envelope ends after {read}")
                break
        yield from self._ends(number)
        return bytes(whole)

    def _ends(self, number: int) -> Generator[None, bytes, None]:
        """Look at what is behind an item."""
        while self._start == len(self._data):
            if not (yield from self._more()):
                return
        if self._data[self._start] not in b"\n\r":
            raise MalformedError(f"item {number} does not end where its length says")

    def _keep(self, size: int) -> None:
        self.held += size
        if self.held > self._most_bytes:
            raise TooLargeError(self._most_bytes)


def _length(given: Json, number: int) -> int | None:
    """That of an item; None: it ends with its line."""
    if isinstance(given, float) and given.is_integer():
        return _length(int(given), number)
    if given is None or (isinstance(given, int) and not isinstance(given, bool) and given >= 0):
        return given
    raise MalformedError(f"the length of item {number} is no number of bytes")
