"""How much of everything a generated marketplace has, and in which batches it is made."""

from dataclasses import dataclass
from datetime import date

MIN_PRODUCTS, MAX_PRODUCTS = 10, 10_000_000
MAX_SEED = 2**63 - 1
BATCH = 5000
"""Rows of the main table of a part that are made, and committed, at once."""
MIN_END = date(1980, 1, 1)
VIEW_DAYS = 30
"""Views are kept of so many days before the end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make. Two plans that are equal make the same rows, to the last character.

    Raises:
        ValueError: a number is out of its range.
    """

    products: int
    """From 10 to 10,000,000."""
    seed: int
    """Any number from 0 to 2^63 - 1."""
    end: date
    """The day that the data ends before, in UTC: orders and reviews are of the two years, views of the 30 days before it."""
    batch: int = BATCH

    def __post_init__(self) -> None:
        if not MIN_PRODUCTS <= self.products <= MAX_PRODUCTS:
            raise ValueError(f"products: {self.products:,} is not from {MIN_PRODUCTS} to {MAX_PRODUCTS:,}")
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed: {self.seed} is not from 0 to 2^63 - 1")
        if self.end < MIN_END:
            raise ValueError(f"end: {self.end} is before {MIN_END}")
        if self.batch < 1:
            raise ValueError(f"batch: {self.batch} is not a number of rows")

    @property
    def users(self) -> int:
        """A quarter of the products, and 100 more."""
        return self.products // 4 + 100

    @property
    def sellers(self) -> int:
        """A fiftieth of the products, and five more. Each is a user."""
        return self.products // 50 + 5

    @property
    def orders(self) -> int:
        """Half of the products. An order has 1.8 items on average."""
        return self.products // 2

    @property
    def reviews(self) -> int:
        """As many as products, most of them of few."""
        return self.products
