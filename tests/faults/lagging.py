"""A database whose replica lags, and the loader of a cache that reads the replica."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

from souk.cache.v1 import loader_pb2 as pb
from souk.cache.v1 import loader_pb2_grpc

ROWS = [str(number) for number in range(12)]
LONGEST_LAG = 0.1


@dataclass
class Database(loader_pb2_grpc.LoaderServiceServicer):
    """A log of writes, a replica that has applied it up to somewhere, and a loader that reads the replica."""

    chance: random.Random
    heeds_tokens: bool = True
    """Loads wait until the replica has what they must see at least."""
    position: int = 0
    applied: int = 0
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROWS, 0))
    """On the replica: the position of the last write that it has of each."""
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)
    replicating: set[asyncio.Task[None]] = field(default_factory=set)

    def write(self, row: str) -> int:
        """Commit a write; its position. The replica has it later, in the order of the log."""
        self.position += 1
        task = asyncio.create_task(self._replicate(self.position, row))
        self.replicating.add(task)
        task.add_done_callback(self.replicating.discard)
        return self.position

    async def _replicate(self, position: int, row: str) -> None:
        await asyncio.sleep(self.chance.random() * LONGEST_LAG)
        async with self.grown:
            await self.grown.wait_for(lambda: self.applied == position - 1)
            self.rows[row] = self.applied = position
            self.grown.notify_all()

    async def Load(self, request: pb.LoadRequest, context: Any) -> pb.LoadResponse:
        if self.heeds_tokens:
            async with self.grown:
                await self.grown.wait_for(lambda: self.applied >= request.source_token)
        found = str(self.rows[request.key]).encode()
        await asyncio.sleep(self.chance.random() * 0.02)
        return pb.LoadResponse(value=found, key=request.key)
