"""What engines of JavaScript say of a failure, in one wording for all browsers and builds.

Their messages have the expression that failed, which minifiers write anew with every build. Its last name stays, where it is long
enough to be one that a person gave.
"""

import re

_TYPES = frozenset(("TypeError", "ReferenceError", "RangeError", "SyntaxError", "InternalError"))
"""Those that engines raise."""

_SHORTEST = 4
"""Characters of a name that stays."""

_EXPRESSION = r"(?:(?:object|number|string|boolean) \S{1,60}|(?P<name>(?:\((?:0 ?,|\w{1,20}) ?[^()\s]{1,200}\))?\S{0,300}))"
"""As Chrome and Firefox write it: `e.items`, `(0 , o.useCart)`, `(intermediate value).then`, `object null`."""

_EVALUATED = r"\((?:near|evaluating) '(?P<name>.{1,800})'"
"""As Safari does, all of it."""

_END = r"(?=\.?(?:$|\n| \(| or ))"
_NOTHING = "(?P<nothing>undefined|null)"
_NO_OBJECT = "{} is not an object"
_NO_FUNCTION, _NO_CONSTRUCTOR, _NOT_ITERABLE = "not a function", "not a constructor", "not iterable"
_NOT_DEFINED, _NOT_INITIALIZED = "not defined", "not initialized"
RECURSION = "too much recursion"
"""What all of them say of a stack that overflowed."""

_NO_JSON = "not valid JSON"

_WORDINGS = tuple(
    (re.compile(pattern, re.DOTALL), said)
    for pattern, said in (
        (rf"Cannot (?:read|set) properties of {_NOTHING}(?: \((?:reading|setting) '(?P<name>[^']{{0,200}})'\))?", _NO_OBJECT),
        (rf"Cannot (?:read|set) property '(?P<name>[^']{{0,200}})' of {_NOTHING}{_END}", _NO_OBJECT),
        (rf"Cannot destructure (?:property '(?P<name>[^']{{0,200}})' of )?'.{{1,300}}' as it is {_NOTHING}{_END}", _NO_OBJECT),
        (rf"can't access property \"?(?P<name>[^\s\",]{{0,200}})\"?, .{{1,300}} is {_NOTHING}{_END}", _NO_OBJECT),
        (rf"{_NOTHING} is not an object(?: {_EVALUATED})?", _NO_OBJECT),
        (rf"{_EXPRESSION} is {_NOTHING}\.?$", _NO_OBJECT),
        (rf"\S{{1,60}} is not a function {_EVALUATED}", _NO_FUNCTION),
        (rf"\S{{1,60}} is not a constructor {_EVALUATED}", _NO_CONSTRUCTOR),
        (rf"{_EXPRESSION} is not a function{_END}", _NO_FUNCTION),
        (rf"{_EXPRESSION} is not a constructor{_END}", _NO_CONSTRUCTOR),
        (rf"{_EXPRESSION} is not iterable{_END}", _NOT_ITERABLE),
        (r"Invalid attempt to (?:spread|destructure|iterate) non-iterable instance|Spread syntax requires ", _NOT_ITERABLE),
        (r"(?P<name>[\w$]{1,200}) is not defined\.?$", _NOT_DEFINED),
        (r"Can't find variable: (?P<name>[\w$]{1,200})", _NOT_DEFINED),
        (r"Property '(?P<name>[\w$]{1,200})' doesn't exist", _NOT_DEFINED),
        (r"(?:Cannot access|can't access lexical declaration) '(?P<name>[\w$]{1,200})' before initialization", _NOT_INITIALIZED),
        (r"Cannot access uninitialized variable", _NOT_INITIALIZED),
        (r"Maximum call stack size exceeded|too much recursion", RECURSION),
        (r"JSON\.parse: |JSON Parse error: |Unexpected end of JSON input", _NO_JSON),
        (r".{1,800}(?: in JSON at position \d| after JSON at position \d| is not valid JSON$)", _NO_JSON),
        (
            r"(?:Failed to fetch|error loading) dynamically imported module|Importing a module script failed",
            "failed to load a module",
        ),
        (r"(?:Failed to fetch|Load failed)(?=$| \()|NetworkError when attempting to fetch|fetch failed$", "failed to fetch"),
    )
)
_INDIRECT = re.compile(r"^\(0 ?, ?([^()\s]+)\)")
_VALUES = frozenset(("undefined", "null", "object", "value", "true", "false"))


def kind_of(kind: str, message: str) -> str:
    """A type as all engines say it: too much recursion is Firefox's InternalError, and a RangeError elsewhere."""
    return "RangeError" if kind == "InternalError" and message.startswith(RECURSION) else kind


def worded(kind: str, message: str) -> str:
    """What an engine says, as it is said of all engines here: `not a function: useCart`; other messages as they are."""
    if kind not in _TYPES:
        return message
    for pattern, said in _WORDINGS:
        if found := pattern.match(message):
            parts = found.groupdict("")
            name = _last_name(parts.get("name", ""))
            said = said.format(parts.get("nothing"))
            return f"{said}: {name}" if name else said
    return message


def _last_name(expression: str) -> str:
    """`items` of `e.items`, `e.find((t) => t.id).items` and `e.items = 1`; empty: none that a person gave."""
    outside: list[str] = []
    depth = 0
    for character in _INDIRECT.sub(r"\1", expression):
        if character in "([{":
            if character == "[" and not depth:
                outside.append(".")
            depth += 1
        elif character in ")]}":
            depth = max(depth - 1, 0)
        elif not depth:
            outside.append(character)
    words = "".join(outside).strip("…").removesuffix("...").partition("=")[0].split()
    name = words[-1].rpartition(".")[2].removeprefix("#") if words else ""
    return name if len(name) >= _SHORTEST and name.replace("$", "_").isidentifier() and name not in _VALUES else ""
