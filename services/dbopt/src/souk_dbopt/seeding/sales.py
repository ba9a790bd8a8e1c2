"""Orders and their items."""

from random import Random

from souk_dbopt.seeding.chance import Shuffle, Skew, batch_random
from souk_dbopt.seeding.goods import Good, Goods, existing
from souk_dbopt.seeding.plan import Plan
from souk_dbopt.seeding.rhythm import Rhythm
from souk_dbopt.seeding.rows import Rows

CANCELLED = 0.04
CURRENCY = "USD"
PRODUCTS_FLAT = 20.0
BUYERS_FLAT = 0.01
"""Of the users, so many are about equally keen."""
DRAWS = 6
"""So often a popular product, or a keen buyer, is looked for among those who were there; then anybody is taken."""
_ORDERS = ("order_id", "buyer_id", "request_id", "status", "total_cents", "currency", "placed_at")
_ITEMS = ("order_id", "line", "product_id", "seller_id", "quantity", "price_cents", "currency", "placed_at", "is_cancelled")
_LINES = (1, 1, 1, 1, 1, 1, 2, 2, 3, 5)
_QUANTITIES = (1, 1, 1, 1, 1, 1, 1, 2, 2, 4)
_OLDER_PRICES = (0.8, 0.9, 0.95, 1.1)


class Sales:
    """Makes orders, each placed when its buyer and its products were there."""

    def __init__(self, plan: Plan, rhythm: Rhythm, goods: Goods) -> None:
        self._plan, self._rhythm, self._goods = plan, rhythm, goods
        self._products = Skew(plan.products, PRODUCTS_FLAT)
        self._buyers = Skew(plan.users, max(1.0, plan.users * BUYERS_FLAT))
        self._buyer_places = Shuffle(plan.users, plan.seed, "buyers")

    def make(self, batch: int, ids: range) -> list[Rows]:
        """The orders of these ids, and their items."""
        random = batch_random(self._plan.seed, "orders", batch)
        orders: list[str] = []
        items: list[str] = []
        for order_id in ids:
            age = max(0.0, (order_id - 2 + random.random()) / self._plan.orders)
            placed_at = self._rhythm.text(age)
            status = _status(self._rhythm.days_left(age), random.random())
            cancelled = "t" if status == "cancelled" else "f"
            total = 0
            for line, (product_id, good) in enumerate(self._basket(age, random).items(), 1):
                quantity = _QUANTITIES[int(len(_QUANTITIES) * random.random())]
                price = _price_then(good, random.random())
                total += quantity * price
                items.append(
                    f"{order_id}\t{line}\t{product_id}\t{good.seller_id}\t{quantity}\t{price}\t{CURRENCY}\t{placed_at}\t{cancelled}"
                )
            buyer_id = self._buyer(age, random)
            orders.append(f"{order_id}\t{buyer_id}\t{random.getrandbits(128):032x}\t{status}\t{total}\t{CURRENCY}\t{placed_at}")
        return [Rows("orders", _ORDERS, orders), Rows("order_items", _ITEMS, items)]

    def _basket(self, age: float, random: Random) -> dict[int, Good]:
        """One to five products that were there, no two the same."""
        wanted = (self._product(age, random) for _ in range(_LINES[int(len(_LINES) * random.random())]))
        return {product_id: self._goods.of(product_id) for product_id in wanted}

    def _product(self, age: float, random: Random) -> int:
        there = existing(self._plan.products, age)
        for _ in range(DRAWS):
            product_id = self._goods.product_at(self._products.rank(random.random()))
            if product_id <= there:
                return product_id
        return 1 + int(there * random.random())

    def _buyer(self, age: float, random: Random) -> int:
        there = existing(self._plan.users, age)
        for _ in range(DRAWS):
            user_id = self._buyer_places.place(self._buyers.rank(random.random())) + 1
            if user_id <= there:
                return user_id
        return 1 + int(there * random.random())


def _price_then(good: Good, u: float) -> int:
    """A fifth of what was sold had another price than now."""
    return good.price_cents if u >= 0.2 else int(good.price_cents * _OLDER_PRICES[int(u * 5 * len(_OLDER_PRICES))])


def _status(days: float, u: float) -> str:
    """By how many days ago it was placed."""
    if u < CANCELLED:
        return "cancelled"
    if days > 10 * u + 2:
        return "delivered"
    return "shipped" if days > 3 * u + 0.5 else "paid" if days > u else "placed"
