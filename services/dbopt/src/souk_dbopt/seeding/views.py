"""Who looked at what in the 30 days before the end."""

from collections import Counter
from datetime import timedelta
from random import Random

from souk_dbopt.seeding.chance import batch_random
from souk_dbopt.seeding.goods import Goods
from souk_dbopt.seeding.plan import VIEW_DAYS, Plan
from souk_dbopt.seeding.rhythm import BY_WEEKDAY, Rhythm
from souk_dbopt.seeding.rows import Rows

_FEW = 60
"""Up to so many views are spread one by one."""


class Views:
    """Makes product_views: about five days per product, all 30 of the popular ones."""

    def __init__(self, plan: Plan, rhythm: Rhythm, goods: Goods) -> None:
        self._plan, self._rhythm, self._goods = plan, rhythm, goods
        days = [plan.end - timedelta(days=VIEW_DAYS - day) for day in range(VIEW_DAYS)]
        self._names = [day.isoformat() for day in days]
        self._weights = [BY_WEEKDAY[day.weekday()] for day in days]

    def make(self, batch: int, ids: range) -> list[Rows]:
        """The views of the products of these ids. Those of a product add up to its popularity."""
        random = batch_random(self._plan.seed, "product_views", batch)
        lines: list[str] = []
        for product_id in ids:
            views = self._goods.views(self._goods.of(product_id))
            days_left = self._rhythm.days_left((product_id - 1) / self._plan.products)
            first = min(VIEW_DAYS - 1, max(0, VIEW_DAYS - int(days_left)))
            for day, seen in sorted(self._spread(views, first, random).items()):
                lines.append(f"{product_id}\t{self._names[day]}\t{seen}")
        return [Rows("product_views", ("product_id", "day", "views"), lines)]

    def _spread(self, views: int, first: int, random: Random) -> dict[int, int]:
        """How many of the views were on which day, from the day `first` on; days without any are left out."""
        weights = self._weights[first:]
        if views <= _FEW:
            return Counter(random.choices(range(first, VIEW_DAYS), weights, k=views))
        swayed = [weight * (0.7 + 0.6 * random.random()) for weight in weights]
        total, spread, left = sum(swayed), {}, views
        for day, weight in enumerate(swayed[:-1], first):
            spread[day] = int(views * weight / total)
            left -= spread[day]
        spread[VIEW_DAYS - 1] = left
        return {day: seen for day, seen in spread.items() if seen}
