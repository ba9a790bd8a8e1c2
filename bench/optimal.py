"""The two bounds of a hit ratio: LRU, and the best that is possible (Belady, IBM Systems Journal 1966). Nothing of the code under
test is imported here."""

from collections import OrderedDict
from collections.abc import Sequence
from heapq import heappop, heappush


def lru_hits(requests: Sequence[str], size: int) -> int:
    """Hits of a memory of `size` entries that evicts what was used longest ago."""
    kept: OrderedDict[str, None] = OrderedDict()
    hits = 0
    for key in requests:
        if key in kept:
            hits += 1
            kept.move_to_end(key)
            continue
        if len(kept) >= size:
            kept.popitem(last=False)
        kept[key] = None
    return hits


def optimal_hits(requests: Sequence[str], size: int) -> int:
    """Hits of a memory of `size` entries that knows the future: what is asked for last of all goes, be it the new one."""
    next_use, seen = [0] * len(requests), dict[str, int]()
    for at in range(len(requests) - 1, -1, -1):
        next_use[at] = seen.get(requests[at], len(requests) + at)
        seen[requests[at]] = at
    kept: dict[str, int] = {}
    latest: list[tuple[int, str]] = []
    hits = 0
    for key, used_next in zip(requests, next_use, strict=True):
        hits += key in kept
        kept[key] = used_next
        heappush(latest, (-used_next, key))
        while len(kept) > size:
            negative, farthest = heappop(latest)
            if kept.get(farthest) == -negative:
                del kept[farthest]
    return hits
