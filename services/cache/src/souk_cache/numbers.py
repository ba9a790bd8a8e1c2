"""Versions and source tokens as Redis keeps them: texts of one length."""

from souk_cache.scripts import POSITION_DIGITS


def padded(number: int | None) -> str:
    """A number so that texts compare as numbers do; '' for None."""
    return "" if number is None else f"{number:0{POSITION_DIGITS}}"


def number(padded: str) -> int | None:
    """A version or a source token, as Redis keeps it; None where there is none."""
    return int(padded) if padded else None
