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
    "ResourceExhaustedError",
    "RunningOperation",
    "SoukError",
    "TimeBucket",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "WarmProgress",
    "current_load",
    "fingerprint",
    "from_failure",
    "message",
    "open_channel",
    "put_request",
    "service_config",
    "time_bucket",
    "warm_progress",
]
