"""Takes secrets and personal data out of an event before it is stored.

By the names of fields, wherever they are nested; by what texts look like (keys of clouds and payment providers, tokens, cards,
private keys, recovery phrases, passwords in URLs and connection strings); and, where the project does not keep them, e-mail
addresses and addresses of the network. What stands for them is always the same, so that events are grouped as before.
"""

from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

from souk_monitor.decoding import bodies
from souk_monitor.events import Event
from souk_monitor.scrubbing import assignments, names
from souk_monitor.scrubbing.addresses import ADDRESSES
from souk_monitor.scrubbing.assignments import Assignments
from souk_monitor.scrubbing.detectors import SECRET, Detector, Rewrite
from souk_monitor.scrubbing.emails import EMAILS
from souk_monitor.scrubbing.names import Names
from souk_monitor.scrubbing.signs import Signs
from souk_monitor.scrubbing.texts import SECRETS
from souk_monitor.scrubbing.walking import Rules, Walk

__all__ = ["SECRET", "Scrubber", "scrub"]

_NOTED = 1000
_PERSONAL = frozenset((*EMAILS, *ADDRESSES))
"""What versions may be written like."""
_NAME = None
"""What the sign of a sensitive name of a field stands for."""
Meaning = Detector | str | None
"""Of a sign: what it is the sign of, or what a text that names something sensitive has in it."""


class Scrubber:
    """The rules of a project."""

    def __init__(self, sensitive_fields: Iterable[str] = (), *, keep_emails: bool = False, keep_ip_addresses: bool = False) -> None:
        added = tuple(sensitive_fields)
        self._names = Names(added)
        self._assignments = Assignments(self._names, added)
        self._keeps = (keep_emails, keep_ip_addresses)
        self._signs = _signs()
        self._added = Signs(_signs_of(added))
        self._kept = frozenset((*(EMAILS if keep_emails else ()), *(ADDRESSES if keep_ip_addresses else ())))

    def scrub(self, event: Event, body: bytes) -> bytes:
        """Take out what is not to be stored, and name it in `scrubbed_fields`; the body of what is left. body: the event's."""
        noted = list(self._user(event))
        if noted:  # what is gone is no sign of anything
            body = bodies.encode(event)
        found = [*self._signs.of(body), *self._added.of(body)]
        if found:
            noted += self._walk(event, body, found)
        if not noted:
            return body
        event.scrubbed_fields = tuple(dict.fromkeys((*event.scrubbed_fields, *noted)))[:_NOTED]
        return bodies.encode(event)

    def _walk(self, event: Event, body: bytes, found: list[Meaning]) -> list[str]:
        hints = tuple(dict.fromkeys(each for each in found if isinstance(each, str)))
        detectors = [each for each in found if isinstance(each, Detector) and each not in self._kept]
        secrets = [rewrite for each in detectors if each not in _PERSONAL for rewrite in each.rewrites(body)]
        personal = [rewrite for each in detectors if each in _PERSONAL for rewrite in each.rewrites(body)]
        if not (hints or secrets or personal or _NAME in found):
            return []
        return Walk(self._names, self._rules(hints, secrets, personal)).event(event)

    def _rules(self, hints: tuple[str, ...], secrets: list[Rewrite], personal: list[Rewrite]) -> Rules:
        forms = [*secrets, *personal]
        if not hints:
            return Rules(forms, forms, forms, forms, names=forms, packages=secrets, versions=secrets)
        given = self._assignments
        text, place = given.of_text(hints), given.of_text(hints, "=")
        return Rules(
            texts=[*forms, text],
            source=[*forms, given.of_source(hints)],
            settings=[*forms, given.of_settings(hints)],
            places=[*forms, place],
            names=forms,
            packages=[*secrets, place],
            versions=[*secrets, text],
        )

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


@cache
def _signs() -> Signs[Meaning]:
    """Those that all projects have."""
    detectors = [(detector, detector.sign) for detector in (*SECRETS, *EMAILS, *ADDRESSES)]
    return Signs([*detectors, *assignments.HINTS, (_NAME, names.SIGN)])


def _signs_of(added: Iterable[str]) -> Iterator[tuple[Meaning, str]]:
    """Those of a project."""
    yield from assignments.hints(added)
    if sign := names.sign(added):
        yield _NAME, sign


def scrub(
    event: Event,
    body: bytes,
    sensitive_fields: tuple[str, ...] = (),
    *,
    keep_emails: bool = False,
    keep_ip_addresses: bool = False,
) -> bytes:
    """Take out of the event what a project with these options does not store, and name it in `scrubbed_fields`; its body then.

    body: the event's before.
    """
    return _scrubber(sensitive_fields, keep_emails, keep_ip_addresses).scrub(event, body)


@lru_cache(maxsize=256)
def _scrubber(sensitive_fields: tuple[str, ...], keep_emails: bool, keep_ip_addresses: bool) -> Scrubber:
    return Scrubber(sensitive_fields, keep_emails=keep_emails, keep_ip_addresses=keep_ip_addresses)
