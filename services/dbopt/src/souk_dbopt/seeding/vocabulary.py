"""The words of the generated marketplace, out of vocabulary.yaml: what is sold, who sells it, and how they speak of it."""

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from souk_common import yaml_text

Words = tuple[str, ...]
UNQUOTED = frozenset('\\\t\n\r"')
"""Words go into COPY and JSON as they are, and so have none of these."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A category that products are in."""

    category_id: int
    name: str
    log_price: float
    """Natural logarithm of the price in the middle, in cents."""
    spread: float
    """Standard deviation of the logarithms of its prices."""
    nouns: Words
    top: int
    """Index of its parent."""


@dataclass(frozen=True, slots=True)
class Top:
    """A category of categories."""

    category_id: int
    name: str
    materials: Words
    sizes: Words
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All of it. In lists of words the first are the frequent ones."""

    tops: tuple[Top, ...]
    words: Mapping[str, Words]
    """By their name in the file."""
    towns: Words
    brands: Words

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """In the order of their ids."""
        return tuple(leaf for top in self.tops for leaf in top.leaves)


@functools.cache
def vocabulary() -> Vocabulary:
    """The vocabulary, read once.

    Raises:
        ValueError: a word has a character that COPY or JSON would want escaped.
    """
    told = yaml_text.load((resources.files(__package__) / "vocabulary.yaml").read_text(encoding="utf-8"))
    if wrong := next((word for word in _strings(told) if UNQUOTED & set(word)), None):
        raise ValueError(f"vocabulary.yaml: {wrong!r} would have to be escaped")
    tops = tuple(_top(index, name, top) for index, (name, top) in enumerate(told.pop("categories").items()))
    words = {name: tuple(each) for name, each in told.items()}
    return Vocabulary(
        tops,
        words,
        towns=tuple(map("".join, _mixed(words["town_starts"], words["town_middles"], words["town_ends"]))),
        brands=tuple(map("".join, _mixed(words["brand_starts"], words["brand_ends"]))),
    )


def _top(index: int, name: str, told: Mapping[str, Any]) -> Top:
    number = index + 1
    leaves = tuple(
        Leaf(number * 100 + place, leaf, math.log(price * 100), spread, tuple(nouns), index)
        for place, (leaf, (price, spread, nouns)) in enumerate(told["leaves"].items(), 1)
    )
    return Top(number, name, tuple(told["materials"]), tuple(told["sizes"]), leaves)


def _mixed(*parts: Words) -> list[tuple[str, ...]]:
    """Every combination, in an order that has neighbours differ; always the same."""
    every = list(itertools.product(*parts))
    step = next(step for step in range(int(len(every) * 0.618), len(every) * 2) if math.gcd(step, len(every)) == 1)
    return [every[index * step % len(every)] for index in range(len(every))]


def _strings(told: Any) -> Iterator[str]:
    if isinstance(told, str):
        yield told
    elif isinstance(told, dict):
        for key, value in told.items():
            yield from _strings(key)
            yield from _strings(value)
    elif isinstance(told, list):
        for value in told:
            yield from _strings(value)
