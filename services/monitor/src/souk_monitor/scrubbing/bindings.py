"""Secrets that a text binds to a name in a form of its own: elements and attributes, columns of SQL, parts of forms, locations."""

import re
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from souk_monitor.scrubbing.detectors import SECRET
from souk_monitor.scrubbing.names import Names

IsSensitive: TypeAlias = Callable[[str], bool]

_ELEMENT = re.compile(
    r"<(?P<tag>[\w:.-]{1,100}+)(?P<attributes>\s[^<>]{0,2000}+)?(?P<end>>(?:\s{0,100}<!\[CDATA\[)?|\Z)(?P<text>(?:(?!\]\]>)[^<>])*)"
)
_ESCAPED_ELEMENT = re.compile(r"(&lt;(?P<tag>[\w:.-]{1,100}+)(?:(?!&[lg]t;)[^<>]){0,300}&gt;)(?:(?!&[lg]t;)[^<>])+")
_ATTRIBUTE = re.compile(r"([\w:.-]{1,100}+)(\s{0,8}=\s{0,8})(\\*(?:\"[^\"\\]*+|'[^'\\]*+)|[^\s\"'\\>/]++)")
_NAMING, _VALUES = ("name", "key", "id", "property", "type"), ("value", "content", "default")
_ROW_KEY = re.compile(r"(?i)(\bkey \((?P<names>[^=\n]{1,400}+)(?<=\))=\()(?P<values>[^\n]*+)")
_DUPLICATE = re.compile(r"(?i)(duplicate entry ')[^'\n]*+(' for key '(?P<names>[^'\n]{1,200}+)')")
_INSERT = re.compile(
    r"(?i)(\binto\s{1,8}[^\s(]{1,200}\s{0,8}\((?P<names>[^()]{1,4000}+)\)[\w\s]{0,200}?\bvalues\b)(?P<values>[\s\S]*+)"
)
_SQL_TEXT = re.compile(r"'[^'\\]*+(?:(?:''|\\[\s\S])[^'\\]*+)*(?:'(?!')|\Z)")
_LOCATION = re.compile(
    r"(?m)(?P<before>(?:^|\\n)(?P<names>[^\s\\][^\n\\]{0,300})(?:\n|\\n)[ \t]{1,8}(?:(?!\\n|input_value=)[^\n])*input_value=)"
    r"(?P<value>(?:(?!\\n)[^\n])*)"
)
_LINE_END = r"(?:\r?\n|\\{1,8}r\\{1,8}n|\\{1,8}n)"
_FORM_PART = re.compile(
    r"(?i)(form-data;[^\r\n\\]{0,100}?\bname=\\*\"?(?P<names>[^\"\r\n;\\]{1,100}+)\\*\"?[^\r\n\\]{0,200}+"
    rf"{_LINE_END}(?:content-[^\r\n\\]{{1,200}}+{_LINE_END}){{0,4}}{_LINE_END})(?:(?!{_LINE_END}--)[\s\S])*"
)
_PERCENT = "%(?:25){0,3}"
_QUOTE, _SPACE = f"{_PERCENT}22", rf"(?:{_PERCENT}20|\+)?"
_ENCODED = re.compile(
    rf"(?i)({_QUOTE}(?P<names>[\w.-]{{1,100}}){_QUOTE}{_SPACE}(?:{_PERCENT}3a|:){_SPACE})"
    rf"(?:(?P<quote>{_QUOTE})(?:{_PERCENT}5c{_QUOTE}|(?!{_QUOTE})[^\s&\"'])*|[^\s&\"'%,}}]++)"
)
_PROSE = re.compile(
    r"(?i)(?<![a-z])((?:with|using) (?:(?:the|a|an|my|your|this|new|old|wrong) )?(?P<names>[\w-]{2,60}(?: key| phrase)?) )"
    r"(?P<value>[^\s\"'<>,;]{4,}+)"
)
_USED_OTHERWISE = frozenset(("session", "seed", "auth", "pin"))
"""Names that are mostly of something else, where a sentence has them."""
_PLAIN_WORD = re.compile(r"[\W_]*+(?:[A-Za-z]?[a-z]*|[A-Z]*)[\W_]*+")
_NETRC = re.compile(
    r"(?i)((?P<machine>\b(?:machine\s{1,8}\S{1,200}|default)\s{1,8})?\blogin\s{1,8}\S{1,200}\s{1,8}(?:account\s{1,8}\S{1,200}\s{1,8})?password\s{1,8})"
    r"(?P<value>[^\s\"',;]++)"
)
_BY = r"\s{1,8}(?:with\s{1,8}\S{1,100}\s{1,8})?(?:by|as)\s{1,8}(?:password\s{1,8})?"
_SQL_LOGIN = re.compile(
    rf"(\bIDENTIFIED(?i:{_BY})|(?i:\b(?:user|role)\s{{1,8}}\S{{1,200}}\s{{1,8}}identified{_BY}))"
    r"(?:'[^'\\]*+(?:\\[\s\S][^'\\]*+)*'?|\"[^\"]*+\"?|[^\s;,)\"']++)"
)
_NAME = re.compile(r"[\w$-]+")
_MARK = re.compile(r"(?<![^\W_])\[secret\]\Z")
_MARKUP_NAME = re.compile(r"[\w-]+(?=[\]\\\"']{0,4}\Z)")


def _any(names: str, is_sensitive: IsSensitive) -> bool:
    return any(map(is_sensitive, _NAME.findall(names)))


def _last(name: str, is_sensitive: IsSensitive) -> bool:
    part = _MARKUP_NAME.search(name)
    return part is not None and not _MARK.search(name) and is_sensitive(part[0])


def _element(is_sensitive: IsSensitive, match: re.Match[str]) -> str:
    """A tag and the text after it. Without an end of the element after that it may be a type, as List<Token>, or a place-holder."""
    tag, attributes, end, text = match.groups("")
    secret = _last(tag, is_sensitive)
    if attributes and _names_secret(attributes, is_sensitive):
        attributes, secret = _ATTRIBUTE.sub(_without_value, attributes), secret or not _is_empty(tag, attributes)
    if secret and text.strip() and _is_content(match):
        text = SECRET
    return f"<{tag}{attributes}{end}{text}"


def _is_empty(tag: str, attributes: str) -> bool:
    return attributes.endswith("/") or tag.lower() in ("input", "meta")


def _is_content(match: re.Match[str]) -> bool:
    whole, end = match.string, match.end()
    if end == len(whole):
        return match["text"][:1].isalnum() and not (match.start() and whole[match.start() - 1].isalnum())
    return whole.startswith(("</", "]]>"), end)


def _names_secret(attributes: str, is_sensitive: IsSensitive) -> bool:
    return any(each[1].lower() in _NAMING and _last(each[3], is_sensitive) for each in _ATTRIBUTE.finditer(attributes))


def _without_value(match: re.Match[str]) -> str:
    name, between, value = match.groups()
    if name.lower() not in _VALUES:
        return match[0]
    quote = value[: len(value) - len(value.lstrip("\\\"'"))]
    return f"{name}{between}{quote}{SECRET}" if value != quote else match[0]


def _row_key(is_sensitive: IsSensitive, match: re.Match[str]) -> str:
    """PostgreSQL's `Key (names)=(values)`."""
    _, found, after = match["values"].rpartition(")")
    return f"{match[1]}{SECRET}{found}{after}" if _any(match["names"], is_sensitive) else match[0]


def _duplicate(is_sensitive: IsSensitive, match: re.Match[str]) -> str:
    """MySQL's `Duplicate entry 'value' for key 'name'`."""
    return f"{match[1]}{SECRET}{match[2]}" if _last(match["names"], is_sensitive) else match[0]


def _insert(is_sensitive: IsSensitive, match: re.Match[str]) -> str:
    """All texts after the columns: of the statement, and of what shows its parameters."""
    if not _any(match["names"], is_sensitive):
        return match[0]
    return match[1] + _SQL_TEXT.sub(f"'{SECRET}'", match["values"])


def _location(is_sensitive: IsSensitive, match: re.Match[str]) -> str:
    """pydantic's place of a value, with the value in the line below."""
    if not _any(match["names"], is_sensitive):
        return match[0]
    value, found, after = match["value"].rpartition(", input_type=")
    return f"{match['before']}{SECRET}{found}{after}" if value else f"{match['before']}{SECRET}"


def _form_part(is_sensitive: IsSensitive, match: re.Match[str]) -> str:
    return f"{match[1]}{SECRET}" if _any(match["names"], is_sensitive) else match[0]


def _encoded(is_sensitive: IsSensitive, match: re.Match[str]) -> str:
    return f"{match[1]}{match['quote'] or ''}{SECRET}" if _any(match["names"], is_sensitive) else match[0]


def _prose(is_sensitive: IsSensitive, match: re.Match[str]) -> str:
    """`with password x`, where it cannot be a word of the sentence."""
    if match["names"].lower() in _USED_OTHERWISE or _PLAIN_WORD.fullmatch(match["value"]) or not is_sensitive(match["names"]):
        return match[0]
    return f"{match[1]}{SECRET}"


def _netrc(_: IsSensitive, match: re.Match[str]) -> str:
    is_word = match["machine"] is None and _PLAIN_WORD.fullmatch(match["value"])
    return match[0] if is_word else f"{match[1]}{SECRET}"


def _sql_login(_: IsSensitive, match: re.Match[str]) -> str:
    quote = match[0][match.end(1) - match.start() :][:1]
    return f"{match[1]}{quote}{SECRET}{quote}" if quote in "'\"" else f"{match[1]}{SECRET}"


_FORMS: tuple[tuple[str, re.Pattern[str], Callable[[IsSensitive, re.Match[str]], str]], ...] = (
    ("<", _ELEMENT, _element),
    ("&lt;", _ESCAPED_ELEMENT, lambda known, match: f"{match[1]}{SECRET}" if _last(match["tag"], known) else match[0]),
    (")=(", _ROW_KEY, _row_key),
    ("duplicate entry", _DUPLICATE, _duplicate),
    ("values", _INSERT, _insert),
    ("input_value=", _LOCATION, _location),
    ("form-data", _FORM_PART, _form_part),
    ("22", _ENCODED, _encoded),
    ("with ", _PROSE, _prose),
    ("using ", _PROSE, _prose),
    ("login", _NETRC, _netrc),
    ("identified", _SQL_LOGIN, _sql_login),
)
HINTS = (
    (")=(", r"\)=\("),
    ("values", "(?i:values)"),
    ("input_value=", "input_value="),
    ("form-data", "(?i:form-data)"),
    ("22", rf"{_QUOTE}[%:+]"),
    ("identified", "(?i:identified)"),
)
"""What is in a text that has one of these forms, and its sign; in the others the name is followed as in an assignment."""


class Bindings:
    """Takes out of texts what such forms bind to sensitive names."""

    def __init__(self, named: re.Pattern[str], names: Names) -> None:
        """named: what is in all names that are looked at."""
        self._named = named
        self._names = names

    def rewrite(self, text: str, lower: str) -> str:
        """The text without it. lower: the text in lower case."""
        for needed, pattern, rewrite in _FORMS:
            if needed in lower:
                text = pattern.sub(partial(rewrite, self._is_sensitive), text)
        return text

    def _is_sensitive(self, name: str) -> bool:
        return self._named.search(name) is not None and self._names.is_sensitive(name)
