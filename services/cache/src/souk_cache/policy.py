"""Which values stay in a memory that is full: LIRS or LRU, whichever would have had more hits lately.

LIRS (Jiang and Zhang, SIGMETRICS 2002) keeps what comes back soon: a value is hot when it was used twice within less time than the
hot value that was used longest ago has waited. Here no stack of past keys is kept: the time of a use tells the same as its place
in the stack, and keys that are gone are eight bytes each. It holds through scans and loops, where LRU has no hits, and loses to LRU
where what is read changes quickly; how long a key that is gone is remembered (the reach) makes it follow recency or frequency.
A report that begins all at once would be kept out until it comes around, even where it fits: a rule that is open lets most of it
in. So four rules run beside each other over a sample of the keys (SHARDS: Waldspurger et al., FAST 2015), without values, and the
memory itself follows the one that hits.
"""

from collections.abc import Callable
from mmap import mmap
from typing import Any, NamedTuple

from souk_cache.change import Change

COLD_SHARE = 0.01
"""Of the memory, for values that are not hot, at the least."""
MAX_EVICTIONS = 500
"""For one value; what needs more room is not kept, but may be when it comes again."""
MAX_DEMOTIONS = 8
"""Hot values that become cold in one use, at the most, after a rule has changed."""
SHADOW_ENTRIES = 1024
"""Keys that a shadow of a rule holds, at the most."""
TYPICAL_BYTES = 1024
"""Guessed size of an entry, as long as the memory is not full."""
LEAD = 0.06
"""Hits by which another rule must lead before it is followed, as a share of the entries of its shadow."""
LEAST_LEAD = 10.0
FORGETTING = 0.2
"""Share of a lead that is forgotten while the sample has as many uses as the shadow has entries."""
WAYS = 4
"""Cells in which a key that is gone may be found."""
UNKNOWN, TOO_LONG = -1, -2
_24_BITS = (1 << 24) - 1


class Node:
    """One value's place in the order of uses."""

    __slots__ = ("after", "before", "hot", "key", "last", "weight")

    before: "Node"
    """Used earlier. Not set while the node is in no order."""
    after: "Node"

    def __init__(self, key: Any, weight: int) -> None:
        self.key = key
        self.weight = weight
        """Bytes."""
        self.hot = False
        self.last = -1
        """When it was used, counted in uses; -1: it has no place."""


class Rule(NamedTuple):
    """What is evicted, and what becomes hot."""

    name: str
    reach: float
    """Keys that are gone are remembered until so many others are, as a share of the entries. 0: LRU."""
    opens: bool = False
    """Where what is read changes (souk_cache.change), keys that were never seen before are hot, too."""


OPEN_LIRS = Rule("LIRS, open to change", 2.0, opens=True)
LIRS = Rule("LIRS", 2.0)
LRU = Rule("LRU", 0.0)
SHORT_LIRS = Rule("LIRS with a short reach", 0.3)
RULES = (OPEN_LIRS, LRU, LIRS, SHORT_LIRS)


class Ghosts:
    """When keys that are gone were used last. Eight bytes a key, in cells of a fixed number that are found by hash:
    16 bits of the hash, 24 of the number of its eviction, 24 of the time of its last use."""

    def __init__(self, entries: int) -> None:
        """entries: that the memory holds; about four times as many keys that are gone can be remembered."""
        self.capacity = max(256, 1 << (entries - 1).bit_length())
        self.evictions = 0
        # Mapped, not allocated: its pages become zeros as they are touched, where 64 MiB at once took 36 ms
        self._cells = memoryview(mmap(-1, 8 * WAYS * self.capacity)).cast("Q")

    def put(self, hashed: int, last: int) -> None:
        """Remember an evicted key."""
        self.evictions += 1
        place, oldest = -1, -1
        first = (hashed & (self.capacity - 1)) * WAYS
        for at in range(first, first + WAYS):
            cell = self._cells[at]
            if cell == 0:
                place = at
                break
            age = (self.evictions - (cell >> 24)) & _24_BITS
            if age > oldest:
                place, oldest = at, age
        tag = (hashed >> 40 & 0xFFFF) << 48
        self._cells[place] = tag | (self.evictions & _24_BITS) << 24 | (last & _24_BITS)

    def take(self, hashed: int, *, reach: float, clock: int) -> int:
        """Forget a key. Returns how many uses ago it was used; TOO_LONG where `reach` others went since, or UNKNOWN."""
        first = (hashed & (self.capacity - 1)) * WAYS
        tag = hashed >> 40 & 0xFFFF
        for at in range(first, first + WAYS):
            cell = self._cells[at]
            if cell and cell >> 48 == tag:
                self._cells[at] = 0
                if (self.evictions - (cell >> 24)) & _24_BITS < reach:
                    return (clock - cell) & _24_BITS
                return TOO_LONG
        return UNKNOWN


class Policy:
    """The order of what is kept by one rule. Tells `evicted` of each node that has to go."""

    def __init__(self, rule: Rule, *, max_bytes: int, max_entries: int, evicted: Callable[[Any], None]) -> None:
        self.rule = rule
        """Another may be set at any time: it goes on with what there is."""
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self._evicted = evicted
        self._clock = 0
        self._max_hot_entries = max_entries - max(2, int(max_entries * COLD_SHARE))
        self._ghosts = Ghosts(1)
        self.clear()

    def clear(self) -> None:
        """Let go of every node. Keys that went before stay known: when they were used is as true as it was."""
        self.bytes = 0
        self.entries = 0
        self._change = Change(self._clock)
        self.hot_bytes = 0
        self.hot_entries = 0
        self.filling = True
        """Nothing had to go yet: all that comes is hot, for there is nothing that it could be compared with."""
        self._hot = _root()
        self._cold = _root()

    def use(self, node: Node) -> None:
        """A node was read."""
        before, after = node.before, node.after
        before.after = after
        after.before = before
        becomes_hot = not node.hot and (node.last >= self._hot.after.last or not self.rule.reach)
        if becomes_hot:
            node.hot = True
            self.hot_bytes += node.weight
            self.hot_entries += 1
        root = self._hot if node.hot else self._cold
        newest = root.before
        node.before, node.after = newest, root
        newest.after = root.before = node
        self._clock = node.last = self._clock + 1
        if becomes_hot:
            self._demote()

    def add(self, node: Node, replaced: Node | None = None) -> bool:
        """Give a node a place, for which others may have to go; False where it is not worth that, or does not fit.

        replaced: what the key had until now, which was removed.
        """
        hashed = hash(node.key)
        returns = self._returns(hashed, replaced)
        self._clock += 1
        if self.filling and self._hot_is_full(node):
            self.filling = False
        if self.entries > self._ghosts.capacity and not self.filling:
            self._ghosts = Ghosts(2 * self.entries)
        if not self._make_room(node.weight, returns=returns):
            self._ghosts.put(hashed, self._clock)
            return False
        node.last = self._clock
        node.hot = self.filling or (returns and self.rule.reach > 0)
        root = self._hot if node.hot else self._cold
        newest = root.before
        node.before, node.after = newest, root
        newest.after = root.before = node
        self.bytes += node.weight
        self.entries += 1
        if node.hot:
            self.hot_bytes += node.weight
            self.hot_entries += 1
            self._demote()
        return True

    def _returns(self, hashed: int, replaced: Node | None) -> bool:
        """Whether what comes is to be hot: it comes back soon enough, or it is new where what is read has changed."""
        if replaced is not None:
            age = 0 if replaced.hot else self._clock - replaced.last
        else:
            age = self._ghosts.take(hashed, reach=self.rule.reach * self.entries, clock=self._clock)
            self._change.missed(self._clock + 1, new=age == UNKNOWN, entries=self.entries)
        return 0 <= age <= self._clock - self._hot.after.last or (self.rule.opens and age < 0 and self._change.gives_place())

    def remove(self, node: Node) -> None:
        """Take a node out, without remembering it. Its `last` and `hot` stay as they were until the caller says otherwise."""
        before, after = node.before, node.after
        before.after = after
        after.before = before
        del node.before, node.after
        self.bytes -= node.weight
        self.entries -= 1
        if node.hot:
            self.hot_bytes -= node.weight
            self.hot_entries -= 1

    def hottest(self, count: int) -> list[Node]:
        """Nodes that are hot, the one used last first."""
        found: list[Node] = []
        node = self._hot.before
        while node is not self._hot and len(found) < count:
            found.append(node)
            node = node.before
        return found

    def _max_hot_bytes(self) -> int:
        two = 2 * self.bytes // self.entries if self.entries else 0
        return self.max_bytes - max(two, int(self.max_bytes * COLD_SHARE))

    def _hot_is_full(self, node: Node) -> bool:
        return self.hot_entries >= self._max_hot_entries or self.hot_bytes + node.weight > self._max_hot_bytes()

    def _demote(self) -> None:
        """The hot nodes that were used longest ago become cold, until there is enough room for cold ones."""
        if not self.rule.reach:
            return
        max_bytes = self._max_hot_bytes()
        for _ in range(MAX_DEMOTIONS):
            if self.hot_entries <= self._max_hot_entries and self.hot_bytes <= max_bytes:
                return
            node = self._hot.after
            if node is self._hot:
                return
            node.before.after = node.after
            node.after.before = node.before
            newest = self._cold.before
            node.before, node.after = newest, self._cold
            newest.after = self._cold.before = node
            node.hot = False
            self.hot_bytes -= node.weight
            self.hot_entries -= 1

    def _make_room(self, weight: int, *, returns: bool) -> bool:
        lru = not self.rule.reach
        if weight > self.max_bytes:
            return False
        missing = self.bytes + weight - self.max_bytes
        if missing > 0 and not (lru or returns or self.filling):
            self._demote()
            if missing > self.bytes - self.hot_bytes:
                return False  # hot values would have to go for one that was never seen before
        for _ in range(MAX_EVICTIONS):
            if self.bytes + weight <= self.max_bytes and self.entries < self.max_entries:
                return True
            node, hot = self._cold.after, self._hot.after
            if node is self._cold or (lru and hot is not self._hot and hot.last < node.last):
                node = hot
            if node is self._hot:
                return False
            self.remove(node)
            self._ghosts.put(hash(node.key), node.last)
            self._evicted(node)
        return self.bytes + weight <= self.max_bytes and self.entries < self.max_entries


def _root() -> Node:
    """The end of an order: what follows it was used longest ago, what precedes it was used last."""
    root = Node(None, 0)
    root.before = root.after = root
    return root


class Shadow:
    """What a rule would keep of the sample, without the values."""

    def __init__(self, rule: Rule, *, max_bytes: int, max_entries: int) -> None:
        self._policy = Policy(rule, max_bytes=max_bytes, max_entries=max_entries, evicted=self._forget)
        self._nodes: dict[int, Node] = {}

    def use(self, hashed: int, weight: int) -> bool:
        """Whether this rule has a hit."""
        node = self._nodes.get(hashed)
        if node is not None:
            self._policy.use(node)
            return True
        node = Node(hashed, weight)
        if self._policy.add(node):
            self._nodes[hashed] = node
        return False

    def _forget(self, node: Node) -> None:
        del self._nodes[node.key]


class Contest:
    """The rules beside each other, on a sample of the keys. Says which one to follow."""

    def __init__(self, *, max_bytes: int, max_entries: int) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self.rule = RULES[0]
        self._sample(min(max_entries, max_bytes // TYPICAL_BYTES))

    def _sample(self, entries: int) -> None:
        shift = 0
        while max(1, entries) >> shift > SHADOW_ENTRIES:
            shift += 1
        self._entries = max(4, entries >> shift)
        self._mask = (1 << shift) - 1
        max_bytes, max_entries = self._max_bytes >> shift, max(4, self._max_entries >> shift)
        self._shadows = [Shadow(rule, max_bytes=max_bytes, max_entries=max_entries) for rule in RULES]
        self._leads = [0.0] * len(RULES)
        self._lead = max(LEAST_LEAD, LEAD * self._entries)
        self._kept = 1.0 - FORGETTING / self._entries

    def full(self, entries: int) -> None:
        """The memory is full with so many entries: where they are larger than was guessed, take a larger sample."""
        if self._mask and 4 * entries < (self._mask + 1) * SHADOW_ENTRIES:
            self._sample(entries)

    def use(self, key: str, weight: int) -> bool:
        """A key was read or stored. True where another rule is to be followed from now on."""
        hashed = hash(key)
        if hashed >> 20 & self._mask:
            return False
        hits = [shadow.use(hashed, weight) for shadow in self._shadows]
        own = hits[RULES.index(self.rule)]
        for number, hit in enumerate(hits):
            self._leads[number] = max(0.0, self._leads[number] * self._kept + hit - own)
        best = max(self._leads)
        if best <= self._lead:
            return False
        self.rule = RULES[self._leads.index(best)]
        self._leads = [0.0] * len(RULES)
        return True
