"""Stacks as `souk errors show` draws them."""

from rich.text import Text
from souk.monitor.v1 import error_pb2 as pb
from souk_cli.error_stack import draw


def lines(report: pb.ErrorReport, *, all_frames: bool = False) -> list[str]:
    """Without colours."""
    return [Text.from_markup(line).plain for line in draw(report, all_frames=all_frames)]


def library(number: int) -> pb.StackFrame:
    return pb.StackFrame(function=f"step{number}", file="lib/steps.py", line=number, in_app=False)


OWN = pb.StackFrame(
    function="pay",
    file="shop/orders.py",
    line=12,
    in_app=True,
    context_line="    raise ValueError(order[0])",
    pre_context=["one", "two", "def pay(order):"],
    post_context=["", "x = [1]", "y"],
)


def test_the_exception_that_was_seen_is_first_and_its_cause_after_it_each_with_the_last_call_first() -> None:
    cause = pb.ExceptionReport(type="KeyError", value="'seller'", frames=[library(1), OWN])
    seen = pb.ExceptionReport(type="OrderError", module="shop", value="no seller\nof order 17", frames=[library(2)], handled=False)
    assert lines(pb.ErrorReport(exceptions=[cause, seen])) == [
        "shop.OrderError: no seller (not caught)",
        "  of order 17",
        "  step2  lib/steps.py:2",
        "came of",
        "KeyError: 'seller'",
        "  pay  shop/orders.py:12",
        "         10 │ two",
        "         11 │ def pay(order):",
        "    ❱    12 │     raise ValueError(order[0])",
        "         13 │ ",
        "         14 │ x = [1]",
        "  step1  lib/steps.py:1",
    ]


def test_many_calls_of_libraries_in_a_row_are_folded_unless_all_are_asked_for() -> None:
    report = pb.ErrorReport(exceptions=[pb.ExceptionReport(type="E", frames=[*map(library, range(1, 8)), OWN])])
    folded = lines(report)
    assert folded[-3:] == ["  step7  lib/steps.py:7", "  … 5 more of libraries", "  step1  lib/steps.py:1"]
    assert len(lines(report, all_frames=True)) == len(folded) + 4


def test_text_that_looks_like_markup_is_shown_as_it_is() -> None:
    exception = pb.ExceptionReport(type="E[red]", value="[bold]x[/bold]", frames=[pb.StackFrame(function="f[1]", file="[a].py")])
    assert lines(pb.ErrorReport(exceptions=[exception])) == ["E[red]: [bold]x[/bold]", "  f[1]  [a].py"]


def test_local_variables_are_under_their_call() -> None:
    frame = pb.StackFrame(function="pay", file="a.py", line=1, in_app=True, context_line="pay()")
    frame.local_variables["order"] = "[17]"
    assert lines(pb.ErrorReport(exceptions=[pb.ExceptionReport(type="E", frames=[frame])]))[-1] == "      order = [17]"


def test_calls_of_native_code_are_told_by_symbols_and_addresses_where_they_have_no_functions_and_files() -> None:
    frames = [
        pb.StackFrame(package="libc.so", extra={"instruction_addr": "0x1000"}),
        pb.StackFrame(package="libshop.so", extra={"instruction_addr": 4096, "symbol": "_ZN4shop3runEv"}),
        pb.StackFrame(function="run", package="libshop.so", extra={"instruction_addr": "0x3000"}),
        pb.StackFrame(function="run", file="run.cc", line=3, package="libshop.so", extra={"instruction_addr": "[red]"}),
        pb.StackFrame(extra={"instruction_addr": "[red]"}),
    ]
    shown = lines(pb.ErrorReport(exceptions=[pb.ExceptionReport(type="SIGSEGV", frames=frames)]), all_frames=True)
    assert shown == [
        "SIGSEGV",
        "  [red]  ",
        "  run  run.cc:3",
        "  run  libshop.so 0x3000",
        "  _ZN4shop3runEv  libshop.so 4096",
        "  0x1000  libc.so",
    ]


def test_what_else_is_known_of_an_exception_is_under_it() -> None:
    extra = {
        "mechanism": {"meta": {"signal": {"number": 11, "name": "[red]"}}, "data": {"list": [1, 0.5, None]}},
        "thread_id": 7,
        "raw_stacktrace": {"frames": []},
    }
    assert lines(pb.ErrorReport(exceptions=[pb.ExceptionReport(type="E", extra=extra)])) == [
        "E",
        "  mechanism.data.list [1, 0.5, null]",
        "  mechanism.meta.signal.name [red]",
        "  mechanism.meta.signal.number 11",
        "  thread_id 7",
    ]


def test_members_of_a_group_are_named_as_such_and_a_message_has_the_place_that_logged_it() -> None:
    member = pb.ExceptionReport(type="KeyError", exception_id=1, parent_id=0)
    group = pb.ExceptionReport(type="ExceptionGroup", exception_id=0, is_group=True)
    assert "with" in lines(pb.ErrorReport(exceptions=[member, group]))
    assert lines(pb.ErrorReport(message="cold", stack=[library(3)])) == ["  step3  lib/steps.py:3"]
