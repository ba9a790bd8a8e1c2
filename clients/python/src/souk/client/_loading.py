"""Loading what the cache does not have: one key with its lease, or many at once."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from souk.cache.v1 import cache_pb2 as pb
from souk.client._codecs import Codec
from souk.client._errors import (
    CodecError,
    DeadlineExceededError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    SoukError,
    UnavailableError,
    from_failure,
)

if TYPE_CHECKING:
    from souk.client._cache import CacheClient

T = TypeVar("T")
FILLS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Load:
    """What a loader is asked for."""

    namespace: str
    key: str
    """'' where an alias is asked for."""
    alias: str
    source_token: int | None
    """A position of the database that the load must see at least, as PostgreSQL's LSN; None: nothing particular."""


_current: ContextVar[Load] = ContextVar("souk_load")
_NEVER_CACHED = (InvalidArgumentError, NotFoundError, PermissionDeniedError)
"""What is raised: a load each time would hide that it can never be cached."""


def current_load() -> Load:
    """What the `@cached` function that runs is asked for: its `source_token` says what the function must see at least.

    LookupError outside of one.
    """
    return _current.get()


@contextlib.contextmanager
def as_current(load: Load) -> Iterator[None]:
    """`current_load` gives this while the body runs."""
    token = _current.set(load)
    try:
        yield
    finally:
        _current.reset(token)


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


@dataclass(frozen=True, slots=True)
class LoadMany:
    """What a loader of many is asked for."""

    namespace: str
    keys: Sequence[str]
    """Each once."""
    source_token: int | None
    """See Load."""


ManyLoader = Callable[[LoadMany], Awaitable[Mapping[str, T | Loaded[T]]]]
"""Reads what is to be cached, by key; what is not in its answer does not exist. What it raises is not cached."""


class Loading(Generic[T]):
    """The loads of one namespace in one client."""

    def __init__(self, client: "CacheClient", name: str, codec: Codec[T]) -> None:
        self._client = client
        self._name = name
        self._codec = codec
        self._refreshing: set[asyncio.Task[None]] = set()

    async def one(
        self, load: Load, loader: Loader[T], *, wait: float, timeout: float | None, allow_stale: bool, again: bool = True
    ) -> T | None:
        """See Namespace.get_or_load."""
        client = self._client
        try:
            result = await client.get(
                self._name, load.key, alias=load.alias, lease=True, wait=wait, allow_stale=allow_stale, timeout=timeout
            )
        except _NEVER_CACHED:
            raise
        except SoukError:
            client.counts.loads_uncached += 1
            return _loaded(await loader(load)).value
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
                    await client.invalidate(keys={self._name: [hit.key or load.key]}, timeout=timeout)
                    return await self.one(load, loader, wait=wait, timeout=timeout, allow_stale=allow_stale, again=False)
                client.counts.stale += hit.freshness == pb.FRESHNESS_STALE
                if hit.HasField("refresh"):
                    self._in_background(lambda: self._load_with(hit.refresh, load, loader), 1)
                return value
        client.counts.loads_uncached += 1
        return _loaded(await loader(load)).value

    async def many(
        self, keys: Sequence[str], loader: ManyLoader[T], *, wait: float, timeout: float | None, allow_stale: bool
    ) -> dict[str, T]:
        """See Namespace.get_or_load_many."""
        client, distinct = self._client, list(dict.fromkeys(keys))
        if not distinct:
            return {}
        try:
            results = await client.batch_get(self._name, distinct, lease=True, allow_stale=allow_stale, timeout=timeout)
        except _NEVER_CACHED:
            raise
        except SoukError:
            return _there(distinct, await self._load_uncached(distinct, loader))
        found: dict[str, T | None] = {}
        leases: dict[str, pb.Lease] = {}
        early: dict[str, pb.Lease] = {}
        unreadable: list[str] = []
        for key, result in zip(distinct, results, strict=True):
            if result.HasField("error"):
                error = from_failure(result.error)
                if isinstance(error, _NEVER_CACHED):
                    raise error
                unreadable.append(key)
            elif result.HasField("lease"):
                leases[key] = result.lease
            elif result.HasField("negative"):
                found[key] = None
            elif result.HasField("hit"):
                with contextlib.suppress(CodecError):
                    found[key] = self._codec.decode(result.hit.value)
                    client.counts.stale += result.hit.freshness == pb.FRESHNESS_STALE
                if result.hit.HasField("refresh"):
                    early[key] = result.hit.refresh
        if early:
            self._in_background(lambda: self._load_all(early, loader), len(early))
        if leases:
            found |= await self._load_all(leases, loader)
        if unreadable:
            found |= await self._load_uncached(unreadable, loader)
        others = [key for key in distinct if key not in found]

        async def alone(load: Load) -> T | Loaded[T] | None:
            return (await loader(LoadMany(load.namespace, [load.key], load.source_token))).get(load.key)

        calls = (
            self.one(Load(self._name, key, "", None), alone, wait=wait, timeout=timeout, allow_stale=allow_stale) for key in others
        )
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for key, outcome in zip(others, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            found[key] = outcome
        return _there(distinct, found)

    # Inside

    async def _load_uncached(self, keys: list[str], loader: ManyLoader[T]) -> dict[str, T | None]:
        self._client.counts.loads_uncached += len(keys)
        loaded = await loader(LoadMany(self._name, keys, None))
        return {key: _loaded(loaded.get(key)).value for key in keys}

    async def _load_with(self, lease: pb.Lease, load: Load, loader: Loader[T]) -> T | None:
        client = self._client
        client.counts.loads += 1
        started = time.monotonic()
        try:
            found = _loaded(await loader(Load(load.namespace, load.key, load.alias, _source(lease))))
            key = load.key or found.key
            if found.value is not None and not key:
                raise ValueError(f"the loader must say which key has the alias {load.alias}: return Loaded(value, key=…)")
            data = self._encode(found)
        except BaseException as error:
            await self._give_back([(load, lease)])
            if isinstance(error, Exception) and lease.HasField("stale"):
                client.counts.stale += 1
                return self._codec.decode(lease.stale.value)
            raise
        key = key if data is not None or not load.alias else ""
        await self._fill(load, key, lease, data, found, time.monotonic() - started)
        return found.value

    async def _load_all(self, leases: Mapping[str, pb.Lease], loader: ManyLoader[T]) -> dict[str, T | None]:
        client = self._client
        client.counts.loads += len(leases)
        started = time.monotonic()
        sources = [source for lease in leases.values() if (source := _source(lease)) is not None]
        try:
            answer = await loader(LoadMany(self._name, list(leases), max(sources, default=None)))
            found = {key: _loaded(answer.get(key)) for key in leases}
            encoded = {key: self._encode(each) for key, each in found.items()}
        except BaseException as error:
            await self._give_back([(Load(self._name, key, "", None), lease) for key, lease in leases.items()])
            if isinstance(error, Exception) and all(lease.HasField("stale") for lease in leases.values()):
                client.counts.stale += len(leases)
                return {key: self._codec.decode(lease.stale.value) for key, lease in leases.items()}
            raise
        took, free = time.monotonic() - started, asyncio.Semaphore(FILLS_AT_ONCE)

        async def fill(key: str) -> None:
            async with free:
                await self._fill(Load(self._name, key, "", None), key, leases[key], encoded[key], found[key], took)

        for outcome in await asyncio.gather(*map(fill, leases), return_exceptions=True):
            if outcome is not None:
                raise outcome
        return {key: each.value for key, each in found.items()}

    def _encode(self, loaded: Loaded[T]) -> bytes | None:
        return None if loaded.value is None else self._codec.encode(loaded.value)

    async def _fill(self, load: Load, key: str, lease: pb.Lease, data: bytes | None, loaded: Loaded[T], took: float) -> None:
        """Store what was loaded. Where the service does not take it, the next caller gets the lease, and the log says why."""
        client = self._client
        try:
            await client.fill(
                self._name,
                key,
                lease.token,
                data,
                alias=load.alias,
                tags=loaded.tags,
                aliases=loaded.aliases,
                ttl=loaded.ttl,
                version=loaded.version,
                load_duration=took,
            )
        except (UnavailableError, DeadlineExceededError):  # it may be stored
            client.counts.loads_uncached += 1
        except SoukError as error:
            client.refused(self._name, load.alias or load.key, error)
            await self._give_back([(load, lease)])
        except BaseException:  # a Loaded of which no request can be made
            await self._give_back([(load, lease)])
            raise

    async def _give_back(self, leased: Sequence[tuple[Load, pb.Lease]]) -> None:
        async def abandon() -> None:
            for load, lease in leased:
                with contextlib.suppress(SoukError):  # it ends by itself
                    await self._client.abandon(self._name, load.key, lease.token, alias=load.alias)

        await asyncio.shield(asyncio.create_task(abandon()))

    def _in_background(self, load: Callable[[], Awaitable[object]], count: int) -> None:
        async def refresh() -> None:
            self._client.counts.refreshes += count
            try:
                await load()
            except Exception:  # noqa: BLE001 — what there is stays until its TTL is over, and then somebody sees the error
                return

        task = asyncio.create_task(refresh(), name="cache-refresh")
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)


def _loaded(found: T | Loaded[T] | None) -> Loaded[T]:
    return found if isinstance(found, Loaded) else Loaded(found)


def _source(lease: pb.Lease) -> int | None:
    return lease.source_token if lease.HasField("source_token") else None


def _there(keys: Sequence[str], found: Mapping[str, T | None]) -> dict[str, T]:
    """In the order asked, without what does not exist."""
    return {key: value for key in keys if (value := found[key]) is not None}
