"""What a decoder says of a report that it cannot make an event of."""

from collections.abc import Sequence


class MalformedError(Exception):
    """What was sent is no report. A repeat would not help.

    `problems` names everything that is wrong: the path of the field, and what it must be. It is empty where what was sent cannot
    be read at all.
    """

    def __init__(self, message: str, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)

    @classmethod
    def of(cls, problems: Sequence[tuple[str, str]]) -> "MalformedError":
        """The error whose text names all that is wrong."""
        return cls("; ".join(f"{path} {what}" for path, what in problems), problems)
