"""A typed view of one namespace: get, get_or_load, put, invalidate, and the decorator `cached`."""

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from souk.cache.v1 import cache_pb2 as pb
from souk.client._codecs import Codec
from souk.client._errors import CodecError, SoukError

if TYPE_CHECKING:
    from souk.client._cache import CacheClient

T = TypeVar("T")
P = ParamSpec("P")
DEFAULT_WAIT = 5.0
"""Seconds to wait for a value that another loads."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a loader is asked for."""

    namespace: str
    key: str
    """'' where an alias is asked for."""
    alias: str
    source_token: int | None
    """A position of the database that the load must see at least, as PostgreSQL's LSN; None: nothing particular."""


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """What a loader found, where the value alone does not say it all."""

    value: T | None
    """None: there is nothing."""
    tags: Iterable[str] = ()
    aliases: Iterable[str] = ()
    key: str = ""
    """The key of what an alias was asked for."""
    ttl: float | timedelta | None = None
    version: int | None = None


Loader = Callable[[Load], Awaitable[T | Loaded[T] | None]]
"""Reads what is to be cached: a value, a Loaded, or None where there is nothing. What it raises is not cached."""


class Namespace(Generic[T]):
    """Values of one type under string keys."""

    def __init__(self, client: "CacheClient", name: str, codec: Codec[T]) -> None:
        self.name = name
        self._client = client
        self._codec = codec
        self._refreshing: set[asyncio.Task[None]] = set()

    async def get(self, key: str = "", *, alias: str = "", allow_stale: bool = False, timeout: float | None = None) -> T | None:
        """The value of a key, or of the key that has an alias; None where there is none, or none is known."""
        result = self._client.kept(self.name, key, alias=alias)
        if result is None:
            result = await self._client.get(self.name, key, alias=alias, allow_stale=allow_stale, timeout=timeout)
        return self._codec.decode(result.hit.value) if result.HasField("hit") else None

    def get_nowait(self, key: str = "", *, alias: str = "") -> T | None:
        """What the near cache has; None where it has nothing, or may not serve it."""
        result = self._client.kept(self.name, key, alias=alias)
        return self._codec.decode(result.hit.value) if result is not None and result.HasField("hit") else None

    async def get_many(self, keys: Sequence[str], *, allow_stale: bool = False, timeout: float | None = None) -> dict[str, T]:
        """The values of up to 1,000 keys; those that have none are left out."""
        results = await self._client.batch_get(self.name, keys, allow_stale=allow_stale, timeout=timeout)
        return {
            key: self._codec.decode(result.hit.value) for key, result in zip(keys, results, strict=True) if result.HasField("hit")
        }

    async def get_or_load(
        self,
        key: str = "",
        loader: Loader[T] | None = None,
        *,
        alias: str = "",
        wait: float = DEFAULT_WAIT,
        allow_stale: bool = False,
        timeout: float | None = None,
    ) -> T | None:
        """The value of a key, or of the key that has an alias; loaded by `loader` where there is none. None: there is nothing.

        Of all callers on all machines one loads a cold key; the others wait for it, up to `wait` seconds. Where the cache does not
        answer, or another takes longer than that, the loader's value is returned and not cached: the shop goes on. allow_stale: a
        value past its TTL is better than waiting, and than the loader's error. Raises what the loader raises. Without a loader, the
        namespace's own in the service loads.
        """
        result = self._client.kept(self.name, key, alias=alias)
        if result is not None:
            return self._codec.decode(result.hit.value) if result.HasField("hit") else None
        if loader is None:
            result = await self._client.get(
                self.name, key, alias=alias, wait=wait, allow_stale=allow_stale, load=True, timeout=timeout
            )
            return self._codec.decode(result.hit.value) if result.HasField("hit") else None
        return await self._get_or_load(Load(self.name, key, alias, None), loader, wait, timeout, allow_stale=allow_stale)

    async def put(
        self,
        key: str,
        value: T | None,
        *,
        tags: Iterable[str] = (),
        aliases: Iterable[str] = (),
        ttl: float | timedelta | None = None,
        version: int | None = None,
        level: pb.InvalidationLevel.ValueType = pb.INVALIDATION_LEVEL_NODES,
        timeout: float | None = None,
    ) -> pb.PutResponse:
        """See CacheClient.put."""
        data = None if value is None else self._codec.encode(value)
        return await self._client.put(
            self.name, key, data, tags=tags, aliases=aliases, ttl=ttl, version=version, level=level, timeout=timeout
        )

    async def invalidate(
        self,
        *keys: str,
        aliases: Iterable[str] = (),
        source_token: int | None = None,
        level: pb.InvalidationLevel.ValueType = pb.INVALIDATION_LEVEL_NODES,
        timeout: float | None = None,
    ) -> pb.ConsistencyToken:
        """See CacheClient.invalidate. Without keys and aliases: everything in this namespace."""
        named = {self.name: list(keys)}
        aliased = {self.name: list(aliases)}
        everything = () if keys or aliased[self.name] else (self.name,)
        return await self._client.invalidate(
            keys=named, aliases=aliased, namespaces=everything, source_token=source_token, level=level, timeout=timeout
        )

    def cached(
        self,
        *,
        key: Callable[P, str],
        tags: Callable[P, Iterable[str]] | None = None,
        wait: float = DEFAULT_WAIT,
        allow_stale: bool = False,
    ) -> Callable[[Callable[P, Awaitable[T | Loaded[T] | None]]], Callable[P, Awaitable[T | None]]]:
        """Decorates an async function that loads a value: its results are cached under `key` of its arguments.

        >>> @products.cached(key=lambda product_id: str(product_id))
        ... async def product(product_id: int) -> Product | None: ...
        """

        def decorate(function: Callable[P, Awaitable[T | Loaded[T] | None]]) -> Callable[P, Awaitable[T | None]]:
            @functools.wraps(function)
            async def cached(*args: P.args, **kwargs: P.kwargs) -> T | None:
                async def load(_: Load) -> T | Loaded[T] | None:
                    found = await function(*args, **kwargs)
                    if tags is None or found is None or isinstance(found, Loaded):
                        return found
                    return Loaded(found, tags=tags(*args, **kwargs))

                return await self.get_or_load(key(*args, **kwargs), load, wait=wait, allow_stale=allow_stale)

            return cached

        return decorate

    # Inside

    async def _get_or_load(
        self, load: Load, loader: Loader[T], wait: float, timeout: float | None, *, allow_stale: bool, again: bool = True
    ) -> T | None:
        client = self._client
        try:
            result = await client.get(
                self.name, load.key, alias=load.alias, lease=True, wait=wait, allow_stale=allow_stale, timeout=timeout
            )
        except SoukError:
            client.counts.loads_uncached += 1
            return _value(await loader(load))
        match result.WhichOneof("result"):
            case "negative":
                return None
            case "lease":
                return await self._load_with(result.lease, load, loader)
            case "hit":
                hit = result.hit
                try:
                    value = self._codec.decode(hit.value)
                except CodecError:
                    if not again:
                        raise
                    await self.invalidate(hit.key or load.key, timeout=timeout)
                    return await self._get_or_load(load, loader, wait, timeout, allow_stale=allow_stale, again=False)
                client.counts.stale += hit.freshness == pb.FRESHNESS_STALE
                if hit.HasField("refresh"):
                    self._refresh(hit.refresh, load, loader)
                return value
        client.counts.loads_uncached += 1
        return _value(await loader(load))

    async def _load_with(self, lease: pb.Lease, load: Load, loader: Loader[T]) -> T | None:
        client = self._client
        client.counts.loads += 1
        source = lease.source_token if lease.HasField("source_token") else None
        started = time.monotonic()
        try:
            found = await loader(Load(load.namespace, load.key, load.alias, source))
        except BaseException as error:
            await self._give_back(lease, load)
            if isinstance(error, Exception) and lease.HasField("stale"):
                client.counts.stale += 1
                return self._codec.decode(lease.stale.value)
            raise
        loaded = found if isinstance(found, Loaded) else Loaded(found)
        key = load.key or loaded.key
        if loaded.value is not None and not key:
            await self._give_back(lease, load)
            raise ValueError(f"the loader must say which key has the alias {load.alias}: return Loaded(value, key=…)")
        data = None if loaded.value is None else self._codec.encode(loaded.value)
        try:
            await client.fill(
                self.name,
                key if data is not None or not load.alias else "",
                lease.token,
                data,
                alias=load.alias,
                tags=loaded.tags,
                aliases=loaded.aliases,
                ttl=loaded.ttl,
                version=loaded.version,
                load_duration=time.monotonic() - started,
            )
        except SoukError:
            client.counts.loads_uncached += 1
        return loaded.value

    async def _give_back(self, lease: pb.Lease, load: Load) -> None:
        async def abandon() -> None:
            with contextlib.suppress(SoukError):  # it ends by itself
                await self._client.abandon(self.name, load.key, lease.token, alias=load.alias)

        await asyncio.shield(asyncio.create_task(abandon()))

    def _refresh(self, lease: pb.Lease, load: Load, loader: Loader[T]) -> None:
        async def refresh() -> None:
            self._client.counts.refreshes += 1
            try:
                await self._load_with(lease, load, loader)
            except Exception:  # noqa: BLE001 — what there is stays until its TTL is over, and then somebody sees the error
                return

        task = asyncio.create_task(refresh(), name="cache-refresh")
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)


def _value(found: T | Loaded[T] | None) -> T | None:
    return found.value if isinstance(found, Loaded) else found
