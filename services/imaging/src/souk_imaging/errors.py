"""What a caller is told when something goes wrong: one table, core exception -> status code, reason and retry delay."""

from collections.abc import Callable

import grpc
from souk_common.errors import ErrorTable, ServiceError

from souk_imaging import exceptions as exc
from souk_imaging.images import Failure

DOMAIN = "souk.imaging.v1"
COMMON_DOMAIN = "souk.common.v1"

Code = grpc.StatusCode


def _tell(
    code: Code, reason: str, *, domain: str = DOMAIN, retry_delay: float | None = None
) -> Callable[[exc.ImagingError], ServiceError]:
    def tell(error: exc.ImagingError) -> ServiceError:
        return ServiceError(code, reason, error.message, domain=domain, metadata=error.metadata, retry_delay=retry_delay)

    return tell


ERRORS: ErrorTable = {
    exc.ImageNotFoundError: _tell(Code.NOT_FOUND, "IMAGE_NOT_FOUND"),
    exc.VariantNotFoundError: _tell(Code.NOT_FOUND, "VARIANT_NOT_FOUND"),
    exc.NoAcceptableVariantError: _tell(Code.NOT_FOUND, "VARIANT_NOT_FOUND"),
    exc.ImageNotReadyError: _tell(Code.FAILED_PRECONDITION, "IMAGE_NOT_READY", retry_delay=1.0),
    exc.ImageFailedError: _tell(Code.FAILED_PRECONDITION, "IMAGE_FAILED"),
    exc.ImageDeletedError: _tell(Code.ABORTED, "IMAGE_DELETED"),
    exc.ProfileUnknownError: _tell(Code.INVALID_ARGUMENT, "PROFILE_UNKNOWN"),
    exc.RequestIdReusedError: _tell(Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED", domain=COMMON_DOMAIN),
    exc.RequestInProgressError: _tell(Code.ABORTED, "REQUEST_IN_PROGRESS", domain=COMMON_DOMAIN, retry_delay=1.0),
    exc.UploadEmptyError: _tell(Code.INVALID_ARGUMENT, "UPLOAD_EMPTY"),
    exc.UploadIncompleteError: _tell(Code.INVALID_ARGUMENT, "UPLOAD_INCOMPLETE"),
    exc.UploadStalledError: _tell(Code.DEADLINE_EXCEEDED, "UPLOAD_STALLED"),
    exc.UploadOutOfOrderError: _tell(Code.INVALID_ARGUMENT, "UPLOAD_OUT_OF_ORDER"),
    exc.SizeMismatchError: _tell(Code.INVALID_ARGUMENT, "SIZE_MISMATCH"),
    exc.ChecksumMismatchError: _tell(Code.INVALID_ARGUMENT, "CHECKSUM_MISMATCH"),
    exc.ContentTypeMismatchError: _tell(Code.INVALID_ARGUMENT, "CONTENT_TYPE_MISMATCH"),
    exc.NotAnImageError: _tell(Code.INVALID_ARGUMENT, "NOT_AN_IMAGE"),
    exc.FormatNotSupportedError: _tell(Code.INVALID_ARGUMENT, "FORMAT_NOT_SUPPORTED"),
    exc.ImageTruncatedError: _tell(Code.INVALID_ARGUMENT, "IMAGE_TRUNCATED"),
    exc.ImageCorruptError: _tell(Code.INVALID_ARGUMENT, "IMAGE_CORRUPT"),
    exc.TooManyBytesError: _tell(Code.INVALID_ARGUMENT, "TOO_MANY_BYTES"),
    exc.TooMuchMetadataError: _tell(Code.INVALID_ARGUMENT, "TOO_MUCH_METADATA"),
    exc.TooManyPixelsError: _tell(Code.INVALID_ARGUMENT, "TOO_MANY_PIXELS"),
    exc.TooManyFramesError: _tell(Code.INVALID_ARGUMENT, "TOO_MANY_FRAMES"),
    exc.WorkerCrashedError: _tell(Code.INTERNAL, "WORKER_CRASHED"),
    exc.WorkerTimedOutError: _tell(Code.INTERNAL, "WORKER_TIMED_OUT"),
    exc.WorkerOutOfMemoryError: _tell(Code.INTERNAL, "WORKER_OUT_OF_MEMORY"),
    exc.BacklogFullError: _tell(Code.UNAVAILABLE, "OVERLOADED", domain=COMMON_DOMAIN, retry_delay=5.0),
    exc.TooManyUploadsError: _tell(Code.UNAVAILABLE, "OVERLOADED", domain=COMMON_DOMAIN, retry_delay=1.0),
    exc.StoreUnavailableError: _tell(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", domain=COMMON_DOMAIN, retry_delay=1.0),
}


def describe(error: exc.ImagingError) -> Failure:
    """An error as an image keeps it."""
    told = ERRORS[type(error)](error)
    code: int = told.code.value[0]
    return Failure(code, told.reason, told.domain, told.message, dict(told.metadata))


def recall(failure: Failure) -> exc.ImagingError:
    """The error that `describe` made a failure of."""
    return _BY_REASON[failure.reason](failure.message, **failure.metadata)


_BY_REASON: dict[str, type[exc.ImagingError]] = {
    tell(kind("")).reason: kind for kind, tell in ERRORS.items() if issubclass(kind, exc.ImagingError)
}
