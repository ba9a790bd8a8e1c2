"""Secrets that a text names: password=…, "token": "…", Cookie: …, --api-key …, of connection strings, queries, headers, dumps."""

import re
from collections.abc import Iterable
from functools import partial

from souk_monitor.scrubbing import bindings, remarks
from souk_monitor.scrubbing.bindings import Bindings
from souk_monitor.scrubbing.detectors import SECRET, Rewrite
from souk_monitor.scrubbing.names import WHOLE, WITHIN, Names
from souk_monitor.scrubbing.signs import assigned, assigned_whole, exactly

_OF_FIELDS_ONLY = ("session", "bearer", "keystore")
"""Of a text they mostly say something else."""
_WORDS = tuple(word for word in (*WITHIN, "session id") if word not in _OF_FIELDS_ONLY)
_TILDE = "contrasena"
_END = r"(?:\\*[\"']?\]?)"
_DIGEST = r"(?:digest|oauth|hawk|signature|token)(?:,?[ \t]{1,4}[\w-]{1,40}=(?:\\*\"[^\"\n]*+\"|[^\s,\"']++))+"
_VALUE = (
    r"b?\"[^\"\\]*+(?:\\[\s\S][^\"\\]*+)*(?:\"|$)|b?'[^'\\]*+(?:\\[\s\S][^'\\]*+)*(?:'|$)|\\+\"[^\"]*+(?:\"|$)|\\+'[^']*+(?:'|$)"
    rf"|{_DIGEST}|(?:bearer|basic|digest|token|apikey|negotiate|ntlm|ssws|splunk) +[^\s\"',;]+"
    r"|\{[^{}]{0,4096}\}?|\[[^\[\]]{0,4096}\]?|\([^()]{0,4096}\)?"
    r"|(?:[^\s;,&\"'<>\\]|[&,](?=[^\s\"'])(?!(?:quot|apos|#x?\d\d);|[\w.\[\]-]{1,40}[=:])|\\(?![\"'nrt]))+"
)
_LITERAL = "(?:[bfru$@]{{0,2}}(?:{}|{})|{})".format(*(rf"{mark}[^{mark}\\]*+(?:\\[\s\S][^{mark}\\]*+)*{mark}" for mark in "\"'`"))
_LITERALS = rf"{_LITERAL}(?:[ \t]{{0,4}}[+.&]?[ \t]{{0,4}}{_LITERAL})*"
_QUOTE_COMMA = r"\\*[\"']\)?[ \t]{0,4},[ \t]{0,4}"
_VALUE_FIELD = r"\\*[\"']\s{0,40},\s{0,40}\\*[\"']?values?\\*[\"']?[ \t]{0,4}(?::|=>|=)[ \t]{0,4}"
_ENTITY = r"&(?:quot|apos|#34|#39|#x27);"
_BETWEEN = (
    rf"{_END}[ \t]{{0,8}}(?:=>|={{1,3}}|:=|:(?!:)|->|%3d)[ \t]{{0,8}}|{_VALUE_FIELD}|{_QUOTE_COMMA}(?=\\*b?[\"'])"
    r"|[ \t]{1,4}(?:is|was)[ \t]{1,4}(?=[\"']|\S{0,64}\d)|[ \t]{1,4}(?=[\"'`])"
    rf"|{_ENTITY}[ \t]{{0,4}}[:=][ \t]{{0,4}}(?:{_ENTITY})?"
)
_TYPE = r"[\w.&*?'<>\[\] ]{0,30}?(?:str|text|bytes|char|any|final|secret)[\w.?|<>\[\] ]{0,30}?"
_SOURCE_BETWEEN = (
    rf"{_END}(?:\[\w{{0,10}}\]|[?!])?(?:[ \t]{{0,4}}:[ \t]{{0,4}}{_TYPE}|[ \t]{{1,4}}{_TYPE})?"
    r"[ \t]{0,8}(?:=>|={1,3}|!={1,2}|:=|->|:)[ \t]{0,8}(?:\([ \t]{0,4})?"
    rf"|{_QUOTE_COMMA}|{_END}[\])]{{0,2}}[ \t]{{1,4}}(?:\|\||\?\?|\?:|or|is|was)[ \t]{{1,4}}|[ \t]{{1,4}}"
)
_SETTING_BETWEEN = r"[\"']?[ \t]{0,8}(?:=>|={1,3}|:=|:(?![:/]))[ \t]{0,8}"
_COOKIE = re.compile(r"(?i)(cookies?\d?\\*[\"']?[ \t]{0,4}[:=][ \t]{0,4}\\*b?[\"']?)([^\n\r\"'\\]{2,}+)")
_OPENING = re.compile(r"(\\*)[bfru$@]{0,2}([\"'`])")
_MARK = re.compile(r"(?<![^\W_])\[secret(?=\])")
_LINE_START = re.compile(r"(?i)\s*(?:- |export |setx? |env |arg )?[\w.\"'-]*")
_LONGEST_BEFORE = 200
_MOST_LOOKS = 100
"""Of one text into values that are not taken out."""
_NAME_CHARACTERS = re.compile(r"[\w.-]{0,40}\Z")


def _within_texts(word: str) -> str:
    return "contrase(?:\u00f1|n\u0303?)a" if word == _TILDE else word.replace(" ", "[ _-]?")


_NAMES = "|".join(map(_within_texts, (word for word in _WORDS if word != "cookie")))
_SHORT = "|".join(map(_within_texts, WHOLE))


class Assignments:
    """Takes out of texts what is given to sensitive names."""

    def __init__(self, names: Names, added: Iterable[str] = ()) -> None:
        long = "|".join((*(re.escape(name) for name in added if name), _NAMES))
        every = rf"(?:{long}|(?<![a-z0-9])(?:{_SHORT})(?![a-z0-9]))"
        name = rf"(?i)(?P<name>{every}[\w-]{{0,40}}+)"
        self._names = names
        self._any = re.compile(rf"{name}(?P<between>{_BETWEEN})(?P<value>{_VALUE})")
        self._quoted = re.compile(rf"{name}(?P<between>{_SOURCE_BETWEEN})(?P<value>{_LITERALS})")
        self._setting = re.compile(rf"{name}(?P<between>{_SETTING_BETWEEN})(?P<value>{_LITERAL}|[^\s\"'`{{\[][^\r\n]*+)")
        self._flag = re.compile(rf"(?i)(--[\w-]{{0,40}}?(?:{long})[\w-]{{0,40}}[ =])([^\s\"']++)")
        self._bindings = Bindings(re.compile(f"(?i){every}"), names)

    def of_text(self, hints: tuple[str, ...], needed: str = "") -> Rewrite:
        """What rewrites texts that have `needed` in them."""
        return Rewrite(5, needed, partial(self._rewrite, hints))

    def of_source(self, hints: tuple[str, ...]) -> Rewrite:
        """What rewrites lines of source: only literals are values there."""
        return Rewrite(5, "", partial(self._rewrite_source, hints))

    def of_settings(self, hints: tuple[str, ...]) -> Rewrite:
        """What rewrites lines of files that are no code: all that is after a name is its value."""
        return Rewrite(5, "", partial(self._rewrite_settings, hints))

    def _rewrite(self, hints: tuple[str, ...], text: str) -> str:
        lower = text.lower()
        for hint in hints:
            if hint in lower:
                break
        else:
            return text
        if "cookie" in lower:
            text = _COOKIE.sub(_cookie, text)
        if "--" in text:
            text = self._flag.sub(rf"\1{SECRET}", text)
        return self._without(self._any, self._bindings.rewrite(text, lower))

    def _rewrite_source(self, hints: tuple[str, ...], text: str) -> str:
        lower = text.lower()
        return self._without(self._quoted, text) if any(hint in lower for hint in hints) else text

    def _rewrite_settings(self, hints: tuple[str, ...], text: str) -> str:
        return self._without(self._setting, self._rewrite_source(hints, text))

    def _without(self, pattern: re.Pattern[str], text: str) -> str:
        """A text without what the matches of a pattern give away. What is not taken out is looked through for others."""
        kept: list[str] = []
        end = start = looks = 0
        while match := pattern.search(text, start):
            replaced = self._replaced(match) if pattern is not self._setting or _begins_line(match) else None
            if replaced is None:
                looks += 1
                start = match.start("value") if looks <= _MOST_LOOKS else match.end()
            else:
                kept += [text[end : match.start()], replaced]
                start = end = match.end()
        return "".join((*kept, text[end:])) if kept else text

    def _replaced(self, match: re.Match[str]) -> str | None:
        """What is left of a match; None: all of it."""
        if _MARK.match(match.string, match.start() - 1):
            return None
        before = _NAME_CHARACTERS.search(match.string[max(0, match.start() - 40) : match.start()])
        name = ((before[0] if before else "") + match["name"]).rpartition(".")[2]
        if not self._names.is_sensitive(name) or remarks.is_remark(name, match):
            return None
        opening = _OPENING.match(match["value"])
        kept = f"{opening[0]}{SECRET}{opening[1]}{opening[2]}" if opening else SECRET
        return f"{match['name']}{match['between']}{kept}"


def _begins_line(match: re.Match[str]) -> bool:
    """Whether what is named is the first word of its line."""
    start = match.start()
    line = match.string.rfind("\n", 0, start) + 1
    return start - line <= _LONGEST_BEFORE and _LINE_START.fullmatch(match.string, line, start) is not None


def _cookie(match: re.Match[str]) -> str:
    first = match[2].partition(" ")[0]
    is_remark = "=" not in match[2] and (remarks.is_empty(first) or remarks.is_word(first))
    return match[0] if is_remark else f"{match[1]}{SECRET}"


def hints(added: Iterable[str]) -> list[tuple[str, str]]:
    """Of names that a project adds."""
    return [(name.lower(), assigned(exactly(name))) for name in added if name]


def _hint(word: str) -> tuple[str, str]:
    """What is in a text that names a word, in lower case; and how its bytes are spelled."""
    if word == _TILDE:
        return "contrase", r"contrase(?:\xc3[\xb1\x91]|n(?:\xcc\x83)?)a"
    return word.rpartition(" ")[2], word.replace(" ", "[ _-]?")


HINTS = (
    *((hint, assigned(spelling)) for hint, spelling in map(_hint, _WORDS)),
    *((hint, assigned_whole(spelling)) for hint, spelling in map(_hint, WHOLE)),
    *bindings.HINTS,
)
"""Those of the names that are always sensitive."""
