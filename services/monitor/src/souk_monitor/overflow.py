"""The issue of a project that events go to whose causes are new when as many issues are new already as may be in an hour."""

from dataclasses import replace
from hashlib import blake2b

from souk_monitor.grouping import Grouping, Method
from souk_monitor.preparing import Fix, Prepared, Understanding

FINGERPRINT = blake2b(b"overflow", digest_size=16).digest()
"""No event has it by itself: what fingerprints are made of has two lines at least."""
TITLE = "Too many new issues"
FIX = Fix(
    "monitor.too-many-new-issues",
    "As many issues of this project were new within an hour as may be, so events of causes that had none yet are counted here. "
    "Look at the newest issues and at these events. If they differ in values alone (ids, addresses, times in types, messages or "
    "fingerprints), have the reporter leave these out, or give it a template or a fingerprint. If a key sends what your programs "
    "do not, revoke it. If the causes are true, raise the project's new_issues_per_hour: what comes later gets issues of its own.",
)
_GROUPING = Grouping(FINGERPRINT, 0, Method.REPORTER, TITLE, culprit="", type="", message_template="")


def overflowing(event: Prepared) -> Prepared:
    """An event, as one of that issue."""
    return replace(event, grouping=_GROUPING, understanding=Understanding(fix=FIX), others=())
