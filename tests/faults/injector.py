"""What goes wrong in a cluster, by a seed: each fault lasts a while, and is over."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from faults.cluster import NODES, Cluster
from faults.links import Link

Fault = Callable[[], Awaitable[None]]


class Injector:
    """Faults of Redis, of nodes, and of links; one of each of these at a time."""

    def __init__(self, cluster: Cluster, *, seed: int, client_links: list[Link]) -> None:
        self.happened: Counter[str] = Counter()
        self._cluster = cluster
        self._chance = random.Random(seed)
        self._client_links = client_links

    async def run(self, seconds: float) -> None:
        """Let things go wrong for so long; all is well when it returns."""
        until = time.monotonic() + seconds
        redis: list[Fault] = [self.redis_killed, self.redis_frozen, self.redis_frozen]
        nodes: list[Fault] = [self.node_killed, self.node_frozen, self.node_frozen]
        links: list[Fault] = [
            self.link_cut,
            self.link_refused,
            self.link_held,
            self.link_half_open,
            self.link_lossy,
            self.link_slow,
        ]
        if self._client_links:
            links.append(self.client_link_held)
        async with asyncio.TaskGroup() as kinds:
            for faults, pause in ((redis, 3.0), (nodes, 1.5), (links, 1.0)):
                kinds.create_task(self._repeat(faults, pause, until))

    async def _repeat(self, faults: list[Fault], pause: float, until: float) -> None:
        bag: list[Fault] = []
        while time.monotonic() < until:
            await asyncio.sleep(self._chance.uniform(0.2 * pause, 1.8 * pause))
            if not bag:
                bag = self._chance.sample(faults, len(faults))  # so that each comes in its turn
            fault = bag.pop()
            await fault()
            self.happened[fault.__name__.replace("_", " ")] += 1

    async def _while(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.2, 3.0))

    # Redis

    async def redis_killed(self) -> None:
        """With its data; an empty one takes its place."""
        await self._cluster.redis.kill()
        await asyncio.sleep(self._chance.uniform(0.0, 1.5))
        await self._cluster.redis.start()

    async def redis_frozen(self) -> None:
        """It stands still."""
        self._cluster.redis.signal(signal.SIGSTOP)
        await self._while()
        self._cluster.redis.signal(signal.SIGCONT)

    # Nodes

    async def node_killed(self) -> None:
        """And started anew."""
        index = self._chance.randrange(NODES)
        await self._cluster.kill(index)
        await self._cluster.restart(index)

    async def node_frozen(self) -> None:
        """It stands still, with whatever it was about to do."""
        node = self._cluster.nodes[self._chance.randrange(NODES)]
        node.signal(signal.SIGSTOP)
        await self._while()
        node.signal(signal.SIGCONT)

    # Links between nodes and Redis

    def _link(self) -> Link:
        return self._chance.choice(self._cluster.links)

    async def link_cut(self) -> None:
        """Every open connection of a node ends."""
        await self._link().cut()

    async def link_refused(self) -> None:
        """A node is cut off, and knows it."""
        await self._during(link := self._link(), link.refuse())

    async def link_held(self) -> None:
        """A node is cut off, and what it sent arrives late."""
        await self._during(link := self._link(), link.hold())

    async def link_half_open(self) -> None:
        """A node's scripts run, and their answers come late; or the other way round."""
        answers = self._chance.random() < 0.5
        await self._during(link := self._link(), link.hold(to_server=not answers, to_client=answers))

    async def link_lossy(self) -> None:
        """As half open, and what was on its way is lost."""
        answers = self._chance.random() < 0.5
        await self._during(link := self._link(), link.drop(to_server=not answers, to_client=answers))

    async def link_slow(self) -> None:
        """Each piece takes longer, one way and back."""
        await self._during(link := self._link(), link.slow(self._chance.uniform(0.005, 0.15)))

    # Links between near caches and nodes

    async def client_link_held(self) -> None:
        """A near cache hears nothing."""
        await self._during(link := self._chance.choice(self._client_links), link.hold())

    async def _during(self, link: Link, begins: Awaitable[None]) -> None:
        await begins
        await self._while()
        await link.heal()
