"""Addresses of the network within a text."""

import ipaddress
import re

from souk_monitor.scrubbing.detectors import ADDRESS, Detector, Rewrite, always, sub
from souk_monitor.scrubbing.versions import is_version

_IPV4 = re.compile(r"(?:(?<![\d.])|(?<=%2[0278]))\d{1,3}(?:\.\d{1,3}){3}(?![\d]|\.\d)")
_IPV6 = re.compile(
    r"(?:(?<![\w:.])|(?<=[A-Za-z]:)(?!:)|(?<=%5[Bb]))"
    r"(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?!\w|:[\w:])"
)
_NO_HOST, _RESERVED = (0, 127), 240
"""First numbers of an IPv4 that is of no host, or of this one; all from 240 on are of none."""
_GLOBAL, _LOCAL = range(0x2000, 0x4000), 0xFC00
"""First 16 bits of an IPv6 of the networks that are given out; all from FC00 on are local."""
_IPV4_WITHIN = (0xFFFF, 0x64FF9B << 64)
"""First 96 bits of an IPv6 that has an IPv4 in it."""
_FEW_GROUPS = 2


def _ipv4(match: re.Match[str]) -> str:
    try:
        address = ipaddress.IPv4Address(match[0])
    except ValueError:
        return match[0]
    first = address.packed[0]
    is_browser = match[0].endswith(".0.0.0")  # as browsers write their versions
    return match[0] if first in _NO_HOST or first >= _RESERVED or is_browser or is_version(match, address) else ADDRESS


def _ipv6(match: re.Match[str]) -> str:
    """What stands for an address of a network that is given out: names and slices, as Ada::Face and 1::2, mostly are of none."""
    text, colon = match[0], ""
    if text.endswith(":::") or text[-2:-1] != ":" == text[-1:]:  # of the sentence
        text, colon = text[:-1], ":"
    try:
        number = int(ipaddress.IPv6Address(text))
    except ValueError:
        return match[0]
    first = number >> 112
    is_used = first in _GLOBAL or first >= _LOCAL or number >> 32 in _IPV4_WITHIN
    is_name = not any(map(str.isdigit, text)) and sum(map(bool, text.split(":"))) <= _FEW_GROUPS
    return f"{ADDRESS}{colon}" if is_used and not is_name else match[0]


_IPV4_SIGN = (
    r"\.[0-9]{0,2}[1-9][0-9]{0,2}\.[0-9]{1,3}\.[0-9]|\.[0-9]{1,3}\.[0-9]{0,2}[1-9][0-9]{0,2}\.[0-9]"
    r"|\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{0,2}[1-9]"
)
"""Not of what browsers write as versions, 120.0.0.0."""
_IPV6_SIGN = r":(?::[0-9a-fA-F]|[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}:[0-9a-fA-F]{0,4}:)|[0-9a-fA-F]::(?::?[^0-9A-Za-z_:]|:?$)"

ADDRESSES = (
    Detector(_IPV4_SIGN, always(Rewrite(7, ".", sub(_IPV4, _ipv4)))),
    Detector(_IPV6_SIGN, always(Rewrite(3, ":", sub(_IPV6, _ipv6)))),
)
