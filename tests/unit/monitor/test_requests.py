"""Requests with numbers and times that are out of any range are told so, and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from souk.monitor.v1 import error_pb2 as pb
from souk_common.errors import ServiceError
from souk_monitor import positions
from souk_monitor.issues import Order
from souk_monitor.reports import Span
from souk_monitor.rpc import validate

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TIMES: dict[str, Callable[[Timestamp], Any]] = {
    "ListIssues since_time": lambda time: validate.list_issues(pb.ListIssuesRequest(since_time=time)),
    "ListEvents since_time": lambda time: validate.list_events(pb.ListEventsRequest(issue_id="1", since_time=time)),
    "ListEvents until_time": lambda time: validate.list_events(pb.ListEventsRequest(issue_id="1", until_time=time)),
    "UpdateIssue until_time": lambda time: validate.update_issue(
        pb.UpdateIssueRequest(issue_id="1", ignore={"until_time": time})  # type: ignore[arg-type]
    ),
    "GetErrorReport since_time": lambda time: validate.report(pb.GetErrorReportRequest(since_time=time)),
    "GetErrorReport until_time": lambda time: validate.report(pb.GetErrorReportRequest(until_time=time)),
}


def year(number: int) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(datetime(number, 1, 1, tzinfo=UTC))
    return made


@pytest.mark.parametrize("field", TIMES)
@pytest.mark.parametrize(
    "time",
    [year(1), year(1969), year(9000), year(9999), Timestamp(seconds=2**63 - 1), Timestamp(seconds=-(2**63)), Timestamp(nanos=-1)],
    ids=str,
)
def test_a_time_that_days_cannot_be_counted_from_is_refused_in_every_field(field: str, time: Timestamp):
    with pytest.raises(ServiceError) as caught:
        TIMES[field](time)
    assert caught.value.reason == "INVALID_FIELD"
    assert {violation.field.rpartition(".")[2] for violation in caught.value.violations} >= {field.split()[1]}


@pytest.mark.parametrize("field", TIMES)
def test_a_time_within_the_range_is_taken(field: str):
    if field != "GetErrorReport since_time":
        assert TIMES[field](year(8999))
        assert TIMES[field](year(1970))


@pytest.mark.parametrize("number", [1970, 8999])
def test_a_report_of_any_span_that_may_be_asked_for_can_be_reckoned(number: int):
    time = datetime(number, 1, 1, tzinfo=UTC)
    for span in (
        Span.of(None, time, NOW),
        Span.of(time, time + validate.LONGEST, NOW),
        Span.of(time - validate.LONGEST, time, NOW),
    ):
        assert span.before < span.since < span.until


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("0", 0),
        ("7", 7),
        (str(2**63 - 1), 2**63 - 1),
        ("", None),
        ("-7", None),
        ("x", None),
        ("٧", None),
        (str(2**63), None),
        ("9" * 19, None),
        ("9" * 5000, None),
    ],
)
def test_a_position_of_changes_is_one_that_the_database_can_have(text: str, position: int | None):
    assert positions.change(text) == position
    request = pb.WatchIssuesRequest(resume_token=text)
    if text and position is None:
        with pytest.raises(ServiceError, match="resume_token"):
            validate.watch(request)
    else:
        assert validate.watch(request) == position


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("number", [str(2**63), "9" * 5000, "x"])
def test_a_token_of_a_page_that_no_page_has_is_refused(order: Order, number: str):
    key = "2026-03-01T00:00:00+00:00" if order in (Order.LAST_SEEN, Order.FIRST_SEEN) else "1"
    assert positions.issue(f"{key} 7", order)
    for text in (f"{key} {number}", f"{number} 7", "0001-01-01T00:00:00+14:00 7", "9999-12-31T23:59:59-14:00 7"):
        if order is Order.PRIORITY and text.startswith(number) and number != "x":
            continue  # its key is a float
        with pytest.raises(ServiceError):
            positions.issue(text, order)


def test_a_token_of_events_that_no_page_has_is_refused():
    time, event_id = "2026-03-01T00:00:00+00:00", "0" * 32
    assert positions.event(f"{time} {event_id} 7")
    strange = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-03-01T00:00:00", "x")
    for text in (*(f"{each} {event_id} 7" for each in strange), f"{time} {event_id}", f"{time} x 7", f"{time} {event_id} {2**63}"):
        with pytest.raises(ServiceError):
            positions.event(text)
