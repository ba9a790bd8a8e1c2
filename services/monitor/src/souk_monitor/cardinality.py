"""How many different users there are, in 16 KiB however many they are.

HyperLogLog with 2^14 registers (Flajolet et al. 2007) and the estimator of Ertl (2017, "New cardinality estimation algorithms for
HyperLogLog sketches", algorithm 6), which needs no table of corrections. Standard error 0.81 %.
"""

import math
from collections.abc import Iterable

PRECISION = 14
REGISTERS = 1 << PRECISION
_RANKS = 64 - PRECISION
_MASK = (1 << _RANKS) - 1
_ALPHA = 1 / (2 * math.log(2))


class Sketch:
    """A set of which only the size can be told. Members are hashes: integers whose lowest 64 bits are as good as random."""

    __slots__ = ("registers",)

    def __init__(self, registers: bytes = bytes(REGISTERS)) -> None:
        """registers: of a sketch before. ValueError where they are of another precision."""
        if len(registers) != REGISTERS:
            raise ValueError(f"a sketch has {REGISTERS} registers, not {len(registers)}")
        self.registers = bytearray(registers)

    def add(self, members: Iterable[int]) -> bool:
        """Take members; whether that changed anything."""
        registers, changed = self.registers, False
        for member in members:
            place = (member >> _RANKS) & (REGISTERS - 1)
            rank = _RANKS - (member & _MASK).bit_length() + 1
            if rank > registers[place]:
                registers[place] = rank
                changed = True
        return changed

    def merge(self, other: "Sketch") -> None:
        """Become the union of both."""
        self.registers = bytearray(map(max, self.registers, other.registers))

    def estimate(self) -> int:
        """How many members there are."""
        counts = [self.registers.count(rank) for rank in range(_RANKS + 2)]
        z = REGISTERS * _tau(1 - counts[_RANKS + 1] / REGISTERS)
        for rank in range(_RANKS, 0, -1):
            z = 0.5 * (z + counts[rank])
        z += REGISTERS * _sigma(counts[0] / REGISTERS)
        return round(_ALPHA * REGISTERS * REGISTERS / z) if math.isfinite(z) else 0


def _sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        x *= x
        before = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in {0.0, 1.0}:
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3
