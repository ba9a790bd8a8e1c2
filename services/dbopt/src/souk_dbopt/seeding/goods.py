"""What several tables must agree on about a product: it follows from the seed and the product's id, so that none reads another."""

import math
from statistics import NormalDist
from typing import NamedTuple

from souk_dbopt.seeding.chance import TWO_32, Dice, Shuffle, Skew
from souk_dbopt.seeding.plan import Plan
from souk_dbopt.seeding.vocabulary import Leaf, vocabulary

SELLERS_FLAT = 3.0
AT_HOME = 0.8
"""Share of a seller's products that are of the seller's own top category."""
VIEWS_EXPONENT, VIEWS_SCALE = 0.9, 2.0
"""Views of 30 days are about scale x (products / rank) ^ exponent: 1 or none in the middle, 40,000 for the first of 100,000."""
REVIEWS_EXPONENT = 0.6
"""The product of rank r has reviews in proportion to (r + 1) ^ -exponent."""
MAX_LOG_PRICE = math.log(9_000_000)
_NORMAL = tuple(NormalDist().inv_cdf((step + 0.5) / 4096) for step in range(4096))
_ENDINGS = (99, 99, 99, 95, 90, 50, 0, 0)
_TOP_WEIGHTS = (20, 10, 9, 13, 6, 10, 12, 6, 7, 5, 5, 3)
_RATINGS = ((62, 24, 7, 3, 4), (52, 29, 10, 4, 5), (70, 20, 5, 2, 3), (34, 30, 18, 9, 9))
"""Percent of 5, 4, 3, 2 and 1 stars, of four kinds of products."""


class Good(NamedTuple):
    """A product, as far as other tables know of it."""

    seller_id: int
    leaf: Leaf
    price_cents: int
    rank: int
    """By popularity, from 0."""
    luck: int
    """32 more random bits."""


class Goods:
    """The products of a plan, by their ids from 1.

    Things come to be in the order of their ids: product k of n is there from age (k - 1) / n at the latest; users and sellers, too.
    """

    def __init__(self, plan: Plan) -> None:
        self._products, self._sellers, self._reviews = plan.products, plan.sellers, plan.reviews
        self._dice = Dice(plan.seed, "products")
        self._stars = Dice(plan.seed, "stars")
        self._seller_skew = Skew(plan.sellers, SELLERS_FLAT)
        self._seller_places = Shuffle(plan.sellers, plan.seed, "sellers")
        self._places = Shuffle(plan.products, plan.seed, "popularity")
        self._leaves = [top.leaves for top in vocabulary().tops]
        self._tops = [index for index, weight in enumerate(_TOP_WEIGHTS) for _ in range(weight)]
        self._home = plan.seed % 7919

    def of(self, product_id: int) -> Good:
        """The product of an id."""
        bits = self._dice.bits(product_id)
        seller_id = self._seller(product_id, bits)
        luck = bits >> 160
        if luck % 1024 < 1024 * AT_HOME:
            top = self._tops[(seller_id * 2654435761 + self._home) % 65521 % len(self._tops)]
        else:
            top = self._tops[(luck >> 10) % len(self._tops)]
        leaves = self._leaves[top]
        leaf = leaves[int(len(leaves) * (((luck >> 20) % 4096) / 4096) ** 1.5)]
        return Good(seller_id, leaf, _price(leaf, luck >> 32), self._places.rank(product_id - 1), (luck >> 64) % TWO_32)

    def product_at(self, rank: int) -> int:
        """The id of the product with a rank of popularity."""
        return self._places.place(rank) + 1

    def views(self, good: Good) -> int:
        """How often it was seen in the 30 days before the end."""
        expected = VIEWS_SCALE * (self._products / (good.rank + 1)) ** VIEWS_EXPONENT
        return max(0, int(expected - 1.4 + good.luck / TWO_32))

    def first_review(self, rank: int) -> int:
        """How many reviews the products of lower ranks have; those of this rank begin here."""
        return int(self._reviews * (rank / self._products) ** (1 - REVIEWS_EXPONENT))

    def rank_of_review(self, number: int) -> int:
        """The rank of the product that review `number`, from 0, is of."""
        rank = min(self._products - 1, int(self._products * (number / self._reviews) ** (1 / (1 - REVIEWS_EXPONENT))))
        while self.first_review(rank) > number:
            rank -= 1
        while self.first_review(rank + 1) <= number:
            rank += 1
        return rank

    def rating(self, number: int, good: Good) -> int:
        """The stars, 1 to 5, that review `number` gives its product."""
        roll = self._stars.bits(number) % 100
        stars = 5
        for percent in _RATINGS[good.luck % len(_RATINGS)]:
            if roll < percent:
                break
            roll -= percent
            stars -= 1
        return stars

    def _seller(self, product_id: int, bits: int) -> int:
        """A seller who was there before the product: four draws for a popular one, then anybody."""
        there = existing(self._sellers, max(0, product_id - 2) / self._products)
        for _ in range(4):
            seller_id = self._seller_places.place(self._seller_skew.rank((bits % TWO_32) / TWO_32)) + 1
            if seller_id <= there:
                return seller_id
            bits >>= 32
        return 1 + (bits % TWO_32) * there // TWO_32


def existing(n: int, age: float) -> int:
    """How many of n things are there for sure when the marketplace is so old: one at the least."""
    return min(n, 1 + int(n * age))


def _price(leaf: Leaf, luck: int) -> int:
    """Log-normal, in cents, ending as prices do."""
    price = math.exp(min(MAX_LOG_PRICE, leaf.log_price + leaf.spread * _NORMAL[luck % 4096]))
    return max(100, int(price) // 100 * 100) + _ENDINGS[(luck >> 12) % len(_ENDINGS)]
