"""The parts of a seeding, in the order in which their foreign keys allow them."""

from collections.abc import Callable
from dataclasses import dataclass

from souk_dbopt.seeding.goods import Goods
from souk_dbopt.seeding.people import People
from souk_dbopt.seeding.plan import Plan
from souk_dbopt.seeding.products import Products, categories
from souk_dbopt.seeding.reviews import Reviews
from souk_dbopt.seeding.rhythm import Rhythm
from souk_dbopt.seeding.rows import Rows
from souk_dbopt.seeding.sales import Sales
from souk_dbopt.seeding.views import Views

TABLES = (
    *("categories", "users", "sellers", "products", "images", "product_views", "orders", "order_items", "reviews", "seller_stats"),
)
"""All that are filled, in their order. seller_stats is counted in the end."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one table, and of those that go with it, in batches that need nothing of each other."""

    tables: tuple[str, ...]
    rows: int
    """Of the first table."""
    batch: int
    make: Callable[[int, range], list[Rows]]
    """Makes the rows of a batch, one of `tables` after the other: the number of the batch, from 0, and the ids of its rows."""
    set_aside: tuple[str, str] | None = None
    """(table, trigger): it does not run, as what it counts comes with the rows or in the end."""

    @property
    def batches(self) -> int:
        """How many there are."""
        return -(-self.rows // self.batch)

    def rows_of(self, batch: int) -> list[Rows]:
        """The rows of a batch: always the same."""
        first = 1 + batch * self.batch
        return self.make(batch, range(first, min(first + self.batch, self.rows + 1)))


def stages(plan: Plan) -> tuple[tuple[Part, ...], ...]:
    """Stage after stage; the parts of one may be made side by side."""
    rhythm, goods = Rhythm(plan.end, plan.seed), Goods(plan)
    people = People(plan, rhythm)
    size = plan.batch
    return (
        (Part(("categories",), 1, size, lambda _batch, _ids: categories()),),
        (Part(("users",), plan.users, size, people.users),),
        (Part(("sellers",), plan.sellers, size, people.sellers),),
        (Part(("products", "images"), plan.products, size, Products(plan, rhythm, goods).make),),
        (
            Part(
                ("orders", "order_items"), plan.orders, size, Sales(plan, rhythm, goods).make, ("order_items", "count_sales_added")
            ),
            Part(("product_views",), plan.products, size, Views(plan, rhythm, goods).make),
            Part(("reviews",), plan.reviews, size, Reviews(plan, rhythm, goods).make, ("reviews", "count_reviews_added")),
        ),
    )
