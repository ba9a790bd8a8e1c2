"""Reports of the native rpcs, and the bytes that the store keeps."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from souk.monitor.v1 import error_pb2 as pb
from souk_monitor import stack_text
from souk_monitor.app import preparer
from souk_monitor.chains import tree
from souk_monitor.decoding import bodies, native, structs
from souk_monitor.decoding.budget import Budget
from souk_monitor.events import Event, ExceptionInfo, Frame, Level, Source, User
from souk_monitor.exceptions import MalformedError
from souk_monitor.grouping import group
from souk_monitor.limits import Limits, fit
from souk_monitor.projects import Project

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROJECT = Project(1, "shop", NOW)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(text, json, max_size=3)
names = st.tuples(text, text)
frames = st.builds(
    Frame,
    *[text] * 4,
    line=st.integers(0, 9),
    in_app=st.none() | st.booleans(),
    pre_context=names,
    post_context=names,
    local_variables=objects,
    extra=objects,
)
exceptions = st.builds(
    ExceptionInfo,
    *[text] * 3,
    frames=st.lists(frames, max_size=2).map(tuple),
    handled=st.none() | st.booleans(),
    exception_id=st.none() | st.integers(0, 5),
    parent_id=st.none() | st.integers(0, 5),
    is_group=st.booleans(),
    is_suppressed=st.booleans(),
    extra=objects,
    source=text,
)
events = st.builds(
    Event,
    event_id=text,
    time=st.datetimes(timezones=st.just(UTC)),
    source=st.sampled_from(Source),
    level=st.sampled_from(Level),
    message=text,
    exceptions=st.lists(exceptions, max_size=2).map(tuple),
    stack=st.lists(frames, max_size=2).map(tuple),
    fingerprint=names,
    tags=st.dictionaries(text, text, max_size=2),
    user=st.none() | st.builds(User, text, text, text, text, objects),
    contexts=objects,
    extra=objects,
    scrubbed_fields=names,
)


@given(events)
def test_an_event_is_read_back_as_it_was_written(event):
    assert bodies.decode(bodies.encode(event)) == event


def test_a_body_of_a_version_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="version 7"):
        bodies.decode(b"[7,[]]")


def test_rows_written_before_a_field_was_added_are_read():
    event = Event("a" * 32, NOW, Source.NATIVE, stack=(Frame("f", extra={"a": 1}),))
    row = bodies.encode(event).replace(b',{"a":1}]', b"]")
    assert bodies.decode(row).stack == (Frame("f"),)


def report(**fields: object) -> pb.ErrorReport:
    return pb.ErrorReport(**{"message": "no stock", **fields})


def full_report() -> pb.ErrorReport:
    message = report(
        event_id="0123456789abcdef0123456789abcdef",
        severity=pb.SEVERITY_FATAL,
        platform="python",
        service="orders",
        release="1.2",
        environment="staging",
        dist="114",
        server_name="host",
        logger="shop.orders",
        transaction="POST /orders",
        message_template="no stock of %s",
        exceptions=[
            pb.ExceptionReport(type="KeyError", value="'sku'", module="builtins", exception_id=1, parent_id=0, handled=False),
            pb.ExceptionReport(
                type="OrderError",
                value="no stock",
                module="shop.errors",
                mechanism="logging",
                handled=True,
                is_group=True,
                exception_id=0,
                frames=[
                    pb.StackFrame(
                        function="place",
                        module="shop.orders",
                        file="shop/orders.py",
                        abs_path="/srv/shop/orders.py",
                        line=3,
                        column=1,
                        in_app=True,
                        context_line="raise",
                        pre_context=["a", "b"],
                        post_context=["c"],
                        package="app",
                    )
                ],
            ),
        ],
        stack=[pb.StackFrame(function="main")],
        fingerprint=["{{ default }}", "eu"],
        tags={"shop": "eu"},
        user=pb.ReportedUser(id="7", email="a@shop.example", username="ada", ip_address="10.0.0.1"),
        trace_id="ab" * 16,
        span_id="cd" * 8,
        error_id="0011",
    )
    message.exceptions[1].frames[0].local_variables.update({"sku": "x", "n": 3, "deep": {"list": [1, None, True, 0.5]}})
    message.contexts.update({"runtime": {"name": "CPython"}})
    message.exceptions[0].extra.update({"thread_id": 7})
    message.exceptions[1].extra.update(
        {"mechanism": {"desc": "a crash", "meta": {"signal": {"number": 11, "name": "SIGSEGV"}}, "data": {"HResult": -2147467261}}}
    )
    message.exceptions[1].frames[0].extra.update({"instruction_addr": "0x1000", "lock": {"type": 1}, "vars": ["a", 1]})
    message.stack[0].extra.update({"symbol": "_ZN4shop3runEv"})
    message.user.extra.update({"name": "Ada", "geo": {"city": "Wien"}})
    message.time.FromDatetime(NOW - timedelta(seconds=5))
    return message


def test_nothing_of_a_report_is_lost_on_the_way_to_an_event_and_back():
    assert native.report(native.event(full_report(), NOW)) == full_report()


def test_what_is_read_of_a_report_has_the_limits_of_what_comes_by_other_ways():
    """The crash itself before what is around it: the exception, its stack, its user, and the contexts with what is left."""

    def many() -> Struct:
        made = Struct()
        made.update({"many": [0] * 3000})
        return made

    frame = pb.StackFrame(function="f", extra=many())
    exception = pb.ExceptionReport(type="E", extra=many(), frames=[frame])
    given = pb.ErrorReport(exceptions=[exception], stack=[frame], user=pb.ReportedUser(id="7", extra=many()), contexts=many())
    made = native.event(given, NOW)
    assert made.user is not None
    read = [made.exceptions[0].extra, made.exceptions[0].frames[0].extra, made.stack[0].extra, made.user.extra, made.contexts]
    assert [len(each.get("many", ())) for each in read] == [3000, 3000, 3000, 10_240 - 9_004, 0]
    assert made.scrubbed_fields == ("user.extra", "contexts")
    fit(made, NOW)
    assert {len(each["many"]) for each in (made.exceptions[0].extra, made.exceptions[0].frames[0].extra)} == {1000}


def test_of_what_is_sensitive_nothing_is_in_what_has_no_field_of_its_own():
    given = full_report()
    for part in (given.exceptions[1], given.exceptions[1].frames[0], given.stack[0], given.user):
        part.extra.update({"password": "hunter2"})
    body = preparer(Limits()).prepare(PROJECT, native.event(given, NOW), NOW).body
    assert b"hunter2" not in body
    assert body.count(b'"password":"[secret]"') == 4


@pytest.mark.parametrize("text", ["gone fishing", {"a": 1}, 7, None, ["x"]])
def test_whatever_an_sdk_calls_the_text_of_a_stack_is_answered(text: object):
    made = native.report(Event("a" * 32, NOW, Source.SENTRY, exceptions=(ExceptionInfo("E", extra={"stack_text": text, "n": 1}),)))
    (told,) = made.exceptions
    assert told.extra["n"] == 1
    assert (told.stack_text or structs.values(told.extra, Budget(), "extra")["stack_text"]) == text


def test_no_address_is_rounded():
    """The numbers of a Struct are doubles."""
    given = {"a": 2**53, "b": 2**53 + 1, "c": -(2**53) - 1, "d": 2**64 - 1, "e": 1e300, "f": True}
    known = Event("a" * 32, NOW, Source.SENTRY, stack=(Frame(extra=given),))
    told = native.event(native.report(known), NOW).stack[0].extra
    assert told == given | {name: str(given[name]) for name in ("b", "c", "d")}
    assert told["f"] is True


def test_a_report_without_a_time_or_with_one_to_come_happened_when_it_was_received():
    later = Timestamp()
    later.FromDatetime(NOW + timedelta(hours=1))
    early = native.event(report(time=later), NOW)
    fit(early, NOW)
    assert early.time == native.event(report(), NOW).time == NOW


def test_a_report_without_an_id_gets_one_of_its_own():
    first, second = native.event(report(), NOW), native.event(report(), NOW)
    assert len(first.event_id) == 32
    assert first.event_id != second.event_id


def test_numbers_that_json_cannot_say_are_kept_as_their_names():
    message = report()
    message.contexts.update({"a": float("nan"), "b": float("-inf")})
    assert native.event(message, NOW).contexts == {"a": "nan", "b": "-inf"}


def test_all_that_is_wrong_is_named_at_once():
    wrong = pb.ErrorReport(
        event_id="xyz",
        trace_id="0",
        span_id="g" * 16,
        severity=99,  # type: ignore[arg-type]
        time=Timestamp(seconds=-1),
        exceptions=[pb.ExceptionReport(), pb.ExceptionReport(type="E", frames=[pb.StackFrame(line=-1, column=-2)])],
        stack=[pb.StackFrame(line=-5)],
    )
    with pytest.raises(MalformedError) as caught:
        native.event(wrong, NOW)
    assert [path for path, _ in caught.value.problems] == [
        "event_id",
        "trace_id",
        "span_id",
        "severity",
        "time",
        "exceptions[0]",
        "exceptions[1].frames[0].line",
        "exceptions[1].frames[0].column",
        "stack[0].line",
    ]


def test_a_report_that_tells_of_nothing_is_malformed():
    with pytest.raises(MalformedError, match="message or exceptions must be there"):
        native.event(pb.ErrorReport(), NOW)


def test_what_is_nested_deeper_than_a_message_may_be_can_still_be_answered():
    deep: dict[str, object] = {"end": 1}
    for _ in range(100):
        deep = {"d": deep}
    message = native.report(Event("a" * 32, NOW, Source.SENTRY, contexts={"deep": deep}))
    assert pb.ErrorReport.FromString(message.SerializeToString()) == message


def test_a_report_over_the_limits_is_cut_and_not_refused():
    made = native.event(report(message="word " * 4000, tags={"t": "x" * 600}), NOW)
    fit(made, NOW)
    assert len(made.message) <= 8192
    assert set(made.scrubbed_fields) == {"message", "tags.t"}


TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/stock.py", line 3, in take
    rows[sku]
KeyError: 'sku-1'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/shop/orders.py", line 9, in place
    raise OrderError("no stock") from error
shop.errors.OrderError: no stock
"""


def test_frames_and_causes_are_read_from_the_text_of_a_stack():
    made = native.event(pb.ErrorReport(exceptions=[pb.ExceptionReport(type="OrderError", value="gone", stack_text=TRACEBACK)]), NOW)
    cause, raised = made.exceptions
    assert made.platform == "python"
    assert (cause.type, [frame.function for frame in cause.frames]) == ("KeyError", ["take"])
    assert (raised.type, raised.value, [frame.line for frame in raised.frames]) == ("OrderError", "gone", [9])


def test_of_several_exceptions_each_has_its_own_stack_of_the_text():
    reports = [pb.ExceptionReport(type="KeyError", value="x"), pb.ExceptionReport(type="OrderError", stack_text=TRACEBACK)]
    made = native.event(pb.ErrorReport(exceptions=reports), NOW)
    assert [(each.type, len(each.frames)) for each in made.exceptions] == [("KeyError", 0), ("OrderError", 1)]


GROUPS = {
    "python": """\
  + Exception Group Traceback (most recent call last):
  |   File "/srv/shop/orders.py", line 9, in place
  |     raise ExceptionGroup("several", found)
  | ExceptionGroup: several (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/srv/shop/orders.py", line 5, in take
    |     return stock[sku]
    | KeyError: 'lamp'
    +---------------- 2 ----------------
    | Traceback (most recent call last):
    |   File "/srv/shop/orders.py", line 7, in pay
    |     return 1 / 0
    | ZeroDivisionError: division by zero
    +------------------------------------
""",
    "node": """\
AggregateError: several
    at place (/srv/shop/orders.js:9:3) {
  [errors]: [
    TypeError: sku is undefined
        at take (/srv/shop/orders.js:5:9),
    RangeError: Division by zero
        at pay (/srv/shop/orders.js:7:9)
  ]
}
""",
    "java": """\
java.lang.ArithmeticException: / by zero
\tat shop.Orders.place(Orders.java:9)
\tSuppressed: java.lang.IllegalStateException: cannot close
\t\tat shop.Orders.close(Orders.java:5)
\t\tat shop.Orders.place(Orders.java:9)
""",
}


@pytest.mark.parametrize("platform", GROUPS)
def test_a_type_beside_the_text_of_a_stack_leaves_its_group_whole(platform: str):
    def fingerprint(**known: str) -> bytes:
        exception = pb.ExceptionReport(stack_text=GROUPS[platform], **known)
        return group(native.event(pb.ErrorReport(platform=platform, exceptions=[exception]), NOW)).fingerprint

    (*_, last) = stack_text.parse(GROUPS[platform])
    whole = group(Event("0" * 32, NOW, Source.NATIVE, platform=platform, exceptions=stack_text.parse(GROUPS[platform])))
    assert fingerprint() == fingerprint(type=last.type, value=last.value) == whole.fingerprint


def test_a_text_that_is_no_stack_is_kept():
    given = pb.ErrorReport(exceptions=[pb.ExceptionReport(type="E", stack_text="gone fishing")])
    assert native.report(native.event(given, NOW)).exceptions[0].stack_text == "gone fishing"


def test_what_the_program_says_of_a_cause_is_kept() -> None:
    tried = pb.ExceptionReport(type="TypeError", value="x", source="__cause__")
    event = native.event(pb.ErrorReport(platform="python", exceptions=[tried, pb.ExceptionReport(type="E")]), NOW)
    assert native.report(event).exceptions[0].source == "__cause__"


@pytest.mark.parametrize("text", ["TypeError: no stock", "com.acme.SoldOut: sku 12"])
def test_a_stack_text_without_frames_says_what_failed(text: str) -> None:
    event = native.event(pb.ErrorReport(exceptions=[pb.ExceptionReport(stack_text=text)]), NOW)
    module, _, kind = text.partition(":")[0].rpartition(".")
    (raised,) = event.exceptions
    assert (raised.type, raised.module, raised.value) == (kind, module, text.partition(": ")[2])
    assert raised.extra == {"stack_text": text}


def test_causes_within_a_group_are_of_the_member_whose_number_they_name() -> None:
    """Sentry's SDK for Python says 0 of each, and means the one before; where a number is named, it is meant."""
    member = pb.ExceptionReport(type="ValueError", exception_id=1, parent_id=0, source="exceptions[0]")
    other = pb.ExceptionReport(type="TypeError", exception_id=2, parent_id=0, source="exceptions[1]")
    cause = pb.ExceptionReport(type="OSError", exception_id=3, parent_id=1, source="__cause__")
    root = pb.ExceptionReport(type="ExceptionGroup", exception_id=0, is_group=True)
    event = native.event(pb.ErrorReport(platform="python", exceptions=[cause, other, member, root]), NOW)
    found = tree(event.exceptions)
    assert found is not None
    assert [(node.exception.type, node.cause and node.cause.exception.type) for node in found.members] == [
        ("ValueError", "OSError"),
        ("TypeError", None),
    ]
