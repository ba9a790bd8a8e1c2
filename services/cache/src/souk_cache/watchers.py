"""The near caches of clients, as one partition of a node sees them: what each is told, has acknowledged, may serve. Without I/O.

A near cache serves what it keeps until the time it sent a ping + its lease. A ping is answered only while this node's own read
lease lasts, so whatever a client serves ends by this node's lease + the client's, which is what Redis believes (beat.lua).
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from souk_cache.protocol import CLOCK_MARGIN, Coherence, Token

RECENT_NAMES = 20_000
"""Names of past invalidations that are kept for streams that are taken up."""


@dataclass(frozen=True, slots=True)
class Told:
    """Something was invalidated."""

    epoch: str
    seq: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dropped:
    """Whatever is kept cannot be trusted; what is right at `seq` or later can."""

    epoch: str
    seq: int


Message = Told | Dropped


class Watcher:
    """One near cache, for one partition. Messages wait in `messages`; `wake` is called when there is one."""

    def __init__(self, owner: "Watchers", namespaces: Iterable[str], wake: Callable[[], None]) -> None:
        self._owner = owner
        self._spaces = frozenset(namespaces)
        self._wake = wake
        self.messages: deque[Message] = deque()
        self.unacknowledged: deque[tuple[int, int]] = deque()
        """What was told and is not acknowledged, in order: from which place on it is not applied, and the place that says it is."""
        self.lease_until = float("-inf")
        """It may serve until then, at the latest, by this node's clock."""

    def tell(self, epoch: str, seq: int, names: Sequence[str]) -> None:
        """Pass an invalidation on, if it is of interest."""
        known = tuple(name for name in names if self._is_of_interest(name))
        if not known:
            return
        if len(self.messages) >= self._owner.max_messages:
            self.drop(epoch, seq)
            return
        self.messages.append(Told(epoch, seq, known))
        self.unacknowledged.append((seq, seq))
        self._wake()

    def drop(self, epoch: str, seq: int) -> None:
        """Have it drop everything, instead of whatever waits to be told."""
        self.messages.clear()
        self.messages.append(Dropped(epoch, seq))
        self.unacknowledged.append((seq, seq))
        self._wake()

    def begin(self, epoch: str, seq: int) -> None:
        """Have it drop everything, because another epoch has begun or some of this one are missing.

        Until it says that it has, it has applied nothing: what it acknowledges late may be of this epoch, from before the gap.
        """
        self.unacknowledged.clear()
        self.unacknowledged.append((1, max(1, seq)))
        self.drop(epoch, max(1, seq))

    def acknowledge(self, epoch: str, seq: int) -> None:
        """It has applied everything up to there."""
        if epoch != self._owner.coherence.epoch:
            return
        before = len(self.unacknowledged)
        while self.unacknowledged and self.unacknowledged[0][1] <= seq:
            self.unacknowledged.popleft()
        if len(self.unacknowledged) != before:
            self._owner.on_acknowledged()

    def lend(self, now: float) -> Token | None:
        """Up to where it is right, once it has applied what was told before: it may serve that from the ping on that has come now.
        None while this node itself may not."""
        coherence = self._owner.coherence
        if not coherence.fresh:
            return None
        if now >= self.lease_until:
            self.unacknowledged.clear()  # it serves nothing before it has applied all that
        self.lease_until = now + self._owner.lease * CLOCK_MARGIN
        return Token(coherence.epoch, coherence.applied)

    def watch(self, namespaces: Iterable[str]) -> None:
        """It keeps values of these namespaces from now on."""
        self._spaces = frozenset(namespaces)

    def _is_of_interest(self, name: str) -> bool:
        if name[0] == "+":
            return True
        space, _, _ = name[1:].partition(":")
        return space.partition("~")[0] in self._spaces


class Watchers:
    """All near caches of one partition on this node."""

    def __init__(self, coherence: Coherence, *, lease: float, max_messages: int, clock: Callable[[], float]) -> None:
        self.coherence = coherence
        self.lease = lease
        """Seconds that a near cache may serve from its ping on."""
        self.max_messages = max_messages
        self.on_acknowledged: Callable[[], None] = lambda: None
        """Called when one has acknowledged something."""
        self._clock = clock
        self._watchers: dict[Watcher, None] = {}
        """In the order in which they came, and so in the simulator the same each time."""
        self._left: deque[tuple[float, int]] = deque()
        """Of those whose streams are gone: until when they may serve, and what they have applied."""
        self._recent: deque[tuple[int, tuple[str, ...]]] = deque()
        self._recent_names = 0
        coherence.clients_applied = self.applied
        coherence.clients_lending = lambda: self.lending
        coherence.on_event = self._on_event
        coherence.on_flush = self._on_flush

    def __len__(self) -> int:
        return len(self._watchers)

    @property
    def lending(self) -> bool:
        """Whether one may still serve what it keeps."""
        now = self._clock()
        return any(now < watcher.lease_until for watcher in self._watchers) or any(now < until for until, _ in self._left)

    def applied(self) -> int:
        """Up to where every near cache that may serve has applied everything."""
        now, applied = self._clock(), self.coherence.applied
        for watcher in self._watchers:
            if watcher.unacknowledged and now < watcher.lease_until:
                applied = min(applied, watcher.unacknowledged[0][0] - 1)
        for until, kept in self._left:
            if now < until:
                applied = min(applied, kept)
        return max(0, applied)

    def missing(self, resume: Token) -> bool:
        """Whether invalidations after `resume` are not known here any more, and must be fetched for `open`."""
        here = self.coherence
        oldest = self._recent[0][0] if self._recent else here.applied + 1
        return resume.epoch == here.epoch and resume.seq + 1 < oldest

    def open(
        self,
        namespaces: Iterable[str],
        resume: Token | None,
        wake: Callable[[], None],
        history: Sequence[tuple[int, tuple[str, ...]]] = (),
    ) -> Watcher:
        """A near cache that is told everything from now on; after `resume`, if that can be.

        history: the oldest invalidations after `resume`, in order, where they are `missing`.
        """
        watcher = Watcher(self, namespaces, wake)
        here = self.coherence
        self._watchers[watcher] = None
        events = [*history, *(event for event in self._recent if not history or event[0] > history[-1][0])]
        if resume is None or resume.epoch != here.epoch or not _follows(resume.seq, here.applied, events):
            watcher.drop(here.epoch, here.applied)
            return watcher
        for seq, names in events:
            if resume.seq < seq <= here.applied:
                watcher.tell(here.epoch, seq, names)
        return watcher

    def close(self, watcher: Watcher, *, served_nothing: bool) -> None:
        """A stream has ended. served_nothing: the client has said that it serves nothing any more; else its lease goes on."""
        now = self._clock()
        self._watchers.pop(watcher, None)
        while self._left and self._left[0][0] <= now:
            self._left.popleft()
        if not served_nothing and now < watcher.lease_until:
            kept = watcher.unacknowledged[0][0] - 1 if watcher.unacknowledged else self.coherence.applied
            self._left.append((watcher.lease_until, kept))
        self.on_acknowledged()

    def _on_event(self, seq: int, names: tuple[str, ...]) -> None:
        self._recent.append((seq, names))
        self._recent_names += len(names)
        while self._recent_names > RECENT_NAMES:
            self._recent_names -= len(self._recent.popleft()[1])
        for watcher in self._watchers:
            watcher.tell(self.coherence.epoch, seq, names)

    def _on_flush(self) -> None:
        self._recent.clear()
        self._recent_names = 0
        now = self._clock()
        self._left = deque((until, 0) for until, _ in self._left if now < until)
        for watcher in self._watchers:
            watcher.begin(self.coherence.epoch, self.coherence.applied)


def _follows(seq: int, applied: int, events: Sequence[tuple[int, tuple[str, ...]]]) -> bool:
    """Whether `events` has everything after `seq` up to `applied`."""
    known = seq
    for each, _ in events:
        if each == known + 1:
            known = each
    return known >= applied
