"""Which issues a list shows, as the address of the page says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from souk_monitor.issues import LIVE, IssueFilter, Order
from souk_monitor.lifecycle import State
from souk_monitor.projects import Projects
from souk_monitor.web.dashboard import words

_PLACES = (State.OPEN, State.ACKNOWLEDGED, State.REGRESSED, State.RESOLVED, State.IGNORED)
STATES: Mapping[str, frozenset[State]] = {
    "": LIVE,
    **{words.STATES[state]: frozenset({state}) for state in _PLACES},
    "all": frozenset(State),
}
SPANS: Mapping[str, timedelta] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
ORDERS: Mapping[str, Order] = {
    "last": Order.LAST_SEEN,
    "priority": Order.PRIORITY,
    "first": Order.FIRST_SEEN,
    "events": Order.EVENTS,
    "users": Order.USERS,
}
MAX_TEXT = 200
_TEXTS = ("q", "service", "environment", "release", "assignee", "project")
_CHOICES: Mapping[str, Mapping[str, object]] = {
    "state": STATES,
    "within": SPANS,
    "sort": ORDERS,
    "category": {str(number): name for number, name in words.CATEGORIES.items()},
    "severity": {str(number): name for number, name in words.SEVERITIES.items()},
}


@dataclass(frozen=True, slots=True)
class IssueQuery:
    """The filter and the order of a list. What an address says that is no choice is as if it was not said."""

    said: Mapping[str, str]

    @classmethod
    def of(cls, params: QueryParams) -> "IssueQuery":
        """Of an address."""
        said = {name: params.get(name, "").replace("\0", "")[:MAX_TEXT].strip() for name in _TEXTS}
        said |= {name: params.get(name, "") for name, choices in _CHOICES.items() if params.get(name, "") in choices}
        return cls({name: value for name, value in said.items() if value})

    def get(self, name: str) -> str:
        """What is said of one thing; empty where nothing is."""
        return self.said.get(name, "")

    @property
    def order(self) -> Order:
        """By what the list is sorted."""
        return ORDERS[self.get("sort") or "last"]

    @property
    def is_narrow(self) -> bool:
        """Whether anything but the order is said."""
        return any(name != "sort" for name in self.said)

    def filter(self, project: int | None, now: datetime) -> IssueFilter:
        """As the core takes it. project: the number of the one that is said."""
        within = SPANS.get(self.get("within"))
        return IssueFilter(
            project=project,
            states=STATES[self.get("state")],
            search=self.get("q"),
            categories=frozenset({int(self.get("category"))}) if self.get("category") else frozenset(),
            min_severity=int(self.get("severity") or 0),
            service=self.get("service"),
            environment=self.get("environment"),
            release=self.get("release"),
            assignee=self.get("assignee"),
            since=now - within if within is not None else None,
        )

    def url(self, **changes: str) -> str:
        """The address of the list with some things said otherwise; an empty text takes one back."""
        said = {name: value for name, value in {**self.said, **changes}.items() if value}
        return f"/issues?{urlencode(said)}" if said else "/issues"


async def number_of(projects: Projects, name: str) -> int | None:
    """The number of a project; None of the empty name. ProjectUnknownError."""
    return (await projects.known(name)).number if name else None
