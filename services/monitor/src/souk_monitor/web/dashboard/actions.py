"""What people do with issues: forms as changes of the core."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256

from souk_common.call import annotate
from starlette.requests import Request

from souk_monitor.lifecycle import Acknowledge, Action, Ignore, Reopen, Resolve
from souk_monitor.tracker import Remark, Update
from souk_monitor.tracker import Request as Known
from souk_monitor.web.dashboard import forms
from souk_monitor.web.dashboard.face import Parts
from souk_monitor.web.dashboard.forms import Form
from souk_monitor.web.dashboard.queries import SPANS
from souk_monitor.web.dashboard.sessions import Visitor

MAX_NAME, MAX_COMMENT, MAX_ISSUES = 200, 10_000, 100
_SIMPLE: Mapping[str, Action] = {"acknowledge": Acknowledge(), "reopen": Reopen()}
_UPDATES = ("acknowledge", "resolve", "ignore", "reopen", "assign", "comment")


class Actions:
    """Each form as one change, once, however often it is sent."""

    def __init__(self, parts: Parts) -> None:
        self._tracker = parts.tracker
        self._projects = parts.projects

    async def one(self, request: Request, visitor: Visitor, form: Form) -> str:
        """A change of one issue."""
        issue: str = request.path_params["issue"]
        action = form.get("action", "")
        annotate(issue=issue, action=action)
        if action == "merge":
            issues = [issue, forms.text(form, "with", MAX_NAME, needed=True)]
            return await self._merge(issues, issue, visitor, _known(form, visitor, issue))
        if action == "split":
            return await self._split(issue, form, visitor)
        update = _update(form, action, visitor)
        await self._tracker.update(issue, update, _known(form, visitor, issue))
        return f"/issues/{issue}?did={action}"

    async def many(self, request: Request, visitor: Visitor, form: Form) -> str:
        """The same change of all that are chosen."""
        issues = list(dict.fromkeys(form.getlist("issue")))
        action = form.get("action", "")
        annotate(issues=len(issues), action=action)
        if not 1 <= len(issues) <= MAX_ISSUES:
            raise forms.bad("issue", f"must be 1 to {MAX_ISSUES} of the list: choose them first")
        if action == "merge":
            return await self._merge(issues, "", visitor, _known(form, visitor, "all"))
        if action in ("assign", "comment"):
            raise forms.bad("action", "is for one issue only")
        update = _update(form, action, visitor)
        for issue in issues:
            await self._tracker.update(issue, update, _known(form, visitor, issue))
        back = forms.local(form.get("back", ""), "/issues")
        return f"{back}{'&' if '?' in back else '?'}did={action}"

    async def _merge(self, issues: Sequence[str], into: str, visitor: Visitor, known: Known) -> str:
        if len(set(issues)) < 2:
            raise forms.bad("issue", "must be two at least to be merged")
        left = await self._tracker.merge(issues, into, Remark(visitor.name), known)
        return f"/issues/{left.issue_id}?did=merge"

    async def _split(self, issue: str, form: Form, visitor: Visitor) -> str:
        try:
            fingerprints = [bytes.fromhex(text) for text in dict.fromkeys(form.getlist("fingerprint"))]
        except ValueError:
            raise forms.bad("fingerprint", "must be that of the issue") from None
        if not fingerprints:
            raise forms.bad("fingerprint", "must be chosen")
        known, remark = _known(form, visitor, issue), Remark(visitor.name)
        _, made = await self._tracker.split(issue, fingerprints, remark, known, self._projects.numbered)
        return f"/issues/{made.issue_id}?did=split"


def _update(form: Form, action: str, visitor: Visitor) -> Update:
    if action not in _UPDATES:
        raise forms.bad("action", f"must be one of {', '.join((*_UPDATES, 'merge', 'split'))}")
    revision = forms.number(form, "revision")
    if action == "assign":
        return Update(assignee=forms.text(form, "assignee", MAX_NAME), revision=revision, actor=visitor.name)
    comment = forms.text(form, "comment", MAX_COMMENT, needed=action == "comment")
    return Update(_action(form, action), comment=comment, revision=0 if action == "comment" else revision, actor=visitor.name)


def _action(form: Form, action: str) -> Action | None:
    match action:
        case "resolve":
            in_next = form.get("release_is") == "next"
            release = forms.text(form, "release", MAX_NAME, needed=form.get("release_is") == "this")
            return Resolve("" if in_next else release, in_next)
        case "ignore":
            return Ignore(_until(form), forms.number(form, "events"), forms.number(form, "users"))
    return _SIMPLE.get(action)


def _until(form: Form) -> datetime | None:
    span = SPANS.get(form.get("for", ""))
    return datetime.now(UTC) + span if span is not None else forms.time(form, "until")


def _known(form: Form, visitor: Visitor, issue: str) -> Known:
    """What a repeat is known by: the page that the form was on, and all that it says."""
    said = sha256(repr(sorted(item for item in form.multi_items() if item[0] != forms.CSRF)).encode()).digest()
    page = forms.text(form, "request_id", 64)
    return Known(visitor.name, f"web-{page}-{issue}-{said.hex()[:16]}" if page.isalnum() else "", said)
