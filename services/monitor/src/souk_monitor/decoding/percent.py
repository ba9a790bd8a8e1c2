"""Messages with their parameters, as Python's logging formats them and SDKs of other languages do, within a budget of characters.

A width or a precision would make a great text of a small one: of a template those of two digits are followed, and no others.
"""

import re
from collections.abc import Iterator, Mapping

from souk_monitor.decoding.lenient import list_of, text_of
from souk_monitor.events import Json

MAX_TEMPLATE = 8192
"""Characters of a template that is formatted; a longer one stays as it is."""
MAX_MESSAGE = 65_536
"""Characters after which no more parameters are put into a message; what comes of one parameter is small."""
_MAX_PARAM = 1000
_SPECIFIER = re.compile(r"%(?:\(([^()]*)\))?([#0 +-]*(?:\d{1,2})?(?:\.\d{0,2})?)[hlL]?([diouxXeEfFgGcrsa%])")


def formatted(template: str, params: Json) -> str:
    """The message; the template where there are no parameters, or not those that it asks for."""
    if not params or len(template) > MAX_TEMPLATE:
        return template
    try:
        return "".join(_within(MAX_MESSAGE, _parts(template, _keyed(params))))
    except (TypeError, ValueError, KeyError, OverflowError):
        return template


def _keyed(params: Json) -> dict[str | int, Json]:
    return params if isinstance(params, dict) else dict(enumerate(list_of(params)))


def _within(budget: int, parts: Iterator[str]) -> Iterator[str]:
    for part in parts:
        yield part
        budget -= len(part)
        if budget < 0:
            return


def _parts(template: str, params: Mapping[str | int, Json]) -> Iterator[str]:
    """params: by name, or by position. ValueError, TypeError, KeyError, OverflowError: the template asks for others."""
    shown: dict[str | int, Json] = {}
    start = positions = 0
    for found in _SPECIFIER.finditer(template):
        yield _literal(template[start : found.start()])
        start = found.end()
        name, how, kind = found.groups()
        if kind == "%":
            yield "%"
            continue
        key: str | int = positions if name is None else name
        if key not in shown:
            shown[key] = _param(params[key])
        yield f"%{how}{kind}" % (shown[key],)
        positions += name is None
    yield _literal(template[start:])
    if positions < sum(key.__class__ is int for key in params):
        raise ValueError("too many parameters")


def _literal(text: str) -> str:
    if "%" in text:
        raise ValueError("a specifier that is none")
    return text


def _param(value: Json) -> Json:
    return value if isinstance(value, int | float) else text_of(value)[:_MAX_PARAM]
