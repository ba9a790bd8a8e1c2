"""What finds one kind of secret, and takes it out."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from souk_monitor.scrubbing.signs import Run

SECRET, EMAIL, ADDRESS = "[secret]", "[email]", "[ip]"


class Rewrite(NamedTuple):
    """Takes secrets of a kind out of texts."""

    least: int
    """Characters that a text with one has at the least."""
    needed: str
    """What is in every text with one."""
    rewrite: Callable[[str], str]
    """The text without them."""


class Detector(NamedTuple):
    """One kind of secret, or several that have a sign in common."""

    sign: str | Run
    """Of every event with one, in its JSON, for `signs.Signs`."""
    rewrites: Callable[[bytes], Sequence[Rewrite]]
    """What takes them out, given the JSON of an event with the sign; none where a closer look finds nothing."""


def always(*rewrites: Rewrite) -> Callable[[bytes], Sequence[Rewrite]]:
    """The same rewrites whatever a closer look would find."""
    return lambda body: rewrites


def sub(pattern: re.Pattern[str], by: str | Callable[[re.Match[str]], str] = SECRET) -> Callable[[str], str]:
    """What puts something in the place of all that a pattern finds."""
    return partial(pattern.sub, by)
