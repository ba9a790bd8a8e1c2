"""The protocol with one rule taken out at a time. Each must be noticed, or the simulator proves nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from souk_cache.protocol import Coherence
from souk_cache.scripts import Beaten, source


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


class NothingDetached(Coherence):
    """What is in flight when an invalidation is applied may still be joined and kept."""

    def _take_off(self, key: str, *, joinable: bool) -> Any:
        flight = super()._take_off(key, joinable=joinable)
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
            entry.seq = max(entry.seq, self._latest_tag)
        return entry


class ClocksTrusted(Coherence):
    """Redis believes in a lease for just as long as its holder, whatever their clocks."""

    @property
    def _lease_ms(self) -> str:
        return str(round(self._read_lease * 1000))


class AcknowledgedTooEarly(Coherence):
    """An acknowledgement says more than was applied."""

    def push(self, epoch: str, seq: int, names: tuple[str, ...]) -> bool:
        if epoch == self.epoch and seq == self.applied + 1:
            self.applied = seq
            return True
        return super().push(epoch, seq, names)


@dataclass(frozen=True)
class Mutant:
    """One of them."""

    name: str
    coherence: type[Coherence] = Coherence
    script: Callable[[str], str] | None = None


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
            LeaseFromReceipt,
            LeaseWithoutEnd,
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
    Mutant("fills are not fenced", script=_without("if seq < FLOOR or invalidated(split(ARGV[4])) > seq", "if false")),
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
