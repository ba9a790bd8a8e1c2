"""What an event is grouped by."""

from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b

from souk_monitor.events import Event
from souk_monitor.in_app import NO_RULES, InAppRules


class Method(Enum):
    """By what the fingerprint was made."""

    STACK = "stack"
    EXCEPTION = "exception"
    MESSAGE = "message"
    TEMPLATE = "template"
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
    secondary: tuple[bytes, ...] = ()
    """What older versions of the rules make of it, the newest first: where no issue has `fingerprint`, one that has any of these
    is the event's own, and is given `fingerprint` too."""


def group(event: Event, in_app: InAppRules = NO_RULES) -> Grouping:
    """What an event is grouped by. Never fails: of an event that says nothing, its logger and its platform are what there is."""
    kind = event.exceptions[-1].type if event.exceptions else ""
    text = event.exceptions[-1].value if event.exceptions else event.template or event.message
    digest = blake2b(f"{kind}\0{text}".encode(errors="replace"), digest_size=16).digest()
    title = " ".join(f"{kind}: {text}".split())[:250] if kind else " ".join(text.split())[:250]
    return Grouping(digest, 1, Method.EXCEPTION if kind else Method.MESSAGE, title, event.transaction, kind, text[:250])
