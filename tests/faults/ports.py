"""Ports that stay one server's own over its restarts."""

import random
import socket
from pathlib import Path

_FIRST = 20_000
_taken: set[int] = set()


def lasting_port() -> int:
    """A free port below those that the kernel gives to outgoing connections: none of them takes it while its server is down, and
    nobody who connects to it then reaches himself."""
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(_FIRST, first_outgoing)
        with socket.socket() as probe:
            if port not in _taken and probe.connect_ex(("127.0.0.1", port)) != 0:
                _taken.add(port)
                return port
