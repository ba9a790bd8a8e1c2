"""The composition of the cache: adapters are opened, the core is built on them, the servicer is handed back."""

import asyncio
import contextlib
import random
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import islice, zip_longest

from redis.exceptions import RedisError
from souk.cache.v1 import cache_pb2_grpc
from souk_common import operation_service
from souk_common.health import Dependency
from souk_common.operations import Operations
from souk_common.server import Application, Registration, StartError
from souk_common.telemetry import Telemetry

from souk_cache import telemetry
from souk_cache.adapters import namespace_file
from souk_cache.adapters.grpc_loader import GrpcLoader
from souk_cache.adapters.hot_keys import HotKeys
from souk_cache.adapters.local import LocalBackend
from souk_cache.adapters.redis import RedisBackend
from souk_cache.adapters.redis_cluster import RedisClusterBackend
from souk_cache.backends import Backend
from souk_cache.cache import Cache
from souk_cache.counts import CountsByNamespace
from souk_cache.errors import ERRORS
from souk_cache.loading import Loads
from souk_cache.memory import Memory
from souk_cache.namespaces import Consistency, Namespace, Namespaces
from souk_cache.node import Node
from souk_cache.partitions import Partition, Partitions
from souk_cache.protocol import Coherence
from souk_cache.refreshing import refresh_after
from souk_cache.rpc.cache import CacheServicer
from souk_cache.rpc.warm import TimeLimits, Warm
from souk_cache.rpc.watch import Watch
from souk_cache.scripts import Keys
from souk_cache.settings import CacheSettings
from souk_cache.sweeping import Sweep
from souk_cache.warming import Warming, warm_at_start

SERVICE = "souk.cache.v1.CacheService"
SCOPES = {
    f"/{SERVICE}/Get": "cache.read",
    f"/{SERVICE}/BatchGet": "cache.read",
    f"/{SERVICE}/GetStream": "cache.read",
    f"/{SERVICE}/Fill": "cache.write",
    f"/{SERVICE}/Put": "cache.write",
    f"/{SERVICE}/BatchPut": "cache.write",
    f"/{SERVICE}/Invalidate": "cache.write",
    f"/{SERVICE}/Watch": "cache.read",
    f"/{SERVICE}/Warm": "cache.write",
    f"/{SERVICE}/GetStats": "cache.read",
    f"/{SERVICE}/ListNamespaces": "cache.read",
    **operation_service.scopes("cache"),
}
LONG_LIVED = frozenset({f"/{SERVICE}/GetStream", f"/{SERVICE}/Watch"}) | operation_service.LONG_LIVED
ALONE = 1e9
"""The read lease, in seconds, of a node that nobody else can invalidate."""


@contextlib.asynccontextmanager
async def open_app(
    settings: CacheSettings, reporting: Telemetry, *, wall: Callable[[], float] = time.time
) -> AsyncIterator[Application]:
    """The cache, ready to be served. Leaving it takes this node out of its partition. wall: seconds of the Unix epoch."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            namespaces = namespace_file.load(settings.namespaces_file, max_message_bytes=settings.max_message_bytes)
        except (ValueError, OSError) as error:
            raise StartError(str(error)) from error
        try:
            redis = _open_redis(settings)
        except (ValueError, RedisError) as error:
            raise StartError(f"SOUK_CACHE_REDIS_URL cannot be used: {error}") from error
        if redis is not None:
            stack.push_async_callback(redis.close)
        counts = CountsByNamespace()
        opened = [_partition(index, settings, namespaces, counts, redis, wall) for index in range(settings.partitions)]
        watch = Watch(opened, lease=settings.client_lease, max_messages=settings.watch_queue)
        await stack.enter_async_context(Sweep([partition.memory for partition in opened], time.monotonic))
        for partition in opened:
            await stack.enter_async_context(partition.node)
        try:
            loader = GrpcLoader(namespaces.all())
        except (ValueError, OSError) as error:
            raise StartError(f"a loader cannot be used: {error}") from error
        stack.push_async_callback(loader.close)
        loads = await stack.enter_async_context(Loads(loader, counts, time.monotonic))
        cache = Cache(Partitions(opened), namespaces, time.monotonic, counts, loads, wall=wall)
        warming = await stack.enter_async_context(Warming(cache, loads, concurrency=settings.warm_concurrency))
        hot_keys = None
        if settings.redis_url is not None and settings.hot_keys:
            hot_keys = _hot_keys(settings.redis_url.get_secret_value(), settings, opened)
            await stack.enter_async_context(hot_keys)
        operations = await stack.enter_async_context(_operations(settings))
        operations.register(reporting.metrics)
        telemetry.register(reporting.metrics, cache, watch.__len__, warming.__len__)

        needed = all(space.consistency is Consistency.STRICT for space in namespaces.all())  # else some go on without Redis

        async def check_l2() -> None:
            if redis is not None:
                await redis.check()

        async def check_coherent() -> None:
            for partition in opened:
                await partition.node.check()
            if redis is not None:
                await redis.check_eviction()

        if hot_keys is not None:
            start = warm_at_start(warming, namespaces.all(), hot_keys.of, check_coherent)
            stack.push_async_callback(_ended, asyncio.create_task(start, name="cache-warm-at-start"))
        limits = TimeLimits(settings.warm_time_limit, settings.max_warm_time_limit)
        warm = Warm(warming, namespaces, loader, hot_keys.of if hot_keys is not None else _nothing, operations, limits)

        servicer = CacheServicer(cache, watch, warm, max_message_bytes=settings.max_message_bytes)

        async def on_drain() -> None:
            await asyncio.gather(watch.leave(), operations.drain())

        yield Application(
            name="cache",
            registrations=[
                Registration(cache_pb2_grpc.add_CacheServiceServicer_to_server, servicer, SERVICE),
                operation_service.registration(operations),
            ],
            errors=ERRORS,
            scopes=SCOPES,
            dependencies=[Dependency("l2", check_l2, required=needed), Dependency("coherent", check_coherent, required=needed)],
            long_lived=LONG_LIVED,
            on_drain=on_drain,
        )


def _partition(
    index: int,
    settings: CacheSettings,
    namespaces: Namespaces,
    counts: CountsByNamespace,
    redis: Backend | None,
    wall: Callable[[], float],
) -> Partition:
    def space_of(key: str) -> Namespace:
        return namespaces.get(re.split("[:~]", key, maxsplit=1)[0])

    name = _partition_name(index, settings)
    memory = Memory(
        max_bytes=settings.memory_bytes // settings.partitions,
        max_entries=max(1, settings.memory_entries // settings.partitions),
        max_value_bytes=max(space.max_value_bytes for space in namespaces.all()),
        clock=time.monotonic,
        stale_for=lambda key: space_of(key).stale_for,
        refresh_after=lambda key, value: refresh_after(value, space_of(key).refresh_beta, random.random()),  # noqa: S311 — a spread
        counts=lambda key: counts.of(space_of(key).name),
        within=lambda key, value, age: space_of(key).within_bucket(key, value, stored=wall() - age),
    )
    backend = redis or LocalBackend(memory, partition=name, clock=time.monotonic)
    coherence = Coherence(
        member=f"{settings.node}/{secrets.token_hex(8)}",
        partition=name,
        memory=memory,
        read_lease=settings.read_lease if redis is not None else ALONE,
        client_lease=settings.client_lease,
        clock=time.monotonic,
        new_token=lambda: secrets.token_urlsafe(16),
    )
    return Partition(index, Node(coherence, backend, interval=settings.read_lease / 3), memory)


def _operations(settings: CacheSettings) -> Operations:
    return Operations(
        settings.node,
        ERRORS,
        max_active=settings.max_operations,
        max_kept=settings.max_kept_operations,
        retention=settings.operation_retention,
    )


def _hot_keys(url: str, settings: CacheSettings, partitions: Sequence[Partition]) -> HotKeys:
    def hottest() -> Iterable[str]:
        ranked = zip_longest(*(partition.memory.hottest(settings.hot_keys) for partition in partitions))
        return islice((key for rank in ranked for key in rank if key is not None), settings.hot_keys)

    return HotKeys(
        url,
        partition=settings.partition,
        timeout=settings.redis_timeout,
        cluster=settings.redis_cluster,
        keep=settings.hot_keys,
        hottest=hottest,
    )


async def _nothing(namespace: str, count: int) -> list[str]:
    """What is known of the hottest keys without a Redis that keeps them."""
    return []


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _open_redis(settings: CacheSettings) -> Backend | None:
    if settings.redis_url is None:
        return None
    url = settings.redis_url.get_secret_value()
    if settings.redis_cluster:
        keys = tuple(Keys(_partition_name(index, settings)).stream for index in range(settings.partitions))
        return RedisClusterBackend(url, timeout=settings.redis_timeout, connections=settings.redis_connections, keys=keys)
    return RedisBackend(url, timeout=settings.redis_timeout, connections=settings.redis_connections)


def _partition_name(index: int, settings: CacheSettings) -> str:
    return settings.partition if settings.partitions == 1 else f"{settings.partition}.{index}"
