"""Categories, and products with their images."""

from collections.abc import Callable, Mapping
from random import Random

from souk_dbopt.seeding.chance import batch_random, pick
from souk_dbopt.seeding.goods import Good, Goods
from souk_dbopt.seeding.plan import Plan
from souk_dbopt.seeding.rhythm import Rhythm
from souk_dbopt.seeding.rows import NULL, Rows
from souk_dbopt.seeding.vocabulary import vocabulary

ACTIVE, DRAFT = 0.95, 0.02
"""Shares of products; the rest is removed."""
SOLD_OUT = 0.06
COLUMNS = (
    *("product_id", "seller_id", "category_id", "title", "description", "price_cents", "stock", "status", "attributes"),
    *("popularity", "rating_count", "rating_sum", "created_at", "updated_at"),
)
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(high + low for high in _DIGITS for low in _DIGITS)
_STATED_SIZE, _STATED_COLOUR, _HANDMADE = 0.6, 0.85, 0.2


def categories() -> list[Rows]:
    """The tree: 12 categories of 8 each."""
    lines = [f"{top.category_id}\t{NULL}\t{_slug(top.name)}\t{top.name}" for top in vocabulary().tops]
    for top in vocabulary().tops:
        lines += [
            f"{leaf.category_id}\t{top.category_id}\t{_slug(top.name)}-{_slug(leaf.name)}\t{leaf.name}" for leaf in top.leaves
        ]
    return [Rows("categories", ("category_id", "parent_id", "slug", "name"), lines)]


class Products:
    """Makes products, and two to five images of each."""

    def __init__(self, plan: Plan, rhythm: Rhythm, goods: Goods) -> None:
        self._plan, self._rhythm, self._goods = plan, rhythm, goods
        self._voc = vocabulary()

    def make(self, batch: int, ids: range) -> list[Rows]:
        """The products of these ids, and their images."""
        random = batch_random(self._plan.seed, "products", batch)
        draw, text = random.random, self._rhythm.text
        lines: list[str] = []
        images: list[str] = []
        for product_id in ids:
            good = self._goods.of(product_id)
            said = self._said(good, draw)
            age = max(0.0, (product_id - 2 + draw()) / self._plan.products)
            title = _title(said, draw)
            changed = age + (1 - age) * draw() ** 2
            count, stars = self._ratings(good)
            lines.append(
                f"{product_id}\t{good.seller_id}\t{good.leaf.category_id}\t{title}\t{self._description(said, draw)}\t"
                f"{good.price_cents}\t{_stock(draw())}\t{_status(draw())}\t{_attributes(said, draw)}\t"
                f"{self._goods.views(good)}\t{count}\t{stars}\t{text(age)}\t{text(changed)}"
            )
            self._images(images, product_id, age, said["noun"], random)
        return [Rows("products", COLUMNS, lines), Rows("images", ("product_id", "position", "image_id", "alt"), images)]

    def _said(self, good: Good, draw: Callable[[], float]) -> Mapping[str, str]:
        """The words that are said of one product, by the names that sentences call them."""
        words, towns, brands = self._voc.words, self._voc.towns, self._voc.brands
        top = self._voc.tops[good.leaf.top]
        return {
            "noun": pick(good.leaf.nouns, draw()),
            "material": pick(top.materials, draw()),
            "size": pick(top.sizes, draw()),
            "colour": pick(words["colours"], draw()),
            "adjective": pick(words["adjectives"], draw()),
            "other": pick(words["adjectives"], draw()),
            "brand": brands[(int(len(brands) * draw() ** 3) + 41 * good.leaf.top) % len(brands)],
            "town": towns[int(len(towns) * draw() ** 3)],
            "feature": pick(words["features"], draw()),
            "virtue": pick(words["virtues"], draw()),
            "use": pick(words["uses"], draw()),
            "maker": pick(words["makers"], draw()),
            "model": f"{chr(65 + int(26 * draw()))}{chr(65 + int(26 * draw()))}{int(9000 * draw()) + 1000}",
            "year": str(self._plan.end.year - int(12 * draw() ** 3)),
        }

    def _description(self, said: Mapping[str, str], draw: Callable[[], float]) -> str:
        """Three to five sentences."""
        words = self._voc.words
        middles = words["middles"]
        first = int(len(middles) * draw())
        sentences = [pick(words["openings"], draw()), middles[first]]
        more = draw()
        if more > 0.3:
            sentences.append(middles[(first + 1 + int((len(middles) - 1) * draw())) % len(middles)])
        if more > 0.7:
            sentences.append(middles[(first + len(middles) // 2) % len(middles)])
        sentences.append(pick(words["closings"], draw()))
        return " ".join(sentences) % said

    def _ratings(self, good: Good) -> tuple[int, int]:
        """(how many, sum of the stars) of the reviews that it will have."""
        numbers = range(self._goods.first_review(good.rank), self._goods.first_review(good.rank + 1))
        return len(numbers), sum(self._goods.rating(number, good) for number in numbers)

    def _images(self, lines: list[str], product_id: int, age: float, noun: str, random: Random) -> None:
        """Ids are as the imaging service makes them: 48 bits of milliseconds and 80 random bits, in base 32."""
        views = self._voc.words["pictures"]
        milliseconds = self._rhythm.unix_milliseconds(age)
        for position in range(2 + int(4 * random.random() ** 1.5)):
            time, more = milliseconds + 40 * position, random.getrandbits(80)
            image_id = "".join([_PAIRS[time >> shift & 1023] for shift in (40, 30, 20, 10, 0)])
            image_id += "".join([_PAIRS[more >> shift & 1023] for shift in (70, 60, 50, 40, 30, 20, 10, 0)])
            lines.append(f"{product_id}\t{position}\t{image_id}\t{noun}, {views[position]}")


def _title(said: Mapping[str, str], draw: Callable[[], float]) -> str:
    title = f"{said['adjective']} {said['material']} {said['noun']}"
    kind = draw()
    if kind < 0.35:
        title += f" in {said['colour']}"
    elif kind < 0.55:
        title += f" with {said['feature']}"
    elif kind < 0.7:
        title += f" for {said['use']}"
    title = title[0].upper() + title[1:]
    if draw() < 0.5:
        title = f"{said['brand']} {title}"
    return f"{title} {said['model']}" if draw() < 0.12 else title


def _attributes(said: Mapping[str, str], draw: Callable[[], float]) -> str:
    """As JSON. Materials and brands are always there, the others often."""
    text = f'{{"material": "{said["material"]}", "brand": "{said["brand"]}"'
    if draw() < _STATED_COLOUR:
        text += f', "colour": "{said["colour"]}"'
    if draw() < _STATED_SIZE:
        text += f', "size": "{said["size"]}"'
    if draw() < _HANDMADE:
        text += ', "handmade": true'
    return f'{text}, "weight_g": {int(30 + 5000 * draw() ** 4)}}}'


def _stock(u: float) -> int:
    """Pieces: none of some, a few of most."""
    return 0 if u < SOLD_OUT else int(1 + 300 * ((u - SOLD_OUT) / (1 - SOLD_OUT)) ** 4)


def _status(u: float) -> str:
    return "active" if u < ACTIVE else "draft" if u < ACTIVE + DRAFT else "removed"


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")
