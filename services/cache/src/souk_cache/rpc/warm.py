"""The Warm rpc: which keys, and how far it is."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from souk.cache.v1 import cache_pb2 as pb

from souk_cache.loading import Loader
from souk_cache.namespaces import Namespace, Namespaces
from souk_cache.rpc import validate
from souk_cache.warming import Progress, Warming, listed

QUERY_LIMIT = 10_000
"""Keys that a loader lists where the request does not say."""


class Warm:
    """All such streams of this node."""

    def __init__(
        self, warming: Warming, namespaces: Namespaces, loader: Loader, hottest: Callable[[str, int], Awaitable[list[str]]]
    ) -> None:
        """hottest: keys of a namespace that were read most, the hottest first."""
        self._warming = warming
        self._namespaces = namespaces
        self._loader = loader
        self._hottest = hottest

    def __len__(self) -> int:
        """Keys that wait."""
        return len(self._warming)

    async def serve(self, request: pb.WarmRequest) -> AsyncIterator[pb.WarmResponse]:
        """One stream, to its end."""
        validate.warm(request)
        space = self._namespaces.get(request.namespace)
        source = await self._source(space, request)
        running = self._warming.warm(space, source, priority=request.priority, concurrency=request.concurrency)
        async with contextlib.aclosing(running) as steps:
            async for progress in steps:
                yield _message(progress)

    async def _source(self, space: Namespace, request: pb.WarmRequest) -> AsyncIterator[Sequence[str]]:
        match request.WhichOneof("source"):
            case "keys":
                return listed(request.keys.keys)
            case "hottest":
                return listed(await self._hottest(space.name, request.hottest.count or validate.MAX_WARM_KEYS))
        return self._loader.list_keys(space, request.query.query, request.query.limit or QUERY_LIMIT)


def _message(progress: Progress) -> pb.WarmResponse:
    return pb.WarmResponse(
        total=progress.total,
        fetched=progress.fetched,
        loaded=progress.loaded,
        skipped=progress.skipped,
        failed=progress.failed,
        done=progress.done,
    )
