"""Events made to cost much: what is done for each is bounded, counted in calls of functions and not in seconds."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Any, TypeVar

import pytest
from souk_monitor.decoding import bodies
from souk_monitor.decoding.lenient import MOST_VALUES
from souk_monitor.decoding.sentry import Reports, envelope_reports, parse_envelope, store_reports
from souk_monitor.events import Event, Source
from souk_monitor.exceptions import MalformedError
from souk_monitor.limits import fit

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEPT = 262_144
T = TypeVar("T")


def counted(work: Callable[[], T]) -> tuple[T, int]:
    """What comes of it, and how many functions of Python were called for it."""
    calls = 0

    def count(_frame: FrameType, happened: str, _arg: object) -> None:
        nonlocal calls
        calls += happened == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        return work(), calls
    finally:
        sys.setprofile(before)


def read(payload: dict[str, Any]) -> Reports:
    reports = store_reports(json.dumps(payload).encode(), NOW)
    for event in reports.events:
        fit(event, NOW)
    return reports


def deep(depth: int) -> Any:
    return json.loads("[" * depth + "]" * depth)


WIDE: dict[str, dict[str, Any]] = {
    "lists": {"extra": {"a": [[[]] * 1000] * 90}},
    "objects": {"extra": {"a": [[{"x": {}}] * 500] * 100}},
    "numbers": {"extra": {"a": [[1] * 1000] * 190}},
    "contexts": {"contexts": {f"c{n}": {"k": n} for n in range(60_000)}},
    "breadcrumbs": {"breadcrumbs": [{"message": "m"}] * 60_000},
    "exceptions": {"exception": [{"type": "E"}] * 90_000},
    "empty exceptions": {"exception": [{}] * 90_000},
    "frames": {"exception": [{"type": "E", "stacktrace": {"frames": [{"lineno": 1}] * 90_000}}]},
    "chains with frames": {"exception": [{"type": "E", "stacktrace": {"frames": [{"lineno": 1}] * 800}}] * 80},
    "variables": {"stacktrace": {"frames": [{"function": "f", "vars": {"a": [0] * 900}}] * 200}},
    "threads": {"threads": [{"id": 1}] * 60_000},
    "tags": {"tags": {f"t{n}": n for n in range(90_000)}},
    "pairs of tags": {"tags": [[f"a{n}", n] for n in range(60_000)]},
    "fingerprint": {"fingerprint": ["x"] * 150_000},
    "user": {"user": {f"u{n}": n for n in range(90_000)}},
    "modules": {"modules": {f"m{n}": "1" for n in range(90_000)}},
    "lines": {"stacktrace": {"frames": [{"lineno": 1, "pre_context": ["x" * 80] * 400}] * 400}},
    "texts": {"extra": {"a": [["x" * 16_000] * 10] * 60}},
    "a message that is an object": {"message": {"message": [[1]] * 60_000}},
}


@pytest.mark.parametrize("name", WIDE)
def test_an_event_with_very_many_values_is_cut_without_a_look_at_most(name: str):
    text = json.dumps({"message": "no stock", **WIDE[name]}).encode()

    def work() -> Event:
        (event,) = store_reports(text, NOW).events
        fit(event, NOW)
        return event

    event, calls = counted(work)
    assert calls < 150_000
    assert len(bodies.encode(event)) <= KEPT
    assert name == "empty exceptions" or event.scrubbed_fields


def test_a_request_with_more_values_than_may_be_is_refused_before_it_is_read():
    one = json.dumps({"message": "m", "extra": {"a": [0] * 999}}).encode()
    whole = b"{}\n" + b"\n".join(b'{"type":"event"}\n' + one for _ in range(300))
    with pytest.raises(MalformedError, match="values"):
        envelope_reports(parse_envelope(whole), NOW)
    with pytest.raises(MalformedError, match="values"):
        store_reports(b'{"extra":{"a":[' + b"[]," * MOST_VALUES + b"1]}}", NOW)


def test_the_header_of_an_envelope_is_short():
    for body in (b'{"a":[' + b"[]," * 100_000 + b"1]}\n", b'{}\n{"type":"event","a":[' + b"[]," * 100_000 + b"1]}\n{}"):
        with pytest.raises(MalformedError, match="header"):
            parse_envelope(body)


def test_frames_of_all_events_of_a_request_have_one_bound():
    frames = [{"lineno": 1}] * 900
    event = json.dumps({"exception": [{"type": "E", "stacktrace": {"frames": frames}}]}).encode()
    whole = b"{}\n" + b"\n".join(b'{"type":"event"}\n' + event for _ in range(80))
    reports = envelope_reports(parse_envelope(whole), NOW)
    assert sum(bool(event.exceptions[0].frames) for event in reports.events) == 56
    assert "exceptions[0].frames" in reports.events[-1].scrubbed_fields


def test_the_last_exceptions_of_a_chain_have_their_frames():
    frames = [{"function": f"f{n}", "lineno": 1} for n in range(100)]
    chain = [{"type": f"E{n}", "stacktrace": {"frames": frames}} for n in range(210)]
    (event,) = read({"exception": chain}).events
    assert event.exceptions[-1].type == "E209"
    assert event.exceptions[-1].frames[-1].function == "f99"
    assert all(exception.frames for exception in event.exceptions)
    assert {"exceptions", "exceptions[0].frames"} <= set(event.scrubbed_fields)


@pytest.mark.parametrize("depth", [10, 17, 100, 254, 255, 500, 900, 990, 1000, 1010, 1024, 1025, 5000])
@pytest.mark.parametrize(
    "field", ["extra", "message", "tags", "user", "contexts", "fingerprint", "exception", "release", "breadcrumbs"]
)
def test_however_deep_an_event_is_nested_it_is_read_or_malformed(field: str, depth: int):
    nested = b"[" * depth + b"]" * depth
    for value in (nested, b'{"a":%s}' % nested, b"[%s]" % nested, b'{"values":%s}' % nested, b'{"a":NaN,"b":%s}' % nested):
        try:
            (event,) = store_reports(b'{"%s":%s,"message":"m"}' % (field.encode(), value), NOW).events
        except MalformedError:
            assert depth > 900
            continue
        fit(event, NOW)
        assert len(bodies.encode(event)) <= KEPT


def test_what_fits_is_not_touched():
    extra = {"a": [[n, "text"] for n in range(900)]}
    event = Event("0" * 32, NOW, Source.NATIVE, message="m" * 8192, extra=extra)
    fit(event, NOW)
    assert (event.extra, event.scrubbed_fields) == (extra, ())
