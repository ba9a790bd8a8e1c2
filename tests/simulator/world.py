"""Nodes, one Redis and the network between them, on a virtual clock and by a seeded schedule: the shipped protocol and the shipped
Lua run in it, everything else is a model.

Faults: messages lost, late, or executed without an answer; links cut in one direction; nodes killed, frozen, stopped, restarted;
Redis killed with its data, or replaced by a replica that lost the tail; streams to near caches that stall, break off or go silent;
clients that stand still; clocks that run up to 1 % fast or slow.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from math import log
from typing import Any

from simulator.near import CLIENT_LEASE, Client
from simulator.oracle import Oracle
from simulator.redis_model import RedisModel
from souk.client._near import NearCache
from souk_cache.protocol import CLIENTS, NODES, Busy, Call, Coherence, Found, Join, Leased, Sleep
from souk_cache.scripts import source
from souk_cache.watchers import Watchers

READ_LEASE = 2.0
LOAD_LEASE = 1.5
CALL_TIMEOUT = 1.0
KEYS = ("n:a", "n:b", "n:c")
TAGS = {"n:a": ("+red", "+all"), "n:b": ("+red", "+all"), "n:c": ("+all",)}


class UnreachableError(Exception):
    """Redis did not answer in time."""


@dataclass(slots=True)
class MemoryEntry:
    """What a simulated memory keeps."""

    key: str
    value: bytes
    seq: int
    tags: tuple[Any, ...]


class Memory:
    """A memory without bounds: what a real one forgets is never stale."""

    def __init__(self) -> None:
        self.entries: dict[str, MemoryEntry] = {}

    def get(self, key: str, now: float) -> MemoryEntry | None:
        return self.entries.get(key)

    def remember(self, key: str, data: bytes, seq: int, tags: tuple[Any, ...], age: float, version: str) -> None:
        self.entries[key] = MemoryEntry(key, data, seq, tags)

    def remove(self, key: str) -> bool:
        return self.entries.pop(key, None) is not None

    def clear(self) -> None:
        self.entries.clear()


@dataclass(eq=False)
class Process:
    """One life of one node."""

    name: str
    coherence: Coherence
    watchers: Watchers
    memory: Memory
    rate: float
    clock: Callable[[], float]
    leaving: bool = False
    alive: bool = True
    frozen_until: float = 0.0
    can_send: bool = True
    can_receive: bool = True
    slow: float = 0.0
    beating: bool = False
    beat_again: bool = False


@cache
def _small(text: str) -> str:
    return text.replace("'100000'", "'3'").replace("> 200000", "> 8")


class World:
    """One schedule."""

    def __init__(
        self,
        seed: int,
        *,
        coherence: type[Coherence] = Coherence,
        script: Callable[[str], str] | None = None,
        near: type[NearCache] = NearCache,
        watchers: type[Watchers] = Watchers,
    ) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.events = 0
        self.faults = 0
        self.oracle = Oracle()
        self._coherence = coherence
        self._watchers = watchers
        self._script = script or source
        self._versioned = self.random.random() < 0.5
        """Writers and loaders say the version of what they have."""
        self._small = self.random.random() < 0.5
        """The stream is trimmed and the counters are rotated after a few invalidations, not after a hundred thousand."""
        self._heap: list[tuple[float, int, Callable[[], None], Process | None]] = []
        self._order = 0
        self._redis_rate = self.random.uniform(0.99, 1.01)
        self._lives = 0
        self.redis = RedisModel(self._redis_clock, f"{0:040x}")
        self.redis_up = True
        self._pushed: tuple[bytes, int] = (b"", 0)
        self.nodes = [self._boot(f"n{i}") for i in range(self.random.choice((3, 3, 4)))]
        self.clients = [Client(self, near) for _ in range(self.random.choice((0, 1, 2)))]

    # Time

    def _redis_clock(self) -> float:
        return self.now * self._redis_rate * 1000

    def at(self, delay: float, do: Callable[[], None], process: Process | None = None) -> None:
        """Do something later; what a process does waits while it is frozen, and ends with it."""

        order = self._order = self._order + 1  # what is collected as garbage meanwhile may come here too
        heapq.heappush(self._heap, (self.now + delay if delay > 0 else self.now, order, do, process))

    def run(self, until: float) -> None:
        """Let things happen until then."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, do, process = heapq.heappop(heap)
            self.events += 1
            if process is None:
                do()
            elif process.alive:
                if process.frozen_until > self.now:
                    self.at(process.frozen_until - self.now + self.random.random() * 1e-3, do, process)
                else:
                    do()

    # Processes

    def _boot(self, name: str) -> Process:
        self._lives += 1
        memory = Memory()
        rate = self.random.uniform(0.99, 1.01)
        tokens = iter(range(10**9))
        life = f"{name}.{self._lives}"

        def clock() -> float:
            return self.now * rate

        coherence = self._coherence(
            member=life,
            partition="p",
            memory=memory,
            read_lease=READ_LEASE,
            client_lease=CLIENT_LEASE,
            clock=clock,
            new_token=lambda: f"{life}-{next(tokens)}",
        )
        coherence.first_poll, coherence.longest_poll = 0.01, 0.5
        watchers = self._watchers(coherence, lease=CLIENT_LEASE, max_messages=self.random.choice((2, 100)), clock=clock)
        process = Process(name, coherence, watchers, memory, rate, clock)
        watchers.on_acknowledged = lambda: self.at(0.0, lambda: self.beat(process), process)
        self.at(0.0, lambda: self._beat_regularly(process), process)
        return process

    def _beat_regularly(self, process: Process) -> None:
        self.beat(process)
        if not process.leaving:
            self.at(READ_LEASE / 3, lambda: self._beat_regularly(process), process)

    def beat(self, process: Process) -> None:
        """Beat now, or once more when the beat under way is over."""
        if process.beating:
            process.beat_again = True
            return
        process.beating = True

        def done(came: Any, error: Exception | None) -> None:
            process.beating = False
            if process.beat_again or (came is not None and (came.status != "ok" or came.events)):
                process.beat_again = False
                self.at(0.0, lambda: self.beat(process), process)

        self.drive(process, process.coherence.beat(), done)

    def drive(self, process: Process, operation: Any, done: Callable[[Any, Exception | None], None]) -> None:
        """Carry an operation's steps out, as its process."""

        def go(value: Any = None, error: Exception | None = None) -> None:
            try:
                step = operation.throw(error) if error else operation.send(value)
            except StopIteration as end:
                done(end.value, None)
                return
            except UnreachableError as failed:
                done(None, failed)
                return
            match step:
                case Call():
                    self._call(process, step, go)
                case Sleep():
                    self.at(step.seconds / process.rate, go, process)
                case Join():
                    if step.flight.done:
                        self.at(0.0, go, process)
                    else:
                        step.flight.waiters.append(lambda: self.at(0.0, go, process))

        go()

    # Network

    def delay(self) -> float:
        """How long a message takes."""
        random = self.random.random
        delay = -0.002 * log(1.0 - random())
        if random() < 0.02:
            delay += random() * 0.5
        return delay

    def _delay(self, process: Process) -> float:
        return self.delay() + self.random.random() * process.slow if process.slow else self.delay()

    def _call(self, process: Process, call: Call, go: Callable[..., None]) -> None:
        answered = [False]

        def answer(value: Any, error: Exception | None = None) -> None:
            if not answered[0]:
                answered[0] = True
                go(value, error)

        def execute() -> None:
            if not self.redis_up:
                return
            text = self._script(call.script)
            reply = self.redis.run(_small(text) if self._small else text, call.keys, call.args)
            if self.redis.has_appended:
                self._push_new()
            if process.can_receive and self.random.random() > 0.005:
                self.at(self._delay(process), lambda: answer(reply), process)

        if process.can_send and self.random.random() > 0.005:
            self.at(self._delay(process), execute)
        timeout = CALL_TIMEOUT if self.random.random() < 0.8 else 10 * READ_LEASE  # a client without a time-out waits for long
        self.at(timeout, lambda: answer(None, UnreachableError()), process)

    def _push_new(self) -> None:
        keys = self.nodes[0].coherence.keys
        epoch = self.redis.field(keys.shared[0], "epoch")
        last = self._pushed[1] if self._pushed[0] == epoch else 0
        for number, names in self.redis.entries(keys.stream, last + 1):
            for process in self.nodes:
                self._push(process, epoch.decode(), number, tuple(names.decode().split("\n")))
            last = number
        self._pushed = (epoch, last)

    def _push(self, process: Process, epoch: str, number: int, names: tuple[str, ...]) -> None:
        def arrive() -> None:
            if process.coherence.push(epoch, number, names) or epoch == process.coherence.epoch:
                self.beat(process)

        if process.can_receive and self.random.random() > 0.05:
            self.at(self._delay(process), arrive, process)
            if self.random.random() < 0.02:
                self.at(self._delay(process), arrive, process)

    # What callers do

    def at_node(self, index: int, do: Callable[["World", Process, Any], None], what: Any) -> None:
        """A caller comes to a node; where that stands still or is dead, he goes away."""
        process = self.nodes[index]
        if process.alive and process.frozen_until <= self.now:
            do(self, process, what)

    def get(self, process: Process, key: str) -> None:
        """A read, which loads where it gets the lease."""
        started = self.now
        entry = process.coherence.lookup(key, started * process.rate)
        if entry is not None:
            self._returned(key, started, entry.value)  # type: ignore[attr-defined]
            return
        until = started * process.rate + self.random.choice((0.0, 0.5, 3.0))

        def done(outcome: Any, error: Exception | None) -> None:
            if isinstance(outcome, Found):
                self._returned(key, started, outcome.acquired.data)
            elif isinstance(outcome, Leased):
                self.load(process, key, outcome, started)
            else:
                assert error or isinstance(outcome, Busy)

        joins = self.random.random() < 0.9
        read = process.coherence.get(key, namespace="n", mode="load", lease=LOAD_LEASE, until=until, joins=joins)
        self.drive(process, read, done)

    def refresh(self, process: Process, key: str) -> None:
        """Load anew what there is, as before its end."""
        started = self.now

        def done(outcome: Any, error: Exception | None) -> None:
            leased = outcome.leased if isinstance(outcome, Found) else outcome
            if isinstance(leased, Leased):
                self.load(process, key, leased, started)

        read = process.coherence.get(key, namespace="n", mode="refresh", lease=LOAD_LEASE, until=0.0, joins=False)
        self.drive(process, read, done)

    def tags(self, key: str) -> tuple[str, ...]:
        """The names of a key's tags."""
        return TAGS[key]

    def load(self, process: Process, key: str, leased: Leased, started: float) -> None:
        """Load with a lease, and fill."""
        data = repr(self.now).encode()  # a source read that begins now
        took = self.random.choice((0.001, 0.01, 0.1, 1.0, 3.0)) * self.random.random()

        def loaded() -> None:
            self._returned(key, started, data)
            names = ("=n", f"#{key}", *TAGS[key])
            fill = process.coherence.fill(key, leased, data, names, keep=60.0, version=self._version(float(data)))
            self.drive(process, fill, lambda *_: None)

        self.at(took, loaded, process)

    def _returned(self, key: str, started: float, data: bytes) -> None:
        self.oracle.read(key, started=started, load_began=float(data))

    def invalidate(self, process: Process, names: tuple[str, ...]) -> None:
        """A writer has committed, and says so."""
        called = self.now
        keys = tuple(name[1:] for name in names if name.startswith("#"))
        affected = tuple(key for key in KEYS if f"#{key}" in names or "=n" in names or set(TAGS[key]) & set(names))
        level = self.random.choice((NODES, CLIENTS))

        def done(token: Any, error: Exception | None) -> None:
            if error is None:
                self.oracle.invalidated(affected, called=called, returned=self.now, for_clients=level == CLIENTS)
                self._look_everywhere(affected)

        self.drive(process, process.coherence.invalidate(names, keys, level=level), done)

    def _look_everywhere(self, keys: tuple[str, ...]) -> None:
        """Read at every node at once: that is when a rule that is broken shows."""
        for index in range(len(self.nodes)):
            delay = self.random.choice((0.0, 0.0, 0.01, 0.1)) * self.random.random()
            self.at(delay, partial(self.at_node, index, World.get, self.random.choice(keys)))
        for client in self.clients:
            client.read(self.random.choice(keys))

    def put(self, process: Process, key: str) -> None:
        """A writer has committed, and says what."""
        called = self.now
        data = repr(called).encode()
        names = ("=n", f"#{key}", *TAGS[key])

        def done(came: Any, error: Exception | None) -> None:
            if error is None:
                self.oracle.invalidated((key,), called=called, returned=self.now, for_clients=level == CLIENTS)
                self._look_everywhere((key,))

        level = self.random.choice((NODES, CLIENTS))
        version = self._version(called)
        put = process.coherence.put(key, data, names, replaces=(f"#{key}",), keep=60.0, version=version, level=level)
        self.drive(process, put, done)

    def _version(self, written: float) -> str:
        return f"{round(written * 1e6):020}" if self._versioned else ""

    # Faults

    def crash(self, index: int) -> None:
        """A node dies, and comes back later as a new member."""
        self.nodes[index].alive = False
        self.at(self.random.random() * 3, lambda: self._restart(index))

    def stop(self, index: int) -> None:
        """A node stops as it should: its clients go elsewhere, it leaves, and comes back later as a new member."""
        process = self.nodes[index]
        if not process.alive or process.leaving:
            return
        process.leaving = True
        for client in self.clients:
            if client.stream is not None and client.stream.process is process:
                client.stream.silent["down"] |= self.random.random() < 0.3
                client.stream.wake()

        def over(*_: Any) -> None:
            process.alive = False
            self.at(self.random.random() * 3, lambda: self._restart(index))

        def leave() -> None:
            if self.random.random() < 0.5:  # one is under way
                self.beat(process)
            self.drive(process, process.coherence.beat(leaves=True), over)

        self.at(self.random.choice((0.2, 2.0)) * self.random.random(), leave, process)

    def _restart(self, index: int) -> None:
        if not self.nodes[index].alive:
            self.nodes[index] = self._boot(self.nodes[index].name)

    def freeze(self, index: int) -> None:
        """A node stands still, and goes on as if nothing had been."""
        process = self.nodes[index]
        process.frozen_until = max(process.frozen_until, self.now + self.random.random() * 3 * READ_LEASE)

    def cut(self, index: int) -> None:
        """A link carries nothing, in one direction or both, and heals later."""
        process = self.nodes[index]
        how = self.random.randrange(3)
        process.can_send, process.can_receive = how == 1, how == 2

        def heal() -> None:
            process.can_send = process.can_receive = True

        self.at(self.random.random() * 3 * READ_LEASE, heal)

    def slow_down(self, index: int) -> None:
        """A link is late by up to a lease."""
        process = self.nodes[index]
        process.slow = self.random.random() * READ_LEASE

        def heal() -> None:
            process.slow = 0.0

        self.at(self.random.random() * 2 * READ_LEASE, heal)

    def lose_redis(self) -> None:
        """Redis dies with its data, and another begins empty."""
        self._replace_redis(None)

    def fail_over(self) -> None:
        """A replica that lacks the tail takes over."""
        replica = self.redis.copy()
        self.at(self.random.random() * 0.5, lambda: self._replace_redis(replica))

    def restart_redis(self) -> None:
        """Redis dies, and comes back with what it had."""
        self._replace_redis(self.redis.copy())

    def _replace_redis(self, data: Any) -> None:
        self.redis_up = False

        def back() -> None:
            self.redis.begin(f"{self._order:040x}", data)
            self.redis_up = True

        self.at(self.random.random() * READ_LEASE, back)


FEWEST_EVENTS = 200
"""Of one schedule."""


def simulate(seed: int, **mutation: Any) -> World:
    """One schedule of the seed, over: at least 200 events, two faults, three nodes."""
    world = World(seed, **mutation)
    rng = world.random
    length = rng.uniform(3, 8)
    world.run(world.now + rng.choice((0.5, 3.0)))
    end = world.now + length
    for _ in range(rng.randrange(30, 80)):
        when = rng.random() * length
        kind = rng.random()
        index = rng.randrange(len(world.nodes))
        key = rng.choice(KEYS)
        if kind < 0.3 and world.clients:
            world.at(when, partial(rng.choice(world.clients).read, key))
        elif kind < 0.63:
            world.at(when, partial(world.at_node, index, World.get, key))
        elif kind < 0.68:
            world.at(when, partial(world.at_node, index, World.refresh, key))
        elif kind < 0.93:
            names = rng.choice(((f"#{key}",), (f"#{key}",), ("+red",), ("+all",), ("=n",), (f"#{key}", "+red")))
            world.at(when, partial(world.at_node, index, World.invalidate, names))
        else:
            world.at(when, partial(world.at_node, index, World.put, key))
            if rng.random() < 0.5:  # another writer of the same row
                other = partial(world.at_node, rng.randrange(len(world.nodes)), World.put, key)
                world.at(when + rng.random() * 0.01, other)
    for _ in range(rng.randrange(2, 5)):
        world.faults += 1
        nodes = (world.crash, world.freeze, world.freeze, world.cut, world.cut, world.slow_down, world.stop)
        fault = rng.choice((*nodes, None, None))
        if world.clients and rng.random() < 0.3:
            client = rng.choice(world.clients)
            world.at(rng.random() * length, rng.choice((client.freeze, client.stall, client.fade, client.cut, client.break_off)))
        elif fault is None:
            world.at(rng.random() * length, rng.choice((world.lose_redis, world.fail_over, world.restart_redis)))
        else:
            world.at(rng.random() * length, partial(fault, rng.randrange(len(world.nodes))))
    until = end + 2.5
    world.run(until)
    while world.events < FEWEST_EVENTS:  # one whose nodes were mostly down: it is read on
        until += 1.0
        for _ in range(20):
            world.at(rng.random(), partial(world.at_node, rng.randrange(len(world.nodes)), World.get, rng.choice(KEYS)))
        world.run(until)
    return world
