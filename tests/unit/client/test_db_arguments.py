"""Arguments of DbClient that cannot be sent are told before anything is."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any

import grpc
import pytest
from souk.client import DbClient

NAIVE = datetime(2026, 11, 26)  # noqa: DTZ001 — it is what is refused


async def first(answers: AsyncIterator[Any]) -> Any:
    return await anext(answers)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda db: db.list_products(colour="red"), ValueError),
        (lambda db: db.search_products("shoe", colour="red"), ValueError),
        (lambda db: db.list_products(category_id="shoes"), TypeError),
        (lambda db: db.list_products(category_id=2**63), ValueError),
        (lambda db: db.search_products("\ud800"), ValueError),
        (lambda db: db.get_product(2**63), ValueError),
        (lambda db: db.place_order(1, {2: "many"}), TypeError),
        (lambda db: db.execute("product.get", {"product_id": object()}), TypeError),
        (lambda db: db.execute("product.get", {"since": NAIVE}), TypeError),
        (lambda db: first(db.stream("product.get", {"product_id": object()})), TypeError),
        (lambda db: first(db.slow_queries(since=NAIVE)), TypeError),
        (lambda db: db.query_stats("product.get@1", since=NAIVE), TypeError),
    ],
)
async def test_an_argument_that_cannot_be_sent_is_a_value_error_or_a_type_error(
    call: Callable[[DbClient], Awaitable[Any]], error: type[Exception]
):
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel, DbClient(channel=channel) as db:
        with pytest.raises(error):
            await call(db)
