"""Issues, as people see and change them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from souk_monitor import overflow
from souk_monitor.events import Event
from souk_monitor.exceptions import EventUnknownError
from souk_monitor.grouping import Grouping, others
from souk_monitor.issues import Details, EventFilter, EventPlace, Issue, IssueFilter, KeptEvent, Order
from souk_monitor.lifecycle import Action
from souk_monitor.preparing import Fix
from souk_monitor.projects import Project
from souk_monitor.reports import Report, Span


@dataclass(frozen=True, slots=True)
class Request:
    """What a change is known by, so that a repeat changes nothing more."""

    principal: str
    request_id: str
    """Empty: a repeat is not known."""
    fingerprint: bytes
    """Of all that the request says."""


@dataclass(frozen=True, slots=True)
class Update:
    """What somebody changes of an issue."""

    action: Action | None = None
    assignee: str | None = None
    comment: str = ""
    revision: int = 0
    """That the caller has seen. 0: any."""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Remark:
    """Who changes something, and what they say of it."""

    actor: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Texts:
    """What an issue is called."""

    title: str
    culprit: str = ""
    type: str = ""
    template: str = ""
    others: Sequence[str] = ()
    """What else it is found by."""
    fix: Fix | None = None
    """What may help. None: what may with the issue that it leaves."""


@dataclass(frozen=True, slots=True)
class Explained:
    """Where an event belongs."""

    grouping: Grouping
    """By its own fingerprint."""
    issue: int | None
    """That it is in, or would go to. None: a new one."""
    overflows: bool
    """That is the issue of too many new issues."""


class IssueReads(Protocol):
    """Where issues are read."""

    async def find(self, wanted: str) -> int:
        """The number of an issue by its id or its short id; of one that was merged, that of the other. IssueUnknownError."""

    async def page(self, wanted: IssueFilter, order: Order, after: tuple[Any, int] | None, size: int, now: datetime) -> list[Issue]:
        """Up to `size` issues in their order. after: the key and the id of the last one of the page before."""

    async def before(self, wanted: IssueFilter, order: Order, place: tuple[Any, int], size: int, now: datetime) -> list[Issue]:
        """Up to `size` issues that come next before one, in their order. place: the key and the id of that one."""

    async def many(self, issues: Sequence[int], now: datetime) -> dict[int, Issue]:
        """Issues by their ids."""

    async def one(self, issue: int, now: datetime) -> Issue:
        """An issue. IssueUnknownError."""

    async def details(self, issue: int, now: datetime) -> Details:
        """An issue and what is around it. IssueUnknownError."""

    async def of_fingerprint(self, project: int, fingerprints: Sequence[bytes]) -> int | None:
        """The issue that the first of these goes to that is known."""


class EventReads(Protocol):
    """Where events are read."""

    async def page(self, wanted: EventFilter, after: EventPlace | None, size: int) -> list[KeptEvent]:
        """Up to `size` events, the newest first. after: the place of the last one of the page before."""

    async def before(self, wanted: EventFilter, place: EventPlace, size: int) -> list[KeptEvent]:
        """Up to `size` events that are next newer than one, the newest first. place: of that one."""

    async def one(self, project: int, event_id: str) -> KeptEvent:
        """An event. EventUnknownError."""

    async def latest(self, project: int, fingerprint: bytes) -> KeptEvent | None:
        """The newest of a fingerprint."""


class IssueChanges(Protocol):
    """Where issues are changed."""

    async def update(self, issue: int, update: Update, request: Request, now: datetime) -> None:
        """Change an issue, once for a request id. IssueUnknownError, IssueChangedError, FieldsError, RequestIdReusedError."""

    async def merge(self, issues: Sequence[int], into: int | None, remark: Remark, request: Request, now: datetime) -> int:
        """Make one issue of several, once for a request id; which one is left.

        IssueUnknownError, FieldsError, RequestIdReusedError.
        """

    async def split(
        self, issue: int, fingerprints: Sequence[bytes], texts: Texts, remark: Remark, request: Request, now: datetime
    ) -> int:
        """Take fingerprints out of an issue into a new one, once for a request id; its id.

        IssueUnknownError, FieldsError, RequestIdReusedError.
        """


class ReportReads(Protocol):
    """Where reports are read."""

    async def report(self, project: int | None, span: Span, limit: int, now: datetime) -> Report:
        """What went wrong in a span of time."""


@dataclass(frozen=True, slots=True)
class Tracker:
    """What can be asked of issues, and done with them."""

    issues: IssueReads
    events: EventReads
    changes: IssueChanges
    reports: ReportReads
    group: Callable[[Project, Event], Grouping]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def page(self, wanted: IssueFilter, order: Order, after: tuple[Any, int] | None, size: int) -> list[Issue]:
        """Up to `size` issues in their order."""
        return await self.issues.page(wanted, order, after, size, self.now())

    async def before(self, wanted: IssueFilter, order: Order, place: tuple[Any, int], size: int) -> list[Issue]:
        """Up to `size` issues that come next before one, in their order."""
        return await self.issues.before(wanted, order, place, size, self.now())

    async def many(self, issues: Sequence[int]) -> dict[int, Issue]:
        """Issues by their ids."""
        return await self.issues.many(issues, self.now())

    async def details(self, wanted: str) -> Details:
        """An issue, by its id or short id, and what is around it. IssueUnknownError."""
        return await self.issues.details(await self.issues.find(wanted), self.now())

    async def event(self, project: Project, event_id: str) -> tuple[KeptEvent, Issue]:
        """An event, and the issue that it is in. EventUnknownError."""
        kept = await self.events.one(project.number, event_id)
        known = await self.many([kept.issue_id])
        if kept.issue_id not in known:
            raise EventUnknownError(event_id)
        return kept, known[kept.issue_id]

    async def update(self, wanted: str, update: Update, request: Request) -> Issue:
        """Change an issue; as it is now. IssueUnknownError, IssueChangedError, FieldsError, RequestIdReusedError."""
        issue = await self.issues.find(wanted)
        await self.changes.update(issue, update, request, self.now())
        return await self.issues.one(issue, self.now())

    async def merge(self, wanted: Sequence[str], into: str, remark: Remark, request: Request) -> Issue:
        """Make one issue of several; the one that is left, as it is now. IssueUnknownError, FieldsError, RequestIdReusedError."""
        issues = [await self.issues.find(each) for each in wanted]
        target = await self.issues.find(into) if into else None
        together = sorted({*issues, *([target] if target is not None else ())})
        left = await self.changes.merge(together, target, remark, request, self.now())
        return await self._found(left)

    async def split(
        self, wanted: str, fingerprints: Sequence[bytes], remark: Remark, request: Request, project: Callable[[int], Project]
    ) -> tuple[Issue, Issue]:
        """Take fingerprints out of an issue into a new one; both, as they are now. project: one by its number.

        IssueUnknownError, FieldsError, RequestIdReusedError.
        """
        issue = await self.issues.one(await self.issues.find(wanted), self.now())
        texts = await self._texts_of(issue, fingerprints, project)
        made = await self.changes.split(issue.issue_id, fingerprints, texts, remark, request, self.now())
        return await self._found(issue.issue_id), await self._found(made)

    async def _found(self, issue: int) -> Issue:
        """An issue that may have gone into another since a first request. IssueUnknownError."""
        return await self.issues.one(await self.issues.find(str(issue)), self.now())

    async def _texts_of(self, issue: Issue, fingerprints: Sequence[bytes], project: Callable[[int], Project]) -> Texts:
        """What fingerprints are called that leave an issue."""
        if overflow.FINGERPRINT in fingerprints:
            return Texts(overflow.TITLE, fix=overflow.FIX)
        fix = Fix() if issue.fix.rule == overflow.FIX.rule else None
        latest = await self.events.latest(issue.project, fingerprints[0])
        if latest is None:
            return Texts(issue.title, issue.culprit, issue.type, issue.template, fix=fix)
        found = self.group(project(issue.project), latest.event)
        return Texts(found.title, found.culprit, found.type, found.message_template, others(latest.event), fix)

    def explain_kept(self, project: Project, kept: KeptEvent) -> Explained:
        """What an event is grouped by, and the issue that it is in."""
        return Explained(self.group(project, kept.event), kept.issue_id, kept.overflows)

    async def explain(self, project: Project, event: Event) -> Explained:
        """What an event is grouped by that is not stored, and the issue that it would go to."""
        found = self.group(project, event)
        issue = await self.issues.of_fingerprint(project.number, [found.fingerprint, *found.secondary])
        resume = project.new_issues_resume_time
        if issue is None and resume is not None and resume > self.now():
            return Explained(found, await self.issues.of_fingerprint(project.number, [overflow.FINGERPRINT]), overflows=True)
        return Explained(found, issue, overflows=False)

    async def report(self, project: Project | None, span: Span, limit: int) -> Report:
        """What went wrong in a span of time."""
        return await self.reports.report(project.number if project is not None else None, span, limit, self.now())
