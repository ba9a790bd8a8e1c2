"""The bytes of one BatchGetResponse, which has to be one message."""

import grpc
from souk.cache.v1 import cache_pb2 as pb
from souk_common.errors import ServiceError

from souk_cache.errors import DOMAIN
from souk_cache.rpc import encoding


class Room:
    """What one answer still takes. Whatever comes, each key has its result: for those that find no room, the refusal."""

    def __init__(self, limit: int, count: int) -> None:
        """limit: bytes of the answer at the most; count: results that it is to have."""
        told = ServiceError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "BATCH_TOO_LARGE",
            f"the answer would have more than {limit:,} bytes: read this key by itself",
            domain=DOMAIN,
            metadata={"limit_bytes": str(limit)},
        )
        self.refusal = encoding.field(encoding.RESULT, pb.Result(error=told.failure()))
        self._left = limit - count * len(self.refusal)

    def fits(self, size: int, times: int = 1) -> bool:
        """Whether `times` results of `size` bytes find room. Those that are no longer than the refusal always do."""
        return max(0, size - len(self.refusal)) * times <= self._left

    def put(self, field: bytes, times: int = 1) -> bytes:
        """Take the room of a result that comes `times`; the refusal where there is none."""
        if not self.fits(len(field), times):
            return self.refusal
        self._left -= max(0, len(field) - len(self.refusal)) * times
        return field
