"""What a node knows of its near caches. All the rest of it is shown by the simulator."""

from typing import Any

from souk_cache.protocol import Coherence
from souk_cache.watchers import Dropped, Told, Watchers


class Nothing:
    """A memory that keeps nothing."""

    served_until = 0.0
    latest_tag = 0

    def clear(self) -> None:
        pass

    def get(self, key: str, now: float) -> Any:
        return None


def node() -> Watchers:
    coherence = Coherence(
        member="m",
        partition="p",
        memory=Nothing(),  # type: ignore[arg-type]
        read_lease=2.0,
        client_lease=1.5,
        clock=lambda: 0.0,
        new_token=str,
    )
    coherence.epoch, coherence.lease_until = "e", 2.0
    return Watchers(coherence, lease=1.5, max_messages=100, clock=lambda: 0.0)


def test_what_comes_late_from_before_a_gap_does_not_say_that_everything_was_dropped():
    watchers = node()
    coherence = watchers.coherence
    watcher = watchers.open(["n"], None, lambda: None)
    watcher.acknowledge("e", 0)
    assert watcher.lend(0.0) is not None
    for seq in (1, 2):
        assert coherence.push("e", seq, (f"#n:{seq}",))
    assert watchers.applied() == 0
    assert coherence.on_flush is not None
    coherence.applied = 5  # 3 to 5 were trimmed before the node was told of them
    coherence.on_flush()
    watcher.acknowledge("e", 1)
    watcher.acknowledge("e", 2)
    assert watchers.applied() == 0, "it still keeps what 3 to 5 have invalidated"
    watcher.acknowledge("e", 5)
    assert watchers.applied() == 5


def test_a_near_cache_that_is_told_too_much_is_told_to_drop_everything():
    watchers = node()
    watchers.max_messages = 2
    watcher = watchers.open(["n"], None, lambda: None)
    watcher.messages.clear()
    for seq in (1, 2, 3):
        watchers.coherence.push("e", seq, ("+red",))
    assert list(watcher.messages) == [Dropped("e", 3)]
    watchers.coherence.push("e", 4, ("+red",))
    assert list(watcher.messages) == [Dropped("e", 3), Told("e", 4, ("+red",))]
