"""Everything that can go wrong in monitor, as the core says it; errors.py says what a caller is told.

MonitorError
├── ProjectUnknownError
├── ProjectExistsError
├── KeyUnknownError
├── KeyInvalidError
├── IssueUnknownError
├── EventUnknownError
├── IssueChangedError
├── FieldsError
├── MalformedError
├── TooLargeError
├── RequestIdReusedError
├── WatchFullError
└── NotTakenError               the call is not taken: come again after `retry_delay` seconds
    ├── QueueFullError
    ├── QuotaExceededError
    └── StoreUnavailableError
"""

from collections.abc import Iterable
from typing import NamedTuple


class MonitorError(Exception):
    """The root of the tree."""


class ProjectUnknownError(MonitorError):
    """There is no such project, or it takes no reports any more."""

    def __init__(self, project: str | int) -> None:
        self.project = str(project)
        super().__init__(f"there is no project {self.project!r} that takes reports")


class ProjectExistsError(MonitorError):
    """There is a project of this name."""

    def __init__(self, project: str) -> None:
        self.project = project
        super().__init__(f"there is a project {project!r} already")


class KeyUnknownError(MonitorError):
    """The project has no such key."""

    def __init__(self, project: str, key: str) -> None:
        self.key = key
        super().__init__(f"the project {project!r} has no key {key!r}")


class KeyInvalidError(MonitorError):
    """The key of a DSN is unknown, revoked, or of another project."""

    def __init__(self) -> None:
        super().__init__("the key of the DSN is unknown or revoked")


class WatchFullError(MonitorError):
    """As many watch as may."""

    def __init__(self, most: int) -> None:
        self.retry_delay = 1.0
        super().__init__(f"{most} watch already, and no more may on this node")


class IssueUnknownError(MonitorError):
    """There is no such issue."""

    def __init__(self, issue: str) -> None:
        self.issue = issue
        super().__init__(f"there is no issue {issue!r}")


class EventUnknownError(MonitorError):
    """There is no such event, or its body is not kept."""

    def __init__(self, event: str) -> None:
        self.event = event
        super().__init__(f"there is no event {event!r}, or its body is not kept")


class IssueChangedError(MonitorError):
    """Somebody has changed the issue since the revision that was named."""

    def __init__(self, issue: str, revision: int) -> None:
        self.issue = issue
        self.revision = revision
        super().__init__(f"the issue {issue} is at revision {revision}: read it again")


class Problem(NamedTuple):
    """One bad field of a request."""

    field: str
    description: str
    """What it must be, as it follows the name in a sentence."""


class FieldsError(MonitorError):
    """Fields are not as they must be, which only the database could tell. Names all of them at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.field} {problem.description}" for problem in self.problems))


class MalformedError(MonitorError):
    """What a reporter sent is no report; a repeat would not help. Names all that is wrong."""

    def __init__(self, message: str, problems: Iterable[Problem] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.field} {problem.description}" for problem in self.problems) or message)


class TooLargeError(MonitorError):
    """What a reporter sent has more bytes than it may, before or after decompression."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"more than {limit_bytes} bytes")


class RequestIdReusedError(MonitorError):
    """The request id was used for another request."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request_id {request_id!r} was used before, for another request")


class NotTakenError(MonitorError):
    """The call is not taken. `retry_delay`: seconds after which to come again; what is stored of it by then is counted once.

    Nothing of it is stored yet, but where the database does not answer: then some of it may be.
    """

    def __init__(self, message: str, retry_delay: float) -> None:
        self.retry_delay = retry_delay
        super().__init__(message)


class QueueFullError(NotTakenError):
    """As many events wait to be stored as may."""

    def __init__(self, retry_delay: float) -> None:
        super().__init__("as many events wait to be stored as may", retry_delay)


class QuotaExceededError(NotTakenError):
    """The project sends more than its limit."""

    def __init__(self, project: str, retry_delay: float) -> None:
        self.project = project
        super().__init__(f"the project {project!r} sends more events a minute than it may", retry_delay)


class StoreUnavailableError(NotTakenError):
    """The database does not answer."""

    def __init__(self, retry_delay: float) -> None:
        super().__init__("the database does not answer", retry_delay)
