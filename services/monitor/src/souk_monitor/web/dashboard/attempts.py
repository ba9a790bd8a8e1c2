"""How often it may be tried to log in, so that nobody guesses for long, nor keeps the node busy with it."""

import ipaddress
import time
from collections.abc import Callable

from souk_monitor.quotas import Quotas

_EVERYBODY = ""
MAX_ADDRESSES = 10_000
"""That are kept apart; with more, all begin anew, and the limit of all together is what holds."""


class Attempts:
    """The tries on this node."""

    def __init__(self, *, per_address: int, in_all: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Tries in a minute, from one address and from all. 0: no limit."""
        self._per_address = per_address
        self._in_all = in_all
        self._addresses: Quotas[str] = Quotas(clock)
        self._all: Quotas[str] = Quotas(clock)

    def take(self, address: str) -> float:
        """Count a try, and return 0; or count none, and return in how many seconds there may be one."""
        if len(self._addresses) >= MAX_ADDRESSES:
            self._addresses.clear()
        wait = self._addresses.take(_network(address), 1, self._per_address)
        return wait or self._all.take(_EVERYBODY, 1, self._in_all)


def _network(address: str) -> str:
    """What belongs to one subscriber: an IPv4 address, the first half of an IPv6 one."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address):
        return str(known.ipv4_mapped or ipaddress.ip_network((known, 64), strict=False))
    return address
