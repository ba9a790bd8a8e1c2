"""A cold key that two thousand want at once, over four nodes: one load; two where the one who loads is killed."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from faults import holder
from faults.cluster import NODES, Cluster
from faults.counts import count
from google.protobuf.duration_pb2 import Duration
from souk.cache.v1 import cache_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="session")
READERS = 2000
REPETITIONS = count(20, 1)
LOAD_SECONDS = 0.05
BRIEF_LEASE = 4.0
"""Of the namespace `brief`, in seconds."""


class Loads:
    """Of one key, by two thousand readers at once."""

    def __init__(self, nodes: Cluster, namespace: str, key: str) -> None:
        self.times: list[float] = []
        """When each began."""
        self.failed = 0
        self._nodes = nodes
        self._namespace = namespace
        self._key = key

    async def read_all(self) -> set[bytes]:
        """What they see."""
        return set(await asyncio.gather(*(self._read(index % NODES) for index in range(READERS))))

    async def _read(self, index: int) -> bytes:
        options = pb.ReadOptions(lease=True, wait=Duration(seconds=30))
        request = pb.GetRequest(namespace=self._namespace, key=self._key, options=options)
        while True:
            call = self._nodes.caches[index].Get(request, timeout=40)
            if await call.code() is grpc.StatusCode.UNAVAILABLE:
                self.failed += 1
                index = (index + 1) % NODES
                continue
            result = (await call).result
            if result.HasField("hit"):
                return result.hit.value
            if result.HasField("lease"):
                self.times.append(time.monotonic())
                await asyncio.sleep(LOAD_SECONDS)
                fill = pb.FillRequest(namespace=self._namespace, key=self._key, lease=result.lease.token, value=b"shoe")
                other = 1 + index % (NODES - 1)  # never the first, which is killed
                answer = await self._nodes.caches[other].Fill(fill, timeout=10)
                assert answer.outcome == pb.FILL_OUTCOME_STORED
                return b"shoe"


@contextlib.asynccontextmanager
async def lease_holder(address: str, namespace: str, key: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A client process that has the lease of a key."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, holder.__file__, address, namespace, key, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"lease\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.timeout(120 + 20 * REPETITIONS)
async def test_one_of_two_thousand_readers_loads_a_cold_key(nodes: Cluster):
    for repetition in range(REPETITIONS):
        loads = Loads(nodes, "product", f"cold{repetition}")
        assert await loads.read_all() == {b"shoe"}
        assert len(loads.times) == 1
        assert loads.failed == 0


@pytest.mark.timeout(120 + 20 * REPETITIONS)
async def test_one_more_loads_when_the_process_that_has_the_lease_is_killed(nodes: Cluster):
    for repetition in range(REPETITIONS):
        key = f"held{repetition}"
        start = time.monotonic()
        async with lease_holder(nodes.nodes[0].grpc, "brief", key) as process:
            process.kill()
            await process.wait()
            loads = Loads(nodes, "brief", key)
            assert await loads.read_all() == {b"shoe"}
        assert len(loads.times) == 1, "the second load, after the one that was killed"
        assert loads.times[0] - start >= BRIEF_LEASE, "not before the lease was over"


@pytest.mark.timeout(120 + 20 * REPETITIONS)
async def test_one_more_loads_when_the_node_that_gave_the_lease_is_killed_too(nodes: Cluster):
    for repetition in range(count(5, 1)):
        key = f"lost{repetition}"
        async with lease_holder(nodes.nodes[0].grpc, "brief", key):
            reading = asyncio.create_task((loads := Loads(nodes, "brief", key)).read_all())
            await asyncio.sleep(0)
            await nodes.kill(0)
            assert await reading == {b"shoe"}
        assert len(loads.times) == 1
        assert loads.failed > 0
        await nodes.restart(0)
