"""Takes secrets and personal data out of an event before it is stored.

By the names of fields, wherever they are nested; by what texts look like (keys of clouds and payment providers, tokens, cards,
private keys, recovery phrases, passwords in URLs and connection strings); and, where the project does not keep them, e-mail
addresses and addresses of the network. What stands for them is always the same, so that events are grouped as before.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from souk_monitor.decoding import bodies
from souk_monitor.events import Event
from souk_monitor.scrubbing.assignments import Assignments
from souk_monitor.scrubbing.names import Names
from souk_monitor.scrubbing.texts import ADDRESSES, EMAILS, SECRET, SECRETS, SUSPICIOUS, Body, Rewrite
from souk_monitor.scrubbing.vocabulary import Vocabulary
from souk_monitor.scrubbing.walking import Rules, Walk

__all__ = ["SECRET", "Scrubber", "scrub"]

_NOTED = 1000


class Scrubber:
    """The rules of a project."""

    def __init__(self, sensitive_fields: Iterable[str] = (), *, keep_emails: bool = False, keep_ip_addresses: bool = False) -> None:
        added = tuple(sensitive_fields)
        self._names = Names(added)
        self._assignments = Assignments(self._names, added)
        self._vocabulary = Vocabulary(re.compile(SUSPICIOUS + b"|" + self._assignments.suspicious))
        self._keeps = (keep_emails, keep_ip_addresses)
        self._detectors = (*SECRETS, *(() if keep_emails else EMAILS), *(() if keep_ip_addresses else ADDRESSES))

    def scrub(self, event: Event) -> None:
        """Take out what is not to be stored, and name it in `scrubbed_fields`."""
        noted = list(self._user(event))  # first, so that it is no sign of anything
        body = Body(bodies.encode(event), self._vocabulary)
        forms = [detector.rewrite for detector in self._detectors if detector.sign(body)]
        noted += Walk(self._names, self._rules(body, forms)).event(event)
        if noted:
            event.scrubbed_fields = tuple(dict.fromkeys((*event.scrubbed_fields, *noted)))[:_NOTED]

    def _rules(self, body: Body, forms: list[Rewrite]) -> Rules:
        hints = self._assignments.hints(body)
        if not hints:
            return Rules(forms, forms, forms)
        given = self._assignments.of_text(hints), self._assignments.of_source(hints), self._assignments.of_text(hints, "=")
        return Rules(*([*forms, rewrite] for rewrite in given))

    def _user(self, event: Event) -> Iterator[str]:
        user, (keep_emails, keep_addresses) = event.user, self._keeps
        if user is None:
            return
        if user.email and not keep_emails:
            user.email = ""
            yield "user.email"
        if user.ip_address and not keep_addresses:
            user.ip_address = ""
            yield "user.ip_address"


def scrub(
    event: Event, sensitive_fields: tuple[str, ...] = (), *, keep_emails: bool = False, keep_ip_addresses: bool = False
) -> None:
    """Take out of the event what a project with these options does not store, and name it in `scrubbed_fields`."""
    _scrubber(sensitive_fields, keep_emails, keep_ip_addresses).scrub(event)


@lru_cache(maxsize=256)
def _scrubber(sensitive_fields: tuple[str, ...], keep_emails: bool, keep_ip_addresses: bool) -> Scrubber:
    return Scrubber(sensitive_fields, keep_emails=keep_emails, keep_ip_addresses=keep_ip_addresses)
