"""Buyers who browse a marketplace in PostgreSQL and order what is scarce, all at once, with every order judged."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import partial
from statistics import quantiles
from typing import TypeVar

from rich.table import Table
from souk.client import DbClient, DbSession
from souk.dbopt.v1 import marketplace_pb2 as pb
from souk_dbopt import seeding

from souk_cli.db_connection import connect
from souk_cli.demo_checks import Checks
from souk_cli.display import err, out, seconds

T = TypeVar("T")
PRODUCTS = 3000
SEED = 7
BUYERS = 48
"""Each comes three times."""
VISITS = 3
SCARCE = 6
"""Products that everybody wants."""
STOCK = 12
"""Pieces that there are of each."""
PAGE = 50


@dataclass(slots=True)
class Bought:
    """What the buyers did."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    pieces: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """By product, in orders that were placed."""
    placed: int = 0
    refused: int = 0
    unseen: int = 0
    """Orders that their buyer's next read did not show."""
    repeated: int = 0
    repeated_wrongly: int = 0
    """Repeats of a request that did not return the order that it had placed."""

    async def timed(self, what: str, call: Awaitable[T]) -> T:
        """Note how long a call takes."""
        start = time.perf_counter()
        answer = await call
        self.times[what].append(time.perf_counter() - start)
        return answer


async def orders(address: str, checks: Checks) -> None:
    """Let them buy, print what came of it, and check it."""
    bought = Bought()
    async with DbClient(address) as client:
        wanted = await _make_scarce(client)
        await _browse(client, checks, bought)
        with err.status("Buyers order …"):
            await asyncio.gather(*(_buy(number, client.session(), wanted, bought) for number in range(1, BUYERS + 1)))
        _show(bought)
        checks.add(f"{bought.placed} orders, and none was unseen by its buyer's next read", bought.unseen == 0)
        checks.add(f"{bought.repeated} requests that were repeated ordered once", bought.repeated_wrongly == 0)
        checks.add(f"{bought.refused} orders were refused whole, as too little was left", bought.refused > 0)
        for product_id in wanted:
            product = await client.get_product(product_id)
            left = product.summary.stock if product is not None else -1
            what = f"product {product_id}: {STOCK} pieces, {bought.pieces[product_id]} sold, {left} left"
            checks.add(
                what,
                left >= 0 and bought.pieces[product_id] + left == STOCK,
                "scarce products were not sold more often than there are",
            )


async def make_marketplace(dsn: str) -> None:
    """Sellers and what they sell. dsn: of the owner of the database."""
    connection = await connect(dsn)
    try:
        with err.status("Making a marketplace …"):
            made = await seeding.seed(connection, partial(connect, dsn), PRODUCTS, SEED)
    finally:
        await connection.close()
    rows = ", ".join(f"{made.rows[table]:,} {table}" for table in ("products", "users", "orders", "reviews"))
    out.print(f"\nA marketplace in PostgreSQL: {rows}\n", soft_wrap=True)


async def _make_scarce(client: DbClient) -> list[int]:
    """Popular products of which there are few."""
    page = await client.list_products(pb.PRODUCT_ORDER_POPULAR, page_size=SCARCE)
    wanted = [product.product_id for product in page.products]
    for product_id in wanted:
        await client.write("product.set_stock", {"product_id": product_id, "stock": STOCK})
    return wanted


async def _browse(client: DbClient, checks: Checks, bought: Bought) -> None:
    """Through all pages of a list, and through a search."""
    seen: list[int] = []
    token = ""
    while True:
        page = await bought.timed("a page of products", client.list_products(page_size=PAGE, page_token=token))
        seen += [product.product_id for product in page.products]
        token = page.next_page_token
        if not token:
            break
    checks.add(f"{len(seen):,} products on {-(-len(seen) // PAGE)} pages, each once", len(seen) == len(set(seen)) > PRODUCTS // 2)
    product = await client.get_product(seen[0])
    word = product.summary.title.split()[-1] if product is not None else ""
    found = await bought.timed("a search", client.search_products(word, page_size=PAGE))
    checks.add(f"a search for {word!r} finds {len(found.products)} products that have it", bool(found.products))


async def _buy(buyer: int, session: DbSession, wanted: list[int], bought: Bought) -> None:
    chance = random.Random(buyer)  # noqa: S311 — the same buyers each time
    for visit in range(VISITS):
        await bought.timed("a page of products", session.list_products(pb.PRODUCT_ORDER_POPULAR, page_size=20))
        cart = dict.fromkeys(chance.sample(wanted, 2), 1)
        for product_id in cart:
            await bought.timed("a product's page", session.get_product(product_id))
        request_id = f"demo-{visit}"
        outcome = await bought.timed("an order", session.place_order(buyer, cart, request_id=request_id))
        if outcome.HasField("refused"):
            bought.refused += 1
            continue
        bought.placed += 1
        for product_id, quantity in cart.items():
            bought.pieces[product_id] += quantity
        mine = await bought.timed("a buyer's orders", session.list_orders(buyer, page_size=VISITS))
        bought.unseen += outcome.order.order_id not in {order.order_id for order in mine.orders}
        if visit == 0:
            bought.repeated += 1
            again = await session.place_order(buyer, cart, request_id=request_id)
            bought.repeated_wrongly += not again.repeated or again.order.order_id != outcome.order.order_id


def _show(bought: Bought) -> None:
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Asked for")
    for name in ("Calls", "Half within", "99 % within"):
        table.add_column(name, justify="right")
    for what, times in bought.times.items():
        within = quantiles(times, n=100) if len(times) > 1 else times * 99
        table.add_row(what, f"{len(times):,}", seconds(within[49]), seconds(within[98]))
    out.print(table)
    pieces = sum(bought.pieces.values())
    out.print(f"\n{BUYERS} buyers placed {bought.placed} orders of {pieces} scarce pieces; {bought.refused} came too late.")
