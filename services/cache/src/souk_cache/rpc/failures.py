"""Errors of single items, in the answers of rpcs that bring many."""

import structlog
from souk.common.v1.errors_pb2 import Failure
from souk_common.errors import internal, new_error_id, translate

from souk_cache.errors import ERRORS

log = structlog.get_logger(__name__)


def failure(error: Exception) -> Failure:
    """An error as an item tells it; one that nobody foresaw is logged, and told by its id."""
    told = translate(error, ERRORS)
    if told is None:
        told = internal(new_error_id())
        log.error("unforeseen error", error_id=told.metadata["error_id"], exc_info=error)
    return told.failure()
