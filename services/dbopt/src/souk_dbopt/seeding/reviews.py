"""Reviews: many of a few products, most of them good."""

from collections.abc import Callable

from souk_dbopt.seeding.chance import TWO_32, Dice, Shuffle, Skew, batch_random, pick
from souk_dbopt.seeding.goods import Goods
from souk_dbopt.seeding.plan import Plan
from souk_dbopt.seeding.rhythm import Rhythm
from souk_dbopt.seeding.rows import Rows
from souk_dbopt.seeding.vocabulary import Leaf, vocabulary

REVIEWERS_FLAT = 0.1
"""Of the users, so many are about equally keen: enough that no product has more reviews than 1 / heaviest, see Reviews."""
WITHOUT_WORDS = 0.15


class Reviews:
    """Makes reviews, at most one of a user and a product.

    The reviewers of a product are drawn by systematic sampling (Madow 1949): at evenly spaced quantiles of the users by keenness.
    No user is as heavy as the space between two, so that none is drawn twice, and nobody needs to remember who was.
    """

    def __init__(self, plan: Plan, rhythm: Rhythm, goods: Goods) -> None:
        self._plan, self._rhythm, self._goods = plan, rhythm, goods
        self._ids = Shuffle(plan.reviews, plan.seed, "reviews")
        self._offsets = Dice(plan.seed, "reviewers")
        self._users = Skew(plan.users, plan.users * REVIEWERS_FLAT)
        self._user_places = Shuffle(plan.users, plan.seed, "reviewer places")
        self._words = vocabulary().words

    def make(self, batch: int, ids: range) -> list[Rows]:
        """The reviews of these ids. Those of a product are far from each other, as in a shop that has run for long."""
        draw = batch_random(self._plan.seed, "reviews", batch).random
        lines = []
        for review_id in ids:
            number = self._ids.rank(review_id - 1)
            rank = self._goods.rank_of_review(number)
            product_id = self._goods.product_at(rank)
            user_id = self._reviewer(number, rank)
            good = self._goods.of(product_id)
            rating = self._goods.rating(number, good)
            there = max((product_id - 1) / self._plan.products, (user_id - 1) / self._plan.users)
            written_at = self._rhythm.text(there + (1 - there) * draw())
            lines.append(f"{review_id}\t{product_id}\t{user_id}\t{rating}\t{self._body(rating, good.leaf, draw)}\t{written_at}")
        return [Rows("reviews", ("review_id", "product_id", "user_id", "rating", "body", "created_at"), lines)]

    def _reviewer(self, number: int, rank: int) -> int:
        first, end = self._goods.first_review(rank), self._goods.first_review(rank + 1)
        offset = (self._offsets.bits(rank) % TWO_32) / TWO_32
        return self._user_places.place(self._users.rank((number - first + offset) / (end - first))) + 1

    def _body(self, rating: int, leaf: Leaf, draw: Callable[[], float]) -> str:
        if draw() < WITHOUT_WORDS:
            return ""
        words = self._words
        sentences = words["praise"] if rating >= 4 else words["doubts"] if rating == 3 else words["complaints"]
        body = pick(sentences, draw())
        if draw() < 0.5:
            other = sentences[int(len(sentences) * draw())]
            body = body if other == body else f"{body} {other}"
        return body % {
            "noun": pick(leaf.nouns, draw()),
            "use": pick(words["uses"], draw()),
            "virtue": pick(words["virtues"], draw()),
            "adjective": pick(words["adjectives"], draw()),
        }
