"""A loader as a service of its own: a real gRPC server that knows some values, and misbehaves as a test tells it to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from souk.cache.v1 import cache_pb2, loader_pb2_grpc
from souk.cache.v1 import loader_pb2 as pb


@dataclass
class Catalogue(loader_pb2_grpc.LoaderServiceServicer):
    """What there is to load, and what was asked."""

    values: dict[str, bytes] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    """alias -> key"""
    seconds: float = 0.0
    """How long a load takes."""
    answer: pb.LoadResponse | None = None
    """Instead of what there is."""
    code: grpc.StatusCode | None = None
    """Instead of an answer."""
    release: asyncio.Event | None = None
    """Loads wait for it."""
    loads: list[pb.LoadRequest] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    """What came as authorization."""
    port: int = 0
    cancelled: int = 0
    """Loads that were given up by who asked for them."""

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def Load(self, request: pb.LoadRequest, context: Any) -> pb.LoadResponse:
        self.loads.append(request)
        self.tokens += [str(value) for key, value in context.invocation_metadata() if key == "authorization"]
        key = self.aliases.get(request.alias) if request.HasField("alias") else request.key
        found = self.values.get(key) if key is not None else None
        try:
            await asyncio.sleep(self.seconds)
            if self.release is not None:
                await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.code is not None:
            await context.abort(self.code, "as the test has it")
        if self.answer is not None:
            return self.answer
        if found is None:
            return pb.LoadResponse(negative=cache_pb2.Negative())
        names = [alias for alias, of in self.aliases.items() if of == key]
        return pb.LoadResponse(value=found, key=key, aliases=names, tags=["seller:7"], version=len(self.loads))

    async def ListKeys(self, request: pb.ListKeysRequest, context: Any) -> AsyncIterator[pb.ListKeysResponse]:
        if self.code is not None:
            await context.abort(self.code, "as the test has it")
        known = [key for key in self.values if key.startswith(request.query)][: request.limit]
        for first in range(0, len(known), 1000):
            yield pb.ListKeysResponse(keys=known[first : first + 1000])

    def loaded(self, key: str) -> int:
        """How often a key was asked for."""
        return sum(request.key == key for request in self.loads)


@contextlib.asynccontextmanager
async def loader_server(
    catalogue: Catalogue, port: int = 0, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[None]:
    """Serve a catalogue while the body runs."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    loader_pb2_grpc.add_LoaderServiceServicer_to_server(catalogue, server)
    address = f"127.0.0.1:{port}"
    catalogue.port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)
