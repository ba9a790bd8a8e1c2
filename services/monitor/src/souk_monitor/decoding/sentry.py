"""Envelopes and requests to the store endpoint of Sentry's SDKs.

https://develop.sentry.dev/sdk/data-model/envelopes/: a line of JSON, and then items, each of a line of JSON and a payload that
is as long as its header says, or ends with its line.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from souk_monitor.decoding import sentry_events
from souk_monitor.decoding.budget import Budget
from souk_monitor.decoding.lenient import MOST_VALUES, parse, parse_object, values_in
from souk_monitor.events import Event, Json
from souk_monitor.exceptions import MalformedError

MAX_ITEMS = 1000
_LONGEST_HEADER = 65_536
_KNOWN = frozenset({
    "attachment", "check_in", "client_report", "feedback", "form_data", "log", "metric_buckets", "metric_meta", "minidump", "nel",
    "otel_log", "profile", "profile_chunk", "raw_security", "replay_event", "replay_recording", "replay_video", "security",
    "session", "sessions", "span", "statsd", "trace_metric", "transaction", "unreal_report", "user_report",
})  # fmt: skip
"""Kinds of items that are no errors. They are counted by their kind, all others as `unknown`."""


@dataclass(frozen=True, slots=True)
class Item:
    """A part of an envelope."""

    kind: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """What an SDK sends at once."""

    header: Mapping[str, Json]
    items: tuple[Item, ...]


@dataclass(slots=True)
class Reports:
    """What was in a request."""

    events: list[Event] = field(default_factory=list)
    event_id: str = ""
    """Of the request as a whole; empty where it names none."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Items that are no errors, by their kind."""
    values: int = 0
    """Of its JSON."""
    bytes: int = 0
    """Of the texts that events are in."""
    budget: Budget = field(default_factory=Budget)


def parse_envelope(body: bytes) -> Envelope:
    """The parts of an envelope, none of which is looked into; MalformedError where it is none, or ends too early."""
    line, _, start = _line(body, 0)
    header = _header(line, "the envelope")
    return Envelope(header, tuple(_items(body, start)))


def public_key_of(header: Mapping[str, Json]) -> str:
    """The public key of the DSN that the header of an envelope names; empty where there is none."""
    dsn = header.get("dsn")
    if not isinstance(dsn, str):
        return ""
    user = dsn.partition("://")[2].rpartition("@")[0]
    return user.partition(":")[0]


def envelope_reports(envelope: Envelope, received: datetime) -> Reports:
    """Its errors; MalformedError where one of them cannot be read, and then none is to be stored."""
    reports = Reports(event_id=sentry_events.event_id(envelope.header.get("event_id")))
    for item in envelope.items:
        if item.kind != "event":
            reports.dropped[item.kind if item.kind in _KNOWN else "unknown"] += 1
            continue
        _count(reports, item.payload)
        payload = parse_object(item.payload, "an event")
        payload.setdefault("event_id", envelope.header.get("event_id"))
        _add(reports, payload, received)
    return reports


def store_reports(body: bytes, received: datetime) -> Reports:
    """The error of a request to the store endpoint; MalformedError."""
    reports = Reports()
    _count(reports, body)
    payload = parse(body, "the event")
    if not isinstance(payload, dict):
        raise MalformedError("the event is no JSON object")
    _add(reports, payload, received)
    return reports


def _count(reports: Reports, text: bytes) -> None:
    """Before a text is read; MalformedError where it is too much."""
    reports.bytes += len(text)
    reports.values += values_in(text)
    if reports.values > MOST_VALUES:
        raise MalformedError(f"the events of a request have more than {MOST_VALUES:,} values")


def _add(reports: Reports, payload: dict[str, Json], received: datetime) -> None:
    if payload.get("type") == "transaction":
        reports.dropped["transaction"] += 1
        return
    event = sentry_events.event(payload, received, reports.budget)
    reports.event_id = reports.event_id or event.event_id
    reports.events.append(event)


def _items(body: bytes, start: int) -> Iterator[Item]:
    count = 0
    while start < len(body):
        line, _, start = _line(body, start)
        if not line.strip():
            continue
        count += 1
        if count > MAX_ITEMS:
            raise MalformedError(f"the envelope has more than {MAX_ITEMS} items")
        header = _header(line, f"item {count}")
        kind, length = header.get("type"), header.get("length")
        if not isinstance(kind, str) or not kind:
            raise MalformedError(f"the header of item {count} has no type")
        if length is None:
            payload, _, start = _line(body, start)
        else:
            payload, start = _measured(body, start, length, count)
        yield Item(kind, payload)


def _header(line: bytes, what: str) -> dict[str, Json]:
    if len(line) > _LONGEST_HEADER:
        raise MalformedError(f"the header of {what} has more than {_LONGEST_HEADER} bytes")
    return parse_object(line, f"the header of {what}")


def _measured(body: bytes, start: int, length: Json, number: int) -> tuple[bytes, int]:
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        raise MalformedError(f"the length of item {number} is no number of bytes")
    end = start + length
    if end > len(body):
        raise MalformedError(f"item {number} is to have {length} bytes, and the envelope ends after {len(body) - start}")
    if end < len(body) and body[end] not in b"\n\r":
        raise MalformedError(f"item {number} does not end where its length says")
    return body[start:end], end


def _line(body: bytes, start: int) -> tuple[bytes, int, int]:
    """A line, where it ends, and where the next one starts."""
    end = body.find(b"\n", start)
    end = len(body) if end < 0 else end
    return body[start:end], end, end + 1
