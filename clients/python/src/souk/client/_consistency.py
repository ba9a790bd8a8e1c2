"""Consistency tokens: which of two asks for more."""


def latest(first: str, second: str) -> str:
    """The one that asks for more; of those that cannot be compared, as of two databases, the second."""
    if not first:
        return second
    (one, *place), (other, *other_place) = _parts(first), _parts(second)
    return first if one == other and place > other_place else second


def _parts(token: str) -> list[int]:
    try:
        return [int(part, 16) for part in token.split("-")]
    except ValueError:
        return [-1]
