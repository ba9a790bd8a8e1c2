"""Clients with near caches in the simulated world: the shipped NearCache and Watchers run in it; the stream between is a model.

A stream carries its messages in order. It may stall and go on, be cut while one side does not know, or end with its node.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from souk.cache.v1 import cache_pb2 as pb
from souk.client._near import NearCache
from souk_cache.protocol import Found, Leased, Token
from souk_cache.watchers import Dropped, Watcher

if TYPE_CHECKING:
    from simulator.world import Process, World

CLIENT_LEASE = 1.5


class Stream:
    """One Watch stream."""

    def __init__(self, client: "Client", process: "Process") -> None:
        self.client = client
        self.process = process
        self.watcher: Watcher | None = None
        self.pings: list[int] = []
        self.silent = {"up": False, "down": False}
        """Carries nothing any more in that direction, and who waits there does not know."""
        self.stalled_until = 0.0
        self.slow = 0.0
        """How much later than others a message may come."""
        self._arrived = {"up": 0.0, "down": 0.0}
        self.closed = False

    def carry(self, way: str, do: Callable[[], None]) -> None:
        """Bring something over, after all that went before it."""
        world = self.client.world
        if self.silent[way]:
            return
        late = world.random.random() * self.slow
        when = max(world.now + world.delay() + late, self.stalled_until, self._arrived[way])
        self._arrived[way] = when
        process = self.process if way == "up" else None
        world.at(when - world.now, lambda: None if self.silent[way] else do(), process)

    # At the node

    def opened(self, request: pb.WatchRequest) -> None:
        """The first request has come."""
        watchers, world = self.process.watchers, self.client.world
        resume = request.interest.resume.positions
        since = Token(resume[0].epoch, resume[0].sequence) if resume else None
        if since is not None and watchers.missing(since):
            stream, last = self.process.coherence.keys.stream, self.process.coherence.applied
            entries = [
                (n, tuple(names.decode().split("\n"))) for n, names in world.redis.entries(stream, since.seq + 1) if n <= last
            ]
            world.at(world.delay(), partial(self._open, since, entries), self.process)
        else:
            self._open(since, [])

    def _open(self, since: Token | None, history: list[tuple[int, tuple[str, ...]]]) -> None:
        if not self.closed:
            self.watcher = self.process.watchers.open(("n",), since, self.wake, history)
            self.wake()

    def wake(self) -> None:
        """There may be something to tell."""
        self.client.world.at(0.0, self._write, self.process)

    def taken(self, request: pb.WatchRequest) -> None:
        """A request that is not the first has come."""
        if self.watcher is None or self.closed:
            return
        if request.HasField("ping"):
            self.pings.append(request.ping.id)
            self.wake()
        else:
            position = request.acknowledgement.position
            self.watcher.acknowledge(position.epoch, position.sequence)

    def _write(self) -> None:
        watcher = self.watcher
        if watcher is None or self.closed:
            return
        while watcher.messages:
            message = watcher.messages.popleft()
            place = pb.Position(epoch=message.epoch, sequence=message.seq)
            if isinstance(message, Dropped):
                self._tell(pb.WatchResponse(discontinuity=pb.WatchDiscontinuity(position=place)))
                continue
            told = pb.Invalidation(position=place)
            for name in message.names:
                match name[0]:
                    case "#":
                        told.keys.add(namespace="n", key=name.partition(":")[2])
                    case "+":
                        told.tags.append(name[1:])
                    case "=":
                        told.namespaces.append(name[1:])
            self._tell(pb.WatchResponse(invalidation=told))
        if self.process.leaving:
            self._tell(pb.WatchResponse(leaving=pb.WatchLeaving()))
        elif self.pings:
            token = watcher.lend(self.process.clock())
            places = [pb.Position(epoch=token.epoch, sequence=token.seq)] if token else []
            heartbeat = pb.WatchHeartbeat(ping=self.pings[-1], positions=places)
            heartbeat.lease.FromMicroseconds(round(CLIENT_LEASE * 1e6))
            self.pings.clear()
            self._tell(pb.WatchResponse(heartbeat=heartbeat))

    def _tell(self, response: pb.WatchResponse) -> None:
        self.carry("down", lambda: self.client.told(self, response))

    def ended(self, *, served_nothing: bool) -> None:
        """The node sees that the stream is over."""
        if not self.closed:
            self.closed = True
            if self.watcher is not None:
                self.process.watchers.close(self.watcher, served_nothing=served_nothing)


class Client:
    """One client process: it is never killed, for its memory dies with it, but it may stand still."""

    def __init__(self, world: "World", near: type[NearCache]) -> None:
        self.world = world
        self.rate = world.random.uniform(0.99, 1.01)
        self.near = near(["n"], max_bytes=1 << 30, max_entries=1000, clock=self.clock)
        self.stream: Stream | None = None
        self.frozen_until = 0.0
        self._inbox: deque[tuple[Stream, pb.WatchResponse]] = deque()
        self.heard = 0.0
        world.at(world.random.random(), self._connect)
        world.at(world.random.random(), self._ping_regularly)

    def clock(self) -> float:
        return self.world.now * self.rate

    def _connect(self) -> None:
        world = self.world
        process = world.random.choice(world.nodes)
        stream = self.stream = Stream(self, process)
        self.heard = world.now
        request = self.near.interest()
        if process.alive and not process.leaving:
            stream.carry("up", lambda: stream.opened(request))

    def _reconnect(self) -> None:
        """Give the stream up. The node sees it later, or never."""
        stream = self.stream
        self._connect()
        if stream is not None and self.world.random.random() < 0.7:
            stream.carry("up", lambda: stream.ended(served_nothing=False))

    def _ping_regularly(self) -> None:
        world = self.world
        world.at(CLIENT_LEASE / 3, self._ping_regularly)
        if self.frozen_until > world.now or self.stream is None:
            return
        is_reset = not self.stream.process.alive and not self.stream.silent["down"]
        if world.now - self.heard > 2 * CLIENT_LEASE or is_reset:
            self._reconnect()
        stream, ping = self.stream, self.near.ping()
        stream.carry("up", lambda: stream.taken(ping))

    def told(self, stream: Stream, response: pb.WatchResponse) -> None:
        """Something has come. Where the client stands still, it waits with what came before."""
        self._inbox.append((stream, response))
        if len(self._inbox) == 1:
            self._take_in()

    def _take_in(self) -> None:
        while self._inbox:
            if self.frozen_until > self.world.now:
                self.world.at(self.frozen_until - self.world.now + 1e-6, self._take_in)
                return
            self._take(*self._inbox[0])
            self._inbox.popleft()

    def _take(self, stream: Stream, response: pb.WatchResponse) -> None:
        if stream is not self.stream:
            return
        self.heard = self.world.now
        acknowledgement = self.near.apply(response)
        if acknowledgement is not None:
            stream.carry("up", lambda: stream.taken(acknowledgement))
        if response.HasField("leaving"):
            stream.carry("up", lambda: stream.ended(served_nothing=True))
            self.world.at(self.world.random.random() * CLIENT_LEASE, self._connect)

    def read(self, key: str) -> None:
        """A caller in this process reads: from the near cache, or at a node, and keeps what that says."""
        world = self.world
        if self.frozen_until > world.now:
            return
        kept = self.near.find("n", key.partition(":")[2])
        if kept is not None:
            world.oracle.read(key, started=world.now, load_began=float(kept.value or b""), near=True)
            return
        process = world.random.choice(world.nodes)
        if process.alive and process.frozen_until <= world.now:
            world.at(world.delay(), partial(self._ask, process, key, world.now, self.clock()), process)

    def _ask(self, process: "Process", key: str, started: float, sent: float) -> None:
        coherence, world = process.coherence, self.world
        entry: Any = coherence.lookup(key, process.clock())
        if entry is not None:
            self._answer(key, entry.value, coherence.epoch, max(entry.seq, coherence.applied), started, sent)
            return

        def done(outcome: Any, error: Exception | None) -> None:
            if isinstance(outcome, Found):
                found = outcome.acquired
                self._answer(key, found.data, found.epoch, found.seq, started, sent)
            elif isinstance(outcome, Leased):
                world.load(process, key, outcome, started)

        world.drive(process, coherence.get(key, namespace="n", mode="load", lease=1.5, until=0.0), done)

    def _answer(self, key: str, data: bytes, epoch: str, seq: int, started: float, sent: float) -> None:
        world = self.world
        tags = [name[1:] for name in world.tags(key)]
        description = pb.Description(position=pb.Position(epoch=epoch, sequence=seq), tags=tags)
        description.remaining.FromSeconds(60)
        result = pb.Result(hit=pb.Hit(value=data, freshness=pb.FRESHNESS_FRESH, description=description))

        def arrive() -> None:
            if self.frozen_until > world.now:
                world.at(self.frozen_until - world.now, arrive)
                return
            world.oracle.read(key, started=started, load_began=float(data))
            self.near.remember("n", key.partition(":")[2], result, sent=sent)

        world.at(world.delay() + (world.random.random() if world.random.random() < 0.05 else 0.0), arrive)

    # Faults

    def freeze(self) -> None:
        """It stands still, and goes on as if nothing had been."""
        self.frozen_until = max(self.frozen_until, self.world.now + self.world.random.random() * 3 * CLIENT_LEASE)

    def stall(self) -> None:
        """Its stream brings nothing for a while, and then all of it."""
        if self.stream is not None:
            self.stream.stalled_until = self.world.now + self.world.random.random() * 3 * CLIENT_LEASE

    def fade(self) -> None:
        """What it hears comes late, and soon nobody hears it."""
        stream = self.stream
        if stream is not None:
            stream.slow = CLIENT_LEASE
            self.world.at(self.world.random.random() * 2 * CLIENT_LEASE, lambda: stream.silent.update(up=True))

    def cut(self) -> None:
        """Its stream brings nothing any more in one direction, or in both."""
        if self.stream is not None:
            self.stream.silent["up"] = self.world.random.random() < 0.6
            self.stream.silent["down"] = not self.stream.silent["up"] or self.world.random.random() < 0.5

    def break_off(self) -> None:
        """Its stream ends, and both sides see it: the node sooner or later than the client."""
        stream = self.stream
        if stream is not None and stream.watcher is not None:
            stream.silent["down"] = True
            self.world.at(self.world.random.random(), lambda: stream.ended(served_nothing=False), stream.process)
            self.world.at(self.world.random.random(), self._connect)
