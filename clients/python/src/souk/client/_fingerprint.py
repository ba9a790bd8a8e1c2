"""The fingerprint of a search: one short key for all ways of writing the same parameters, the same in every language.

1. Strings and names are put into Unicode's NFC.
2. Members that are null, "", [] or {}, or that equal their default, are left out.
3. Lists of which the caller says that order means nothing lose their repeats, and are sorted by their elements' JSON.
4. What is left is written as JSON by RFC 8785 (no spaces, names sorted), in which numbers are integers of at most 2^53 - 1.
5. The first 16 bytes of its SHA-256, in lower-case base32 (RFC 4648) without padding: 26 letters and digits.
"""

import base64
import hashlib
import json
import unicodedata
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

from souk.client._errors import ParameterError

MAX_INTEGER = 2**53 - 1
"""What every language's JSON keeps exactly."""
MAX_DEPTH = 16


def fingerprint(
    parameters: Mapping[str, Any], *, unordered: Collection[str] = (), defaults: Mapping[str, Any] | None = None
) -> str:
    """26 letters and digits that are the same for the same search, for a key of the namespace `search`.

    parameters: strings, integers, booleans, None, and lists, sets and mappings of them. The order of names makes no difference, nor
    does what is empty. unordered: names of parameters whose lists have no order, as filters. defaults: what a parameter is where it
    is not given. Raises ParameterError, which says where, for anything else: floats, say prices in cents.
    """
    return digest(canonical(parameters, unordered=unordered, defaults=defaults))


def canonical(parameters: Mapping[str, Any], *, unordered: Collection[str] = (), defaults: Mapping[str, Any] | None = None) -> str:
    """The JSON that is hashed."""
    usual = _members(defaults or {}, (), unordered)
    given = _members(parameters, (), unordered)
    return _json({name: value for name, value in given.items() if name not in usual or _json(value) != _json(usual[name])})


def digest(text: str) -> str:
    """The fingerprint of canonical JSON."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:16]).decode().rstrip("=").lower()


def _members(given: Any, path: tuple[str, ...], unordered: Collection[str] = ()) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ParameterError("must be a mapping of names to values", path)
    if len(path) > MAX_DEPTH:
        raise ParameterError(f"must not be nested deeper than {MAX_DEPTH}", path[:1])
    members: dict[str, Any] = {}
    for name, value in given.items():
        if not isinstance(name, str):
            raise ParameterError(f"names must be strings, not {type(name).__name__}", path)
        normal = _text(name, (*path, name))
        if normal in members:
            raise ParameterError("is there twice, written differently in Unicode", (*path, name))
        members[normal] = _value(value, (*path, name), sort=normal in unordered)
    return {name: members[name] for name in sorted(members, key=_utf16) if not _is_empty(members[name])}


def _value(given: Any, path: tuple[str, ...], *, sort: bool = False) -> Any:
    match given:
        case None | bool():
            return given
        case int():
            if abs(given) > MAX_INTEGER:
                raise ParameterError("must be at most 2^53 - 1; write larger numbers as strings", path)
            return int(given)
        case str():
            return _text(given, path)
        case Mapping():
            return _members(given, path)
        case bytes() | bytearray():
            raise ParameterError("must be a string, not bytes", path)
        case Sequence() | Set():
            return _list(given, path, sort=sort or isinstance(given, Set))
    raise ParameterError(f"must be a string, an integer, a boolean, a list or a mapping, not {type(given).__name__}", path)


def _list(given: Collection[Any], path: tuple[str, ...], *, sort: bool) -> list[Any]:
    if len(path) > MAX_DEPTH:
        raise ParameterError(f"must not be nested deeper than {MAX_DEPTH}", path[:1])
    elements = [_value(each, (*path, str(index))) for index, each in enumerate(given)]
    if not sort:
        return elements
    distinct = {_json(each): each for each in elements}
    return [distinct[text] for text in sorted(distinct, key=_utf16)]


def _text(given: str, path: tuple[str, ...]) -> str:
    normal = unicodedata.normalize("NFC", given)
    if not normal.isascii() and any("\ud800" <= each <= "\udfff" for each in normal):
        raise ParameterError("must be Unicode text, without lone surrogates", path)
    return normal


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


def _utf16(text: str) -> bytes:
    """What RFC 8785 sorts by."""
    return text.encode("utf-16-be")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
