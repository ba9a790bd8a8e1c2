"""What a text says of something sensitive, and is no value of it: token: expired, password: must have 8 characters."""

import re

_PARSED = re.compile(r"(?i)\b(?:un)?(?:expected|expecting|recognized|recognised|illegal)[ \t]{1,4}\Z")
"""Before a token of a parser: Unexpected token '<'."""
_OBJECT = re.compile(r" (?:not found|is forbidden|already exists)\b")
"""After the name of a Kubernetes secret: secret "shop-db" not found."""
_LONGEST_PARSED, _SHORTEST = 20, 4
"""Characters of what a parser has met, and of one with digits in it."""
_ASSET = re.compile(r"[a-z]{0,2}[A-Z]{2,6}")
"""The symbol of a token that is goods: USDC, stETH."""
_PUNCTUATION = " \t\\\"'`()[]{}.,;:!?"
_NOTHING = frozenset((
    "null", "none", "nil", "undefined", "true", "false", "nan", "empty", "yes", "no", "n/a", "<nil>", "<none>", "<null>",
    "redacted", "filtered", "hidden", "masked", "include", "omit", "same-origin",
))  # fmt: skip
"""Whether there is a value is no secret."""
_WORDS = frozenset((
    "malformed", "invalid", "missing", "required", "expired", "not", "must", "is", "was", "are", "has", "have", "had", "cannot",
    "can", "can't", "should", "shall", "too", "does", "do", "don't", "did", "didn't", "isn't", "wasn't", "unauthorized",
    "unauthorised", "unknown", "failed", "failure", "error", "revoked", "denied", "mismatch", "mismatched", "bad", "incorrect",
    "wrong", "absent", "unset", "unsupported", "unavailable", "forbidden", "rejected", "already", "exceeded", "exceeds",
    "contains", "may", "might", "needs", "need", "only", "please", "both", "at", "could", "couldn't", "field", "value", "blank",
    "changed", "created", "deleted", "updated", "unexpected", "expected", "inactive", "unverified", "verified", "valid", "ok",
    "timeout", "timed", "closed", "lost",
))  # fmt: skip
"""That begin a remark, or are one."""


def is_remark(name: str, match: re.Match[str]) -> bool:
    """Whether a match, with groups `name` and `value`, says something of a sensitive name and gives it no value."""
    value, start = match["value"], match.start()
    bare, lower = value.strip(_PUNCTUATION), name.lower()
    if not bare.strip("*") or bare.lower() in _NOTHING:
        return True
    digits = sum(map(str.isdigit, bare))
    if lower in ("token", "tokens") and "=" not in match["between"]:
        is_parsed = len(bare) <= (_LONGEST_PARSED if not digits else _SHORTEST)
        if _ASSET.fullmatch(bare) or (is_parsed and _PARSED.search(match.string, max(0, start - 20), start)):
            return True
    if lower in ("secret", "secrets") and match["between"] == " " and _OBJECT.match(match.string, match.end()):
        return True
    if (lower.endswith("tokens") and bare.isdigit() and digits < 10) or (lower.endswith("pan") and digits < 4):
        return True
    return is_word(value)


def is_empty(value: str) -> bool:
    """Whether nothing is in it, as in {}."""
    return not value.strip(_PUNCTUATION)


def is_word(value: str) -> bool:
    """Whether it is a word that remarks begin with, or says that there is no value."""
    word = value.strip(_PUNCTUATION).lower()
    return value[:1].isalpha() and (word in _WORDS or word in _NOTHING)
