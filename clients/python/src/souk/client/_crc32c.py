"""CRC-32C of a whole from those of its parts, so that every byte is read once."""

import functools
from collections.abc import Callable

import google_crc32c

_ONES = 0xFFFFFFFF


@functools.lru_cache(maxsize=8)
def appending(length: int) -> Callable[[int, int], int]:
    """A function (CRC of what comes first, CRC of `length` bytes that follow) -> CRC of both together.

    A CRC is linear over GF(2): what follows shifts the first CRC through `length` zero bytes, whatever it is itself (Mark Adler's
    crc32_combine in zlib). The shift of a fixed length is four tables of 256 entries.
    """
    zeros = bytes(length)
    of_nothing = google_crc32c.extend(_ONES, zeros)  # the register is inverted before and after: all ones is zero
    bits = [google_crc32c.extend(_ONES ^ 1 << bit, zeros) ^ of_nothing for bit in range(32)]
    low, second, third, high = (_table(bits[start : start + 8]) for start in range(0, 32, 8))

    def append(first: int, following: int) -> int:
        return following ^ low[first & 255] ^ second[first >> 8 & 255] ^ third[first >> 16 & 255] ^ high[first >> 24]

    return append


def _table(bits: list[int]) -> list[int]:
    table = [0]
    for bit in bits:
        table += [entry ^ bit for entry in table]
    return table
