"""Typed clients of the Souk services.

>>> async with ImagingClient("127.0.0.1:50051") as imaging:
...     image = await imaging.upload("photo.jpg", owner="seller-17", tags=["listing:42"])
...     variant = await imaging.select(image.image_id, accept="image/avif,image/webp,*/*", width=400)
"""

from souk.client._channel import open_channel, service_config
from souk.client._config import ClientConfig
from souk.client._errors import (
    AbortedError,
    AlreadyExistsError,
    CancelledError,
    DataLossError,
    DeadlineExceededError,
    FailedPreconditionError,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SoukError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
    UnknownError,
    from_failure,
)
from souk.client._imaging import ImagingClient
from souk.client._sources import PhotoSource
from souk.client._upload import Progress

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "CancelledError",
    "ClientConfig",
    "DataLossError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "FieldViolation",
    "ImagingClient",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "PermissionDeniedError",
    "PhotoSource",
    "Progress",
    "ResourceExhaustedError",
    "SoukError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "from_failure",
    "open_channel",
    "service_config",
]
