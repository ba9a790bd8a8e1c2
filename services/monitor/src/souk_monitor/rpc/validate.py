"""Requests as they must be. Each function raises INVALID_ARGUMENT that names every bad field at once."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from souk.monitor.v1 import error_pb2 as pb
from souk_common.errors import FieldViolation, invalid_fields

from souk_monitor import positions
from souk_monitor.issues import END, FIRST

PAGE, MAX_PAGE = 50, 200
EVENTS_PAGE, MAX_EVENTS_PAGE = 20, 100
MAX_REPORTS = 1_000
MAX_SEARCH, MAX_NAME, MAX_COMMENT, MAX_MERGED = 200, 200, 10_000, 100
REPORT_LIMIT, MAX_REPORT_LIMIT = 10, 100
_HEX = re.compile(r"[0-9a-fA-F]{32}")
_REQUEST_ID = re.compile(r"[!-~]{0,128}")
LONGEST = timedelta(days=400)


class Violations:
    """Gathers what is wrong with one request."""

    def __init__(self) -> None:
        self._found: list[FieldViolation] = []

    def add(self, field: str, description: str) -> None:
        """One more."""
        self._found.append(FieldViolation(field, description))

    def check(self) -> None:
        """Raise them, if there are any."""
        if self._found:
            raise invalid_fields(self._found)

    def text(self, field: str, text: str, limit: int, *, needed: bool = False) -> None:
        """What people write."""
        if needed and not text:
            self.add(field, "must be given")
        if len(text) > limit or "\0" in text:
            self.add(field, f"must have {limit:,} characters at the most, and no NUL")

    def page_size(self, size: int, limit: int = MAX_PAGE) -> None:
        """How many a page has."""
        if not 0 <= size <= limit:
            self.add("page_size", f"must be 0 to {limit}")

    def request_id(self, request_id: str) -> None:
        """What a repeat is known by."""
        if not _REQUEST_ID.fullmatch(request_id):
            self.add("request_id", "must be 128 visible ASCII characters at the most")

    def hexadecimal(self, field: str, text: str, *, needed: bool = False) -> None:
        """An id of 32 digits."""
        if (text or needed) and not _HEX.fullmatch(text):
            self.add(field, "must be 32 hexadecimal digits")

    def time(self, field: str, time: Timestamp) -> datetime:
        """Any, where it is none, that what follows can be looked at, too. From it days can be counted, both ways."""
        try:
            told = time.ToDatetime(UTC)
        except (ValueError, OverflowError):
            told = datetime.min.replace(tzinfo=UTC)
        if not FIRST <= told < END:
            self.add(field, f"must be a time from {FIRST.year} to {END.year - 1}")
            return datetime(2000, 1, 1, tzinfo=UTC)
        return told

    def span(self, field: str, span: Duration, shortest: timedelta) -> timedelta:
        """Of time, LONGEST at the most."""
        try:
            told = span.ToTimedelta()
        except (ValueError, OverflowError):
            told = timedelta(-1)
        if not shortest <= told <= LONGEST:
            self.add(field, f"must be {shortest.days} to {LONGEST.days} days")
            return shortest
        return told


def reports(project: str, reports: Sequence[pb.ErrorReport]) -> None:
    """1 to 1,000."""
    violations = Violations()
    violations.text("project", project, MAX_NAME)
    if not 1 <= len(reports) <= MAX_REPORTS:
        violations.add("reports", f"must be 1 to {MAX_REPORTS:,}")
    violations.check()


def issue(request: "pb.GetIssueRequest") -> None:
    """An id."""
    violations = Violations()
    violations.text("issue_id", request.issue_id, MAX_NAME, needed=True)
    violations.check()


def list_issues(request: pb.ListIssuesRequest) -> datetime | None:
    """A filter; the time, where it is given."""
    violations = Violations()
    for field in ("project", "search", "service", "environment", "release", "assignee"):
        violations.text(field, getattr(request, field), MAX_SEARCH)
    if not all(0 < state < 6 for state in request.states):
        violations.add("states", "must be states that an issue can have")
    if not all(category in pb.ErrorCategory.values() for category in request.categories):
        violations.add("categories", "must be values of ErrorCategory")
    if request.min_severity not in pb.Severity.values():
        violations.add("min_severity", "must be a value of Severity")
    if request.order not in pb.IssueOrder.values():
        violations.add("order", "must be a value of IssueOrder")
    violations.page_size(request.page_size)
    since = violations.time("since_time", request.since_time) if request.HasField("since_time") else None
    violations.check()
    return since


def list_events(request: pb.ListEventsRequest) -> tuple[datetime | None, datetime | None]:
    """One of issue, trace, error id and event id; the times, where they are given."""
    violations = Violations()
    if sum(map(bool, (request.issue_id, request.trace_id, request.error_id, request.event_id))) != 1:
        violations.add("issue_id", "or trace_id or error_id or event_id must be given, and one of them alone")
    violations.text("issue_id", request.issue_id, MAX_NAME)
    violations.text("error_id", request.error_id, MAX_NAME)
    violations.hexadecimal("trace_id", request.trace_id)
    violations.hexadecimal("event_id", request.event_id)
    violations.page_size(request.page_size, MAX_EVENTS_PAGE)
    since = violations.time("since_time", request.since_time) if request.HasField("since_time") else None
    until = violations.time("until_time", request.until_time) if request.HasField("until_time") else None
    if since is not None and until is not None and since >= until:
        violations.add("since_time", "must be before until_time")
    violations.check()
    return since, until


def get_event(request: pb.GetEventRequest) -> None:
    """An id."""
    violations = Violations()
    violations.hexadecimal("event_id", request.event_id, needed=True)
    violations.text("project", request.project, MAX_NAME)
    violations.check()


def update_issue(request: pb.UpdateIssueRequest) -> datetime | None:
    """A change; until when it is to be ignored, where that is said."""
    violations = Violations()
    violations.text("issue_id", request.issue_id, MAX_NAME, needed=True)
    _change(violations, request)
    if request.revision < 0:
        violations.add("revision", "must not be negative")
    violations.text("assignee", request.assignee, MAX_NAME)
    if request.WhichOneof("action") is None and not request.HasField("assignee") and not request.comment:
        violations.add("action", "or assignee or comment must be given")
    violations.text("resolve.in_release", request.resolve.in_release, MAX_NAME)
    if request.resolve.in_release and request.resolve.in_next_release:
        violations.add("resolve.in_release", "must be empty where in_next_release is set")
    for field in ("until_events", "until_users"):
        if not 0 <= getattr(request.ignore, field) < 2**53:
            violations.add(f"ignore.{field}", "must not be negative")
    until = violations.time("ignore.until_time", request.ignore.until_time) if request.ignore.HasField("until_time") else None
    violations.check()
    return until


def merge_issues(request: pb.MergeIssuesRequest) -> None:
    """Two ids at least."""
    violations = Violations()
    if not 2 <= len(set(request.issue_ids)) <= MAX_MERGED:
        violations.add("issue_ids", f"must be 2 to {MAX_MERGED}, each another")
    for number, each in enumerate(request.issue_ids):
        violations.text(f"issue_ids[{number}]", each, MAX_NAME, needed=True)
    violations.text("into_issue_id", request.into_issue_id, MAX_NAME)
    _change(violations, request)
    violations.check()


def split_issue(request: pb.SplitIssueRequest) -> list[bytes]:
    """The fingerprints that leave."""
    violations = Violations()
    violations.text("issue_id", request.issue_id, MAX_NAME, needed=True)
    _change(violations, request)
    if not 1 <= len(request.fingerprints) <= MAX_PAGE:
        violations.add("fingerprints", f"must be 1 to {MAX_PAGE}")
    for number, each in enumerate(request.fingerprints):
        violations.hexadecimal(f"fingerprints[{number}]", each, needed=True)
    violations.check()
    return [bytes.fromhex(each) for each in dict.fromkeys(request.fingerprints)]


def _change(violations: Violations, request: pb.UpdateIssueRequest | pb.MergeIssuesRequest | pb.SplitIssueRequest) -> None:
    """What all changes of issues say."""
    violations.request_id(request.request_id)
    violations.text("actor", request.actor, MAX_NAME)
    violations.text("comment", request.comment, MAX_COMMENT)


def explain(request: pb.ExplainGroupingRequest) -> None:
    """An event or a report."""
    violations = Violations()
    violations.text("project", request.project, MAX_NAME)
    if request.WhichOneof("subject") is None:
        violations.add("event_id", "or report must be given")
    violations.hexadecimal("event_id", request.event_id)
    violations.check()


def report(request: pb.GetErrorReportRequest) -> tuple[datetime | None, datetime | None]:
    """A span of time of 400 days at the most; (since, until) where they are given."""
    violations = Violations()
    violations.text("project", request.project, MAX_NAME)
    since = violations.time("since_time", request.since_time) if request.HasField("since_time") else None
    until = violations.time("until_time", request.until_time) if request.HasField("until_time") else None
    if not 0 <= request.limit <= MAX_REPORT_LIMIT:
        violations.add("limit", f"must be 0 to {MAX_REPORT_LIMIT}")
    if since is not None and not timedelta(0) < (until or datetime.now(UTC)) - since <= LONGEST:
        violations.add("since_time", f"must be before until_time, by {LONGEST.days} days at the most")
    violations.check()
    return since, until


def watch(request: pb.WatchIssuesRequest) -> int | None:
    """A token and a severity; the position that the token is of, where there is one."""
    violations = Violations()
    violations.text("project", request.project, MAX_NAME)
    position = positions.change(request.resume_token)
    if request.resume_token and position is None:
        violations.add("resume_token", "must be that of a response")
    if request.min_severity not in pb.Severity.values():
        violations.add("min_severity", "must be a value of Severity")
    violations.check()
    return position


def erase_user(request: pb.EraseUserRequest) -> None:
    """A user."""
    violations = Violations()
    violations.text("project", request.project, MAX_NAME)
    violations.text("user", request.user, MAX_NAME, needed=True)
    violations.request_id(request.request_id)
    violations.check()
