"""The composition of the cache: adapters are opened, the core is built on them, the servicer is handed back."""

import contextlib
import secrets
import time
from collections.abc import AsyncIterator

from redis.exceptions import RedisError
from souk.cache.v1 import cache_pb2_grpc
from souk_common.health import Dependency
from souk_common.server import Application, Registration, StartError
from souk_common.telemetry import Telemetry

from souk_cache import telemetry
from souk_cache.adapters import namespace_file
from souk_cache.adapters.local import LocalBackend
from souk_cache.adapters.redis import RedisBackend
from souk_cache.backends import Backend
from souk_cache.cache import Cache
from souk_cache.errors import ERRORS
from souk_cache.memory import Memory
from souk_cache.node import Node
from souk_cache.protocol import Coherence
from souk_cache.rpc.cache import CacheServicer
from souk_cache.scripts import Keys
from souk_cache.settings import CacheSettings

SERVICE = "souk.cache.v1.CacheService"
SCOPES = {
    f"/{SERVICE}/Get": "cache.read",
    f"/{SERVICE}/BatchGet": "cache.read",
    f"/{SERVICE}/Fill": "cache.write",
    f"/{SERVICE}/Put": "cache.write",
    f"/{SERVICE}/Invalidate": "cache.write",
    f"/{SERVICE}/GetStats": "cache.read",
    f"/{SERVICE}/ListNamespaces": "cache.read",
}
ALONE = 1e9
"""The read lease, in seconds, of a node that nobody else can invalidate."""


@contextlib.asynccontextmanager
async def open_app(settings: CacheSettings, reporting: Telemetry) -> AsyncIterator[Application]:
    """The cache, ready to be served. Leaving it takes this node out of its partition."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            namespaces = namespace_file.load(settings.namespaces_file)
        except (ValueError, OSError) as error:
            raise StartError(str(error)) from error
        memory = Memory(
            max_bytes=settings.memory_bytes,
            max_entries=settings.memory_entries,
            max_value_bytes=max(space.max_value_bytes for space in namespaces.all()),
            clock=time.monotonic,
            stale_for=lambda key: namespaces.get(key.partition(":")[0]).stale_for,
        )
        try:
            backend = _open_backend(settings, memory)
        except (ValueError, RedisError) as error:
            raise StartError(f"SOUK_CACHE_REDIS_URL cannot be used: {error}") from error
        stack.push_async_callback(backend.close)
        shared = settings.redis_url is not None
        coherence = Coherence(
            member=f"{settings.node}/{secrets.token_hex(8)}",
            partition=settings.partition,
            memory=memory,
            read_lease=settings.read_lease if shared else ALONE,
            client_lease=0.0,
            load_lease=max(space.load_lease for space in namespaces.all()),
            clock=time.monotonic,
            new_token=lambda: secrets.token_urlsafe(16),
        )
        node = await stack.enter_async_context(Node(coherence, backend, interval=settings.read_lease / 3))
        cache = Cache(node, memory, namespaces, time.monotonic)
        telemetry.register(reporting.metrics, cache)
        yield Application(
            name="cache",
            registrations=[Registration(cache_pb2_grpc.add_CacheServiceServicer_to_server, CacheServicer(cache), SERVICE)],
            errors=ERRORS,
            scopes=SCOPES,
            dependencies=[Dependency("l2", backend.check), Dependency("coherent", node.check)] if shared else [],
        )


def _open_backend(settings: CacheSettings, memory: Memory) -> Backend:
    if settings.redis_url is None:
        place = len(Keys(settings.partition).value(""))
        return LocalBackend(time.monotonic, lambda key: memory.version(key[place:]))
    return RedisBackend(
        settings.redis_url.get_secret_value(), timeout=settings.redis_timeout, connections=settings.redis_connections
    )
