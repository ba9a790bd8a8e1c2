"""Typed clients of the Souk services.

>>> async with ImagingClient("127.0.0.1:50051") as imaging:
...     image = await imaging.upload("photo.jpg", owner="seller-17", tags=["listing:42"])
...     variant = await imaging.select(image.image_id, accept="image/avif,image/webp,*/*", width=400)

>>> async with CacheClient("127.0.0.1:50052", near=NearConfig(["product"])) as cache:
...     products = cache.namespace("product", message(Product))
...     product = await products.get_or_load("42", load_product)

>>> async with DbClient("127.0.0.1:50053") as db:
...     page = await db.list_products(category_id=3, in_stock=True)
...     placed = await db.place_order(buyer_id=17, lines={page.products[0].product_id: 1})
...     orders = await db.list_orders(17)  # has it, whichever server answers

>>> reporter = MonitorReporter("127.0.0.1:50054", options=ReportOptions(service="checkout", release="checkout@1.4.2"))
>>> logging.getLogger().addHandler(MonitorHandler(reporter))
>>> with reporter.capture(tags={"job": "payout"}):
...     pay_sellers()
"""

from souk.client._cache import CacheClient, CacheCounts, NearConfig
from souk.client._channel import open_channel, service_config
from souk.client._codecs import BYTES, JSON, Codec, message
from souk.client._config import ClientConfig
from souk.client._db import DbClient, DbSession, OrderPage, ProductPage, QueryResult
from souk.client._errors import (
    AbortedError,
    AlreadyExistsError,
    CancelledError,
    CodecError,
    DataLossError,
    DeadlineExceededError,
    FailedPreconditionError,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    ParameterError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SoukError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
    UnknownError,
    from_failure,
)
from souk.client._fingerprint import fingerprint
from souk.client._imaging import ImagingClient
from souk.client._loading import Load, Loaded, Loader, LoadMany, ManyLoader, current_load
from souk.client._monitor import MonitorClient, accepted
from souk.client._monitor_logging import MonitorHandler
from souk.client._monitor_report import Circumstances, ReportOptions, error_report, record_report
from souk.client._monitor_reporter import Capture, MonitorReporter, QueueOptions, ReporterCounts
from souk.client._namespace import Namespace
from souk.client._near import NearCache
from souk.client._operations import OperationsClient, RunningOperation
from souk.client._puts import CLIENTS, NODES, put_request
from souk.client._sources import PhotoSource
from souk.client._time_bucket import TimeBucket, time_bucket
from souk.client._upload import Progress
from souk.client._warm_progress import WarmProgress, warm_progress

__all__ = [
    "BYTES",
    "CLIENTS",
    "JSON",
    "NODES",
    "AbortedError",
    "AlreadyExistsError",
    "CacheClient",
    "CacheCounts",
    "CancelledError",
    "Capture",
    "Circumstances",
    "ClientConfig",
    "Codec",
    "CodecError",
    "DataLossError",
    "DbClient",
    "DbSession",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "FieldViolation",
    "ImagingClient",
    "InternalError",
    "InvalidArgumentError",
    "Load",
    "LoadMany",
    "Loaded",
    "Loader",
    "ManyLoader",
    "MonitorClient",
    "MonitorHandler",
    "MonitorReporter",
    "Namespace",
    "NearCache",
    "NearConfig",
    "NotFoundError",
    "OperationsClient",
    "OrderPage",
    "ParameterError",
    "PermissionDeniedError",
    "PhotoSource",
    "ProductPage",
    "Progress",
    "QueryResult",
    "QueueOptions",
    "ReportOptions",
    "ReporterCounts",
    "ResourceExhaustedError",
    "RunningOperation",
    "SoukError",
    "TimeBucket",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "WarmProgress",
    "accepted",
    "current_load",
    "error_report",
    "fingerprint",
    "from_failure",
    "message",
    "open_channel",
    "put_request",
    "record_report",
    "service_config",
    "time_bucket",
    "warm_progress",
]
