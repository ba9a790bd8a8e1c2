"""Notices when what is read has changed: hits were steady, and all at once nearly all that is read was never seen before."""

LEAST_WINDOW = 24
"""Uses over which a hit ratio is taken, at the least; otherwise this share of the entries: """
WINDOW_SHARE = 1 / 32
FAILED, BACK = 0.25, 0.5
"""Of the usual hit ratio: under the one, hits have failed; over the other, they are back."""
LEAST_USUAL = 0.1
NEW = 0.8
"""Share of the uses that must be of keys that nothing is known of: what a loop reads again is no change."""
STEADY = 3.0
"""Uses, as a multiple of the entries, without a window under half of the usual hit ratio: loops hit by fits and starts."""
LEARNING = 2.0
"""How fast the usual hit ratio follows: a window's share of the entries, times this."""
GIVEN = 0.7
"""Share of the entries that newcomers may take. Where they are read once, what was least worth keeping is gone; where they are a
loop that would just fit, most of it is there when it comes around."""


class Change:
    """Told of every miss by the clock of the policy, which counts uses; what it was not told of is a hit."""

    def __init__(self, clock: int = 0) -> None:
        self._places = 0
        """Places that newcomers may still take."""
        self._usual = 0.0
        """Hit ratio."""
        self._dipped = False
        """The window before had few hits: the first one of a change, perhaps."""
        self._steady_since = clock
        self._window_since = clock
        self._misses = 0
        self._new = 0
        self._began: int | None = None
        """When the change that goes on began."""

    def missed(self, clock: int, *, new: bool, entries: int) -> None:
        """A key was missed. new: nothing is known of it. entries: that are kept."""
        self._misses += 1
        self._new += new
        uses = clock - self._window_since
        if uses >= max(LEAST_WINDOW, entries * WINDOW_SHARE):
            hits, new_share = max(0.0, 1 - self._misses / uses), self._new / uses
            self._window_since, self._misses, self._new = clock, 0, 0
            if self._began is not None:
                self._go_on(clock - self._began, clock, hits, entries)
            elif hits < FAILED * self._usual and new_share > NEW and self._was_steady(clock, entries):
                self._began, self._places = clock, int(GIVEN * entries)
            else:
                self._learn(clock, hits, uses / max(1, entries))

    def gives_place(self) -> bool:
        """Whether a newcomer may take the place of what was used longest ago. Each that is told so takes one."""
        if self._began is None or self._places == 0:
            return False
        self._places -= 1
        return True

    def _was_steady(self, clock: int, entries: int) -> bool:
        return self._usual > LEAST_USUAL and clock - self._steady_since > STEADY * entries

    def _go_on(self, age: int, clock: int, hits: float, entries: int) -> None:
        """Until hits are back, or all that is kept could have been read once."""
        if hits <= BACK * self._usual:
            if age <= entries:
                return
            self._usual = hits
        self._began, self._steady_since = None, clock

    def _learn(self, clock: int, hits: float, share: float) -> None:
        if self._dipped:
            self._steady_since = clock
        self._dipped = hits < BACK * self._usual
        self._usual += (hits - self._usual) * min(1.0, share * LEARNING)
