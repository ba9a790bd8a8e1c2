"""Everything that can go wrong in dbopt, as the core says it; errors.py says what a caller is told.

DbError
├── CatalogueError
├── QueryUnknownError
└── ArgumentsError
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
