"""Envelopes and events of Sentry's SDKs, of today and of the years before."""

import contextlib
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_monitor.decoding.envelopes import Envelope, EnvelopeReader, Item, parse_envelope, public_key_of
from souk_monitor.decoding.sentry import envelope_reports, store_reports
from souk_monitor.events import Event, ExceptionInfo, Frame, Level, Source, User
from souk_monitor.exceptions import MalformedError, TooLargeError
from souk_monitor.limits import fit

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = "0123456789abcdef0123456789abcdef"


def one(**payload: Any) -> Event:
    return store_reports(json.dumps({"event_id": ID, **payload}).encode(), NOW).events[0]


def envelope(*items: tuple[dict[str, Any], bytes], header: dict[str, Any] | None = None) -> bytes:
    lines = [json.dumps(header if header is not None else {"event_id": ID}).encode()]
    for head, payload in items:
        lines += [json.dumps(head).encode(), payload]
    return b"\n".join(lines)


def item(payload: object, kind: str = "event", *, measured: bool = True) -> tuple[dict[str, Any], bytes]:
    body = json.dumps(payload).encode()
    return ({"type": kind, "length": len(body)} if measured else {"type": kind}), body


FRAME = {
    "function": "place",
    "module": "shop.orders",
    "filename": "shop/orders.py",
    "abs_path": "/srv/shop/orders.py",
    "lineno": 7,
    "colno": 3,
    "in_app": True,
    "package": "app",
    "context_line": "raise",
    "pre_context": ["a"],
    "post_context": ["b", "c"],
    "vars": {"sku": "x"},
    "instruction_addr": "0x1",
}
KNOWN = Frame(
    "place",
    "shop.orders",
    "shop/orders.py",
    "/srv/shop/orders.py",
    7,
    3,
    True,
    "app",
    "raise",
    ("a",),
    ("b", "c"),
    {"sku": "x"},
    {"instruction_addr": "0x1"},
)


def test_all_that_an_sdk_says_of_an_event_is_kept():
    made = one(
        timestamp="2026-03-01T11:59:00Z",
        level="fatal",
        platform="python",
        logger="shop.orders",
        transaction="/orders",
        server_name="host",
        release="shop@1.2",
        dist="7",
        environment="staging",
        tags={"a": "b", "n": 3, "none": None},
        user={"id": 7, "email": "a@shop.example", "username": "ada", "ip_address": "10.0.0.1", "plan": "gold"},
        contexts={"trace": {"trace_id": "ab" * 16, "span_id": "cd" * 8}, "os": {"name": "Linux"}},
        request={"url": "https://shop.example/orders"},
        breadcrumbs={"values": [{"message": "clicked"}]},
        modules={"django": "5.0"},
        sdk={"name": "sentry.python"},
        extra={"basket": [1, 2]},
        fingerprint=["{{ default }}", 7],
        debug_meta={"images": [{"type": "elf"}]},
        exception={"values": [{"type": "KeyError", "value": "'x'", "module": "builtins", "stacktrace": {"frames": [FRAME]}}]},
    )
    assert made == Event(
        event_id=ID,
        time=NOW - timedelta(minutes=1),
        source=Source.SENTRY,
        level=Level.FATAL,
        platform="python",
        logger="shop.orders",
        transaction="/orders",
        server_name="host",
        release="shop@1.2",
        dist="7",
        environment="staging",
        tags={"a": "b", "n": "3"},
        user=User("7", "a@shop.example", "ada", "10.0.0.1", {"plan": "gold"}),
        trace_id="ab" * 16,
        span_id="cd" * 8,
        contexts={
            "trace": {"trace_id": "ab" * 16, "span_id": "cd" * 8},
            "os": {"name": "Linux"},
            "request": {"url": "https://shop.example/orders"},
            "modules": {"django": "5.0"},
            "sdk": {"name": "sentry.python"},
            "breadcrumbs": [{"message": "clicked"}],
        },
        exceptions=(ExceptionInfo("KeyError", "'x'", "builtins", (KNOWN,)),),
        fingerprint=("{{ default }}", "7"),
        extra={"basket": [1, 2], "debug_meta": {"images": [{"type": "elf"}]}},
    )


@pytest.mark.parametrize(
    ("payload", "message", "template"),
    [
        ({"message": "plain"}, "plain", ""),
        ({"logentry": {"message": "no %s", "params": ["stock"]}}, "no stock", "no %s"),
        ({"logentry": {"message": "no %(what)s", "params": {"what": "stock"}}}, "no stock", "no %(what)s"),
        ({"logentry": {"message": "no %s", "formatted": "no stock", "params": ["stock"]}}, "no stock", "no %s"),
        ({"logentry": {"message": "no %s", "params": []}}, "no %s", ""),
        ({"logentry": {"message": "no %s %s", "params": ["stock"]}}, "no %s %s", ""),
        ({"logentry": {"message": "no %99999999d", "params": [1]}}, "no %99999999d", ""),
        ({"message": {"message": "no %s", "formatted": "no stock"}}, "no stock", "no %s"),
        ({"sentry.interfaces.Message": {"message": "no %s", "params": ["stock"]}}, "no stock", "no %s"),
        ({"logentry": "text"}, "text", ""),
    ],
)
def test_a_message_is_known_with_its_parameters_and_without(payload: dict[str, Any], message: str, template: str):
    made = one(**payload)
    assert (made.message, made.template) == (message, template)


@pytest.mark.parametrize(
    "payload",
    [
        {"exception": {"values": [{"type": "E", "value": "v"}]}},
        {"exception": [{"type": "E", "value": "v"}]},
        {"exception": {"type": "E", "value": "v"}},
        {"sentry.interfaces.Exception": {"values": [{"type": "E", "value": "v"}]}},
        {"sentry.interfaces.Exception": [{"type": "E", "value": "v"}, None]},
    ],
)
def test_exceptions_are_read_in_every_form_that_they_had(payload: dict[str, Any]):
    assert one(**payload).exceptions == (ExceptionInfo("E", "v"),)


@pytest.mark.parametrize("folder", ["/srv/shop/", "C:\\shop\\"])
@pytest.mark.parametrize("name", ["<string>", "<frozen runpy>"])
def test_code_without_a_file_is_in_no_folder_and_the_folder_does_not_say_whose_it_is(folder: str, name: str):
    frames = [{"filename": name, "abs_path": folder + name, "in_app": said, "function": "place"} for said in (True, False)]
    found = one(exception={"type": "KeyError", "stacktrace": {"frames": frames}}).exceptions[0].frames
    assert [(frame.file, frame.abs_path, frame.in_app) for frame in found] == [(name, name, None), (name, name, False)]


def test_a_tree_of_exceptions_keeps_its_ids():
    mechanism = {"type": "chained", "handled": False, "exception_id": 1, "parent_id": 0, "source": "exceptions[0]"}
    top = {"type": "asyncio", "handled": False, "exception_id": 0, "is_exception_group": True}
    made = one(exception=[{"type": "A", "value": "a", "mechanism": mechanism}, {"type": "G", "value": "g", "mechanism": top}])
    member, group = made.exceptions
    assert (member.exception_id, member.parent_id, member.handled, member.mechanism) == (1, 0, False, "chained")
    assert member.extra == {"mechanism": {"source": "exceptions[0]"}}
    assert (group.exception_id, group.is_group, group.parent_id) == (0, True, None)


@pytest.mark.parametrize("thread", [{"id": 1, "crashed": True}, {"id": 1, "current": True}])
def test_the_stack_of_the_thread_that_reported_is_that_of_a_message(thread: dict[str, Any]):
    other = {"id": 2, "stacktrace": {"frames": [{"function": "other"}]}}
    made = one(message="m", threads={"values": [other, {**thread, "stacktrace": {"frames": [FRAME]}}]})
    assert made.stack == (KNOWN,)
    assert made.extra == {"threads": [thread, other]}


def test_a_stack_beside_an_exception_with_its_own_is_left_where_it_was():
    threads = [{"id": 1, "current": True, "stacktrace": {"frames": [FRAME]}}]
    made = one(exception=[{"type": "E", "stacktrace": {"frames": [FRAME]}}], threads=threads)
    assert made.stack == ()
    assert made.extra == {"threads": threads}


@pytest.mark.parametrize("tags", [{"a": "b"}, [["a", "b"]], [{"key": "a", "value": "b"}]])
def test_tags_are_read_in_every_form(tags: object):
    assert one(tags=tags).tags == {"a": "b"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [("01234567-89AB-cdef-0123-456789abcdef", ID), (ID.upper(), ID)],
)
def test_an_id_is_the_same_with_dashes_and_without(given: str, kept: str):
    assert one(event_id=given).event_id == kept


def test_an_id_of_another_form_still_tells_a_repeat():
    assert one(event_id="order-7").event_id == one(event_id="order-7").event_id != one(event_id="order-8").event_id
    assert len(one(event_id=None).event_id) == 32


OTHER, NIL = "fedcba9876543210fedcba9876543210", "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("header", "payload", "kept"),
    [
        ({"event_id": ID}, {}, ID),
        ({"event_id": ID}, {"event_id": None}, ID),
        ({"event_id": ID}, {"event_id": ""}, ID),
        ({"event_id": ID}, {"event_id": NIL}, ID),
        ({"event_id": ID}, {"event_id": 7}, ID),
        ({"event_id": ID}, {"event_id": OTHER}, OTHER),
        ({"event_id": NIL}, {"event_id": OTHER}, OTHER),
        ({}, {"event_id": OTHER}, OTHER),
    ],
)
def test_the_id_that_is_answered_is_that_of_the_event(header: dict[str, Any], payload: dict[str, Any], kept: str):
    reports = envelope_reports(parse_envelope(envelope(item(payload), header=header)), NOW)
    assert (reports.event_id, [event.event_id for event in reports.events]) == (kept, [kept])


def test_an_envelope_without_events_is_answered_with_its_own_id():
    assert envelope_reports(parse_envelope(envelope(item({}, "session"))), NOW).event_id == ID
    assert envelope_reports(parse_envelope(envelope(item({}, "session"), header={"event_id": NIL})), NOW).event_id == ""


@pytest.mark.parametrize("header", [{"event_id": ID}, {"event_id": NIL}, {}])
def test_events_without_ids_are_not_taken_for_one_and_those_of_a_repeat_are(header: dict[str, Any]):
    body = envelope(*[item({"message": message}) for message in "abc"], header=header)
    first, again = ([event.event_id for event in envelope_reports(parse_envelope(body), NOW).events] for _ in range(2))
    assert len(set(first)) == 3
    assert (first == again) == (header.get("event_id") == ID)


@pytest.mark.parametrize("given", [NIL, NIL.replace("-", "")])
def test_the_id_of_nothing_makes_no_two_events_one(given: str):
    assert len({one(event_id=given).event_id for _ in range(3)}) == 3


@pytest.mark.parametrize("given", [None, "yesterday", -5, 1e300, [], True and "2026-99-01", float("nan")])
def test_a_time_that_cannot_be_read_is_that_of_receiving(given: object):
    assert one(timestamp=given).time == NOW


@pytest.mark.parametrize(
    "given", [1772366100, 1772366100.0, "2026-03-01T11:55:00", "2026-03-01T11:55:00Z", "2026-03-01T13:55:00+02:00"]
)
def test_a_time_is_read_in_every_form(given: object):
    assert one(timestamp=given).time == NOW - timedelta(minutes=5)


@pytest.mark.parametrize(
    ("given", "level"),
    [
        ("error", 40),
        ("critical", 50),
        ("Warning", 30),
        ("log", 20),
        (40, 40),
        (35, 30),
        (None, 40),
        ("x", 40),
        (999, 50),
        (-3, 10),
        (True, 40),
    ],
)
def test_levels_are_known_by_name_and_by_number(given: object, level: int):
    assert one(level=given).level == level


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"message": "a\\ud800b"}', "a�b"),
        (b'{"message": "a\xffb"}', "a�b"),
        (b'{"message": "a\\u0000b"}', "a�b"),
        (b'{"message": "m", "extra": {"n": NaN, "i": 1e999}}', "m"),
        (b'{"message": "m", "extra": {"big": 1234567890123456789012345678901234567890}}', "m"),
    ],
)
def test_what_is_not_quite_json_is_mended(text: bytes, message: str):
    (event,) = store_reports(text, NOW).events
    fit(event, NOW)
    assert event.message == message


def test_what_is_no_error_is_counted_and_left():
    body = envelope(
        item({"message": "one"}),
        item({}, "transaction"),
        item({"sid": 1}, "session", measured=False),
        item({}, "client_report"),
        ({"type": "attachment", "length": 5}, b"a\nb\nc"),
        item({}, "thing-of-tomorrow"),
    )
    reports = envelope_reports(parse_envelope(body), NOW)
    assert [event.message for event in reports.events] == ["one"]
    assert reports.event_id == reports.events[0].event_id == ID
    assert reports.dropped == {"transaction": 1, "session": 1, "client_report": 1, "attachment": 1, "unknown": 1}


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\r\n"])
def test_an_envelope_may_end_with_empty_lines(end: bytes):
    assert len(envelope_reports(parse_envelope(envelope(item({"message": "m"})) + end), NOW).events) == 1


def test_a_length_may_be_a_whole_number_with_a_point():
    assert parse_envelope(b'{}\n{"type":"event","length":3.0}\na\nb\n{"type":"event"}\nc').items == [
        Item("event", b"a\nb"),
        Item("event", b"c"),
    ]


@pytest.mark.parametrize(
    ("dsn", "key"),
    [
        ("https://abc@monitor.example/1", "abc"),
        ("http://abc:def@localhost:8080/1", "abc"),
        ("", ""),
        (None, ""),
        ("x", ""),
        (7, ""),
    ],
)
def test_the_key_is_read_from_the_dsn_of_the_envelope(dsn: object, key: str):
    assert public_key_of({"dsn": dsn}) == key


MALFORMED = [
    b"",
    b"\n",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe",
    b"{}\n[]",
    b'{}\n{"type": 7}\n{}',
    b'{}\n{"length": 2}\n{}',
    b'{}\n{"type": ""}',
    b'{}\n{"type": "event", "length": 99}\n{}',
    b'{}\n{"type": "event", "length": -1}\n{}',
    b'{}\n{"type": "event", "length": "2"}\n{}',
    b'{}\n{"type": "event", "length": true}\n{}',
    b'{}\n{"type": "event", "length": 1.5}\n{}',
    b'{}\n{"type": "event", "length": NaN}\n{}',
    b'{}\n{"type": "event", "length": 1e999}\n{}',
    b'{}\n{"type": "event", "length": 1e300}\n{}',
    b'{}\n{"type": "attachment", "length": 3}\n{}',
    b'{"event_id": "%s", "message": "no stock", "platform": "python"}' % ID.encode(),
    b'{"exception": {"values": []}}\n\n',
    b'{}\n{"type": "event", "length": 1}\n{}',
    b'{}\n{"type": "event"}\n[]',
    b'{}\n{"type": "event"}\n{',
    b'{}\n{"type": "event"}\n',
    b'{}\n{"type": "event"}',
    b'{}\n{"type": "event"}\nnull',
    b'{}\n{"type": "event"}\n{"message": "fine"}\n{"type": "event"}\n{broken',
    b"{}\nrubbish",
    b"{}" + b'\n{"type":"x"}\n{}' * 1001,
    b'{}\n{"type": "event"}\n' + b"[" * 100_000,
    b'{}\n{"type": "event"}\n{"a":' + b'{"a":' * 100_000,
    b'{}\n{"type": "event"}\n' + b"9" * 5000,
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_envelope_is_a_typed_error_and_gives_nothing_by_halves(body: bytes):
    with pytest.raises(MalformedError):
        envelope_reports(parse_envelope(body), NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b"null"])
def test_what_is_no_event_is_a_typed_error(body: bytes):
    with pytest.raises(MalformedError):
        store_reports(body, NOW)


PARTS = [
    "event_id",
    "timestamp",
    "level",
    "platform",
    "message",
    "logentry",
    "exception",
    "stacktrace",
    "threads",
    "breadcrumbs",
    "contexts",
    "tags",
    "user",
    "fingerprint",
    "extra",
    "request",
    "modules",
    "sdk",
    "culprit",
    "type",
    "sentry.interfaces.Exception",
]
INNER = [
    "values",
    "frames",
    "stacktrace",
    "mechanism",
    "type",
    "value",
    "vars",
    "lineno",
    "function",
    "params",
    "message",
    "trace",
    "otel",
]
leaves = st.sampled_from([None, True, 0, -1, 2**63, 2**80, 1.5, float("nan"), "", "x", "\ud800", "a\0b", "7", "%s"])
nested = st.recursive(
    leaves, lambda inner: st.dictionaries(st.sampled_from(INNER), inner, max_size=4) | st.lists(inner, max_size=2), max_leaves=6
)


@given(st.dictionaries(st.sampled_from(PARTS), nested, max_size=5))
def test_whatever_an_event_holds_an_event_comes_of_it(payload: dict[str, Any]):
    reports = store_reports(json.dumps(payload).encode(), NOW)
    assert len(reports.events) == (payload.get("type") != "transaction")


def test_an_event_that_is_no_envelope_is_told_where_to_go():
    with pytest.raises(MalformedError, match="/store/"):
        parse_envelope(b'{"message": "no stock"}')


def outcome(body: bytes, size: int) -> Envelope | str:
    """Of reading it in parts of a size."""
    reader = EnvelopeReader(1_000_000)
    try:
        for start in range(0, len(body), size):
            reader.feed(body[start : start + size])
        return reader.end()
    except MalformedError as error:
        return str(error)


WHOLE = envelope(
    item({"message": "one"}),
    item({"message": "two"}, measured=False),
    item({}, "session", measured=False),
    ({"type": "attachment", "length": 7}, b"a\n\n{}\r\n"),
    ({"type": "attachment", "length": 0}, b""),
    item({"message": "three"}),
)


@pytest.mark.parametrize("body", [WHOLE, WHOLE + b"\r\n\n", WHOLE.replace(b"\n{", b"\n\r\n {"), *MALFORMED[:-4]])
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_an_envelope_that_comes_in_parts_is_the_same(body: bytes, size: int):
    assert outcome(body, size) == outcome(body, len(body) or 1)


@given(
    st.lists(
        st.sampled_from(
            [b"{}", b'{"type":"event"}', b'{"type":"event","length":2}', b'{"type":"x","length":2}', b" ", b"\r\n", b"\n", b"ab"]
        )
    ),
    st.integers(1, 9),
)
def test_however_an_envelope_is_cut_what_is_read_of_it_is_the_same(parts: list[bytes], size: int):
    body = b"".join(parts)
    assert outcome(body, size) == outcome(body, len(body) or 1)


def test_of_what_is_read_past_nothing_is_kept_and_what_is_kept_has_a_limit():
    reader = EnvelopeReader(100)
    data, held = bytes(64 * 1024), set[int]()
    tracemalloc.start()
    reader.feed(b'{}\n{"type":"event"}\n{"message":"m"}\n{"type":"attachment","length":%d}\n' % (len(data) * 200))
    for _ in range(200):
        reader.feed(data)
        held.add(reader.held)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held == {15}
    assert peak < len(data)
    reader.feed(b'\n{"type":"event"}\n')
    with pytest.raises(TooLargeError):
        reader.feed(data)


@given(st.binary(max_size=60) | st.lists(st.binary(max_size=20), max_size=5).map(b"\n".join))
def test_whatever_bytes_come_the_answer_is_an_envelope_or_a_typed_error(body: bytes):
    with contextlib.suppress(MalformedError):
        envelope_reports(parse_envelope(body), NOW)
