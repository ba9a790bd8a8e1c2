"""ICC colour profiles, built from their definitions."""

import struct

import numpy as np

_D50 = (0.9642, 1.0, 0.8249)
_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
"""XYZ of the primaries, adapted to D50 (SMPTE EG 432-1, Bradford)."""
_SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def display_p3_profile() -> bytes:
    """The ICC profile of Display P3."""
    return _profile("Display P3 souk-demo-icc", _P3)


def srgb_profile() -> bytes:
    """An ICC profile of sRGB, under a name of its own."""
    return _profile("plain colours souk-demo-icc", _SRGB)


def _profile(name: str, primaries: tuple[tuple[float, float, float], ...]) -> bytes:
    """A matrix profile (ICC.1:2001-04) with the transfer curve of IEC 61966-2-1."""
    text = name.encode() + b"\0"
    curve = _curve()
    tags = [
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(8) + bytes(2 + 1 + 67)),
        (b"cprt", b"text\0\0\0\0No rights reserved\0"),
        (b"wtpt", _xyz(_D50)),
        *((tag, _xyz(primary)) for tag, primary in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)),
        *((tag, curve) for tag in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags:
        table += struct.pack(">4sII", tag, offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">4xI", 0x02400000) + b"mntrRGB XYZ " + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp"
    head += bytes(24) + struct.pack(">I", 0) + _s15(_D50)
    head = head.ljust(124, b"\0")
    return struct.pack(">I", 128 + len(table) + len(body)) + head + table + body


def _s15(values: tuple[float, ...]) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + _s15(values)


def _curve() -> bytes:
    encoded = np.linspace(0, 1, 1024)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + np.round(linear * 65535).astype(">u2").tobytes()
