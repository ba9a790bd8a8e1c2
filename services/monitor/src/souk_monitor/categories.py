"""What kind of trouble an event is, how grave, and what may help: by rules of categories.yaml, the same for everyone, offline."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, lru_cache
from importlib import resources
from itertools import islice, product
from typing import Any

from souk_common import yaml_text

from souk_monitor.events import Event, Level
from souk_monitor.functions import short_type

LONGEST_MESSAGE = 2_000
"""Characters of a message that are looked at."""
GAP = 100
"""Characters that a * of a phrase stands for at the most."""

_WORD = re.compile(r"[a-z0-9]+")
_MOST_EXCEPTIONS = 20
"""Of an event, that are looked at: the last ones, which the program saw, and their nearest causes."""


class Category(IntEnum):
    """Kinds of trouble, with the numbers of the contract's ErrorCategory."""

    UNSPECIFIED = 0
    DATABASE = 1
    NETWORK = 2
    VALIDATION = 3
    AUTH = 4
    TIMEOUT = 5
    PAYMENT = 6
    BLOCKCHAIN = 7
    STORAGE = 8
    CACHE = 9
    RESOURCE = 10
    RATE_LIMIT = 11
    NOT_FOUND = 12
    CONFIGURATION = 13
    CONCURRENCY = 14
    SERIALIZATION = 15
    EXTERNAL_SERVICE = 16
    MEDIA = 17
    PROGRAMMING = 18


@dataclass(frozen=True, slots=True)
class Phrase:
    """What a message may say."""

    pattern: re.Pattern[str]
    """In lower case, with a group for each part that is not a *."""
    needed: str
    """A message that says it has this, which is sooner looked for."""
    signs: frozenset[tuple[str, str]]
    """And one of these: a word, and what is written around it whatever else is chosen."""

    @classmethod
    def of(cls, text: str) -> "Phrase":
        """A phrase as it is written in the rules."""
        parts = [part.strip() for part in text.lower().split("*") if part.strip()]
        pattern = _GAP.join(f"({_part(part)})" for part in parts)
        start = "(?<![a-z0-9])" if _WORD.match(parts[0].lstrip("(")) else ""
        needed = max((text for part in parts for text in _EITHER.split(part)[::2]), key=len)
        return cls(re.compile(start + pattern), needed, frozenset(_signs(parts)))

    def said(self, text: str) -> str:
        """What of it a text in lower case has, without what a * stands for; empty: not all of it."""
        found = self.pattern.search(text) if self.needed in text else None
        return " … ".join(found.groups()) if found else ""


_EITHER = re.compile(r"\(([^()]*\|[^()]*)\)")
_GAP = rf"(?:(?![.:;!?] |\n).){{0,{GAP}}}?"


def _part(text: str) -> str:
    """A part of a phrase as a pattern."""
    places = _EITHER.split(text)
    return "".join(
        f"(?:{'|'.join(map(re.escape, place.split('|')))})" if number % 2 else re.escape(place)
        for number, place in enumerate(places)
    )


def _signs(parts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Of each way to say a phrase, its longest word, but for the last, which may go on (`port`: `ports`), and what is around it."""
    places = [_EITHER.split(part) for part in parts]
    choices = [place.split("|") if number % 2 else [place] for part in places for number, place in enumerate(part)]
    for chosen in product(*choices):
        left = iter(chosen)
        said = [list(islice(left, len(part))) for part in places]
        words = _WORD.findall(" ".join(map("".join, said)))
        word = max(words[:-1] or words, key=len)
        yield word, next((around for part in said if (around := _around(word, part))), "")


def _around(word: str, places: Sequence[str]) -> str:
    """What is written in a row with a word of a part: alternatives are the odd places. Empty: the word is in none of them whole."""
    for number, place in enumerate(places):
        if word in _WORD.findall(place):
            return "".join(places[number - 1 : number + 2]) if number % 2 else place
    return ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    id: str
    category: Category
    fix: str
    types: frozenset[str]
    modules: tuple[str, ...]
    messages: tuple["Phrase", ...]
    level: Level | None
    """At least as grave as this."""
    handled: Level | None
    """Where the program caught it, at most as grave as this."""


@dataclass(frozen=True, slots=True)
class Fix:
    """What may help."""

    rule: str
    text: str
    evidence: str
    """What of the event it goes by."""


@dataclass(frozen=True, slots=True)
class Classification:
    """What the rules say."""

    category: Category
    level: Level
    """The reporter's, raised or lowered by the rule."""
    fix: Fix | None


@dataclass(frozen=True, slots=True)
class _Rules:
    all: tuple[Rule, ...]
    by_type: Mapping[str, int]
    """The first rule that names a type, by its name."""
    by_module: Mapping[str, int]
    by_word: Mapping[str, Sequence[tuple[int, str, Phrase]]]
    """Phrases, with their rules, by a word that a message must have for them, and what must be around it."""


def _rule(told: Mapping[str, Any]) -> Rule:
    return Rule(
        told["id"],
        Category[told["category"].upper()],
        told["fix"],
        frozenset(map(short_type, told.get("types", ()))),
        tuple(told.get("modules", ())),
        tuple(map(Phrase.of, told.get("messages", ()))),
        Level[told["level"].upper()] if "level" in told else None,
        Level[told["handled"].upper()] if "handled" in told else None,
    )


@cache
def rules() -> _Rules:
    """The rules, read once."""
    told = yaml_text.load((resources.files("souk_monitor") / "categories.yaml").read_text(encoding="utf-8"))
    found = tuple(map(_rule, told))
    by_type: dict[str, int] = {}
    by_module: dict[str, int] = {}
    for index, rule in enumerate(found):
        for name in rule.types:
            by_type.setdefault(name, index)
        for name in rule.modules:
            by_module.setdefault(name, index)
    return _Rules(found, by_type, by_module, _phrases_by_word(found))


def _phrases_by_word(found: Sequence[Rule]) -> Mapping[str, Sequence[tuple[int, str, Phrase]]]:
    by_word: dict[str, list[tuple[int, str, Phrase]]] = defaultdict(list)
    for index, rule in enumerate(found):
        for phrase in rule.messages:
            for word, around in phrase.signs:
                by_word[word].append((index, around, phrase))
    return by_word


def _modules(name: str) -> Iterator[str]:
    """A module and those that it is in, the innermost first: `sqlalchemy.exc`, `sqlalchemy`."""
    name = name[:200].replace("::", ".").replace("\\", ".")
    while name:
        yield name
        name = name.rpartition(".")[0]


_NONE = 1 << 30
"""No rule."""
_REMEMBERED = 2048
"""Types, and messages, that are not looked at again when they come again."""


@lru_cache(maxsize=_REMEMBERED)
def _by_name(kind: str, module: str) -> tuple[int, str]:
    """The first rule that names a type or the module that it is in, and by which of both."""
    known = rules()
    short = short_type(kind)
    by_type = known.by_type.get(short, _NONE)
    for name in _modules(module):
        if (by_module := known.by_module.get(name, _NONE)) < by_type:
            return by_module, f"{name}.{short}"
    return by_type, short


@lru_cache(maxsize=_REMEMBERED)
def _by_message(text: str, before: int) -> tuple[int, str]:
    """The first rule, of those before a number, that has a phrase of the message."""
    by_word = rules().by_word
    lowered = text.lower()
    best, said = before, ""
    for word in set(_WORD.findall(lowered)):
        for index, around, phrase in by_word.get(word, ()):
            if index < best and around in lowered and (words := phrase.said(lowered)):
                best, said = index, words
    return best, said


def _said(event: Event) -> list[tuple[str, str, str]]:
    """Types, modules and messages to look at, causes first."""
    said = [(one.type, one.module, one.value) for one in event.exceptions[-_MOST_EXCEPTIONS:]]
    return said or [("", "", event.message or event.template)]


def classify(event: Event) -> Classification:
    """Category, level and suggested fix of an event; Category.UNSPECIFIED without a fix where no rule fits."""
    best, evidence = _NONE, ""
    for kind, module, text in _said(event):
        index, name = _by_name(kind, module)
        if index < best:
            best, evidence = index, f"the type {name}"
        index, phrase = _by_message(text[:LONGEST_MESSAGE], best)
        if index < best:
            best, evidence = index, f"the message has “{phrase}”"
    if best == _NONE:
        return Classification(Category.UNSPECIFIED, event.level, None)
    rule = rules().all[best]
    return Classification(rule.category, _level(event, rule), Fix(rule.id, rule.fix, evidence))


def _level(event: Event, rule: Rule) -> Level:
    level = event.level
    if rule.level is not None and level >= Level.WARNING:
        level = max(level, rule.level)
    handled = event.exceptions[-1].handled if event.exceptions else None
    if handled and rule.handled is not None:
        level = min(level, rule.handled)
    if rule.handled is not None:
        level = min(level, Level.ERROR)
    return level
