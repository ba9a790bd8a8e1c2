"""What became of errors: issues, their events and their lifecycle, of souk.monitor.v1.ErrorService."""

import contextlib
import uuid
from collections.abc import AsyncGenerator, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp
from souk.client._backoff import Backoff
from souk.client._calls import responses, typed
from souk.client._config import ClientConfig
from souk.client._errors import UnavailableError
from souk.client._trace import with_trace
from souk.monitor.v1 import error_pb2 as pb

if TYPE_CHECKING:
    from souk.monitor.v1.error_pb2_grpc import ErrorServiceAsyncStub


class IssueCalls:
    """The calls of MonitorClient that read and change issues.

    An issue is known by its id, or its short id, as SHOP-12. Times must have a time zone: TypeError. `actor` says who does it,
    where auth is off, and `comment` is kept with it. A repeat of a `request_id` changes nothing more; each call makes its own,
    so that what gRPC repeats is done once.
    """

    _errors: "ErrorServiceAsyncStub"
    _config: ClientConfig
    _metadata: tuple[tuple[str, str], ...]

    async def issues(
        self,
        *,
        project: str = "",
        states: Iterable[pb.IssueState.ValueType] = (),
        search: str = "",
        categories: Iterable[pb.ErrorCategory.ValueType] = (),
        min_severity: pb.Severity.ValueType = pb.SEVERITY_UNSPECIFIED,
        service: str = "",
        environment: str = "",
        release: str = "",
        assignee: str = "",
        since: datetime | None = None,
        order: pb.IssueOrder.ValueType = pb.ISSUE_ORDER_LAST_SEEN,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncGenerator[pb.Issue, None]:
        """Yield issues that fit; pages are fetched as they are needed. timeout: seconds for each page.

        states: empty: open, acknowledged and regressed ones. search: words that must all be in it. assignee: "none": nobody.
        """
        request = pb.ListIssuesRequest(
            project=project,
            states=states,
            search=search,
            categories=categories,
            min_severity=min_severity,
            service=service,
            environment=environment,
            release=release,
            assignee=assignee,
            since_time=moment(since),
            order=order,
            page_size=page_size,
        )
        while True:
            page: pb.ListIssuesResponse = await typed(self._errors.ListIssues(request, **self._with(timeout)))
            for issue in page.issues:
                yield issue
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def get_issue(self, issue_id: str, *, timeout: float | None = None) -> pb.GetIssueResponse:
        """All that is known of an issue. NotFoundError."""
        answer: pb.GetIssueResponse = await typed(
            self._errors.GetIssue(pb.GetIssueRequest(issue_id=issue_id), **self._with(timeout))
        )
        return answer

    async def events(
        self,
        issue_id: str = "",
        *,
        trace_id: str = "",
        error_id: str = "",
        event_id: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncGenerator[pb.ErrorEvent, None]:
        """Yield the events that are kept, the newest first: of an issue, of a trace, or of the error_id of an InternalError.

        event_id: the events of this id, one for each project that it was reported to.
        """
        request = pb.ListEventsRequest(
            issue_id=issue_id,
            trace_id=trace_id,
            error_id=error_id,
            event_id=event_id,
            since_time=moment(since),
            until_time=moment(until),
            page_size=page_size,
        )
        while True:
            page: pb.ListEventsResponse = await typed(self._errors.ListEvents(request, **self._with(timeout)))
            for event in page.events:
                yield event
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def get_event(self, event_id: str, *, project: str = "", timeout: float | None = None) -> pb.GetEventResponse:
        """One event, and the issue that it is in. NotFoundError: there is none, or its body is not kept."""
        request = pb.GetEventRequest(event_id=event_id, project=project)
        answer: pb.GetEventResponse = await typed(self._errors.GetEvent(request, **self._with(timeout)))
        return answer

    async def acknowledge(self, issue_id: str, **more: Any) -> pb.Issue:
        """Somebody looks after it. more: as of update_issue."""
        return await self.update_issue(issue_id, acknowledge=pb.Acknowledge(), **more)

    async def resolve(self, issue_id: str, *, in_release: str = "", in_next_release: bool = False, **more: Any) -> pb.Issue:
        """It is mended, in a release perhaps: what comes later makes it REGRESSED. more: as of update_issue."""
        resolved = pb.Resolve(in_release=in_release, in_next_release=in_next_release)
        return await self.update_issue(issue_id, resolve=resolved, **more)

    async def ignore(
        self,
        issue_id: str,
        *,
        until: datetime | timedelta | None = None,
        until_events: int = 0,
        until_users: int = 0,
        **more: Any,
    ) -> pb.Issue:
        """It is not to be heard of until one of these comes; without any, for good. more: as of update_issue."""
        if isinstance(until, timedelta):
            until = datetime.now().astimezone() + until
        ignored = pb.Ignore(until_time=moment(until), until_events=until_events, until_users=until_users)
        return await self.update_issue(issue_id, ignore=ignored, **more)

    async def reopen(self, issue_id: str, **more: Any) -> pb.Issue:
        """It is open again. more: as of update_issue."""
        return await self.update_issue(issue_id, reopen=pb.Reopen(), **more)

    async def update_issue(
        self,
        issue_id: str,
        *,
        assignee: str | None = None,
        comment: str = "",
        actor: str = "",
        revision: int = 0,
        request_id: str | None = None,
        timeout: float | None = None,
        **action: Any,
    ) -> pb.Issue:
        """Change what is to become of an issue. assignee: the empty text takes it from all; None leaves it.

        revision: FailedPreconditionError where it is at another. action: one of acknowledge, resolve, ignore, reopen, as a message.
        """
        request = pb.UpdateIssueRequest(
            issue_id=issue_id,
            request_id=request_id or uuid.uuid4().hex,
            revision=revision,
            assignee=assignee,
            comment=comment,
            actor=actor,
            **action,
        )
        answer: pb.UpdateIssueResponse = await typed(self._errors.UpdateIssue(request, **self._with(timeout)))
        return answer.issue

    async def merge_issues(
        self,
        issue_ids: Iterable[str],
        *,
        into: str = "",
        comment: str = "",
        actor: str = "",
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> pb.Issue:
        """Make one issue of several; the one that is left. into: which; empty: the one seen first."""
        request = pb.MergeIssuesRequest(
            issue_ids=issue_ids,
            into_issue_id=into,
            actor=actor,
            request_id=request_id or uuid.uuid4().hex,
            comment=comment,
        )
        answer: pb.MergeIssuesResponse = await typed(self._errors.MergeIssues(request, **self._with(timeout)))
        return answer.issue

    async def split_issue(
        self,
        issue_id: str,
        fingerprints: Iterable[str],
        *,
        comment: str = "",
        actor: str = "",
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> pb.SplitIssueResponse:
        """Take fingerprints out of an issue into a new one; both, as they are now."""
        request = pb.SplitIssueRequest(
            issue_id=issue_id,
            fingerprints=fingerprints,
            actor=actor,
            request_id=request_id or uuid.uuid4().hex,
            comment=comment,
        )
        answer: pb.SplitIssueResponse = await typed(self._errors.SplitIssue(request, **self._with(timeout)))
        return answer

    async def explain_grouping(
        self, event_id: str = "", *, report: pb.ErrorReport | None = None, project: str = "", timeout: float | None = None
    ) -> pb.ExplainGroupingResponse:
        """Why an event is in its issue; or where a report would go, which is not stored."""
        request = pb.ExplainGroupingRequest(project=project, report=report)
        if report is None:
            request.event_id = event_id
        answer: pb.ExplainGroupingResponse = await typed(self._errors.ExplainGrouping(request, **self._with(timeout)))
        return answer

    async def error_report(
        self,
        *,
        project: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 0,
        timeout: float | None = None,
    ) -> pb.GetErrorReportResponse:
        """What went wrong in a span of time, in numbers. since: None: the last 24 hours."""
        request = pb.GetErrorReportRequest(project=project, since_time=moment(since), until_time=moment(until), limit=limit)
        answer: pb.GetErrorReportResponse = await typed(self._errors.GetErrorReport(request, **self._with(timeout)))
        return answer

    async def watch_issues(
        self,
        *,
        project: str = "",
        min_severity: pb.Severity.ValueType = pb.SEVERITY_UNSPECIFIED,
        resume_token: str = "",
        timeout: float | None = None,
    ) -> AsyncGenerator[pb.WatchIssuesResponse, None]:
        """Yield issues as they change, until it is left; with a timeout, for so many seconds.

        It goes on by itself where it was, at another node perhaps, when the node stops. Responses without an issue are left out.
        """
        request = pb.WatchIssuesRequest(project=project, min_severity=min_severity, resume_token=resume_token)
        backoff = Backoff(self._config, timeout)
        while True:
            call = self._errors.WatchIssues(request, timeout=backoff.remaining(), metadata=with_trace(self._metadata))
            try:
                async with contextlib.aclosing(responses(call)) as answers:
                    async for answer in answers:
                        backoff.progress()
                        request.resume_token = answer.resume_token
                        if answer.HasField("issue"):
                            yield answer
            except UnavailableError as error:
                await backoff.wait_after(error)
            else:
                return

    def _with(self, timeout: float | None) -> dict[str, Any]:
        return {"timeout": self._config.timeout if timeout is None else timeout, "metadata": with_trace(self._metadata)}


def moment(time: datetime | None) -> Timestamp | None:
    """A time as a message says it. TypeError where it has no time zone."""
    if time is None:
        return None
    if time.tzinfo is None:
        raise TypeError(f"a time without a time zone is no moment: {time}")
    made = Timestamp()
    made.FromDatetime(time)
    return made
