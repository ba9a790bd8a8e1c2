"""Ports that stay one server's own over its restarts."""

import random
import socket
from pathlib import Path

_FIRST = 20_000
_reserved: list[socket.socket] = []
"""Each holds a name that says that a port is taken, for as long as this process lives."""


def lasting_port() -> int:
    """A free port below those that the kernel gives to outgoing connections: none of them takes it while its server is down, and
    nobody who connects to it then reaches himself. No other process of the tests is given it."""
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(_FIRST, first_outgoing)
        if _reserve(port):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) != 0:
                    return port


def _reserve(port: int) -> bool:
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0souk-lasting-port-{port}")
    except OSError:
        name.close()
        return False
    _reserved.append(name)
    return True
