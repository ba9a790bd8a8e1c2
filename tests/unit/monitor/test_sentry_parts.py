"""Parts of events of Sentry's SDKs that are written in other ways, that collide or that are of the wrong kind: none is lost."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_monitor.decoding.sentry import store_reports
from souk_monitor.events import Event, Frame, Level
from souk_monitor.grouping import Method, group

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FRAMES = [{"function": "run", "filename": "shop/run.py"}, {"function": "place", "filename": "shop/orders.py"}]
STACK = (Frame("run", file="shop/run.py"), Frame("place", file="shop/orders.py"))


def one(**payload: Any) -> Event:
    return store_reports(json.dumps(payload).encode(), NOW).events[0]


@pytest.mark.parametrize("name", ["project", "type", "version", "template", "debug_meta", "threads"])
def test_the_extra_of_the_user_is_kept_by_its_name_and_what_the_event_has_by_that_name_beside_it(name: str):
    given: Any = [{"id": 1}] if name == "threads" else "of the event"
    assert one(**{name: given}, extra={name: "garden"}).extra == {name: "garden", f"event.{name}": given}


def test_another_name_is_given_that_nothing_has():
    made = one(
        project="7", extra={"project": "garden", "event.project": "mine", "event.project.2": "mine too", "unset": None}, unset=1
    )
    assert made.extra == {
        "project": "garden",
        "event.project": "mine",
        "event.project.2": "mine too",
        "event.project.3": "7",
        "unset": 1,
    }


@pytest.mark.parametrize("name", ["request", "sdk", "modules", "breadcrumbs"])
def test_a_context_of_the_user_is_kept_beside_the_part_of_the_event_of_its_name(name: str):
    part: Any = [{"message": "clicked"}] if name == "breadcrumbs" else {"a": "of the event"}
    own = {name: {"mine": 1}}
    assert one(**{name: part}, contexts=own).contexts == {name: part, f"context.{name}": {"mine": 1}}
    assert one(contexts=own).contexts == own


@pytest.mark.parametrize(
    ("payload", "message", "template", "extra"),
    [
        ({"message": "no 7", "sentry.interfaces.Message": {"message": "no {}", "params": ["7"]}}, "no 7", "no {}", {}),
        ({"message": "no seven", "logentry": {"message": "no {}", "params": ["7"]}}, "no seven", "no {}", ["7"]),
        ({"message": "no seven", "logentry": {"message": "no %s"}}, "no seven", "no %s", {}),
        ({"message": "no %s", "logentry": {"message": "no %s", "params": ["7"]}}, "no 7", "no %s", {}),
        ({"logentry": {"message": "no {name}", "params": {"name": "lamp"}}}, "no lamp", "no {name}", {}),
        ({"logentry": {"message": "no {}", "params": ["lamp", "left"]}}, "no lamp", "no {}", ["lamp", "left"]),
        ({"logentry": {"message": "no %s", "params": ["lamp", "left"]}}, "no %s", "", ["lamp", "left"]),
        ({"logentry": {"message": "%.1f", "params": [12.34]}}, "12.3", "%.1f", [12.34]),
        ({"logentry": {"message": "no %(a)s", "formatted": "no 8", "params": {"a": 8}}}, "no 8", "no %(a)s", {}),
        ({"logentry": {"message": "no %(a)s", "params": {"a": 8, "b": 9}}}, "no 8", "no %(a)s", {"a": 8, "b": 9}),
        ({"logentry": {"message": "no stock", "params": "lamp"}}, "no stock", "", "lamp"),
    ],
)
def test_a_message_is_the_formatted_one_else_the_plain_one_and_parameters_that_do_not_show_are_kept(
    payload: dict[str, Any], message: str, template: str, extra: Any
):
    made = one(**payload)
    assert (made.message, made.template) == (message, template)
    assert made.extra == ({"logentry": {"params": extra}} if extra else {})


@pytest.mark.parametrize(
    ("payload", "message", "extra"),
    [
        ({"message": "plain", "logentry": {"formatted": "whole"}}, "whole", {"message": "plain"}),
        ({"message": "plain", "logentry": "whole"}, "whole", {"message": "plain"}),
        ({"message": "whole", "logentry": "whole"}, "whole", {}),
        ({"message": "plain", "logentry": ["a"]}, "plain", {"logentry": ["a"]}),
        ({"message": {"message": "a"}, "logentry": {"message": "b"}}, "b", {"message": {"message": "a"}}),
        ({"logentry": {"message": "b", "lang": "de"}}, "b", {"logentry": {"lang": "de"}}),
    ],
)
def test_what_is_neither_the_message_nor_its_template_is_kept(payload: dict[str, Any], message: str, extra: dict[str, Any]):
    made = one(**payload)
    assert (made.message, made.extra) == (message, extra)


def test_what_a_stack_has_beside_its_frames_is_kept():
    beside = {"registers": {"pc": "0xabc"}, "snapshot": True, "frames_omitted": [3, 7]}
    made = one(message="m", stacktrace={"frames": FRAMES, **beside})
    assert (made.stack, made.extra) == (STACK, {"stacktrace": beside})


def test_the_only_exception_without_a_stack_has_that_of_the_event():
    made = one(exception={"type": "KeyError", "value": "x"}, stacktrace={"frames": FRAMES}, platform="python")
    assert (made.exceptions[0].frames, made.stack) == (STACK, ())
    assert group(made).method is Method.STACK


def test_an_exception_whose_stack_is_only_there_raw_has_that_one():
    given = {"type": "KeyError", "raw_stacktrace": {"frames": FRAMES}}
    made = one(exception=given, stacktrace={"frames": FRAMES[:1]})
    assert (made.exceptions[0].frames, made.stack) == (STACK, STACK[:1])
    assert made.exceptions[0].extra == {"raw_stacktrace": {"frames": FRAMES}}


@pytest.mark.parametrize("exceptions", [[{"type": "A"}, {"type": "B"}], [{"type": "A", "stacktrace": {"frames": FRAMES[:1]}}]])
def test_a_stack_beside_several_exceptions_or_one_that_has_its_own_stays_that_of_the_event(exceptions: list[dict[str, Any]]):
    made = one(exception=exceptions, stacktrace={"frames": FRAMES})
    assert made.stack == STACK
    assert STACK not in [each.frames for each in made.exceptions]


@pytest.mark.parametrize(
    ("exception", "thread"),
    [
        ({"thread_id": 5}, {"id": 5}),
        ({"thread_id": "5"}, {"id": 5}),
        ({"thread_id": 5}, {"id": "5"}),
        ({}, {"id": 5, "crashed": True}),
        ({}, {"id": 5, "crashed": 1}),
    ],
)
def test_an_exception_has_the_stack_of_the_thread_that_it_names_or_that_crashed(exception: dict[str, Any], thread: dict[str, Any]):
    other = {"id": 4, "crashed": "false", "stacktrace": {"frames": FRAMES[:1]}}
    named = {**thread, "stacktrace": {"frames": FRAMES, "snapshot": True}}
    made = one(exception={"type": "SIGABRT", **exception}, threads={"values": [other, named]})
    assert (made.exceptions[0].frames, made.stack) == (STACK, ())
    assert made.extra == {"threads": [{**thread, "stacktrace": {"snapshot": True}}, other]}


def test_the_stack_of_a_thread_that_only_reported_is_that_of_the_event():
    threads = [{"id": 4, "current": True, "stacktrace": {"frames": FRAMES}}, {"id": 5}]
    made = one(exception={"type": "NSError", "value": "timed out", "thread_id": 5}, threads=threads)
    assert (made.exceptions[0].frames, made.stack) == ((), STACK)


@pytest.mark.parametrize(("given", "parts"), [("text", ("text",)), (7, ("7",)), (["a", 7], ("a", "7")), ("", ()), (None, ())])
def test_a_fingerprint_may_be_one_part(given: object, parts: tuple[str, ...]):
    assert one(message="m", fingerprint=given).fingerprint == parts


@pytest.mark.parametrize("given", ["1772366100.5", " 1772366100.5 "])
def test_a_time_may_be_seconds_as_a_text(given: str):
    assert one(timestamp=given).time == NOW - timedelta(minutes=4, seconds=59.5)


def test_a_time_of_eight_digits_is_a_day():
    assert one(timestamp="20260228").time == datetime(2026, 2, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({"in_app": "true", "lineno": 7.0, "colno": "3"}, Frame("f", in_app=True, line=7, column=3)),
        ({"in_app": 1, "lineno": "2147483647"}, Frame("f", in_app=True, line=2**31 - 1)),
        ({"in_app": 0}, Frame("f", in_app=False)),
        ({"in_app": "False"}, Frame("f", in_app=False)),
        ({"in_app": "perhaps", "lineno": "x"}, Frame("f", extra={"in_app": "perhaps", "lineno": "x"})),
        ({"in_app": [1], "lineno": 2**31, "colno": -2}, Frame("f", extra={"in_app": [1], "lineno": 2**31, "colno": -2})),
        ({"lineno": 1.5, "colno": True}, Frame("f", extra={"lineno": 1.5, "colno": True})),
        ({"pre_context": "x = 1", "post_context": 7}, Frame("f", extra={"pre_context": "x = 1", "post_context": 7})),
        ({"in_app": None, "lineno": None, "pre_context": None}, Frame("f")),
    ],
)
def test_numbers_and_booleans_of_frames_are_read_in_every_form_and_what_is_none_is_kept(given: dict[str, Any], known: Frame):
    assert one(stacktrace={"frames": [{"function": "f", **given}]}).stack == (known,)


def test_numbers_and_booleans_of_mechanisms_are_too():
    told = {"type": "chained", "handled": "false", "exception_id": "1", "parent_id": "root", "is_exception_group": 1}
    (made,) = one(exception={"type": "E", "mechanism": told}).exceptions
    assert (made.handled, made.exception_id, made.parent_id, made.is_group) == (False, 1, None, True)
    assert made.extra == {"mechanism": {"parent_id": "root"}}


@pytest.mark.parametrize(
    ("payload", "transaction", "extra"),
    [
        ({"transaction": "/orders", "culprit": "shop.orders in place"}, "/orders", {"culprit": "shop.orders in place"}),
        ({"transaction": "/orders", "culprit": "/orders"}, "/orders", {}),
        ({"culprit": "shop.orders in place"}, "shop.orders in place", {}),
    ],
)
def test_a_culprit_is_the_transaction_or_kept_beside_it(payload: dict[str, Any], transaction: str, extra: dict[str, Any]):
    made = one(**payload)
    assert (made.transaction, made.extra) == (transaction, extra)


@pytest.mark.parametrize(
    ("part", "value", "kept"),
    [
        ("exception", "ValueError: x", "ValueError: x"),
        ("exception", {"values": ["ValueError: x"]}, ["ValueError: x"]),
        ("exception", {"values": ["x", None, {}], "lang": "de"}, {"values": ["x"], "lang": "de"}),
        ("exception", {"values": "x"}, {"values": "x"}),
        ("stacktrace", "at place (shop.js:7)", "at place (shop.js:7)"),
        ("stacktrace", ["at place"], ["at place"]),
        ("stacktrace", {"frames": "at place"}, {"frames": "at place"}),
        ("threads", "main", "main"),
        ("threads", {"values": [{"id": 1}, "main"], "lang": "de"}, {"values": [{"id": 1}, "main"], "lang": "de"}),
        ("user", "ada", "ada"),
        ("user", [{"id": "ada"}], [{"id": "ada"}]),
        ("extra", ["x"], ["x"]),
        ("extra", "x", "x"),
        ("contexts", [{"os": "x"}], [{"os": "x"}]),
        ("contexts", "x", "x"),
        ("breadcrumbs", "clicked", "clicked"),
        ("tags", "a:b", "a:b"),
        ("tags", ["a:b", ["a", "b"]], ["a:b"]),
        ("fingerprint", {"a": "b"}, {"a": "b"}),
        ("level", "grave", "grave"),
        ("timestamp", "yesterday", "yesterday"),
        ("timestamp", "1772366100500", "1772366100500"),
    ],
)
def test_a_part_of_the_wrong_kind_is_kept(part: str, value: object, kept: object):
    assert one(message="m", **{part: value}).extra == {part: kept}


def test_parts_of_the_wrong_kind_within_an_exception_are_kept_with_it():
    given = {"type": "E", "stacktrace": "at place (shop.js:7)", "mechanism": ["generic"]}
    (made,) = one(exception={"values": [given, "E: x"]}).exceptions
    assert made.extra == {"stacktrace": "at place (shop.js:7)", "mechanism": ["generic"]}


def test_a_request_and_a_breadcrumb_by_itself_are_where_others_are():
    made = one(request="GET /orders", breadcrumbs={"message": "clicked"})
    assert made.contexts == {"request": "GET /orders", "breadcrumbs": [{"message": "clicked"}]}


def test_a_part_by_its_name_of_today_is_stronger_than_by_an_older_one_which_is_kept():
    old = {"values": [{"type": "Old"}]}
    made = one(**{"sentry.interfaces.Exception": old, "exception": {"type": "New"}})
    assert [each.type for each in made.exceptions] == ["New"]
    assert made.extra == {"sentry.interfaces.Exception": old}


CSP = {"effective_directive": "script-src", "blocked_uri": "https://evil.example/x.js?token=1"}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"csp": CSP}, "Blocked 'script' from 'evil.example'"),
        ({"sentry.interfaces.Csp": CSP}, "Blocked 'script' from 'evil.example'"),
        ({"csp": {"violated-directive": "img-src 'self'", "blocked-uri": "data"}}, "Blocked 'image' from 'data:'"),
        ({"csp": {**CSP, "blocked_uri": "ws://ada@evil.example:8/"}}, "Blocked 'script' from 'ws://evil.example:8'"),
        ({"csp": {**CSP, "blocked_uri": "blob:https://evil.example"}}, "Blocked 'script' from 'blob:'"),
        ({"csp": {**CSP, "blocked_uri": "evil.example/x.js"}}, "Blocked 'script' from 'evil.example'"),
        ({"csp": {**CSP, "blocked_uri": "self"}}, "Blocked unsafe (eval() or inline) 'script'"),
        ({"csp": {**CSP, "blocked_uri": "eval"}}, "Blocked unsafe eval() 'script'"),
        ({"csp": {"effective_directive": "style-src"}}, "Blocked inline 'style'"),
        ({"csp": {**CSP, "effective_directive": "form-action"}}, "Blocked 'form' action to 'evil.example'"),
        ({"csp": {**CSP, "effective_directive": "frame-src"}}, "Blocked 'frame-src' from 'evil.example'"),
        ({"expectct": {"hostname": "shop.example"}}, "Expect-CT failed for 'shop.example'"),
        ({"expectstaple": {"hostname": "shop.example"}}, "Expect-Staple failed for 'shop.example'"),
        ({"hpkp": {"hostname": "shop.example"}}, "Public key pinning validation failed for 'shop.example'"),
        ({"template": {"filename": "basket.html", "lineno": 3}}, "basket.html"),
        ({"template": {"abs_path": "/srv/basket.html"}}, "/srv/basket.html"),
    ],
)
def test_what_has_no_message_but_says_what_was_blocked_or_failed_has_that_for_one(payload: dict[str, Any], message: str):
    made = one(**payload)
    assert made.message == group(made).title == message
    assert made.extra


@pytest.mark.parametrize("said", [{"message": "m"}, {"exception": {"type": "E"}}, {"stacktrace": {"frames": FRAMES}}])
def test_what_an_event_says_itself_is_stronger_than_such_a_title(said: dict[str, Any]):
    made = one(template={"filename": "basket.html"}, **said)
    assert (made.message, made.fingerprint) == (said.get("message", ""), ())


@pytest.mark.parametrize(
    "part", [{"csp": {"blocked_uri": "self"}}, {"csp": "x"}, {"hpkp": {"port": 443}}, {"template": {"lineno": 3}}]
)
def test_a_report_that_does_not_say_it_has_none(part: dict[str, Any]):
    assert one(**part).message == ""


def test_reports_of_browsers_are_one_issue_for_each_directive_and_source():
    def fingerprint(**changes: str) -> bytes:
        return group(one(csp={**CSP, **changes})).fingerprint

    assert fingerprint(blocked_uri="http://evil.example/other.js") == fingerprint()
    assert fingerprint(blocked_uri="https://cdn2.example") != fingerprint(blocked_uri="https://cdn3.example")
    assert len({fingerprint(), fingerprint(effective_directive="img-src"), fingerprint(blocked_uri="self")}) == 3
    assert one(csp=CSP, fingerprint=["mine"]).fingerprint == ("mine",)


def test_levels_that_are_known_are_kept_nowhere_else():
    assert (one(level="warn").level, one(level="warn").extra) == (Level.WARNING, {})


PARTS = [
    "exception",
    "stacktrace",
    "threads",
    "breadcrumbs",
    "contexts",
    "tags",
    "user",
    "extra",
    "request",
    "logentry",
    "message",
    "type",
]
inner = st.recursive(
    st.sampled_from(["lamp-1", "lamp-2", "lamp-3"]),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(["values", "frames", "a", "b"]), each, max_size=3),
    max_leaves=6,
)


def texts(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value}
    return set().union(*map(texts, value.values() if isinstance(value, dict) else value))


@given(st.dictionaries(st.sampled_from(PARTS), inner, max_size=4))
def test_no_text_of_a_part_is_lost_whatever_kind_it_is(payload: dict[str, Any]):
    made = repr(one(**payload))
    assert [text for text in texts(payload) if text not in made] == []
