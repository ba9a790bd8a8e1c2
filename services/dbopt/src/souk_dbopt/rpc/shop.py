"""Rows of the shipped queries as the messages of MarketplaceService."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

import orjson
from google.protobuf.timestamp_pb2 import Timestamp
from souk.dbopt.v1 import marketplace_pb2 as pb

Row: TypeAlias = Mapping[str, Any]
STARS = ("1", "2", "3", "4", "5")


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


def timestamp(text: str) -> Timestamp:
    """PostgreSQL's JSON form of a time."""
    moment = Timestamp()
    moment.FromDatetime(datetime.fromisoformat(text))
    return moment


def product_summary(row: Row) -> pb.ProductSummary:
    """Of a list."""
    summary = _summary(row, row["image_id"])
    summary.seller.CopyFrom(
        pb.SellerSummary(
            seller_id=row["seller_id"],
            name=row["seller_name"],
            slug=row["seller_slug"],
            rating=row["seller_rating"] or 0.0,
            rating_count=row["seller_rating_count"],
            items_sold=row["seller_items_sold"],
        )
    )
    return summary


def product(row: Row) -> pb.Product:
    """Of a product's page."""
    images = [image["image_id"] for image in row["images"]]
    summary = _summary(row, images[0] if images else None)
    summary.seller.CopyFrom(_seller(row["seller"]))
    return pb.Product(
        summary=summary,
        description=row["description"],
        category_id=row["category_id"],
        attributes={name: _text(value) for name, value in row["attributes"].items()},
        image_ids=images,
        reviews=map(_review, row["reviews"]),
        rating_histogram=[row["ratings"][stars] for stars in STARS],
        for_sale=row["status"] == "active",
        version=row["version"],
    )


def order(row: Row) -> pb.Order:
    """Of a list, or one that was placed."""
    return pb.Order(
        order_id=row["order_id"],
        buyer_id=row["buyer_id"],
        status=row["status"],
        total_cents=row["total_cents"],
        currency=row["currency"],
        place_time=timestamp(row["placed_at"]),
        items=[
            pb.OrderItem(
                product_id=item["product_id"],
                title=item["title"],
                quantity=item["quantity"],
                price_cents=item["price_cents"],
                seller_id=item["seller_id"],
            )
            for item in row["items"]
        ],
    )


def dashboard(row: Row) -> pb.SellerDashboard:
    """Of a seller."""
    return pb.SellerDashboard(
        seller=_seller(row["seller"]),
        revenue_cents=row["revenue_cents"],
        items_sold=row["items_sold"],
        days=[pb.SalesOfDay(**day) for day in row["days"]],
        best_sellers=[pb.ProductSales(**sold) for sold in row["best_sellers"]],
        low_stock=[_summary(low, low["image_id"]) for low in row["low_stock"]],
        products_for_sale=row["products_for_sale"],
    )


def placed(row: Row, token: str) -> pb.PlaceOrderResponse:
    """What became of an order."""
    outcome = row["outcome"]
    if outcome in ("placed", "already_placed"):
        return pb.PlaceOrderResponse(order=order(row), repeated=outcome == "already_placed", consistency_token=token)
    refused = pb.OrderRefused(
        buyer_unknown=outcome == "unknown_buyer",
        currencies_mixed=outcome == "mixed_currencies",
        products=[
            pb.UnavailableProduct(product_id=each["product_id"], stock=each["stock"], not_for_sale=each["not_for_sale"])
            for each in row["products"] or ()
        ],
    )
    return pb.PlaceOrderResponse(refused=refused, consistency_token=token)


def _summary(row: Row, image_id: str | None) -> pb.ProductSummary:
    """A product without its seller."""
    return pb.ProductSummary(
        product_id=row["product_id"],
        title=row["title"],
        price_cents=row["price_cents"],
        currency=row["currency"],
        stock=row["stock"],
        rating=row["rating"] or 0.0,
        rating_count=row["rating_count"],
        image_id=image_id or "",
        create_time=timestamp(row["created_at"]),
    )


def _seller(row: Row) -> pb.SellerSummary:
    return pb.SellerSummary(
        seller_id=row["seller_id"],
        name=row["name"],
        slug=row["slug"],
        rating=row["rating"] or 0.0,
        rating_count=row["rating_count"],
        items_sold=row["items_sold"],
    )


def _review(row: Row) -> pb.Review:
    return pb.Review(
        review_id=row["review_id"],
        author=row["display_name"],
        rating=row["rating"],
        body=row["body"],
        create_time=timestamp(row["created_at"]),
    )


def _text(value: Any) -> str:
    """A value of an attribute; one that is no text as JSON writes it."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
