"""Signs of secrets in an event's JSON: one pass over the bytes says which there are, and mostly there are none.

A sign is wider than what it stands for, never narrower, and allows for what JSON writes in another way: quotes, line breaks and
the like have a backslash before them. The pass is RE2's, in time proportional to the body whatever is in it; runs of letters and
digits have one of their own.
"""

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

import orjson
import re2

K = TypeVar("K")
LETTERS = r"0-9A-Za-z_\x80-\xff"
"""Of words, within brackets; all bytes of what is beyond ASCII are."""
ESCAPE = r"(?:\\[bfnrt]|\\u00[01][0-9a-f])"
"""How JSON writes characters that are no part of a word."""
_BETWEEN = rf"(?:[^0-9A-Za-z\"]|{ESCAPE}|\\\")*"
_GIVEN = r"[\\'\[\]=:%>&,)!?/ ]"
"""What is after a name that is given a value, or may be."""
_LOWERED = {"k": r"(?:k|\xe2\x84\xaa)", "i": r"(?:i|\xc4\xb0)", "n": r"(?:n|\xc3[\xb1\x91])"}
"""Letters beyond ASCII that are taken for one of it."""
_MEMORY = 24 * 1024 * 1024
"""Bytes that a set may use for what it has learnt of the texts; full, it begins anew."""
_RUN_CLASS = bytes(ord("x") if byte < 128 and chr(byte).isalnum() else ord(" ") for byte in range(256))


class Run(NamedTuple):
    """The sign of so many of ASCII's letters and digits in a row.

    No pattern of the set, which would count them beside whatever else may have begun in each place: a state for every combination,
    to be made where a text first has it. 3 KiB that are new to it took ten times as long.
    """

    length: int


class Signs(Generic[K]):
    """A set of signs, each with what it stands for."""

    def __init__(self, signs: Iterable[tuple[K, str | Run]]) -> None:
        """signs: what each stands for, and its pattern in RE2's syntax for bytes, or the run that it is."""
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.max_mem = _MEMORY
        self._set = re2.Set.SearchSet(options)
        self._meanings: list[K] = []
        self._places: list[int] = []
        """Of the set's patterns among the signs."""
        self._runs: list[tuple[int, bytes]] = []
        for place, (meaning, sign) in enumerate(signs):
            self._meanings.append(meaning)
            if isinstance(sign, Run):
                self._runs.append((place, b"x" * sign.length))
            else:
                self._set.Add(sign.encode("ascii"))
                self._places.append(place)
        if self._places:
            self._set.Compile()

    def of(self, body: bytes) -> list[K]:
        """What there are signs of, in their order."""
        matched = self._set.Match(body) if self._places else None
        found = [self._places[number] for number in matched or ()]
        if self._runs:
            classes = body.translate(_RUN_CLASS)
            found += [place for place, run in self._runs if run in classes]
        return [self._meanings[place] for place in sorted(found)] if found else []


def assigned(word: str) -> str:
    """The sign of a name with a pattern in it, in any case, that is given a value, as in `word=…` or --my-word …"""
    return rf"(?i:{word})[{LETTERS}-]*{_GIVEN}"


def assigned_whole(word: str) -> str:
    """The same of a name that is a word by itself, as in user_pass=…"""
    return rf"(?:^|[^0-9A-Za-z]|{ESCAPE})(?i:{word})(?:[_\x80-\xff-][{LETTERS}-]*)?{_GIVEN}"


def spelled(word: str) -> str:
    """The sign of the letters of a word, in any case, with anything but letters and digits between them."""
    return f"(?i:{_BETWEEN.join(_LOWERED.get(letter, letter) for letter in word)})"


def ending(word: str) -> str:
    """The sign of a text that ends with a word, or several, but for what is neither letter nor digit."""
    return rf"(?i:{_BETWEEN.join(word.split())}){_BETWEEN}\""


def exactly(text: str) -> str:
    """The sign of a text, in any case of ASCII's letters; other letters in one case."""
    forms = dict.fromkeys((text, text.lower(), text.upper(), text.title()))
    return "(?i:" + "|".join(_quoted(orjson.dumps(form)[1:-1]) for form in forms) + ")"


def _quoted(text: bytes) -> str:
    return "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else rf"\x{byte:02x}" for byte in text)
