"""When a value is loaded anew before its TTL is over, so that nobody has to wait for it: XFetch."""

import math

from souk_cache.values import Value

EARLIEST = 0.5
"""Share of its TTL that a value is left alone for."""


def refresh_after(value: Value, beta: float, chance: float) -> float:
    """Seconds since a value was stored after which it is loaded anew, by `chance` (0 to 1, 1 excluded).

    What took longer to load is loaded anew earlier, and each node draws for itself (Vattani, Chierichetti, Lowenstein: Optimal
    Probabilistic Cache Stampede Prevention, VLDB 2015). Here it is drawn once for each node and value, not for each read: the
    first of all nodes is as early, and a hit compares two numbers. Where it is not known how long loading took, the TTL.
    """
    early = value.load_seconds * beta * -math.log(1.0 - chance)
    return max(value.fresh_for - early, value.fresh_for * EARLIEST)
