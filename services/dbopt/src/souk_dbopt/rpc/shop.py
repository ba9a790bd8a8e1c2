"""Rows of the shipped queries as the messages of MarketplaceService.

A message within another is the mapping of its fields: protobuf builds it in its place, which takes half the time of a message
that is made and copied there. Of a page of 50 products that was the most expensive part.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson
from souk.dbopt.v1 import marketplace_pb2 as pb

Row: TypeAlias = Mapping[str, Any]
Fields: TypeAlias = Any
"""A mapping of a message's fields, in place of it. The generated types know messages only."""
STARS = ("1", "2", "3", "4", "5")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def filter_of(wanted: pb.ProductFilter) -> dict[str, Any]:
    """A filter as parameters of the queries that list products."""
    values: dict[str, Any] = {
        name: getattr(wanted, name)
        for name in ("category_id", "seller_id", "min_price_cents", "max_price_cents")
        if wanted.HasField(name)
    }
    if wanted.attributes:
        values["attributes"] = dict(sorted(wanted.attributes.items()))
    if wanted.in_stock:
        values["in_stock"] = True
    return values


def products(rows: Iterable[Row]) -> list[Fields]:
    """Of a list: the fields of a ProductSummary each."""
    return [_summary(row, row["image_id"]) | {"seller": _seller_beside(row)} for row in rows]


def product(row: Row) -> Fields:
    """Of a product's page: the fields of a Product."""
    images = [image["image_id"] for image in row["images"]]
    return {
        "summary": _summary(row, images[0] if images else None) | {"seller": _seller(row["seller"])},
        "description": row["description"],
        "category_id": row["category_id"],
        "attributes": {name: _text(value) for name, value in row["attributes"].items()},
        "image_ids": images,
        "reviews": [_review(review) for review in row["reviews"]],
        "rating_histogram": [row["ratings"][stars] for stars in STARS],
        "for_sale": row["status"] == "active",
        "version": row["version"],
    }


def order(row: Row) -> Fields:
    """Of a list, or one that was placed: the fields of an Order."""
    return {
        "order_id": row["order_id"],
        "buyer_id": row["buyer_id"],
        "status": row["status"],
        "total_cents": row["total_cents"],
        "currency": row["currency"],
        "place_time": _timestamp(row["placed_at"]),
        "items": [
            {
                "product_id": item["product_id"],
                "title": item["title"],
                "quantity": item["quantity"],
                "price_cents": item["price_cents"],
                "seller_id": item["seller_id"],
            }
            for item in row["items"]
        ],
    }


def dashboard(row: Row) -> Fields:
    """Of a seller: the fields of a SellerDashboard."""
    return {
        "seller": _seller(row["seller"]),
        "revenue": row["revenue"],
        "items_sold": row["items_sold"],
        "days": row["days"],
        "best_sellers": row["best_sellers"],
        "low_stock": [_summary(low, low["image_id"]) for low in row["low_stock"]],
        "products_for_sale": row["products_for_sale"],
    }


def placed(row: Row, token: str) -> pb.PlaceOrderResponse:
    """What became of an order."""
    outcome = row["outcome"]
    if outcome in ("placed", "already_placed"):
        return pb.PlaceOrderResponse(order=order(row), repeated=outcome == "already_placed", consistency_token=token)
    refused: Fields = {
        "buyer_unknown": outcome == "unknown_buyer",
        "currencies_mixed": outcome == "mixed_currencies",
        "products": [
            {"product_id": each["product_id"], "stock": each["stock"], "not_for_sale": each["not_for_sale"]}
            for each in row["products"] or ()
        ],
    }
    return pb.PlaceOrderResponse(refused=refused, consistency_token=token)


def _summary(row: Row, image_id: str | None) -> Fields:
    """A product without its seller."""
    return {
        "product_id": row["product_id"],
        "title": row["title"],
        "price_cents": row["price_cents"],
        "currency": row["currency"],
        "stock": row["stock"],
        "rating": row["rating"] or 0.0,
        "rating_count": row["rating_count"],
        "image_id": image_id or "",
        "create_time": _timestamp(row["created_at"]),
    }


def _seller(row: Row) -> Fields:
    return {
        "seller_id": row["seller_id"],
        "name": row["name"],
        "slug": row["slug"],
        "rating": row["rating"] or 0.0,
        "rating_count": row["rating_count"],
        "items_sold": row["items_sold"],
    }


def _seller_beside(row: Row) -> Fields:
    """Of a row that is a product's."""
    return {
        "seller_id": row["seller_id"],
        "name": row["seller_name"],
        "slug": row["seller_slug"],
        "rating": row["seller_rating"] or 0.0,
        "rating_count": row["seller_rating_count"],
        "items_sold": row["seller_items_sold"],
    }


def _review(row: Row) -> Fields:
    return {
        "review_id": row["review_id"],
        "author": row["display_name"],
        "rating": row["rating"],
        "body": row["body"],
        "create_time": _timestamp(row["created_at"]),
    }


def _timestamp(text: str) -> dict[str, int]:
    """PostgreSQL's JSON form of a time."""
    since = datetime.fromisoformat(text) - _EPOCH
    return {"seconds": since.days * 86_400 + since.seconds, "nanos": since.microseconds * 1000}


def _text(value: Any) -> str:
    """A value of an attribute; one that is no text as JSON writes it."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
