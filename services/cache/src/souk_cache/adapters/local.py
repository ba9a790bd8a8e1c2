"""The shared state of a partition that has one node and no Redis: leases and counters in this process; values are in its memory."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable

from souk_cache.memory import Entry, Memory
from souk_cache.scripts import Call, Keys, Reply
from souk_cache.values import Value, encode

MAX_COUNTERS = 200_000
"""Above this, counters become the older ones, as in prelude.lua."""


class LocalBackend:
    """Answers as the scripts do, for one member."""

    def __init__(self, memory: Memory, *, partition: str, clock: Callable[[], float]) -> None:
        self._memory = memory
        self._place = len(Keys(partition).value(""))
        self._clock = clock
        self._epoch = secrets.token_hex(8)
        self._seq = 0
        self._floor = self._rotated = 0
        self._counters: dict[str, int] = {}
        self._older: dict[str, int] = {}
        self._leases: dict[str, tuple[str, int, float]] = {}
        self._sources: dict[str, str] = {}
        self._untold: list[tuple[int, str]] = []

    async def run(self, call: Call) -> Reply:
        """See Backend."""
        texts = [arg if isinstance(arg, str) else "" for arg in call.args]
        match call.script:
            case "acquire":
                return self._acquire(call.keys[4], call.keys[5], texts[1], int(texts[2]) / 1000, texts[3], texts[4])
            case "fill":
                return self._fill(call.keys[4], call.keys[5], texts[1], texts[3], texts[5], released=texts[6] == "1")
            case "put":
                if "" != texts[4] < self._version(call.keys[4]):
                    return [self._epoch, self._seq, "older", 0]
                return self._put(call.keys[5], texts[2], texts[5].split("\n"), int(texts[7]))
            case "invalidate":
                return self._invalidate(call.keys[4:], texts[2], texts[3], texts[4:])
            case "beat":
                return self._beat(texts[2], int(texts[3]))

    async def invalidations(self, stream: str, after: int) -> AsyncIterator[tuple[int, tuple[str, ...]]]:
        """See Backend. There is nobody else who invalidates."""
        await asyncio.Event().wait()
        yield 0, ()

    async def history(self, stream: str, after: int, last: int) -> list[tuple[int, tuple[str, ...]]]:
        """See Backend. What is applied is not kept."""
        return []

    async def check(self) -> None:
        """See Backend."""

    async def check_eviction(self) -> None:
        """See Backend."""

    async def close(self) -> None:
        """See Backend."""

    def _lease(self, key: str) -> tuple[str, int] | None:
        found = self._leases.get(key)
        if found is None or found[2] <= self._clock():
            self._leases.pop(key, None)
            return None
        return found[0], found[1]

    def _acquire(self, value: str, key: str, token: str, seconds: float, mode: str, namespace: str) -> Reply:
        state = [self._epoch, self._seq, self._sources.get(namespace, "")]
        entry = self._believed(value)
        if entry is not None:
            granted = mode == "refresh" and self._lease(key) is None
            if granted:
                self._grant(key, token, seconds)
            names = "\n".join(cell.name for cell in entry.tags)
            data = encode(Value(entry.data, entry.fresh_until - entry.stored), compress=False)
            age = max(0, round((self._clock() - entry.stored) * 1000))
            return [*state, "hit", data, names, entry.seq, age, entry.version, int(granted)]
        if mode == "read":
            return [*state, "miss"]
        if self._lease(key) is not None:
            return [*state, "wait", round((self._leases[key][2] - self._clock()) * 1000)]
        self._grant(key, token, seconds)
        return [*state, "lease"]

    def _believed(self, value: str) -> Entry | None:
        entry = self._memory.get(value[self._place :], self._clock())
        if entry is None or entry.seq < self._floor or any(self._invalidated(cell.name) > entry.seq for cell in entry.tags):
            return None
        return entry

    def _version(self, value: str) -> str:
        entry = self._believed(value)
        return entry.version if entry is not None else ""

    def _grant(self, key: str, token: str, seconds: float) -> None:
        if len(self._leases) >= MAX_COUNTERS:
            now = self._clock()
            self._leases = {each: lease for each, lease in self._leases.items() if lease[2] > now}
        self._leases[key] = (token, self._seq, self._clock() + seconds)

    def _fill(self, value: str, key: str, token: str, names: str, version: str, *, released: bool) -> Reply:
        lease = self._lease(key)
        if lease is None or lease[0] != token:
            return [self._epoch, self._seq, "lease", 0]
        del self._leases[key]
        if released:
            return [self._epoch, self._seq, "released", 0]
        if lease[1] < self._floor or self._invalidated(names) > lease[1]:
            return [self._epoch, self._seq, "tainted", 0]
        if "" != version < self._version(value):
            return [self._epoch, self._seq, "older", 0]
        return [self._epoch, self._seq, "stored", lease[1]]

    def _put(self, lease: str, names: str, replaces: list[str], known: int) -> Reply:
        current = self._invalidated(names) <= known
        self._leases.pop(lease, None)
        self._count(replaces)
        return [self._epoch, self._seq, "stored" if current else "tainted", 0]

    def _invalidate(self, gone: tuple[str, ...], namespaces: str, source: str, names: list[str]) -> Reply:
        for key in gone:
            self._leases.pop(key, None)
        for namespace in namespaces.split("\n") if source else []:
            self._sources[namespace] = max(source, self._sources.get(namespace, ""))
        self._count(names)
        return [self._epoch, self._seq, 0]

    def _count(self, names: list[str]) -> None:
        self._seq += 1
        self._untold.append((self._seq, "\n".join(names)))
        self._counters.update(dict.fromkeys(names, self._seq))
        if len(self._counters) > MAX_COUNTERS:
            self._older, self._counters = self._counters, {}
            self._floor, self._rotated = self._rotated, self._seq

    def _invalidated(self, names: str) -> int:
        return max((max(self._counters.get(n, 0), self._older.get(n, 0)) for n in names.split("\n")), default=0)

    def _beat(self, epoch: str, applied: int) -> Reply:
        if epoch != self._epoch:
            self._untold.clear()
            return [self._epoch, self._seq, "flush", [], 0]
        self._untold = [event for event in self._untold if event[0] > applied]
        return [self._epoch, self._seq, "ok", list(self._untold), 0]
