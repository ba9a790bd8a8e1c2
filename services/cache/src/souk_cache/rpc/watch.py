"""The Watch rpc: one stream to one near cache, over all partitions."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

from souk.cache.v1 import cache_pb2 as pb

from souk_cache.namespaces import Namespaces
from souk_cache.partitions import Partition
from souk_cache.protocol import Token
from souk_cache.rpc import mapping, validate
from souk_cache.watchers import Dropped, Watcher, Watchers

LEAVE_TIMEOUT = 2.0
"""Seconds that near caches have to end their streams when this node stops."""


class Watch:
    """All such streams of this node."""

    def __init__(
        self, partitions: Sequence[Partition], *, lease: float, max_messages: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._partitions = tuple(partitions)
        self._lease = lease
        self._clock = clock
        self._watchers = [
            Watchers(partition.node.coherence, lease=lease, max_messages=max_messages, clock=clock) for partition in partitions
        ]
        for watchers, partition in zip(self._watchers, partitions, strict=True):
            watchers.on_acknowledged = partition.node.beat_soon
        self._streams: set[_Stream] = set()
        self._leaving = False

    def __len__(self) -> int:
        return len(self._streams)

    async def serve(self, requests: AsyncIterator[pb.WatchRequest], known: Namespaces) -> AsyncIterator[pb.WatchResponse]:
        """One stream, to its end. NamespaceUnknownError where it is interested in one that is not known."""
        first = await anext(requests, None)
        if first is None:
            return
        validate.watch_first(first)
        for name in first.interest.namespaces:
            known.get(name)
        stream = _Stream(self._lease, self._clock)
        await self._open(stream, first.interest)
        stream.leaving = self._leaving
        self._streams.add(stream)
        reading = asyncio.create_task(stream.read(requests), name="watch-read")
        reading.add_done_callback(lambda _: stream.wake())
        try:
            async for response in stream.write(reading):
                yield response
        finally:
            self._streams.discard(stream)
            reading.cancel()
            ended = reading.done() and not reading.cancelled() and reading.exception() is None
            for watchers, (_, watcher) in zip(self._watchers, stream.watchers, strict=True):
                watchers.close(watcher, served_nothing=ended)

    async def leave(self) -> None:
        """Tell every near cache to go to another node, and wait until they have, but not for long."""
        self._leaving = True
        for stream in self._streams:
            stream.leaving = True
            stream.wake()
        deadline = self._clock() + LEAVE_TIMEOUT
        while self._streams and self._clock() < deadline:
            await asyncio.sleep(0.01)

    async def _open(self, stream: "_Stream", interest: pb.WatchInterest) -> None:
        resume = {each.partition: Token(each.epoch, each.sequence) for each in interest.resume.positions}
        for partition, watchers in zip(self._partitions, self._watchers, strict=True):
            since = resume.get(partition.index)
            history = []
            if since is not None and watchers.missing(since):
                history = await partition.node.history(since.seq)
            stream.watchers.append((partition.index, watchers.open(interest.namespaces, since, stream.wake, history)))


class _Stream:
    """What is to be written to one near cache."""

    def __init__(self, lease: float, clock: Callable[[], float]) -> None:
        self.watchers: list[tuple[int, Watcher]] = []
        self.leaving = False
        """This node is about to stop."""
        self._has_left = False
        self._lease = lease
        self._clock = clock
        self._ping: int | None = None
        self._due = asyncio.Event()

    def wake(self) -> None:
        """There is something to write."""
        self._due.set()

    def take(self, request: pb.WatchRequest) -> None:
        """Something that the near cache said."""
        match request.WhichOneof("message"):
            case "interest":
                for _, watcher in self.watchers:
                    watcher.watch(request.interest.namespaces)
            case "acknowledgement":
                position = request.acknowledgement.position
                for index, watcher in self.watchers:
                    if index == position.partition:
                        watcher.acknowledge(position.epoch, position.sequence)
            case "ping":
                self._ping = request.ping.id
                self.wake()

    async def read(self, requests: AsyncIterator[pb.WatchRequest]) -> None:
        """Take what comes, until the near cache says that it serves nothing any more."""
        async for request in requests:
            validate.watch(request)
            self.take(request)

    async def write(self, reading: "asyncio.Task[None]") -> AsyncIterator[pb.WatchResponse]:
        """What there is to tell, as it comes, until the near cache has ended its side."""
        while not reading.done():
            await self._due.wait()
            self._due.clear()
            for index, watcher in self.watchers:
                while watcher.messages:
                    message = watcher.messages.popleft()
                    position = pb.Position(partition=index, epoch=message.epoch, sequence=message.seq)
                    if isinstance(message, Dropped):
                        yield pb.WatchResponse(discontinuity=pb.WatchDiscontinuity(position=position))
                    else:
                        yield pb.WatchResponse(invalidation=mapping.invalidation(position, message.names))
            if self.leaving and not self._has_left:
                self._has_left = True
                yield pb.WatchResponse(leaving=pb.WatchLeaving())
            elif self._ping is not None and not any(watcher.messages for _, watcher in self.watchers):
                yield pb.WatchResponse(heartbeat=self._heartbeat(self._ping))
        reading.result()

    def _heartbeat(self, ping: int) -> pb.WatchHeartbeat:
        """The lease that a ping gets. What it says is true when it is made, with nothing left to tell."""
        self._ping = None
        now = self._clock()
        lent = [(index, None if self.leaving else watcher.lend(now)) for index, watcher in self.watchers]
        return pb.WatchHeartbeat(
            ping=ping,
            positions=[pb.Position(partition=i, epoch=token.epoch, sequence=token.seq) for i, token in lent if token is not None],
            lease=mapping.span(self._lease),
        )
