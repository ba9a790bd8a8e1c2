"""A real Redis Cluster on loopback: masters that share the slots, and a replica of the first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import redis.asyncio as redis
from object_stores import free_port
from redis_servers import RedisServer

SLOTS = 16384
OPTIONS = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")


@dataclass
class RedisCluster:
    """Masters in the order of their slots, and the replica of the first."""

    masters: list[RedisServer]
    replica: RedisServer

    @property
    def url(self) -> str:
        """That of the last master."""
        return self.masters[-1].url


async def _start(folder: Path, name: str) -> RedisServer:
    own = folder / name
    own.mkdir()
    # the bus is at the port + 10,000, or where it is told: the kernel gives free ones from 32,768 on
    server = RedisServer(own, free_port(), (*OPTIONS, "--cluster-config-file", "nodes.conf"))
    while server.port + 10_000 > 65_535:
        server.port = free_port()
    await server.start()
    return server


@contextlib.asynccontextmanager
async def redis_cluster(folder: Path, masters: int = 3) -> AsyncIterator[RedisCluster]:
    """A cluster while the body runs."""
    async with contextlib.AsyncExitStack() as stack:
        servers = []
        for index in range(masters + 1):
            servers.append(await _start(folder, f"redis{index}"))
            stack.push_async_callback(servers[-1].kill)
        clients = [await stack.enter_async_context(redis.Redis(port=server.port, decode_responses=True)) for server in servers]
        for index, client in enumerate(clients[:masters]):
            first, last = SLOTS * index // masters, SLOTS * (index + 1) // masters - 1
            await client.execute_command("CLUSTER ADDSLOTS", *range(first, last + 1))
        for client in clients[1:]:
            await client.execute_command("CLUSTER MEET", "127.0.0.1", servers[0].port)
        async with asyncio.timeout(30):
            for client in clients:
                while not await _sees(client, len(servers)):
                    await asyncio.sleep(0.05)
            await clients[-1].execute_command("CLUSTER REPLICATE", await clients[0].execute_command("CLUSTER MYID"))
            while (await clients[-1].info("replication")).get("master_link_status") != "up":
                await asyncio.sleep(0.05)
            for client in clients:
                while (await client.execute_command("CLUSTER INFO"))["cluster_state"] != "ok":
                    await asyncio.sleep(0.05)
        yield RedisCluster(servers[:masters], servers[-1])


async def _sees(client: redis.Redis, count: int) -> bool:
    info = await client.execute_command("CLUSTER INFO")
    return int(info["cluster_known_nodes"]) == count
