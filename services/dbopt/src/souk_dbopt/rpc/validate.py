"""Requests as they must be. Each function raises INVALID_ARGUMENT that names every bad field at once."""

from souk.dbopt.v1 import insight_pb2 as insight
from souk.dbopt.v1 import marketplace_pb2 as shop
from souk.dbopt.v1 import query_pb2 as pb
from souk_common.errors import FieldViolation, invalid_fields

MAX_REQUEST_ID = 128
PAGE, MAX_PAGE = 50, 200
MAX_SEARCH = 200
MAX_ATTRIBUTES, MAX_ATTRIBUTE = 10, 100
MAX_LINES, MAX_QUANTITY = 100, 10_000
BATCH, MAX_BATCH = 500, 10_000
MAX_VALUES = 100


class Violations:
    """Gathers what is wrong with one request."""

    def __init__(self) -> None:
        self._found: list[FieldViolation] = []

    def add(self, field: str, description: str) -> None:
        """One more."""
        self._found.append(FieldViolation(field, description))

    def check(self) -> None:
        """Raise them, if there are any."""
        if self._found:
            raise invalid_fields(self._found)

    def request_id(self, request_id: str) -> None:
        """Visible ASCII characters, not too many."""
        if not (1 <= len(request_id) <= MAX_REQUEST_ID and all("!" <= letter <= "~" for letter in request_id)):
            self.add("request_id", f"must be 1 to {MAX_REQUEST_ID} visible ASCII characters")

    def page_size(self, page_size: int) -> None:
        """How many a page has."""
        if not 0 <= page_size <= MAX_PAGE:
            self.add("page_size", f"must be 0 to {MAX_PAGE}")

    def product_filter(self, wanted: shop.ProductFilter) -> None:
        """Attributes are few and short; prices are in order."""
        if len(wanted.attributes) > MAX_ATTRIBUTES:
            self.add("filter.attributes", f"must be {MAX_ATTRIBUTES} at the most")
        if any(len(text) > MAX_ATTRIBUTE for pair in wanted.attributes.items() for text in pair):
            self.add("filter.attributes", f"must have names and values of {MAX_ATTRIBUTE} characters at the most")
        for name in ("min_price_cents", "max_price_cents"):
            if getattr(wanted, name) < 0:
                self.add(f"filter.{name}", "must not be negative")
        if wanted.HasField("max_price_cents") and wanted.min_price_cents > wanted.max_price_cents:
            self.add("filter.min_price_cents", "must not be more than max_price_cents")


def named(request: "pb.ExecuteQueryRequest | pb.StreamQueryRequest") -> None:
    """A query's name and version."""
    if 1 <= len(request.name) <= 100 and request.version >= 0:
        return  # what is asked most gathers nothing
    violations = Violations()
    if not 1 <= len(request.name) <= 100:
        violations.add("name", "must have 1 to 100 characters")
    if request.version < 0:
        violations.add("version", "must not be negative")
    violations.check()


def request_id(request_id: str) -> None:
    """A request id, which a query that writes must have."""
    violations = Violations()
    violations.request_id(request_id)
    violations.check()


def batch_size(size: int) -> None:
    """A size of batches."""
    violations = Violations()
    if not 0 <= size <= MAX_BATCH:
        violations.add("batch_size", f"must be 0 to {MAX_BATCH:,}")
    violations.check()


def list_queries(request: pb.ListQueriesRequest) -> None:
    """A prefix and a size of pages."""
    violations = Violations()
    if len(request.prefix) > 100:
        violations.add("prefix", "must have 100 characters at the most")
    violations.page_size(request.page_size)
    violations.check()


def list_products(request: shop.ListProductsRequest) -> None:
    """An order, a filter and a size of pages."""
    violations = Violations()
    if request.order not in shop.ProductOrder.values():
        violations.add("order", "must be a value of ProductOrder")
    violations.product_filter(request.filter)
    violations.page_size(request.page_size)
    violations.check()


def search_products(request: shop.SearchProductsRequest) -> None:
    """A text, a filter and a size of pages."""
    violations = Violations()
    if not (request.text.strip() and len(request.text) <= MAX_SEARCH):
        violations.add("text", f"must have 1 to {MAX_SEARCH} characters")
    violations.product_filter(request.filter)
    violations.page_size(request.page_size)
    violations.check()


def list_orders(request: shop.ListOrdersRequest) -> None:
    """A size of pages."""
    violations = Violations()
    violations.page_size(request.page_size)
    violations.check()


def place_order(request: shop.PlaceOrderRequest) -> None:
    """A request id, and lines."""
    violations = Violations()
    violations.request_id(request.request_id)
    if not 1 <= len(request.lines) <= MAX_LINES:
        violations.add("lines", f"must be 1 to {MAX_LINES}")
    for number, line in enumerate(request.lines):
        if not 1 <= line.quantity <= MAX_QUANTITY:
            violations.add(f"lines[{number}].quantity", f"must be 1 to {MAX_QUANTITY:,}")
    violations.check()


def explain_query(request: insight.ExplainQueryRequest) -> None:
    """A name with parameters, or a text with values."""
    violations = Violations()
    match request.WhichOneof("query"):
        case "name":
            if not 1 <= len(request.name) <= 100:
                violations.add("name", "must have 1 to 100 characters")
            if request.values:
                violations.add("values", "are of a text; a query of the catalogue has parameters")
        case "sql":
            if len(request.values) > MAX_VALUES:
                violations.add("values", f"must be {MAX_VALUES} at the most")
            if request.parameters.fields:
                violations.add("parameters", "are of a query of the catalogue; a text has values")
        case _:
            violations.add("query", "must be a name or a text")
    violations.check()
