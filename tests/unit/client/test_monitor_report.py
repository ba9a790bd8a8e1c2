"""Reports that are made of Python's exceptions and log records."""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider
from souk.client import Circumstances, InternalError, ReportOptions, error_report, record_report
from souk.monitor.v1 import error_pb2 as pb


def raised(raising: Any) -> Exception:
    """What a function raises, with its stack."""
    try:
        raising()
    except Exception as error:  # noqa: BLE001 — whatever it is
        return error
    raise AssertionError("nothing was raised")


def no_seller() -> None:
    try:
        {}["seller"]
    except KeyError as error:
        raise ValueError("order 17 has no seller") from error


def test_a_chain_has_its_causes_first_and_no_numbers() -> None:
    cause, seen = error_report(raised(no_seller)).exceptions
    assert (cause.type, cause.value, seen.type, seen.value) == ("KeyError", "'seller'", "ValueError", "order 17 has no seller")
    assert not any(each.HasField("exception_id") or each.HasField("parent_id") for each in (cause, seen))


def test_what_was_being_handled_is_a_cause_and_from_none_hides_it() -> None:
    def implicit() -> None:
        try:
            {}["seller"]
        except KeyError:
            raise ValueError("later")  # noqa: B904

    def hidden() -> None:
        try:
            {}["seller"]
        except KeyError:
            raise ValueError("alone") from None

    assert [each.type for each in error_report(raised(implicit)).exceptions] == ["KeyError", "ValueError"]
    assert [each.type for each in error_report(raised(hidden)).exceptions] == ["ValueError"]


def test_a_frame_has_function_module_place_and_source() -> None:
    frame = error_report(raised(no_seller)).exceptions[-1].frames[-1]
    assert (frame.function, frame.in_app, frame.abs_path) == ("no_seller", True, __file__)
    assert frame.context_line == '        raise ValueError("order 17 has no seller") from error'
    assert frame.column == 9
    assert frame.pre_context[-1] == "    except KeyError as error:"
    assert frame.line == no_seller.__code__.co_firstlineno + 4
    assert frame.file.endswith("test_monitor_report.py")


def test_frames_of_python_and_of_installed_packages_are_not_of_the_application() -> None:
    frames = error_report(raised(lambda: json.loads("{"))).exceptions[0].frames
    assert [frame.in_app for frame in frames] == [True, True, False, False, False]
    assert frames[-1].module == "json.decoder"


def test_code_without_a_file_is_of_the_application_and_what_is_frozen_into_python_is_not() -> None:
    def executed(file: str) -> None:
        exec(compile("1 / 0", file, "exec"))  # noqa: S102

    files = ("<string>", "<stdin>", "<frozen runpy>")
    frames = [error_report(raised(lambda file=file: executed(file))).exceptions[0].frames[-1] for file in files]
    assert [(frame.abs_path, frame.in_app) for frame in frames] == list(zip(files, (True, True, False), strict=True))


def test_rules_say_which_modules_are_of_the_application_and_the_longest_decides() -> None:
    options = ReportOptions(in_app=("json", "-json.decoder", f"-{__name__}"))
    frames = error_report(raised(lambda: json.loads("{")), options).exceptions[0].frames
    assert [(frame.module, frame.in_app) for frame in frames[-3:]] == [
        ("json", True),
        ("json.decoder", False),
        ("json.decoder", False),
    ]
    assert not frames[0].in_app


def test_members_of_a_group_are_numbered_and_know_their_parent() -> None:
    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(no_seller))
            group.create_task(asyncio.to_thread(lambda: 1 / 0))

    def run() -> None:
        asyncio.run(both())

    found = error_report(raised(run)).exceptions
    group = found[-1]
    assert (group.type, group.exception_id, group.is_group) == ("ExceptionGroup", 0, True)
    parents = {each.type: each.parent_id for each in found if each is not group}
    numbers = {each.type: each.exception_id for each in found}
    assert "ValueError" in parents
    assert parents["ValueError"] == 0
    assert parents["KeyError"] == numbers["ValueError"]


def test_what_an_exception_is_to_the_one_that_it_belongs_to_is_told() -> None:
    def sources(error: BaseException) -> dict[str, str]:
        return {each.type: each.source for each in error_report(error).exceptions}

    named, handled, alone = ValueError("named"), KeyError("handled"), TypeError("alone")
    named.__cause__, named.__context__ = OSError("cause"), LookupError("no cause")
    handled.__context__ = named
    alone.__context__, alone.__suppress_context__ = OSError("forgotten"), True
    assert sources(handled) == {"KeyError": "", "ValueError": "__context__", "OSError": "__cause__"}
    assert sources(alone) == {"TypeError": ""}
    group = ExceptionGroup("both", [named, alone])
    group.__cause__ = handled
    assert sources(group) == {
        "ExceptionGroup": "",
        "KeyError": "__cause__",
        "ValueError": "exceptions[0]",
        "TypeError": "exceptions[1]",
        "OSError": "__cause__",
    }


def test_a_ring_of_causes_ends() -> None:
    one, two = ValueError("one"), KeyError("two")
    one.__cause__, two.__cause__ = two, one
    assert [each.type for each in error_report(one).exceptions] == ["KeyError", "ValueError"]


def test_a_thousand_causes_and_a_deep_recursion_are_cut() -> None:
    error: Exception = ValueError("first")
    for number in range(1000):
        later = ValueError(str(number))
        later.__cause__ = error
        error = later
    found = error_report(error).exceptions
    assert (len(found), found[-1].value) == (50, "999")

    def deeper() -> None:
        deeper()

    frames = error_report(raised(deeper)).exceptions[0].frames
    assert len(frames) == 100
    assert frames[0].function == "raised"


def test_a_report_stays_small_enough_to_be_sent() -> None:
    def deeper(depth: int) -> None:
        text = [str(depth) * 300] * 30  # noqa: F841 — it is to be in the report
        if depth == 0:
            raise ValueError("deep")
        try:
            deeper(depth - 1)
        except ValueError as error:
            raise ValueError(f"at {depth}") from error

    report = error_report(raised(lambda: deeper(80)), ReportOptions(local_variables=True))
    assert report.ByteSize() < 1024 * 1024
    assert report.exceptions[-1].value == "at 80"


def test_local_variables_are_there_only_where_they_are_asked_for_and_short() -> None:
    def pay() -> None:
        price, buyers = "9" * 10_000, list(range(1000))  # noqa: F841 — they are to be in the report
        raise ValueError("no")

    assert not error_report(raised(pay)).exceptions[0].frames[-1].HasField("local_variables")
    found = error_report(raised(pay), ReportOptions(local_variables=True)).exceptions[0].frames[-1].local_variables
    assert len(found["price"]) <= 200
    assert found["buyers"].startswith("[0, 1, 2")
    assert len(found["buyers"]) < 100


def test_an_exception_that_cannot_be_shown_is_reported_all_the_same() -> None:
    class Mute(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise RuntimeError("no text")

        __repr__ = __str__

    def fail() -> None:
        mute = Mute()
        raise mute

    (found,) = error_report(raised(fail), ReportOptions(local_variables=True)).exceptions
    assert "cannot be shown" in found.value
    assert found.frames[-1].local_variables["mute"].startswith("<Mute ")


def test_text_that_is_no_unicode_is_replaced() -> None:
    report = error_report(ValueError("a\ud800b"), circumstances=Circumstances(tags={"file\udcff": "x\udcff"}))
    assert report.exceptions[0].value == "a?b"
    assert dict(report.tags) == {"file?": "x?"}
    report.SerializeToString()


def test_notes_are_a_part_of_the_value() -> None:
    error = ValueError("no seller")
    error.add_note("while order 17 was placed")
    assert error_report(error).exceptions[0].value == "no seller\nwhile order 17 was placed"


def test_circumstances_and_options_are_in_it() -> None:
    options = ReportOptions(service="checkout", release="checkout@1.4.2", environment="test", tags={"a": "1", "b": "1"})
    circumstances = Circumstances(
        handled=False, transaction="POST /orders", tags={"b": "2"}, user=pb.ReportedUser(id="7"), contexts={"order": {"id": 17}}
    )
    report = error_report(ValueError("no"), options, circumstances)
    assert (report.service, report.release, report.environment) == ("checkout", "checkout@1.4.2", "test")
    assert dict(report.tags) == {"a": "1", "b": "2"}
    assert (report.transaction, report.user.id, report.contexts["order"]["id"]) == ("POST /orders", "7", 17)
    assert (report.exceptions[0].HasField("handled"), report.exceptions[0].handled) == (True, False)
    assert len(report.event_id) == 32


def test_the_current_span_of_opentelemetry_and_the_error_id_of_a_souk_service_are_in_it() -> None:
    assert error_report(ValueError("outside")).trace_id == ""
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("order") as span:
        error = InternalError("a fault", code=grpc.StatusCode.INTERNAL, metadata={"error_id": "ab12"})
        report = error_report(error)
    context = span.get_span_context()
    assert (report.trace_id, report.span_id) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert report.error_id == "ab12"


def record(message: str, *arguments: object, level: int = logging.ERROR, **more: Any) -> logging.LogRecord:
    logger = logging.getLogger("shop.orders")
    frame = sys._getframe()
    return logger.makeRecord(
        "shop.orders", level, frame.f_code.co_filename, frame.f_lineno, message, arguments, None, func="record", extra=more or None
    )


def test_a_record_without_an_exception_is_a_message_with_the_place_that_logged_it() -> None:
    report = record_report(record("order %s has no seller", 17, order={"id": 17}))
    assert (report.message, report.message_template) == ("order 17 has no seller", "order %s has no seller")
    assert (report.logger, report.severity, len(report.exceptions)) == ("shop.orders", pb.SEVERITY_ERROR, 0)
    (place,) = report.stack
    assert (place.function, place.in_app, Path(place.abs_path).name) == ("record", True, "test_monitor_report.py")
    assert report.contexts["logging"]["order"]["id"] == 17


@pytest.mark.parametrize(
    ("level", "severity"),
    [(50, pb.SEVERITY_FATAL), (40, pb.SEVERITY_ERROR), (30, pb.SEVERITY_WARNING), (20, pb.SEVERITY_INFO), (10, pb.SEVERITY_DEBUG)],
)
def test_levels_are_severities(level: int, severity: int) -> None:
    assert record_report(record("x", level=level)).severity == severity


def test_a_record_whose_arguments_do_not_fit_is_reported_as_it_is() -> None:
    assert record_report(record("%d of %d", "one")).message == "%d of %d"
