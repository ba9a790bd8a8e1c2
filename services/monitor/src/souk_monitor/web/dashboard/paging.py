"""Pages of a list that grows at its beginning: each says where the next one begins, and where the one before ends.

A page is known by the entry beside it, not by a number: what is new at the beginning moves nothing, so that going on and back
again shows the same.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.datastructures import QueryParams

PAGE_TOKEN, BACK_TOKEN = "page", "back"
E = TypeVar("E")
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Page(Generic[E]):
    """A page."""

    shown: Sequence[E]
    first: E | None
    """The first one of it, where there are others before."""
    last: E | None
    """The last one of it, where there are others after."""


async def page_of(
    params: QueryParams,
    *,
    read: Callable[[str], P | None],
    after: Callable[[P | None, int], Awaitable[Sequence[E]]],
    before: Callable[[P, int], Awaitable[Sequence[E]]],
    size: int,
) -> Page[E]:
    """The page that an address asks for. read: the place that a token says; after and before: so many entries next to a place.

    The first page is always a full one: who goes back to less than that is shown the list from its beginning, and so is who goes
    on where nothing is left.
    """
    back = read(params.get(BACK_TOKEN, ""))
    if back is not None:
        found = await before(back, size + 1)
        if len(found) > size:
            shown = found[-size:]
            return Page(shown, shown[0], shown[-1])
    place = read(params.get(PAGE_TOKEN, "")) if back is None else None
    found = await after(place, size + 1)
    if place is not None and not found:
        place, found = None, await after(None, size + 1)
    shown = found[:size]
    return Page(shown, shown[0] if place is not None else None, shown[-1] if len(found) > size else None)
