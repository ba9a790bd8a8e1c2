"""Exceptions and pictures as the dashboard shows them."""

import re
from datetime import UTC, datetime, timedelta

from monitoring import error
from souk_monitor.events import ExceptionInfo, Frame
from souk_monitor.in_app import NO_RULES
from souk_monitor.web.dashboard import pictures
from souk_monitor.web.dashboard.stacks import MAX_FRAMES, MAX_VALUE, MAX_VARIABLES, Shown, said, shown

OWN = Frame(function="pay", module="shop.pay", file="shop/pay.py", line=10, in_app=True, pre_context=("a", "b"), context_line="c")
LIBRARY = Frame(function="send", module="httpx", file="httpx/client.py", line=3, in_app=False)


def show(*exceptions: ExceptionInfo) -> list[Shown]:
    return shown(error(exceptions=exceptions), NO_RULES)


def test_the_last_exception_comes_first_and_its_causes_after_it() -> None:
    found = show(ExceptionInfo(type="A"), ExceptionInfo(type="B"), ExceptionInfo(type="C"))
    assert [(one.type, one.relation, one.depth) for one in found] == [("C", "", 0), ("B", "caused by", 0), ("A", "caused by", 0)]


def test_members_of_a_group_are_set_in_and_their_causes_with_them() -> None:
    group = ExceptionInfo(type="Group", exception_id=0, is_group=True)
    member = ExceptionInfo(type="Member", exception_id=1, parent_id=0, source="exceptions[0]")
    cause = ExceptionInfo(type="Cause", exception_id=2, parent_id=1, source="__context__")
    other = ExceptionInfo(type="Other", exception_id=3, parent_id=0, source="exceptions[1]")
    found = show(other, cause, member, group)
    assert [(one.type, one.relation, one.depth) for one in found] == [
        ("Group", "", 0),
        ("Member", "in the group Group", 1),
        ("Cause", "while handling", 1),
        ("Other", "in the group Group", 1),
    ]


def test_calls_are_in_the_order_of_the_newest_first_and_those_of_libraries_together() -> None:
    (one,) = show(ExceptionInfo(type="A", frames=(OWN, LIBRARY, LIBRARY, OWN, LIBRARY)))
    assert [(run.in_app, len(run.calls)) for run in one.runs] == [(False, 1), (True, 1), (False, 2), (True, 1)]
    assert [run.calls[0].open for run in one.runs] == [False, True, False, True]


def test_where_no_call_is_of_the_application_the_last_one_is_open() -> None:
    (one,) = show(ExceptionInfo(type="A", frames=(LIBRARY, LIBRARY, LIBRARY)))
    assert [(len(run.calls), run.calls[0].open) for run in one.runs] == [(1, True), (2, False)]


def test_each_call_of_a_long_stack_without_a_word_of_the_reporter_is_judged_by_its_place() -> None:
    frame = Frame(function="pay", module="shop.pay", abs_path="/srv/shop/pay.py")
    (one,) = show(ExceptionInfo(type="A", frames=(frame,) * 150))
    assert [(run.in_app, len(run.calls)) for run in one.runs] == [(True, 150)]


def test_the_failing_line_is_marked_and_lines_are_numbered() -> None:
    (one,) = show(ExceptionInfo(type="A", frames=(OWN,)))
    lines = one.runs[0].calls[0].lines
    assert [(line.number, line.text, line.failing) for line in lines] == [(8, "a", False), (9, "b", False), (10, "c", True)]


def test_a_call_without_a_function_is_named_by_its_symbol_or_address() -> None:
    at = {"instruction_addr": "0x1000"}
    frames = (
        Frame(extra=at),
        Frame(package="libc.so", extra=at),
        Frame(package="libc.so", extra=at | {"symbol": "_start"}),
        Frame("f", package="libc.so", extra=at),
        Frame("f", file="f.c", package="libc.so", line=3, extra=at),
        Frame(extra={"instruction_addr": 4096, "symbol": {"a": None}}),
    )
    (one,) = show(ExceptionInfo(type="A", frames=frames))
    assert [(call.name, call.where) for run in one.runs for call in run.calls][::-1] == [
        ("0x1000", ""),
        ("0x1000", "libc.so"),
        ("_start", "libc.so 0x1000"),
        ("f", "libc.so 0x1000"),
        ("f", "f.c:3"),
        ('{"a":null}', "4096"),
    ]


def test_what_is_said_of_an_exception_beside_its_fields_is_with_it_the_mechanism_first() -> None:
    mechanism = {"meta": {"signal": {"number": 11}}, "data": {"HResult": -1}}
    (one,) = show(ExceptionInfo(type="A", mechanism="mach", extra={"thread_id": 0, "mechanism": mechanism}))
    assert one.facts == [
        ("mechanism.type", "mach"),
        ("mechanism.meta.signal.number", "11"),
        ("mechanism.data.HResult", "-1"),
        ("thread_id", "0"),
    ]
    (plain,) = show(ExceptionInfo(type="A", extra={"mechanism": "odd"}))
    assert plain.facts == []


def test_what_is_shown_is_bounded() -> None:
    (deep,) = show(ExceptionInfo(type="A", extra={f"{n}": {"a": {"b": "x" * 10_000}} for n in range(1000)}))
    assert len(deep.facts) == MAX_VARIABLES
    assert max(len(value) for _, value in deep.facts) == MAX_VALUE + 1
    (one,) = show(ExceptionInfo(type="A", frames=(OWN,) * (MAX_FRAMES + 7)))
    assert (sum(len(run.calls) for run in one.runs), one.left_out) == (MAX_FRAMES, 7)
    assert len(said("x" * 10_000)) == MAX_VALUE + 1
    assert [said(value) for value in (None, True, 1.5, {"a": [1]})] == ["null", "true", "1.5", '{"a":[1]}']


def test_a_message_without_exceptions_is_shown_with_the_stack_it_was_logged_at() -> None:
    (one,) = shown(error(exceptions=(), message="it failed", stack=(OWN,)), NO_RULES)
    assert (one.type, len(one.runs)) == ("", 1)
    assert shown(error(exceptions=(), message="it failed"), NO_RULES) == []


def test_pictures_have_a_bar_for_each_count_that_is_none_too_small_to_see() -> None:
    assert pictures.spark([0, 0]).count("M") == 0
    assert pictures.spark([1, 0, 1_000_000]).count("M") == 2
    assert "1,000,001 events in 3 hours" in pictures.spark([1, 0, 1_000_000])
    start = datetime(2031, 5, 4, tzinfo=UTC)
    drawn = pictures.bars([(start + timedelta(hours=hour), hour) for hour in range(24)], "Events")
    heights = [float(height) for height in re.findall(r'class="bar"[^>]* height="([\d.]+)"', drawn)]
    assert (len(heights), heights[0]) == (24, 0.0)
    assert heights == sorted(heights)
    assert pictures.bars([], "Events").count('class="bar"') == 0
