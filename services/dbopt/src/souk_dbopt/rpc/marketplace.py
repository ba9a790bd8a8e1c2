"""The servicer of souk.dbopt.v1.MarketplaceService: typed requests, each run as one query of the catalogue."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import grpc
import orjson
from souk.dbopt.v1 import marketplace_pb2 as pb
from souk.dbopt.v1 import marketplace_pb2_grpc as pb_grpc
from souk_common.call import annotate
from souk_common.paging import page_position, page_token, page_token_refused

from souk_dbopt.catalogue import Catalogue, Query
from souk_dbopt.consistency import Position
from souk_dbopt.exceptions import ArgumentsError, RequestIdReusedError
from souk_dbopt.executing import Executor
from souk_dbopt.result_cache import ResultCache
from souk_dbopt.rpc import mapping, shop, validate
from souk_dbopt.rpc.refusals import Refusals

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
LISTS = {
    pb.PRODUCT_ORDER_UNSPECIFIED: "product.list_newest",
    pb.PRODUCT_ORDER_NEWEST: "product.list_newest",
    pb.PRODUCT_ORDER_CHEAPEST: "product.list_cheapest",
    pb.PRODUCT_ORDER_DEAREST: "product.list_dearest",
    pb.PRODUCT_ORDER_POPULAR: "product.list_popular",
}
Row: TypeAlias = dict[str, Any]


class MarketplaceServicer(pb_grpc.MarketplaceServiceServicer):
    """Maps each rpc to one query."""

    def __init__(self, catalogue: Catalogue, executor: Executor, results: ResultCache) -> None:
        self._catalogue = catalogue
        self._executor = executor
        self._results = results

    async def ListProducts(self, request: pb.ListProductsRequest, context: Context) -> pb.ListProductsResponse:
        """See the proto."""
        query = self._query(LISTS.get(request.order, LISTS[pb.PRODUCT_ORDER_UNSPECIFIED]))
        values = shop.filter_of(request.filter)
        rows, following, token = await self._page(validate.list_products, query, values, request)
        return pb.ListProductsResponse(products=shop.products(rows), next_page_token=following, consistency_token=token)

    async def SearchProducts(self, request: pb.SearchProductsRequest, context: Context) -> pb.SearchProductsResponse:
        """See the proto."""
        query = self._query("product.search")
        values = {"words": request.text, **shop.filter_of(request.filter)}
        rows, following, token = await self._page(validate.search_products, query, values, request)
        return pb.SearchProductsResponse(products=shop.products(rows), next_page_token=following, consistency_token=token)

    async def GetProduct(self, request: pb.GetProductRequest, context: Context) -> pb.GetProductResponse:
        """See the proto."""
        rows, token = await self._read(self._query("product.get"), {"product_id": request.product_id}, request)
        found = {"product": shop.product(rows[0])} if rows else {"missing": {}}
        return pb.GetProductResponse(**found, consistency_token=token)

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Context) -> pb.ListOrdersResponse:
        """See the proto."""
        query = self._query("order.list")
        values = {"buyer_id": request.buyer_id}
        rows, following, token = await self._page(validate.list_orders, query, values, request)
        return pb.ListOrdersResponse(orders=map(shop.order, rows), next_page_token=following, consistency_token=token)

    async def GetSellerDashboard(self, request: pb.GetSellerDashboardRequest, context: Context) -> pb.GetSellerDashboardResponse:
        """See the proto."""
        rows, token = await self._read(self._query("seller.dashboard"), {"seller_id": request.seller_id}, request)
        found = {"dashboard": shop.dashboard(rows[0])} if rows else {"missing": {}}
        return pb.GetSellerDashboardResponse(**found, consistency_token=token)

    async def PlaceOrder(self, request: pb.PlaceOrderRequest, context: Context) -> pb.PlaceOrderResponse:
        """See the proto."""
        validate.place_order(request)
        query = self._query("order.place")
        values = {
            "buyer_id": request.buyer_id,
            "request_id": request.request_id,
            "product_ids": [line.product_id for line in request.lines],
            "quantities": [line.quantity for line in request.lines],
        }
        rows = await self._executor.write_idempotent(query, query.arguments(values))
        (row,) = orjson.loads(rows.text)
        annotate(outcome=row["outcome"], order_id=row["order_id"])
        if row["outcome"] == "request_id_reused":
            raise RequestIdReusedError(request.request_id)
        self._results.wrote()
        return shop.placed(row, mapping.token(rows.position))

    def _query(self, name: str) -> Query:
        query = self._catalogue.get(name)
        annotate(query=query.key)
        return query

    async def _read(self, query: Query, values: Mapping[str, Any], request: Any) -> tuple[list[Row], str]:
        """Rows, and the token of a read that is to have seen what this one saw."""
        return await self._read_at(query, values, Position.parse(request.consistency_token))

    async def _read_at(self, query: Query, values: Mapping[str, Any], position: Position | None) -> tuple[list[Row], str]:
        found = await self._results.read(query, query.converted(values), position)
        return orjson.loads(found.text), mapping.token(found.position)

    async def _page(
        self, check: Callable[[Any], None], query: Query, values: Mapping[str, Any], request: Any
    ) -> tuple[list[Row], str, str]:
        """Rows of a page, the token of the next, and that of a read that is to have seen what this one saw. One row more is
        asked for, to know whether there is a next page. check: of the request, without its tokens."""
        refusals, bound_to = Refusals(), (query.key, values)
        refusals.of(check, request)
        after = refusals.of(page_position, request.page_token, *bound_to)
        position = refusals.of(Position.parse, request.consistency_token)
        refusals.check()
        size = request.page_size or validate.PAGE
        assert query.page is not None  # noqa: S101 — of all that are read by pages
        try:
            arguments = {**values, query.page.size: size + 1, **(orjson.loads(after) if after else {})}
            query.arguments(arguments)
        except (orjson.JSONDecodeError, ArgumentsError, TypeError) as error:
            if after:  # made by somebody else
                raise page_token_refused() from error
            raise
        rows, token = await self._read_at(query, arguments, position)
        after_this = query.next_page(rows[:size], size) if len(rows) > size else None
        following = page_token(orjson.dumps(after_this).decode(), *bound_to) if after_this else ""
        return rows[:size], following, token
