"""The words of events, of which most were seen before and are no sign of anything."""

import re

_MAX_WORDS = 20_000
_MAX_LENGTH = 64
"""Longer ones, as keys and ids, hardly come again."""


class Vocabulary:
    """Tells the few words of an event that have to be looked at from the many that do not."""

    def __init__(self, suspicious: re.Pattern[bytes]) -> None:
        self._suspicious = suspicious
        self._harmless: set[bytes] = set()
        self._suspects: set[bytes] = set()

    def suspects(self, words: frozenset[bytes]) -> frozenset[bytes]:
        """Those that have something suspicious in them."""
        fresh = words - self._harmless
        known = fresh & self._suspects
        fresh -= known
        if not fresh:
            return known
        found = frozenset(filter(self._suspicious.search, fresh))
        self._learn(self._harmless, fresh - found)
        self._learn(self._suspects, found)
        return known | found

    def _learn(self, known: set[bytes], words: frozenset[bytes]) -> None:
        if len(known) > _MAX_WORDS:
            known.clear()
        known.update([word for word in words if len(word) <= _MAX_LENGTH][:_MAX_WORDS])
