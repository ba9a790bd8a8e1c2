"""Requests of InsightService as they must be. Each function raises INVALID_ARGUMENT that names every bad field at once."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from souk.dbopt.v1 import insight_pb2 as pb

from souk_dbopt.plan_records import ChangeFilter, FindingFilter
from souk_dbopt.rpc.plan_mapping import CAUSES, KINDS, SEVERITIES
from souk_dbopt.rpc.validate import Violations

MAX_FINGERPRINT, MAX_RULE = 120, 60
MIN_WINDOW, MAX_WINDOW, WINDOW = timedelta(minutes=1), timedelta(days=1), timedelta(hours=1)
MAX_WINDOWS = 2_000
DAY = timedelta(days=1)


def list_slow_queries(request: pb.ListSlowQueriesRequest) -> datetime | None:
    """A time, an order and a size of pages; the time, where it is given."""
    violations = Violations()
    since = _time(violations, "since_time", request.since_time) if request.HasField("since_time") else None
    if request.order not in pb.SlowQueryOrder.values():
        violations.add("order", "must be a value of SlowQueryOrder")
    violations.page_size(request.page_size)
    violations.check()
    return since


def get_query_stats(request: pb.GetQueryStatsRequest, now: datetime) -> tuple[datetime, datetime, timedelta]:
    """A fingerprint, a span of time, and not too many windows; (since, until, window)."""
    violations = Violations()
    if not request.fingerprint:
        violations.add("fingerprint", "must be given")
    _fingerprint(violations, request.fingerprint)
    until = _time(violations, "until_time", request.until_time) if request.HasField("until_time") else now
    since = _time(violations, "since_time", request.since_time) if request.HasField("since_time") else until - DAY
    window = _span(violations, "window", request.window) if request.HasField("window") else WINDOW
    if not MIN_WINDOW <= window <= MAX_WINDOW or window.microseconds or window.seconds % 60:
        violations.add("window", "must be 1 minute to 1 day, in whole minutes")
    elif since >= until:
        violations.add("since_time", "must be before until_time")
    elif (until - since) / window > MAX_WINDOWS:
        violations.add("window", f"must be longer: there would be more than {MAX_WINDOWS:,} windows")
    violations.check()
    return since, until, window


def watch_slow_queries(request: pb.WatchSlowQueriesRequest) -> float | None:
    """A threshold that is no negative one, and a fingerprint; the threshold in seconds, where it is given."""
    violations = Violations()
    _fingerprint(violations, request.fingerprint)
    threshold = _span(violations, "threshold", request.threshold) if request.HasField("threshold") else None
    if threshold is not None and threshold < timedelta():
        violations.add("threshold", "must not be negative")
    violations.check()
    return None if threshold is None else threshold.total_seconds()


def list_plan_findings(request: pb.ListPlanFindingsRequest) -> FindingFilter:
    """What is filtered by, and a size of pages; the filter."""
    violations = Violations()
    _fingerprint(violations, request.fingerprint)
    if len(request.rule) > MAX_RULE or "\0" in request.rule:
        violations.add("rule", f"must have {MAX_RULE} characters at the most, as SEQ_SCAN_DISCARDS_ROWS")
    if request.min_severity not in pb.FindingSeverity.values():
        violations.add("min_severity", "must be a value of FindingSeverity")
    since, until = _between(violations, request)
    violations.page_size(request.page_size)
    violations.check()
    least = SEVERITIES[request.min_severity].value
    return FindingFilter(request.fingerprint, request.rule, least, since, until, request.open_only)


def list_plan_changes(request: pb.ListPlanChangesRequest) -> ChangeFilter:
    """What is filtered by, and a size of pages; the filter."""
    violations = Violations()
    _fingerprint(violations, request.fingerprint)
    if request.kind not in pb.PlanChangeKind.values():
        violations.add("kind", "must be a value of PlanChangeKind")
    if request.cause not in pb.PlanChangeCause.values():
        violations.add("cause", "must be a value of PlanChangeCause")
    since, until = _between(violations, request)
    violations.page_size(request.page_size)
    violations.check()
    kind, cause = KINDS.get(request.kind), CAUSES.get(request.cause)
    return ChangeFilter(request.fingerprint, request.regressions_only, since, until, kind, cause)


def _between(
    violations: Violations, request: pb.ListPlanFindingsRequest | pb.ListPlanChangesRequest
) -> tuple[datetime | None, datetime | None]:
    since = _time(violations, "since_time", request.since_time) if request.HasField("since_time") else None
    until = _time(violations, "until_time", request.until_time) if request.HasField("until_time") else None
    if since is not None and until is not None and since >= until:
        violations.add("since_time", "must be before until_time")
    return since, until


def _fingerprint(violations: Violations, fingerprint: str) -> None:
    if len(fingerprint) > MAX_FINGERPRINT or "\0" in fingerprint:
        violations.add("fingerprint", f"must have {MAX_FINGERPRINT} characters at the most, as product.get@1 or ~5f0c3a9e1b7d2c44")


def _time(violations: Violations, field: str, time: Timestamp) -> datetime:
    """Any, where it is none, that what follows can be looked at, too."""
    try:
        return time.ToDatetime(UTC)
    except (ValueError, OverflowError):
        violations.add(field, "must be a time that there is")
        return datetime(2000, 1, 1, tzinfo=UTC)


def _span(violations: Violations, field: str, span: Duration) -> timedelta:
    try:
        return span.ToTimedelta()
    except (ValueError, OverflowError):
        violations.add(field, "must be a span of time that there is")
        return WINDOW
