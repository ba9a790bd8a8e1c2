"""The protocol with one rule taken out at a time. Each must be noticed, or the simulator proves nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from souk.cache.v1 import cache_pb2 as pb
from souk.client._near import NearCache
from souk_cache.protocol import Coherence, Token
from souk_cache.scripts import Beaten, Call, source, stored
from souk_cache.watchers import Watcher, Watchers


class LeaseFromReceipt(Coherence):
    """The read lease runs from when the answer came, and not from when the beat was sent."""

    def _take(self, came: Beaten, sent: float) -> None:
        super()._take(came, self._clock())


class LeaseWithoutEnd(Coherence):
    """A node that is cut off trusts its memory for ever."""

    def _take(self, came: Beaten, sent: float) -> None:
        super()._take(came, sent)
        if came.status == "ok":
            self.lease_until = float("inf")


class LeaseTakenAfterLeaving(Coherence):
    """A beat that was under way when a node left renews its lease."""

    def beat(self, *, awaited: tuple[int, int] | None = None, leaves: bool = False) -> Any:
        sent, had_left = self._clock(), self._has_left
        came = yield from super().beat(awaited=awaited, leaves=leaves)
        if self._has_left and not (had_left or leaves):
            self._take(came, sent)
        return came


class OlderNotAwaited(Coherence):
    """A put that finds a newer version returns at once."""

    def put(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().put(*args, **kwargs)
        step = next(operation)
        while True:
            try:
                reply = yield step
            except Exception as error:  # noqa: BLE001 — the operation's own
                step = operation.throw(error)
                continue
            if isinstance(step, Call) and step.script == "put" and reply[2] == b"older":
                operation.close()
                return stored(reply, is_put=True)
            try:
                step = operation.send(reply)
            except StopIteration as end:
                return end.value


class NothingDetached(Coherence):
    """What is in flight when an invalidation is applied may still be joined and kept."""

    def _take_off(self, key: str, **how: Any) -> Any:
        flight = super()._take_off(key, **how)
        self._open[key].discard(flight)
        return flight

    def _land(self, flight: Any, outcome: Any, error: Exception | None = None) -> None:
        self._open.setdefault(flight.key, set()).add(flight)
        super()._land(flight, outcome, error)


class JoinedWithoutLease(Coherence):
    """A cut-off node lets new reads join old ones."""

    @property
    def fresh(self) -> bool:
        return self.epoch != ""


class TagsNotApplied(Coherence):
    """Invalidated tags are acknowledged, and the entries that carry them stay."""

    def _drop(self, names: tuple[str, ...], seq: int) -> None:
        super()._drop(tuple(name for name in names if not name.startswith("+")), seq)


class GapsIgnored(Coherence):
    """An invalidation is applied although one before it is missing."""

    def push(self, epoch: str, seq: int, names: tuple[str, ...]) -> bool:
        if epoch == self.epoch and seq > self.applied:
            self._apply(seq, names)
        return True


class FlushKeepsMemory(Coherence):
    """A new epoch leaves memory as it is."""

    def flush(self) -> None:
        self.lease_until = float("-inf")
        self._detach_all()


class SeqRaisedTooFar(Coherence):
    """An entry that passed one check is believed up to invalidations that are not applied yet."""

    def lookup(self, key: str, now: float) -> Any:
        entry = super().lookup(key, now)
        if entry is not None:
            entry.seq = max(entry.seq, self._memory.latest_tag)
        return entry


class ClocksTrusted(Coherence):
    """Redis believes in a lease for just as long as its holder, whatever their clocks."""

    @cached_property
    def _leases(self) -> str:
        return f"{round(self._read_lease * 1000)} {round(self._client_lease * 1000)}"


class AcknowledgedTooEarly(Coherence):
    """An acknowledgement says more than was applied."""

    def push(self, epoch: str, seq: int, names: tuple[str, ...]) -> bool:
        if epoch == self.epoch and seq == self.applied + 1:
            self.applied = seq
            return True
        return super().push(epoch, seq, names)


class NearLeaseFromReceipt(NearCache):
    """A near cache counts its lease from when the heartbeat came."""

    def _lent(self, heartbeat: pb.WatchHeartbeat) -> None:
        self._pings = {ping: self._clock() for ping in self._pings}
        super()._lent(heartbeat)


class NearLeaseWithoutEnd(NearCache):
    """A near cache that is cut off serves for ever."""

    def _lent(self, heartbeat: pb.WatchHeartbeat) -> None:
        super()._lent(heartbeat)
        for partition in self._partitions.values():
            partition.lease_until = float("inf")


class NearKeepsWhatCameLate(NearCache):
    """A near cache keeps a value although it was invalidated on its way."""

    def _drop(self, partition: Any, seq: int, names: Any) -> None:
        super()._drop(partition, seq, names)
        partition.recent.clear()


class NearKeepsThroughDiscontinuity(NearCache):
    """A near cache keeps what it has when it could not be told of everything."""

    def _discontinued(self, place: pb.Position) -> pb.WatchRequest:
        kept = list(self._queue)
        answer = super()._discontinued(place)
        for entry in kept:
            self._entries[entry.namespace][entry.key] = entry
            self._queue[entry] = None
            for name in entry.names:
                self._by_name.setdefault(name, set()).add(entry)
        return answer


class NearServesWhileItMoves(NearCache):
    """A near cache goes on serving although its node has said that it leaves."""

    def stop_serving(self) -> None:
        pass


class ClientsNotWaitedFor(Watchers):
    """What near caches have not acknowledged does not count."""

    def applied(self) -> int:
        return self.coherence.applied


class LostClientsForgotten(Watchers):
    """A near cache whose stream is gone is not waited for, although its lease goes on."""

    def close(self, watcher: Watcher, *, served_nothing: bool) -> None:
        super().close(watcher, served_nothing=True)


class SlowClientsNotTold(Watchers):
    """What a slow near cache has no room for is left out."""

    def open(self, *args: Any, **kwargs: Any) -> Watcher:
        watcher = super().open(*args, **kwargs)
        watcher.drop = lambda epoch, seq: None  # type: ignore[method-assign]
        return watcher


class LentWithoutLease(Watchers):
    """A node that is cut off itself lends leases."""

    class _Fresh:
        def __init__(self, coherence: Coherence) -> None:
            self._coherence = coherence

        def __getattr__(self, name: str) -> Any:
            return True if name == "fresh" else getattr(self._coherence, name)

    def __init__(self, coherence: Coherence, **kwargs: Any) -> None:
        super().__init__(coherence, **kwargs)
        self.coherence: Any = self._Fresh(coherence)


class ResumedWithoutHistory(Watchers):
    """A stream that is taken up is not told what happened meanwhile."""

    def open(self, namespaces: Any, resume: Token | None, wake: Any, history: Any = ()) -> Watcher:
        if resume is not None and resume.epoch == self.coherence.epoch:
            resume = Token(resume.epoch, max(resume.seq, self.coherence.applied))
        return super().open(namespaces, resume, wake, history)


SEEN = {
    "NothingDetached": 9,
    "a silent member is forgotten early": 11,
    "a late put is not fenced": 12,
    "JoinedWithoutLease": 16,
    "LeaseWithoutEnd": 16,
    "LentWithoutLease": 16,
    "GapsIgnored": 17,
    "values of an old epoch are believed": 28,
    "NearKeepsThroughDiscontinuity": 29,
    "NearLeaseFromReceipt": 66,
    "NearKeepsWhatCameLate": 75,
    "SeqRaisedTooFar": 112,
    "ClocksTrusted": 127,
    "a put that finds a newer version drops nothing": 148,
    "the epoch outlives its Redis": 166,
    "NearServesWhileItMoves": 190,
    "SlowClientsNotTold": 255,
    "LeaseFromReceipt": 289,
    "a flush counts as acknowledged": 326,
    "a stopping node forgets its clients": 453,
    "a new epoch is not quiet for clients": 510,
    "LostClientsForgotten": 538,
    "LeaseTakenAfterLeaving": 1915,
}
"""Seeds that show those that not every tenth schedule shows. Where the code has changed, another that is not far does."""


@dataclass(frozen=True)
class Mutant:
    """One of them."""

    name: str
    coherence: type[Coherence] = Coherence
    script: Callable[[str], str] | None = None
    near: type[NearCache] = NearCache
    watchers: type[Watchers] = Watchers

    @property
    def first(self) -> int:
        """The seed to begin with."""
        return SEEN.get(self.name, 0)


def _without(text: str, instead: str = "") -> Callable[[str], str]:
    """The scripts with a text replaced."""
    made: dict[str, str] = {}

    def changed(name: Any) -> str:
        if name not in made:
            made[name] = source(name).replace(text, instead)
        return made[name]

    if not any(text in source(name) for name in ("acquire", "fill", "put", "invalidate", "beat")):
        raise ValueError(f"no script has {text!r}")
    return changed


MUTANTS = (
    *(
        Mutant(each.__name__, each)
        for each in (
            LeaseWithoutEnd,
            LeaseTakenAfterLeaving,
            OlderNotAwaited,
            NothingDetached,
            JoinedWithoutLease,
            TagsNotApplied,
            GapsIgnored,
            FlushKeepsMemory,
            SeqRaisedTooFar,
            ClocksTrusted,
            AcknowledgedTooEarly,
        )
    ),
    *(
        Mutant(each.__name__, near=each)
        for each in (
            NearLeaseFromReceipt,
            NearLeaseWithoutEnd,
            NearKeepsWhatCameLate,
            NearKeepsThroughDiscontinuity,
        )
    ),
    *(
        Mutant(each.__name__, watchers=each)
        for each in (ClientsNotWaitedFor, LostClientsForgotten, SlowClientsNotTold, LentWithoutLease, ResumedWithoutHistory)
    ),
    Mutant("LeaseFromReceipt", LeaseFromReceipt),
    Mutant("NearServesWhileItMoves", near=NearServesWhileItMoves),
    Mutant("a stopping node forgets its clients", script=_without("if ARGV[6] == 'all' then", "if ARGV[6] ~= '' then")),
    Mutant("a new epoch is not quiet for clients", script=_without("tonumber(text) + (level - 1) * CLIENT_MS", "tonumber(text)")),
    Mutant("fills are not fenced", script=_without("if seq < FLOOR or invalidated(split(ARGV[4])) > seq", "if false")),
    Mutant(
        "a put that finds a newer version drops nothing",
        script=_without("    invalidate(split(ARGV[6]))\n    redis.call('HSET', KEYS[5]", "    redis.call('HSET', KEYS[5]"),
    ),
    Mutant("a forged lease fills", script=_without("if token ~= ARGV[2] then", "if not token then")),
    Mutant("the epoch outlives its Redis", script=_without("meta[1] ~= RUN or ")),
    Mutant("a new epoch is not quiet", script=_without("string.format('%d', clock() + LEASE_MS))", "'0')")),
    Mutant("values of an old epoch are believed", script=_without("value[1] ~= EPOCH or ")),
    Mutant("nobody waits for acknowledgements", script=_without("return math.max(longest, 0)", "return 0")),
    Mutant(
        "a silent member is forgotten early",
        script=_without("local own, clients = now + LEASE_MS, 0", "local own, clients = now + LEASE_MS / 2, 0"),
    ),
    Mutant(
        "a flush counts as acknowledged", script=_without("status, told = 'flush', SEQ", "status, told, served = 'flush', SEQ, SEQ")
    ),
    Mutant("tags of values are not compared", script=_without("if invalidated(split(value[3])) > seq then return nil end")),
    Mutant(
        "a late put is not fenced", script=_without("ARGV[7] == EPOCH and invalidated(split(ARGV[3])) <= tonumber(ARGV[8])", "true")
    ),
)
