"""Secrets that a text names: password=…, "token": "…", Cookie: …, --api-key …, of connection strings, queries, headers, dumps."""

import re
from collections.abc import Iterable
from functools import partial

from souk_monitor.scrubbing.names import WHOLE, Names
from souk_monitor.scrubbing.signs import assigned, assigned_whole, exactly
from souk_monitor.scrubbing.texts import SECRET, Rewrite

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
_UNEXPECTED = "unexpected "
_NAME_CHARACTERS = re.compile(r"[\w.-]{0,40}\Z")


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
        if not self._names.is_sensitive(name.rpartition(".")[2]) or _is_of_parser(match):
            return match[0]
        opening = _OPENING.match(match["value"])
        kept = f"{opening[0]}{SECRET}{opening[1]}{opening[2]}" if opening else SECRET
        return f"{match['name']}{match['between']}{kept}"


def _is_of_parser(match: re.Match[str]) -> bool:
    """Whether it is what a parser did not expect: of the program's text, as in V8's "Unexpected token 'export'"."""
    before = match.string[max(0, match.start() - len(_UNEXPECTED)) : match.start()]
    return match["name"] == "token" and match["between"].isspace() and before.lower() == _UNEXPECTED


def hints(added: Iterable[str]) -> list[tuple[str, str]]:
    """Of names that a project adds."""
    return [(name.lower(), assigned(exactly(name))) for name in added if name]


HINTS = (
    *((word, assigned(word)) for word in _WORDS),
    *((second, assigned(f"{first}[ _-]?{second}")) for first, second in _PAIRS),
    *((word, assigned_whole(word)) for word in WHOLE),
)
"""Those of the names that are always sensitive."""
