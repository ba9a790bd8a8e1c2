"""Chance that can be asked again: skewed draws, shuffles and dice that remember nothing, and are the same for the same seed."""

import hashlib
import math
import random
from collections.abc import Sequence

TWO_32 = 1 << 32


def batch_random(seed: int, table: str, batch: int) -> random.Random:
    """The random generator of one batch of a table: the same whenever, and by whomever, the batch is made."""
    digest = hashlib.blake2b(f"{seed}/{table}/{batch}".encode(), digest_size=16).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311 (data to try on, no secrets)


class Dice:
    """Random bits of a numbered thing. What two tables must agree on comes from here."""

    def __init__(self, seed: int, purpose: str) -> None:
        self._key = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=32).digest()

    def bits(self, number: int) -> int:
        """256 bits."""
        return int.from_bytes(hashlib.blake2b(number.to_bytes(8, "big"), key=self._key, digest_size=32).digest(), "big")


class Skew:
    """Ranks of n things by the law of Zipf and Mandelbrot: the thing of rank r, from 0, is drawn in proportion to 1 / (r + flat).

    flat: how many of the first are about as likely as each other.
    """

    def __init__(self, n: int, flat: float) -> None:
        self._last = n - 1
        self._flat = flat
        self._log = math.log((n + flat) / flat)

    def rank(self, u: float) -> int:
        """The rank at a quantile: u from 0 up to 1. It never falls as u grows."""
        return min(self._last, int(self._flat * math.exp(u * self._log) - self._flat))

    @property
    def heaviest(self) -> float:
        """The probability of rank 0."""
        return math.log((1 + self._flat) / self._flat) / self._log


class Shuffle:
    """A permutation of 0..n-1 that needs no memory: r -> (a r + b) mod n."""

    def __init__(self, n: int, seed: int, purpose: str) -> None:
        bits = Dice(seed, purpose).bits(n)
        a = bits % n or 1
        while math.gcd(a, n) != 1:
            a += 1
        self._n, self._a, self._b = n, a, (bits >> 128) % n
        self._inverse = pow(a, -1, n) if n > 1 else 0

    def place(self, rank: int) -> int:
        """Where the thing of a rank is."""
        return (self._a * rank + self._b) % self._n

    def rank(self, place: int) -> int:
        """The rank of the thing at a place."""
        return (place - self._b) * self._inverse % self._n


def pick(words: Sequence[str], u: float) -> str:
    """One of the words, the first more often than the last: as many below the n-th as a square root says."""
    return words[int(len(words) * u * u)]
