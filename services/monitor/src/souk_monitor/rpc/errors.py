"""The servicer of souk.monitor.v1.ErrorService."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import grpc
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import error_pb2_grpc as pb_grpc
from souk_common.call import annotate, caller
from souk_common.operation_service import message as operation_message
from souk_common.operations import Operations, Work
from souk_common.paging import page_position, page_token

from souk_monitor import positions
from souk_monitor.explaining import explain
from souk_monitor.in_app import InAppRules
from souk_monitor.issues import LIVE, EventFilter, Issue, IssueFilter, KeptEvent, Order
from souk_monitor.lifecycle import Acknowledge, Action, Change, Ignore, Reopen, Resolve, State
from souk_monitor.projects import Project, Projects
from souk_monitor.reports import Span
from souk_monitor.rpc import mapping, requests, validate
from souk_monitor.rpc.reporting import Reporting
from souk_monitor.tracker import Remark, Tracker, Update
from souk_monitor.watching import Changed, Places, Watch

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
ORDERS = {
    pb.ISSUE_ORDER_UNSPECIFIED: Order.LAST_SEEN,
    pb.ISSUE_ORDER_LAST_SEEN: Order.LAST_SEEN,
    pb.ISSUE_ORDER_FIRST_SEEN: Order.FIRST_SEEN,
    pb.ISSUE_ORDER_EVENTS: Order.EVENTS,
    pb.ISSUE_ORDER_USERS: Order.USERS,
    pb.ISSUE_ORDER_PRIORITY: Order.PRIORITY,
}
TOLD_AT_ONCE = 200
"""Issues that are read together for one who watches."""


@dataclass(frozen=True, slots=True)
class ErrorParts:
    """What the servicer stands on."""

    reporting: Reporting
    tracker: Tracker
    projects: Projects
    watch: Watch
    places: Places
    """For those who watch."""
    operations: Operations
    erasure: Callable[[Project, str], Work]
    """The operation that erases a user of a project."""
    rules: Callable[[tuple[str, ...]], InAppRules]
    """Of what a project says of its own frames."""


class ErrorServicer(pb_grpc.ErrorServiceServicer):
    """Maps each rpc to one call of the core."""

    def __init__(self, parts: ErrorParts) -> None:
        self._reporting = parts.reporting
        self._tracker = parts.tracker
        self._projects = parts.projects
        self._watch = parts.watch
        self._places = parts.places
        self._operations = parts.operations
        self._erasure = parts.erasure
        self._rules = parts.rules

    async def ReportErrors(self, request: pb.ReportErrorsRequest, context: Context) -> pb.ReportErrorsResponse:
        """See the proto."""
        return pb.ReportErrorsResponse(results=await self._reporting.one(request))

    async def ReportErrorStream(
        self, request_iterator: AsyncIterator[pb.ReportErrorStreamRequest], context: Context
    ) -> AsyncIterator[pb.ReportErrorStreamResponse]:
        """See the proto."""
        async for results in self._reporting.stream(request_iterator):
            yield pb.ReportErrorStreamResponse(results=results)

    async def ListIssues(self, request: pb.ListIssuesRequest, context: Context) -> pb.ListIssuesResponse:
        """See the proto."""
        since = validate.list_issues(request)
        order = ORDERS[request.order]
        size = request.page_size or validate.PAGE
        wanted = IssueFilter(
            project=await self._number(request.project),
            states=frozenset(map(State, request.states)) or LIVE,
            search=request.search,
            categories=frozenset(request.categories),
            min_severity=request.min_severity,
            service=request.service,
            environment=request.environment,
            release=request.release,
            assignee=request.assignee,
            since=since,
        )
        bound_to = (wanted.project, sorted(wanted.states), *_texts(request), sorted(wanted.categories), since, order.value)
        after = positions.issue(page_position(request.page_token, *bound_to), order)
        found = await self._tracker.page(wanted, order, after, size + 1)
        token = page_token(positions.of_issue(found[size - 1], order), *bound_to) if len(found) > size else ""
        return pb.ListIssuesResponse(issues=[self._issue(each) for each in found[:size]], next_page_token=token)

    async def GetIssue(self, request: pb.GetIssueRequest, context: Context) -> pb.GetIssueResponse:
        """See the proto."""
        validate.issue(request)
        known = await self._tracker.details(request.issue_id)
        number = known.issue.project
        return mapping.details(known, self._projects.name_of(number), self._rules(self._projects.in_app_of(number)))

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        """See the proto."""
        since, until = validate.list_events(request)
        size = request.page_size or validate.EVENTS_PAGE
        issue = await self._tracker.issues.find(request.issue_id) if request.issue_id else None
        wanted = EventFilter(issue, request.trace_id, request.error_id, request.event_id, since, until)
        bound_to = (issue, request.trace_id, request.error_id, request.event_id, since, until)
        after = positions.event(page_position(request.page_token, *bound_to))
        found = await self._tracker.events.page(wanted, after, size + 1)
        token = page_token(positions.of_event(found[size - 1]), *bound_to) if len(found) > size else ""
        return pb.ListEventsResponse(events=map(self._event, found[:size]), next_page_token=token)

    async def GetEvent(self, request: pb.GetEventRequest, context: Context) -> pb.GetEventResponse:
        """See the proto."""
        validate.get_event(request)
        project = await self._projects.known(request.project)
        kept, issue = await self._tracker.event(project, request.event_id.lower())
        return pb.GetEventResponse(event=self._event(kept), issue=self._issue(issue))

    async def UpdateIssue(self, request: pb.UpdateIssueRequest, context: Context) -> pb.UpdateIssueResponse:
        """See the proto."""
        until = validate.update_issue(request)
        update = Update(
            action=_action(request, until),
            assignee=request.assignee if request.HasField("assignee") else None,
            comment=request.comment,
            revision=request.revision,
            actor=caller() or request.actor,
        )
        known = requests.known(request, request.request_id)
        annotate(issue=request.issue_id)
        return pb.UpdateIssueResponse(issue=self._issue(await self._tracker.update(request.issue_id, update, known)))

    async def MergeIssues(self, request: pb.MergeIssuesRequest, context: Context) -> pb.MergeIssuesResponse:
        """See the proto."""
        validate.merge_issues(request)
        remark = Remark(caller() or request.actor, request.comment)
        known = requests.known(request, request.request_id)
        left = await self._tracker.merge(request.issue_ids, request.into_issue_id, remark, known)
        return pb.MergeIssuesResponse(issue=self._issue(left))

    async def SplitIssue(self, request: pb.SplitIssueRequest, context: Context) -> pb.SplitIssueResponse:
        """See the proto."""
        fingerprints = validate.split_issue(request)
        remark = Remark(caller() or request.actor, request.comment)
        known = requests.known(request, request.request_id)
        left, made = await self._tracker.split(request.issue_id, fingerprints, remark, known, self._projects.numbered)
        return pb.SplitIssueResponse(issue=self._issue(left), new_issue=self._issue(made))

    async def ExplainGrouping(self, request: pb.ExplainGroupingRequest, context: Context) -> pb.ExplainGroupingResponse:
        """See the proto."""
        validate.explain(request)
        if not request.event_id:
            await self._projects.refresh()  # whether an issue may be new
        project = await self._projects.known(request.project)
        if request.event_id:
            kept = await self._tracker.events.one(project.number, request.event_id.lower())
            event, explained = kept.event, self._tracker.explain_kept(project, kept)
        else:
            event = self._reporting.decode(request.report)
            explained = await self._tracker.explain(project, event)
        grouping = explained.grouping
        return pb.ExplainGroupingResponse(
            fingerprint=grouping.fingerprint.hex(),
            version=grouping.version,
            method=grouping.method.value,
            component=mapping.component(explain(event, self._rules(project.options.in_app), overflows=explained.overflows)),
            issue_id=str(explained.issue) if explained.issue is not None else "",
        )

    async def GetErrorReport(self, request: pb.GetErrorReportRequest, context: Context) -> pb.GetErrorReportResponse:
        """See the proto."""
        since, until = validate.report(request)
        project = await self._projects.known(request.project) if request.project else None
        span = Span.of(since, until, datetime.now(UTC))
        found = await self._tracker.report(project, span, request.limit or validate.REPORT_LIMIT)
        names = [self._projects.name_of(issue.project) for issue, _ in (*found.top, *found.newest)]
        return mapping.report(found, names)

    async def WatchIssues(self, request: pb.WatchIssuesRequest, context: Context) -> AsyncIterator[pb.WatchIssuesResponse]:
        """See the proto."""
        position = validate.watch(request)
        number = await self._number(request.project)

        def wants(changed: Changed) -> bool:
            return changed.severity >= request.min_severity and number in (None, changed.project)

        reached = position
        with self._places.take():
            async for pending, after in self._watch.changes(wants, position):
                before, reached = reached, after
                if not pending:
                    yield pb.WatchIssuesResponse(resume_token=str(after))
                async for change, issue, last in self._told(pending):
                    token = after if last or before is None else before  # who ends among several hears all of them again
                    yield pb.WatchIssuesResponse(
                        change=pb.IssueChange.ValueType(change), issue=self._issue(issue), resume_token=str(token)
                    )

    async def EraseUser(self, request: pb.EraseUserRequest, context: Context) -> pb.EraseUserResponse:
        """See the proto."""
        validate.erase_user(request)
        project = await self._projects.known(request.project)
        known = requests.known(request, request.request_id)
        operation = self._operations.start(
            self._erasure(project, request.user),
            principal=known.principal,
            request_id=known.request_id,
            fingerprint=known.fingerprint,
        )
        return pb.EraseUserResponse(operation=operation_message(operation))

    async def _told(self, pending: dict[int, Change]) -> AsyncIterator[tuple[Change, Issue, bool]]:
        """The issues as they are now, and whether each is the last."""
        numbers = list(pending)
        for first in range(0, len(numbers), TOLD_AT_ONCE):
            known = await self._tracker.many(numbers[first : first + TOLD_AT_ONCE])
            for number, issue in known.items():
                yield pending[number], issue, number == next(reversed(known)) and first + TOLD_AT_ONCE >= len(numbers)

    async def _number(self, project: str) -> int | None:
        return (await self._projects.known(project)).number if project else None

    def _issue(self, known: Issue) -> pb.Issue:
        return mapping.issue(known, self._projects.name_of(known.project))

    def _event(self, kept: KeptEvent) -> pb.ErrorEvent:
        rules = self._rules(self._projects.in_app_of(kept.project))
        return mapping.event(kept, self._projects.name_of(kept.project), rules)


def _texts(request: pb.ListIssuesRequest) -> tuple[object, ...]:
    return (request.search, request.min_severity, request.service, request.environment, request.release, request.assignee)


def _action(request: pb.UpdateIssueRequest, until: datetime | None) -> Action | None:
    match request.WhichOneof("action"):
        case "acknowledge":
            return Acknowledge()
        case "resolve":
            return Resolve(request.resolve.in_release, request.resolve.in_next_release)
        case "ignore":
            return Ignore(until, request.ignore.until_events, request.ignore.until_users)
        case "reopen":
            return Reopen()
    return None
