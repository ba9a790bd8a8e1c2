"""What an event is grouped by."""

from dataclasses import dataclass
from enum import Enum


class Method(Enum):
    """By what the fingerprint was made."""

    STACK = "stack"
    EXCEPTION = "exception"
    MESSAGE = "message"
    REPORTER = "reporter"


@dataclass(frozen=True, slots=True)
class Grouping:
    """Where an event belongs."""

    fingerprint: bytes
    """16 bytes: events of a project with the same are one issue."""
    version: int
    """Of the rules that it was made by."""
    method: Method
    title: str
    """Of the issue, in one line of 250 characters at the most."""
    culprit: str
    type: str
    message_template: str
