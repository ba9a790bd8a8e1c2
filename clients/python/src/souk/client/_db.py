"""The client of dbopt: souk.dbopt.v1.QueryService, MarketplaceService and InsightService."""

import json
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Self, TypeAlias

import grpc
from google.protobuf.struct_pb2 import Struct
from souk.client._calls import responses, typed
from souk.client._channel import open_channel
from souk.client._config import ClientConfig
from souk.client._consistency import latest
from souk.client._db_insight import InsightCalls
from souk.client._trace import with_trace
from souk.dbopt.v1 import insight_pb2 as insight
from souk.dbopt.v1 import insight_pb2_grpc, marketplace_pb2_grpc, query_pb2_grpc
from souk.dbopt.v1 import marketplace_pb2 as shop
from souk.dbopt.v1 import query_pb2 as pb

Row: TypeAlias = dict[str, Any]
SERVICES = (
    pb.DESCRIPTOR.services_by_name["QueryService"],
    shop.DESCRIPTOR.services_by_name["MarketplaceService"],
    insight.DESCRIPTOR.services_by_name["InsightService"],
)
EXACT = 2**53
"""Whole numbers of JSON are exact up to here; larger ones are sent as strings."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a query returned."""

    json: str
    """A JSON array of objects, one for each row, as PostgreSQL built it."""
    row_count: int
    source: pb.Source.ValueType
    """Who answered: SOURCE_PRIMARY, SOURCE_REPLICA or SOURCE_CACHE."""
    consistency_token: str
    repeated: bool
    """A write that an earlier call with the same request_id made."""

    def rows(self) -> list[Row]:
        """The rows, parsed."""
        rows: list[Row] = json.loads(self.json)
        return rows


@dataclass(frozen=True, slots=True)
class ProductPage:
    """One page of products."""

    products: Sequence[shop.ProductSummary]
    next_page_token: str
    """For the next page; empty where this was the last."""


@dataclass(frozen=True, slots=True)
class OrderPage:
    """One page of orders."""

    orders: Sequence[shop.Order]
    next_page_token: str


class DbSession:
    """Calls that see what those before them wrote: the consistency token of each write goes with every read that follows.

    One for each user of yours, so that nobody's reads wait for what another has written; `DbClient.session` makes it from a token
    that you keep with him, in a cookie say. Reads go to replicas that have what the token asks for, else to the primary.
    """

    def __init__(
        self,
        queries: "query_pb2_grpc.QueryServiceAsyncStub",
        marketplace: "marketplace_pb2_grpc.MarketplaceServiceAsyncStub",
        config: ClientConfig,
        metadata: tuple[tuple[str, str], ...],
        token: str = "",
        *,
        monotonic: bool = False,
    ) -> None:
        self._queries = queries
        self._marketplace = marketplace
        self._config = config
        self._metadata = metadata
        self._monotonic = monotonic
        self.consistency_token = token
        """What the next read will have seen at least."""

    async def execute(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        version: int = 0,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> QueryResult:
        """Run a query that reads. With request_id, one that writes: it is written once, however often the call is repeated.

        parameters: by name; what JSON has, and datetimes with a time zone, dates, decimals and UUIDs; others are a TypeError.
        timeout: seconds. InvalidArgumentError names every parameter that is wrong; NotFoundError: the catalogue has no such query.
        """
        request = pb.ExecuteQueryRequest(
            name=name,
            version=version,
            parameters=struct(parameters or {}),
            request_id=request_id or "",
            consistency_token=self.consistency_token,
        )
        if request_id is not None:
            request.consistency_token = ""
        answer = await typed(self._queries.ExecuteQuery(request, **self._options(timeout)))
        self._saw(answer.consistency_token, wrote=request_id is not None)
        return QueryResult(answer.rows, answer.row_count, answer.source, answer.consistency_token, answer.repeated)

    async def write(
        self, name: str, parameters: Mapping[str, Any] | None = None, *, request_id: str | None = None, timeout: float | None = None
    ) -> QueryResult:
        """Run a query that writes, once. request_id: where the caller himself may come again after a failure; else one is made."""
        return await self.execute(name, parameters, request_id=request_id or uuid.uuid4().hex, timeout=timeout)

    async def stream(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        version: int = 0,
        batch_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncGenerator[list[Row], None]:
        """The rows of a query that reads, batch by batch, all of one moment. What breaks off is not taken up again.

        timeout: seconds for all of it; None: as long as it takes.
        """
        request = pb.StreamQueryRequest(
            name=name,
            version=version,
            parameters=struct(parameters or {}),
            batch_size=batch_size,
            consistency_token=self.consistency_token,
        )
        call = self._queries.StreamQuery(request, timeout=timeout, metadata=with_trace(self._metadata))
        async with aclosing(responses(call)) as answers:
            async for answer in answers:
                self._saw(answer.consistency_token, wrote=False)
                yield json.loads(answer.rows)

    async def list_products(
        self,
        order: shop.ProductOrder.ValueType = shop.PRODUCT_ORDER_NEWEST,
        *,
        page_size: int = 0,
        page_token: str = "",
        attributes: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **filters: Any,
    ) -> ProductPage:
        """One page of products for sale.

        filters: category_id, seller_id, min_price_cents, max_price_cents, in_stock. ValueError: another name, or a number that
        does not fit; TypeError: a value of another type.
        """
        request = shop.ListProductsRequest(
            order=order,
            filter=shop.ProductFilter(attributes=attributes or {}, **filters),
            page_size=page_size,
            page_token=page_token,
            consistency_token=self.consistency_token,
        )
        page = await typed(self._marketplace.ListProducts(request, **self._options(timeout)))
        self._saw(page.consistency_token, wrote=False)
        return ProductPage(page.products, page.next_page_token)

    async def search_products(
        self,
        text: str,
        *,
        page_size: int = 0,
        page_token: str = "",
        attributes: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **filters: Any,
    ) -> ProductPage:
        """One page of what matches best. filters: as of list_products, with its ValueError and TypeError."""
        request = shop.SearchProductsRequest(
            text=text,
            filter=shop.ProductFilter(attributes=attributes or {}, **filters),
            page_size=page_size,
            page_token=page_token,
            consistency_token=self.consistency_token,
        )
        page = await typed(self._marketplace.SearchProducts(request, **self._options(timeout)))
        self._saw(page.consistency_token, wrote=False)
        return ProductPage(page.products, page.next_page_token)

    async def get_product(self, product_id: int, *, timeout: float | None = None) -> shop.Product | None:
        """Everything that a product's page shows; None where there is none."""
        request = shop.GetProductRequest(product_id=product_id, consistency_token=self.consistency_token)
        answer = await typed(self._marketplace.GetProduct(request, **self._options(timeout)))
        self._saw(answer.consistency_token, wrote=False)
        return answer.product if answer.HasField("product") else None

    async def list_orders(
        self, buyer_id: int, *, page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> OrderPage:
        """One page of a buyer's orders, the newest first."""
        request = shop.ListOrdersRequest(
            buyer_id=buyer_id, page_size=page_size, page_token=page_token, consistency_token=self.consistency_token
        )
        page = await typed(self._marketplace.ListOrders(request, **self._options(timeout)))
        self._saw(page.consistency_token, wrote=False)
        return OrderPage(page.orders, page.next_page_token)

    async def get_seller_dashboard(self, seller_id: int, *, timeout: float | None = None) -> shop.SellerDashboard | None:
        """What a seller looks at first; None where there is no such seller."""
        request = shop.GetSellerDashboardRequest(seller_id=seller_id, consistency_token=self.consistency_token)
        answer = await typed(self._marketplace.GetSellerDashboard(request, **self._options(timeout)))
        self._saw(answer.consistency_token, wrote=False)
        return answer.dashboard if answer.HasField("dashboard") else None

    async def place_order(
        self,
        buyer_id: int,
        lines: Mapping[int, int] | Iterable[tuple[int, int]],
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> shop.PlaceOrderResponse:
        """Order, if everything is in stock. lines: product_id -> how many. request_id: the same one orders once; else one is
        made. TypeError: lines that are no whole numbers."""
        pairs = lines.items() if isinstance(lines, Mapping) else lines
        request = shop.PlaceOrderRequest(
            buyer_id=buyer_id,
            request_id=request_id or uuid.uuid4().hex,
            lines=[shop.OrderLine(product_id=product, quantity=quantity) for product, quantity in pairs],
        )
        answer = await typed(self._marketplace.PlaceOrder(request, **self._options(timeout)))
        self._saw(answer.consistency_token, wrote=True)
        return answer

    def _saw(self, token: str, *, wrote: bool) -> None:
        if token and (wrote or self._monotonic):
            self.consistency_token = latest(self.consistency_token, token)

    def _options(self, timeout: float | None) -> dict[str, Any]:
        return {"timeout": self._config.timeout if timeout is None else timeout, "metadata": with_trace(self._metadata)}


class DbClient(DbSession, InsightCalls):
    """Runs queries of dbopt's catalogue. Use it as an async context manager, in one event loop; any number of calls at once.

    It is itself a session, of all that this process does; `session()` makes others. What may be repeated is repeated by itself when
    the server is UNAVAILABLE, within the `timeout` of the call, which is in seconds; None is what the configuration says.

    What the server says, and that it does not answer, is a SoukError, or what derives from it. An argument that cannot be sent is
    told before the call: a TypeError for one of a wrong type and for a time without a time zone, a ValueError for a number that is
    too large for its field, for a text that is no Unicode, and for a filter that there is not. Methods that are iterated over raise
    when the iteration begins.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        config: ClientConfig | None = None,
        channel: grpc.aio.Channel | None = None,
        monotonic: bool = False,
    ) -> None:
        """`target` is short for ClientConfig(target=…). A `channel` of your own is used as it is, and stays open.

        monotonic: no read sees less than one before it, either.
        """
        config = config or ClientConfig(target="127.0.0.1:50053")
        config = replace(config, target=target) if target else config
        self._channel = channel or open_channel(config, SERVICES)
        self._owns_channel = channel is None
        metadata = (("authorization", f"Bearer {config.token}"),) if config.token else ()
        queries: Any = query_pb2_grpc.QueryServiceStub(self._channel)
        marketplace: Any = marketplace_pb2_grpc.MarketplaceServiceStub(self._channel)
        insight_stub: Any = insight_pb2_grpc.InsightServiceStub(self._channel)
        self._insight = insight_stub
        super().__init__(queries, marketplace, config, metadata, monotonic=monotonic)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection, if it is the client's own."""
        if self._owns_channel:
            await self._channel.close()

    def session(self, consistency_token: str = "", *, monotonic: bool = False) -> DbSession:
        """Calls of one user, over the same connection."""
        return DbSession(self._queries, self._marketplace, self._config, self._metadata, consistency_token, monotonic=monotonic)

    async def queries(self, prefix: str = "", *, timeout: float | None = None) -> AsyncGenerator[pb.Query, None]:
        """The queries there are, by name, through all pages."""
        request = pb.ListQueriesRequest(prefix=prefix)
        while True:
            page = await typed(self._queries.ListQueries(request, **self._options(timeout)))
            for query in page.queries:
                yield query
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def pool_status(self, *, timeout: float | None = None) -> Sequence[pb.Server]:
        """The servers and connections of the node that answers."""
        answer = await typed(self._queries.GetPoolStatus(pb.GetPoolStatusRequest(), **self._options(timeout)))
        return answer.servers

    async def explain(
        self,
        name: str = "",
        parameters: Mapping[str, Any] | None = None,
        *,
        sql: str = "",
        values: Sequence[Any] = (),
        analyze: bool = False,
        generic: bool = False,
        timeout: float | None = None,
    ) -> insight.ExplainQueryResponse:
        """The plan of a query of the catalogue, or of a SELECT with $1, $2 … for `values`, and what is wrong with it.

        analyze: run it, and tell what really happened. generic: the plan for any values. InvalidArgumentError with NOT_EXPLAINABLE
        says what in a text is refused.
        """
        request = insight.ExplainQueryRequest(
            parameters=struct(parameters or {}),
            values=[struct({"value": value}).fields["value"] for value in values],
            analyze=analyze,
            generic=generic,
        )
        if name:
            request.name = name
        if sql:
            request.sql = sql
        return await typed(self._insight.ExplainQuery(request, **self._options(timeout)))


def struct(parameters: Mapping[str, Any]) -> Struct:
    """Parameters as a Struct. TypeError for a value that has no form in JSON, and for a datetime without a time zone."""
    made = Struct()
    for name, value in parameters.items():
        made[name] = _plain(name, value)
    return made


def _plain(name: str, value: Any) -> Any:
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if -EXACT <= value <= EXACT else str(value)
        case float():
            return value
        case datetime():
            if value.tzinfo is None:
                raise TypeError(f"{name} has no time zone, and so is no moment: {value}")
            return value.isoformat()
        case date() | Decimal() | uuid.UUID():
            return value.isoformat() if isinstance(value, date) else str(value)
        case Mapping():
            return {str(key): _plain(f"{name}.{key}", each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(f"{name}[{number}]", each) for number, each in enumerate(value)]
    raise TypeError(f"{name} is a {type(value).__name__}, which is no parameter of a query")
