"""Secrets that a text names: password=…, "token": "…", Cookie: …, --api-key …, of connection strings, queries, headers, dumps."""

import re
from collections.abc import Iterable
from functools import partial

from souk_monitor.scrubbing.names import WHOLE, Names
from souk_monitor.scrubbing.texts import SECRET, Body, Rewrite

_WORDS = (
    "passw", "passphrase", "pwd", "secret", "token", "authorization", "credential", "mnemonic", "csrf", "xsrf", "cvv", "cvc",
    "cookie",
)  # fmt: skip
_PAIRS = (
    *((first, "key") for first in ("api", "access", "private", "priv", "signing", "encryption", "account", "auth", "wallet")),
    *(("seed", "phrase"), ("recovery", "phrase"), ("session", "id"), ("card", "number"), ("credit", "card"), ("security", "code")),
)
_NAME = "|".join(
    (
        *(word.replace("passw", "passw(?:or)?d") for word in _WORDS if word != "cookie"),
        *(f"{first}[ _-]?{second}" for first, second in _PAIRS),
    )
)
_END = r"(?:\\*[\"']?\]?)"
_VALUE = (
    r"b?\"(?:[^\"\\]|\\[\s\S])*+(?:\"|$)|b?'(?:[^'\\]|\\[\s\S])*+(?:'|$)|\\+\"[^\"]*+(?:\"|$)|\\+'[^']*+(?:'|$)"
    r"|(?:bearer|basic|digest|token|apikey|negotiate) +[^\s\"',;]+"
    r"|\{[^{}]{0,4096}\}?|\[[^\[\]]{0,4096}\]?|\([^()]{0,4096}\)?"
    r"|(?:[^\s;,&\"'<>\\]|[&,](?=[^\s\"'])(?![\w.\[\]-]{1,40}[=:])|\\(?![\"'nrt]))++"
)
_QUOTED_VALUE = r"[bfru]{0,2}\"(?:[^\"\\]|\\[\s\S])*+\"|[bfru]{0,2}'(?:[^'\\]|\\[\s\S])*+'"
_BETWEEN = (
    rf"{_END}[ \t]{{0,8}}(?:=>|={{1,3}}|:=|:|->|%3d)[ \t]{{0,8}}|\\*[\"']\)?[ \t]{{0,4}},[ \t]{{0,4}}(?=\\*b?[\"'])"
    r"|[ \t]{1,4}(?:is|was)[ \t]{1,4}(?=[\"']|\S{0,64}\d)|[ \t]{1,4}(?=[\"'`])"
)
_COOKIE = re.compile(r"(?i)(cookies?\d?\\*[\"']?[ \t]{0,4}[:=][ \t]{0,4}\\*b?[\"']?)([^\n\r\"'\\]{2,}+)")
_OPENING = re.compile(r"(\\*)[bfru]{0,2}([\"'])")
_NAME_CHARACTERS = re.compile(r"[\w.-]{0,40}$")


def _pattern(names: str, value: str) -> re.Pattern[str]:
    short = "|".join(WHOLE)
    return re.compile(
        rf"(?i)(?P<name>(?:{names}|(?<![a-z0-9])(?:{short})(?![a-z0-9]))[\w-]{{0,40}}+)(?P<between>{_BETWEEN})(?P<value>{value})"
    )


class Assignments:
    """Takes out of texts what is given to sensitive names."""

    def __init__(self, names: Names, added: Iterable[str] = ()) -> None:
        own = [re.escape(name) for name in added if name]
        every = "|".join((*own, _NAME))
        self._names = names
        self._any = _pattern(every, _VALUE)
        self._quoted = _pattern(every, _QUOTED_VALUE)
        self._flag = re.compile(rf"(?i)(--[\w-]{{0,40}}?(?:{every})[\w-]{{0,40}}[ =])([^\s\"']++)")
        self._words = [(word.encode(), word) for word in (*_WORDS, *(name.lower() for name in added if name))]
        self._pairs = [(second.encode(), second, firsts) for second, firsts in _firsts().items()]
        self._short = [(word.encode(), f" {word} ".encode(), word) for word in WHOLE]

        roots = [root for root, _ in self._words] + [root for root, _, _ in self._pairs] + [root for root, _, _ in self._short]
        self.suspicious = rb"(?i:" + rb"|".join(map(re.escape, roots)) + rb")"
        """What is in words that name something sensitive."""

    def hints(self, body: Body) -> tuple[str, ...]:
        """What a text of the event has in it, in lower case, where it names something sensitive."""
        lower = body.suspects.lower()
        found = {word for sign, word in self._words if sign in lower}
        found |= {second for sign, second, signs in self._pairs if sign in lower and any(pair in body.flat() for pair in signs)}
        found |= {word for root, sign, word in self._short if root in lower and sign in body.flat()}
        return tuple(found)

    def of_text(self, hints: tuple[str, ...], needed: str = "") -> Rewrite:
        """What rewrites texts that have `needed` in them."""
        return Rewrite(5, needed, partial(self._rewrite, hints))

    def of_source(self, hints: tuple[str, ...]) -> Rewrite:
        """What rewrites lines of source: only literals are values there."""
        return Rewrite(5, "", partial(self._rewrite_source, hints))

    def _rewrite(self, hints: tuple[str, ...], text: str) -> str:
        lower = text.lower()
        for hint in hints:
            if hint in lower:
                break
        else:
            return text
        if "cookie" in lower:
            text = _COOKIE.sub(rf"\1{SECRET}", text)
        if "--" in text:
            text = self._flag.sub(rf"\1{SECRET}", text)
        return self._any.sub(self._replaced, text)

    def _rewrite_source(self, hints: tuple[str, ...], text: str) -> str:
        lower = text.lower()
        return self._quoted.sub(self._replaced, text) if any(hint in lower for hint in hints) else text

    def _replaced(self, match: re.Match[str]) -> str:
        before = _NAME_CHARACTERS.search(match.string[max(0, match.start() - 40) : match.start()])
        name = (before[0] if before else "") + match["name"]
        if not self._names.is_sensitive(name.rpartition(".")[2]):
            return match[0]
        opening = _OPENING.match(match["value"])
        kept = f"{opening[0]}{SECRET}{opening[1]}{opening[2]}" if opening else SECRET
        return f"{match['name']}{match['between']}{kept}"


def _firsts() -> dict[str, list[bytes]]:
    """Second word of a name -> the name in the forms that it has where everything but letters is a space."""
    forms: dict[str, list[bytes]] = {}
    for first, second in _PAIRS:
        forms.setdefault(second, []).extend((f"{first}{second}".encode(), f"{first} {second}".encode()))
    return forms
