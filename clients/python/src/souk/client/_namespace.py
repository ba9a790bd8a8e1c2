"""A typed view of one namespace: get, get_or_load, put, invalidate, and the decorator `cached`."""

import functools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from souk.cache.v1 import cache_pb2 as pb
from souk.client._codecs import BYTES, Codec
from souk.client._errors import from_failure
from souk.client._loading import Load, Loaded, Loader, Loading, ManyLoader, as_current
from souk.client._near import NearEntry

if TYPE_CHECKING:
    from souk.client._cache import CacheClient

T = TypeVar("T")
P = ParamSpec("P")
DEFAULT_WAIT = 5.0
"""Seconds to wait for a value that another loads."""


class Namespace(Generic[T]):
    """Values of one type under string keys."""

    def __init__(self, client: "CacheClient", name: str, codec: Codec[T]) -> None:
        self.name = name
        self._client = client
        self._codec = codec
        self._loading = Loading(client, name, codec)
        self._decode: Callable[[bytes], T] | None = codec.decode if codec is not BYTES else None
        """None: the bytes are the value."""
        self._find = client.near.finder(name) if client.near is not None else None

    async def get(self, key: str = "", *, alias: str = "", allow_stale: bool = False, timeout: float | None = None) -> T | None:
        """The value of a key, or of the key that has an alias; None where there is none, or none is known."""
        kept = self._kept(key, alias)
        if kept is not None:
            return self._codec.decode(kept.value) if kept.value is not None else None
        result = await self._client.get(self.name, key, alias=alias, allow_stale=allow_stale, timeout=timeout)
        return self._codec.decode(result.hit.value) if result.HasField("hit") else None

    def get_nowait(self, key: str = "", *, alias: str = "") -> T | None:
        """What the near cache has; None where it has nothing, or may not serve it."""
        if self._find is None:
            return None
        entry = self._find(key) if not alias else self._kept("", alias)
        if entry is None:
            return None
        value = entry.value
        if self._decode is None or value is None:
            return value  # type: ignore[return-value]  # bytes are the value
        return self._decode(value)

    async def get_many(self, keys: Sequence[str], *, allow_stale: bool = False, timeout: float | None = None) -> dict[str, T]:
        """The values of keys; those that have none are left out. Raises the error of one that cannot be read."""
        results = await self._client.batch_get(self.name, keys, allow_stale=allow_stale, timeout=timeout)
        return self._decoded(keys, results)

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
        answer or does not take the value, or another takes longer than that, the loader's value is returned and not cached: the
        shop goes on. allow_stale: a value past its TTL is better than waiting, and than the loader's error. Raises what the loader
        raises, and InvalidArgumentError or NotFoundError where the key or the namespace cannot be. Without a loader, the one that
        the namespace has in the service loads.
        """
        kept = self._kept(key, alias)
        if kept is not None:
            return self._codec.decode(kept.value) if kept.value is not None else None
        if loader is None:
            result = await self._client.get(
                self.name, key, alias=alias, wait=wait, allow_stale=allow_stale, load=True, timeout=timeout
            )
            return self._codec.decode(result.hit.value) if result.HasField("hit") else None
        load = Load(self.name, key, alias, None)
        return await self._loading.one(load, loader, wait=wait, timeout=timeout, allow_stale=allow_stale)

    async def get_or_load_many(
        self,
        keys: Sequence[str],
        loader: ManyLoader[T] | None = None,
        *,
        wait: float = DEFAULT_WAIT,
        allow_stale: bool = False,
        timeout: float | None = None,
    ) -> dict[str, T]:
        """The values of up to 1,000 keys, in the order asked; those that have none are left out.

        `loader` is called once for all cold keys that nobody else loads, and again for one that another did not load in time.
        Otherwise as get_or_load.
        """
        if loader is None:
            results = await self._client.batch_get(self.name, keys, allow_stale=allow_stale, load=True, timeout=timeout)
            return self._decoded(keys, results)
        return await self._loading.many(keys, loader, wait=wait, timeout=timeout, allow_stale=allow_stale)

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

        Where the database has replicas that lag, the function asks `current_load().source_token` what it must see at least: a row
        that is older would be cached after its invalidation.

        >>> @products.cached(key=lambda product_id: str(product_id))
        ... async def product(product_id: int) -> Product | None:
        ...     return await database.product(product_id, at_least=current_load().source_token)
        """

        def decorate(function: Callable[P, Awaitable[T | Loaded[T] | None]]) -> Callable[P, Awaitable[T | None]]:
            @functools.wraps(function)
            async def cached(*args: P.args, **kwargs: P.kwargs) -> T | None:
                async def load(wanted: Load) -> T | Loaded[T] | None:
                    with as_current(wanted):
                        found = await function(*args, **kwargs)
                    if tags is None or found is None or isinstance(found, Loaded):
                        return found
                    return Loaded(found, tags=tags(*args, **kwargs))

                return await self.get_or_load(key(*args, **kwargs), load, wait=wait, allow_stale=allow_stale)

            return cached

        return decorate

    # Inside

    def _kept(self, key: str, alias: str) -> NearEntry | None:
        near = self._client.near
        return near.find(self.name, key, alias=alias) if near is not None else None

    def _decoded(self, keys: Sequence[str], results: Sequence[pb.Result]) -> dict[str, T]:
        for result in results:
            if result.HasField("error"):
                raise from_failure(result.error)
        return {
            key: self._codec.decode(result.hit.value) for key, result in zip(keys, results, strict=True) if result.HasField("hit")
        }
