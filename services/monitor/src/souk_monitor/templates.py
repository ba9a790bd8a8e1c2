"""Messages of one kind as one text: what a program wrote, without what it put into it.

A reporter's own template and a message with the values in it are to give the same, so the template's placeholders become
the `*` that parameterising leaves. Nothing is kept of messages that came before. A tree that learns (Drain, He et al. 2017)
finds free words that change, but what it makes of a message depends on those before it, differs by node and restart, and
would move an issue under its users; a fingerprint here is a function of the event alone. What shape cannot tell is told by the
template of logging calls, by the reporter's fingerprint, or by merging.
"""

import re
from functools import lru_cache

from souk_monitor.messages import LONGEST, parameterise

_PLACEHOLDER = re.compile(
    r"%\(\w{1,60}\)[-#0+ ]?\d*(?:\.\d+)?[a-zA-Z]"  # %(name)s
    r"|%[-#0+]?(?:\d+|\*)?(?:\.\d+)?[hlqLjzt]{0,2}[a-zA-Z](?![a-zA-Z])"  # %s, %5.2f, %lld
    r"|\$?\{[^{}\s]{0,80}\}|#\{[^{}]{0,80}\}|<\*>"  # {}, {name}, ${name}, #{name}
)
MOST_WORDS = 48
"""Of a template; what comes after is mostly data."""
_REMEMBERED = 2048
"""Messages that are not looked at again when they come again, as many do."""


def of_message(message: str) -> str:
    """The template of a message: one line, `*` for what changes."""
    return _of_message(message[:LONGEST])


@lru_cache(maxsize=_REMEMBERED)
def _of_message(message: str) -> str:
    return _first_words(parameterise(message))


def of_template(template: str) -> str:
    """The same of a template as the program has it: `order %s of {user}` is `order * of *`."""
    return of_message(_PLACEHOLDER.sub("0", template[: 2 * LONGEST]))


def _first_words(text: str) -> str:
    if text.count(" ") < MOST_WORDS:
        return text
    return " ".join(text.split(" ", MOST_WORDS)[:MOST_WORDS])
