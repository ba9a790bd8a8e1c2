"""Issues and events of the core as the messages of the contract."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from souk.common.v1.errors_pb2 import Failure
from souk.monitor.v1 import error_pb2 as pb

from souk_monitor.decoding import native
from souk_monitor.decoding.structs import struct
from souk_monitor.errors import DOMAIN
from souk_monitor.explaining import Component
from souk_monitor.in_app import InAppRules, settle
from souk_monitor.ingest import Outcome, Stored
from souk_monitor.issues import Activity, Details, FingerprintOf, Issue, KeptEvent
from souk_monitor.lifecycle import State
from souk_monitor.reports import Report
from souk_monitor.trends import Trend

INVALID_ARGUMENT = 3
_DEEPEST_COMPONENT = 80
"""Protobuf refuses messages that are nested more than 100 deep."""


def timestamp(time: datetime | None) -> Timestamp | None:
    """None: none."""
    if time is None:
        return None
    made = Timestamp()
    made.FromDatetime(time)
    return made


def component(known: Component, depth: int = 0) -> pb.GroupingComponent:
    """A part of what an event was grouped by, with its parts, as far down as a message may go."""
    children = known.children if depth < _DEEPEST_COMPONENT else ()
    return pb.GroupingComponent(
        kind=known.kind,
        value=known.value,
        original=known.original,
        contributes=known.contributes,
        reason=known.reason,
        children=[component(child, depth + 1) for child in children],
    )


def result(outcome: Outcome) -> pb.ReportResult:
    """What became of a report."""
    if isinstance(outcome, Stored):
        accepted = pb.Accepted(
            event_id=outcome.event_id, issue_id=outcome.issue_id, new_issue=outcome.new_issue, repeated=outcome.repeated
        )
        return pb.ReportResult(accepted=accepted)
    failure = Failure(code=INVALID_ARGUMENT, reason=outcome.reason, domain=DOMAIN, message=outcome.message)
    return pb.ReportResult(rejected=failure)


def issue(known: Issue, project: str) -> pb.Issue:
    """An issue; project: the name of its project."""
    status = known.status
    message = pb.Issue(
        issue_id=str(known.issue_id),
        short_id=f"{project.upper()}-{known.number}",
        project=project,
        title=known.title,
        culprit=known.culprit,
        type=known.type,
        message_template=known.template,
        state=pb.IssueState.ValueType(status.state),
        severity=pb.Severity.ValueType(known.severity),
        category=pb.ErrorCategory.ValueType(known.category),
        platform=known.platform,
        events=known.events,
        users=known.users,
        first_seen_time=timestamp(known.first_seen),
        last_seen_time=timestamp(known.last_seen),
        first_release=known.first_release,
        last_release=known.last_release,
        services=known.services,
        environments=known.environments,
        trend=_trend(known.trend) if known.trend is not None else None,
        assignee=known.assignee,
        resolved_in_release=status.resolved_release,
        revision=known.revision,
        handled=known.handled,
    )
    if known.fix.rule:
        message.suggested_fix.MergeFrom(pb.SuggestedFix(rule=known.fix.rule, text=known.fix.text, evidence=known.fix.evidence))
    if status.state is State.IGNORED:
        message.ignored_until.MergeFrom(_ignored(known))
    return message


def event(kept: KeptEvent, project: str, rules: InAppRules) -> pb.ErrorEvent:
    """An event; project and rules: the name of its project, and what that says of its own frames."""
    settle(kept.event, rules)
    message = pb.ErrorEvent(
        report=native.report(kept.event),
        issue_id=str(kept.issue_id),
        project=project,
        received_time=timestamp(kept.received),
        source=kept.event.source.value,
        scrubbed_fields=kept.event.scrubbed_fields,
    )
    if kept.event.extra:
        message.extra.CopyFrom(struct(kept.event.extra))
    return message


def details(known: Details, project: str, rules: InAppRules) -> pb.GetIssueResponse:
    """An issue and what is around it; project and rules: the name of its project, and what that says of its own frames."""
    return pb.GetIssueResponse(
        issue=issue(known.issue, project),
        latest_event=event(known.latest, project, rules) if known.latest is not None else None,
        hours=_counts(known.hours),
        days=_counts(known.days),
        tags=[pb.TagValues(name=name, values=_named(values)) for name, values in known.tags.items()],
        fingerprints=map(_fingerprint, known.fingerprints),
        activity=map(_activity, known.activity),
    )


def report(known: Report, project_names: Sequence[str]) -> pb.GetErrorReportResponse:
    """A report. project_names: of the issues at the top, then of the newest, in their order."""
    names = iter(project_names)
    return pb.GetErrorReportResponse(
        since_time=timestamp(known.span.since),
        until_time=timestamp(known.span.until),
        events=known.events,
        events_before=known.events_before,
        issues=known.issues,
        new_issues=known.new_issues,
        regressed_issues=known.regressed_issues,
        resolved_issues=known.resolved_issues,
        counts=_counts(known.counts),
        top_issues=[pb.IssueCount(issue=issue(each, next(names)), events=events) for each, events in known.top],
        newest_issues=[pb.IssueCount(issue=issue(each, next(names)), events=events) for each, events in known.newest],
        categories=_named((pb.ErrorCategory.Name(pb.ErrorCategory.ValueType(number)), n) for number, n in known.categories),
        services=_named(known.services),
        releases=_named(known.releases),
    )


def _trend(known: Trend) -> pb.IssueTrend:
    return pb.IssueTrend(
        direction=pb.TrendDirection.ValueType(known.direction),
        rate_per_hour=known.rate,
        expected_per_hour=known.expected,
        hours=known.hours,
    )


def _ignored(known: Issue) -> pb.Ignore:
    """What is left of it."""
    status = known.status
    return pb.Ignore(
        until_time=timestamp(status.ignored_until),
        until_events=max(0, status.ignored_events - known.events) if status.ignored_events is not None else 0,
        until_users=max(0, status.ignored_users - known.users) if status.ignored_users is not None else 0,
    )


def _fingerprint(known: FingerprintOf) -> pb.IssueFingerprint:
    return pb.IssueFingerprint(
        fingerprint=known.fingerprint.hex(),
        version=known.version,
        title=known.title,
        events=known.events,
        by_hand=known.by_hand,
        last_seen_time=timestamp(known.last_seen),
    )


def _activity(known: Activity) -> pb.IssueActivity:
    return pb.IssueActivity(time=timestamp(known.time), actor=known.actor, kind=known.kind, text=known.text)


def _counts(counts: Iterable[tuple[datetime, int]]) -> list[pb.EventCount]:
    return [pb.EventCount(start_time=timestamp(start), events=events) for start, events in counts]


def _named(counts: Iterable[tuple[str, int]]) -> list[pb.NamedCount]:
    return [pb.NamedCount(name=name, events=events) for name, events in counts]
