"""Loads values for the cache: one load for each lease, in a task of its own that outlives who asked for it, with a soft and a hard
timeout, and never too many at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import structlog
from souk_common.call import part
from souk_common.telemetry.metrics import Method

from souk_cache.counts import CountsByNamespace
from souk_cache.exceptions import AliasKindUnknownError, LoaderFailedError, LoaderMissingError, StoreUnavailableError
from souk_cache.limits import MAX_ALIASES, MAX_KEY_BYTES, MAX_TAG_BYTES, MAX_TAGS, is_name
from souk_cache.namespaces import LoaderPolicy, Namespace
from souk_cache.results import Content, Hit, Lease

T = TypeVar("T")
log = structlog.get_logger(__name__)
OK, TIMEOUT, FAILED = "OK", "TIMEOUT", "FAILED"
"""What loads are counted by."""
WARN_EVERY = 10.0
"""Seconds between two log lines about the failing loads of one namespace."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be loaded: a key, or an alias that stands for one."""

    space: Namespace
    key: str = ""
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a loader answered."""

    content: Content
    key: str = ""
    """Where an alias was asked for and there is something."""


class Loader(Protocol):
    """Knows the values of the namespaces that have a LoaderPolicy."""

    async def load(self, wanted: Wanted, source: int | None, timeout: float) -> Loaded:
        """Load one value, at least as new as `source`, within `timeout` seconds. TimeoutError or LoaderFailedError."""

    def list_keys(self, space: Namespace, query: str, limit: int) -> AsyncIterator[Sequence[str]]:
        """Up to `limit` keys that are worth warming, the most wanted first. LoaderFailedError where it
        cannot, LoaderMissingError where it never does."""

    async def close(self) -> None:
        """Let go of its connections."""


class Store(Protocol):
    """Where loaded values go."""

    async def keep(self, wanted: Wanted, lease: str, loaded: Loaded) -> Hit:
        """Store it with its lease, and return it, also where it may be shown but not stored; LoaderFailedError for neither."""

    async def give_back(self, wanted: Wanted, lease: str) -> None:
        """Let the next caller have the lease."""


def policy_of(space: Namespace) -> LoaderPolicy:
    """Who loads the values of a namespace; LoaderMissingError where nobody does."""
    if space.loader is None:
        raise LoaderMissingError(f"{space.name} has no loader", namespace=space.name)
    return space.loader


def check_lists(space: Namespace) -> None:
    """LoaderMissingError where nobody lists the keys of a namespace."""
    if not policy_of(space).list_method:
        raise LoaderMissingError(f"the loader of {space.name} lists no keys", namespace=space.name)


class Loads:
    """The loads of one node. Open it as a context manager; leaving it ends them, and gives their leases back."""

    def __init__(self, loader: Loader, counts: CountsByNamespace, clock: Callable[[], float]) -> None:
        self.methods: dict[str, Method] = {}
        """How the loads of each namespace ended, and how long they took."""
        self._loader = loader
        self._counts = counts
        self._clock = clock
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._unshared: dict[tuple[str, str, str], asyncio.Task[Loaded]] = {}
        self._warned: dict[str, float] = {}

    async def __aenter__(self) -> "Loads":
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def read(self, store: Store, wanted: Wanted, lease: Lease) -> Hit:
        """The value that a lease is for; the stale one that comes with it, if loading takes longer than the soft timeout or fails.

        LoaderFailedError where there is neither. Loading goes on when a caller goes away.
        """
        policy = policy_of(wanted.space)
        task = self.start(store, wanted, lease)
        with part("loader"):
            done, _ = await asyncio.wait({task}, timeout=policy.soft_timeout if lease.stale else None)
        if lease.stale is None or (done and not task.cancelled() and task.exception() is None):
            return task.result()
        self._counts.of(wanted.space.name).stale_served += 1
        return lease.stale

    def start(self, store: Store, wanted: Wanted, lease: Lease) -> asyncio.Task[Hit]:
        """Load in a task of its own, and store."""
        return self.in_background(self.load(store, wanted, lease))

    def in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something in a task of its own, which ends when this is left."""
        task = asyncio.create_task(work, name="cache-load")
        self._running.add(task)
        task.add_done_callback(_seen)
        task.add_done_callback(self._running.discard)
        return task

    async def read_unshared(self, wanted: Wanted, *, joins: bool = True) -> Loaded:
        """Load without a lease, for callers who take what may be older than an invalidation: those of one key share one load.

        joins=False: begin one now, for a caller who brings a token.
        """
        name = (wanted.space.name, wanted.key, wanted.alias)
        task = self._unshared.get(name) if joins else None
        if task is None:
            task = self._unshared[name] = self.in_background(self._load(wanted, None))
            task.add_done_callback(lambda done: self._unshared.pop(name) if self._unshared.get(name) is done else None)
        with part("loader"):
            await asyncio.wait({task})
        return task.result()

    async def load(self, store: Store, wanted: Wanted, lease: Lease) -> Hit:
        """Load, and store. LoaderFailedError, after which the lease is free, as it is where this is cancelled."""
        try:
            return await store.keep(wanted, lease.token, await self._load(wanted, lease.source))
        except BaseException:
            with contextlib.suppress(StoreUnavailableError):
                await store.give_back(wanted, lease.token)
            raise

    async def _load(self, wanted: Wanted, source: int | None) -> Loaded:
        space, policy = wanted.space, policy_of(wanted.space)
        started, code = self._clock(), FAILED
        try:
            async with asyncio.timeout(policy.hard_timeout), self._slot(space.name, policy):
                began = self._clock()
                loaded = await self._loader.load(wanted, source, policy.hard_timeout - (began - started))
                took = self._clock() - began
            _check(wanted, loaded)
            code = OK
        except TimeoutError as error:
            code = TIMEOUT
            timeout = f"{policy.hard_timeout:g}s"
            failure = LoaderFailedError(f"the loader of {space.name} took longer than {timeout}", timeout=timeout)
            self._warn(space, failure)
            raise failure from error
        except LoaderFailedError as error:
            self._warn(space, error)
            raise
        else:
            return replace(loaded, content=replace(loaded.content, load_seconds=took))
        finally:
            self._count(space, code, self._clock() - started)

    def _slot(self, name: str, policy: LoaderPolicy) -> asyncio.Semaphore:
        slots = self._slots.get(name)
        if slots is None:
            slots = self._slots[name] = asyncio.Semaphore(policy.concurrency)
        return slots

    def _count(self, space: Namespace, code: str, seconds: float) -> None:
        method, counts = self.methods.setdefault(space.name, Method()), self._counts.of(space.name)
        method.record(code, seconds)
        if code == OK:
            counts.loads += 1
        else:
            counts.loads_failed += 1

    def _warn(self, space: Namespace, error: LoaderFailedError) -> None:
        now = self._clock()
        if now >= self._warned.get(space.name, float("-inf")) + WARN_EVERY:
            self._warned[space.name] = now
            log.warning("a value could not be loaded", namespace=space.name, detail=error.message)


def _seen(task: asyncio.Task[Any]) -> None:
    """Look at how a load ended, for whoever asked for it may be gone."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, LoaderFailedError):
        log.error("a load ended with an unforeseen error", exc_info=error)


def _check(wanted: Wanted, loaded: Loaded) -> None:
    """LoaderFailedError where an answer is nothing that can be kept."""
    problem = _problem(wanted, loaded)
    if problem:
        raise LoaderFailedError(f"the loader of {wanted.space.name} answered {problem}", problem=problem)


def _problem(wanted: Wanted, loaded: Loaded) -> str:
    content, space = loaded.content, wanted.space
    if content.data is not None and len(content.data) > space.max_value_bytes:
        return f"a value of more than {space.max_value_bytes:,} bytes"
    if len(set(content.tags)) > MAX_TAGS or not all(is_name(tag, MAX_TAG_BYTES) for tag in content.tags):
        return f"tags that are not up to {MAX_TAGS} of 1 to {MAX_TAG_BYTES} bytes"
    if len(set(content.aliases)) > MAX_ALIASES or not all(is_name(alias, MAX_TAG_BYTES) for alias in content.aliases):
        return f"aliases that are not up to {MAX_ALIASES} of 1 to {MAX_TAG_BYTES} bytes"
    if (content.ttl is not None and content.ttl <= 0) or (content.version is not None and content.version < 0):
        return "a TTL or a version that is not positive"
    try:
        aliases = {space.alias(alias) for alias in content.aliases}
    except AliasKindUnknownError:
        return "an alias of a kind that the namespace does not have"
    if wanted.alias and content.data is not None:
        if not is_name(loaded.key, MAX_KEY_BYTES):
            return "no key for an alias"
        if space.alias(wanted.alias) not in aliases:
            return "a value that does not have the alias"
    return ""
