"""The shared state of a partition that has one node and no Redis: leases and counters in this process; values are in its memory."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable

from souk_cache.scripts import Call, Reply

MAX_COUNTERS = 200_000
"""Above this, counters become the older ones, as in prelude.lua."""


class LocalBackend:
    """Answers as the scripts do, for one member."""

    def __init__(self, clock: Callable[[], float], version: Callable[[str], str]) -> None:
        """version: that of the value in memory, by the key that Redis would have it at; '' where there is none."""
        self._clock = clock
        self._version = version
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
                return self._acquire(call.keys[5], texts[1], int(texts[2]) / 1000, texts[3], texts[4])
            case "fill":
                if texts[8] != "1" and "" != texts[5] < self._version(call.keys[4]):
                    return [self._epoch, self._seq, "older", 0]
                return self._fill(call.keys[5], texts[1], texts[3], texts[7], released=texts[8] == "1")
            case "put":
                if "" != texts[4] < self._version(call.keys[4]):
                    return [self._epoch, self._seq, "older", 0]
                return self._put(call.keys[5], texts[2], texts[5], int(texts[7]))
            case "invalidate":
                return self._invalidate(call.keys[4:], texts[2], texts[3], texts[4:])
            case "beat":
                return self._beat(texts[2], int(texts[3]))

    async def invalidations(self, stream: str, after: int) -> AsyncIterator[tuple[int, tuple[str, ...]]]:
        """See Backend. There is nobody else who invalidates."""
        await asyncio.Event().wait()
        yield 0, ()

    async def check(self) -> None:
        """See Backend."""

    async def close(self) -> None:
        """See Backend."""

    def _lease(self, key: str) -> tuple[str, int] | None:
        found = self._leases.get(key)
        if found is None or found[2] <= self._clock():
            self._leases.pop(key, None)
            return None
        return found[0], found[1]

    def _acquire(self, key: str, token: str, seconds: float, mode: str, namespace: str) -> Reply:
        source = self._sources.get(namespace, "")
        if mode == "read":
            return [self._epoch, self._seq, source, "miss"]
        if self._lease(key) is not None:
            return [self._epoch, self._seq, source, "wait", round((self._leases[key][2] - self._clock()) * 1000)]
        if len(self._leases) >= MAX_COUNTERS:
            now = self._clock()
            self._leases = {each: lease for each, lease in self._leases.items() if lease[2] > now}
        self._leases[key] = (token, self._seq, self._clock() + seconds)
        return [self._epoch, self._seq, source, "lease"]

    def _fill(self, key: str, token: str, names: str, alias_names: str, *, released: bool) -> Reply:
        lease = self._lease(key)
        if lease is None or lease[0] != token:
            return [self._epoch, self._seq, "lease", 0]
        del self._leases[key]
        if released:
            return [self._epoch, self._seq, "released", 0]
        if lease[1] < self._floor or self._invalidated(names) > lease[1] or self._invalidated(alias_names) > lease[1]:
            return [self._epoch, self._seq, "tainted", 0]
        return [self._epoch, self._seq, "stored", lease[1]]

    def _put(self, lease: str, names: str, name: str, known: int) -> Reply:
        current = self._invalidated(names) <= known
        self._leases.pop(lease, None)
        self._count([name])
        return [self._epoch, self._seq, "stored" if current else "tainted", 0]

    def _invalidate(self, gone: tuple[str, ...], namespace: str, source: str, names: list[str]) -> Reply:
        for key in gone:
            self._leases.pop(key, None)
        if source:
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
