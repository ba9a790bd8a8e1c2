"""Everything that can go wrong in dbopt, as the core says it; errors.py says what a caller is told.

DbError
├── CatalogueError
├── QueryUnknownError
├── QueryKindError
├── ArgumentsError
├── QueryTimedOutError
├── ResultTooLargeError
├── RequestIdReusedError
├── RequestInProgressError
├── OutcomeUnknownError
├── ServerUnavailableError
├── TooFarBehindError
├── NotExplainableError
├── ExplainOffError
├── OutboxStuckError
├── ConsistencyTokenInvalidError
└── FingerprintUnknownError
"""

from collections.abc import Iterable
from typing import NamedTuple


class DbError(Exception):
    """The root of the tree."""


class CatalogueError(DbError):
    """Query files are not as they must be, or not as the database is. One line for each problem; each names its query or file."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class QueryUnknownError(DbError):
    """The catalogue has no query of this name, or not in this version."""

    def __init__(self, name: str, version: int | None = None) -> None:
        self.name = name
        self.version = version
        super().__init__(f"there is no query {name!r}" + ("" if version is None else f" of version {version}"))


class ArgumentProblem(NamedTuple):
    """One bad argument of a query."""

    field: str
    """The parameter; of an array the first bad element, as `product_ids[3]`."""
    description: str
    """What it must be, as it follows the name in a sentence."""


class ArgumentsError(DbError):
    """Arguments do not fit the parameters of a query. Names all of them at once."""

    def __init__(self, problems: Iterable[ArgumentProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.field} {problem.description}" for problem in self.problems))


class QueryKindError(DbError):
    """The query writes and was to be read, or the other way round."""

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        super().__init__(f"{name} {problem}")


class QueryTimedOutError(DbError):
    """The query took longer than it may."""

    def __init__(self, name: str, timeout: float) -> None:
        self.timeout = timeout
        super().__init__(f"{name} took longer than {timeout:g} seconds, which is the most it may take")


class ResultTooLargeError(DbError):
    """The rows have too many bytes for one answer, or a single row of a stream does."""

    def __init__(self, limit: int, *, is_one_row: bool = False) -> None:
        self.limit = limit
        what, do = ("a row has", "have it have less") if is_one_row else ("the rows have", "ask for fewer, or use StreamQuery")
        super().__init__(f"{what} more than {limit:,} bytes, which is the most in one answer: {do}")


class RequestIdReusedError(DbError):
    """The request id was used for another write."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request_id {request_id!r} was used before, for another query or other parameters")


class RequestInProgressError(DbError):
    """A write with the same request id is under way."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"a call with request_id {request_id!r} is under way")


class OutcomeUnknownError(DbError):
    """The connection broke while a write was being committed."""


class ServerUnavailableError(DbError):
    """No server answers that the query could run on."""


class TooFarBehindError(DbError):
    """No server that answers has seen what the consistency token asks for."""


class OutboxStuckError(DbError):
    """The cache has not been told for too long what was written."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the cache is to be told of what was written {seconds:.0f} seconds ago")


class ConsistencyTokenInvalidError(DbError):
    """The consistency token is malformed, or of another database."""


class NotExplainableError(DbError):
    """A text is no SELECT that may be explained. `problem` says what in it is refused."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"this is not explained: {problem}")


class ExplainOffError(DbError):
    """There is no role that explains."""


class FingerprintUnknownError(DbError):
    """No query of this fingerprint has run, as far as is still known."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        super().__init__(f"nothing is known of a query {fingerprint!r}")
