"""What issues are found by: words of their texts, as PostgreSQL's full-text search takes them."""

import re

_APART = re.compile(r"[\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PARTS = re.compile(r'"([^"]*)"?|(\S+)')
MAX_TEXT = 2_000
"""Characters of a text that are looked through."""


def words(*texts: str) -> str:
    """The words of texts, in their order, with what separates them gone; names like HttpError also in their parts."""
    told: list[str] = []
    for text in texts:
        cut = text[:MAX_TEXT]
        told.append(_APART.sub(" ", cut))
        told += [part for name in _APART.split(cut) if _HUMP.search(name) for part in _HUMP.split(name)]
    return " ".join(told)


def query(search: str) -> str:
    """The tsquery of what somebody looks for: every word, by how it begins; those in quotes one after another. Empty: nothing."""
    found = []
    for quoted, plain in _PARTS.findall(search):
        parts = [part for part in _APART.split(quoted or plain) if part]
        if parts:
            found.append("(" + " <-> ".join(f"{part}:*" for part in parts) + ")")
    return " & ".join(found)
