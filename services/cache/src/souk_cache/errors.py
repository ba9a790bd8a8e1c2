"""What a caller is told when something goes wrong: one table, core exception -> status code, reason and retry delay."""

from collections.abc import Callable

import grpc
from souk_common.errors import ErrorTable, ServiceError

from souk_cache import exceptions as exc

DOMAIN = "souk.cache.v1"
COMMON_DOMAIN = "souk.common.v1"

Code = grpc.StatusCode


def _tell(
    code: Code, reason: str, *, domain: str = DOMAIN, retry_delay: float | None = None, repeated: bool = True
) -> Callable[[exc.CacheError], ServiceError]:
    def tell(error: exc.CacheError) -> ServiceError:
        return ServiceError(
            code, reason, error.message, domain=domain, metadata=error.metadata, retry_delay=retry_delay, repeated=repeated
        )

    return tell


ERRORS: ErrorTable = {
    exc.NamespaceUnknownError: _tell(Code.NOT_FOUND, "NAMESPACE_UNKNOWN"),
    exc.AliasKindUnknownError: _tell(Code.INVALID_ARGUMENT, "ALIAS_KIND_UNKNOWN"),
    exc.TimeBucketUnreadableError: _tell(Code.INVALID_ARGUMENT, "TIME_BUCKET_UNREADABLE"),
    exc.ValueTooLargeError: _tell(Code.INVALID_ARGUMENT, "VALUE_TOO_LARGE"),
    exc.LoaderMissingError: _tell(Code.FAILED_PRECONDITION, "LOADER_MISSING"),
    # a loader that is in trouble is not called four times for one read
    exc.LoaderFailedError: _tell(Code.UNAVAILABLE, "LOADER_FAILED", retry_delay=0.5, repeated=False),
    exc.StoreUnavailableError: _tell(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", domain=COMMON_DOMAIN, retry_delay=0.5),
}
