"""The Warm rpc: an operation of this node that brings keys in."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from souk.cache.v1 import cache_pb2 as pb
from souk_common import operation_service, operations
from souk_common.call import annotate, caller
from souk_common.operations import Operations, Work

from souk_cache.loading import Loader, check_lists
from souk_cache.namespaces import Namespace, Namespaces
from souk_cache.rpc import validate
from souk_cache.warming import Progress, Warming, listed

METHOD = "souk.cache.v1.CacheService/Warm"
QUERY_LIMIT = 10_000
"""Keys that a loader lists where the request does not say."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long a warming may take, in seconds."""

    default: float
    """Where the request does not say."""
    longest: float


class Warm:
    """Starts the warmings that callers of this node ask for."""

    def __init__(
        self,
        warming: Warming,
        namespaces: Namespaces,
        loader: Loader,
        hottest: Callable[[str, int], Awaitable[list[str]]],
        running: Operations,
        limits: TimeLimits,
    ) -> None:
        """hottest: keys of a namespace that were read most, the hottest first. running: where warmings are kept."""
        self._warming = warming
        self._namespaces = namespaces
        self._loader = loader
        self._hottest = hottest
        self._running = running
        self._limits = limits

    def __len__(self) -> int:
        """Keys that wait."""
        return len(self._warming)

    def start(self, request: pb.WarmRequest) -> pb.WarmResponse:
        """Take the operation; what cannot be warmed at all is an error at once."""
        validate.warm(request, self._limits.longest)
        space = self._namespaces.get(request.namespace)
        if request.HasField("query"):
            check_lists(space)
        progress = Progress()

        async def run() -> None:
            source = await self._source(space, request)
            await self._warming.warm(space, source, progress, priority=request.priority, concurrency=request.concurrency)

        limit = validate.seconds(request.time_limit) if request.HasField("time_limit") else self._limits.default
        operation = self._running.start(
            Work(METHOD, space.name, run, lambda: _told(progress), limit),
            principal=caller(),
            request_id=request.request_id,
            fingerprint=hashlib.sha256(request.SerializeToString(deterministic=True)).digest() if request.request_id else b"",
        )
        annotate(operation=operation.operation_id)
        return pb.WarmResponse(operation=operation_service.message(operation))

    async def _source(self, space: Namespace, request: pb.WarmRequest) -> AsyncIterator[Sequence[str]]:
        match request.WhichOneof("source"):
            case "keys":
                return listed(request.keys.keys)
            case "hottest":
                return listed(await self._hottest(space.name, request.hottest.count or validate.MAX_WARM_KEYS))
        return self._loader.list_keys(space, request.query.query, request.query.limit or QUERY_LIMIT)


def _told(progress: Progress) -> operations.Progress:
    counts = {
        "fetched": progress.fetched,
        "loaded": progress.loaded,
        "skipped": progress.skipped,
        "failed": progress.failed,
    }
    return operations.Progress(progress.total, progress.done, "key", counts)
