"""One stream of reads, without a server."""

import asyncio
from collections.abc import AsyncIterator

from souk.cache.v1 import cache_pb2 as pb
from souk_cache.results import Miss, Result
from souk_cache.rpc import encoding
from souk_cache.rpc.reads import MAX_SLOW, MAX_WAITS, Reads

HOT = pb.GetRequest(namespace="product", key="hot")
LOAD = pb.GetRequest(namespace="product", key="cold", options=pb.ReadOptions(load=True))


async def test_loads_come_in_turn_up_to_a_bound_and_stop_no_hits():
    released, loading, most = asyncio.Event(), 0, 0

    def at_once(read: pb.GetRequest) -> bytes | None:
        return encoding.field(encoding.ITEM_RESULT, pb.Result(hit=pb.Hit(value=b"shoe"))) if read.key == "hot" else None

    async def find(read: pb.GetRequest) -> Result:
        nonlocal loading, most
        loading += 1
        most = max(most, loading)
        await released.wait()
        loading -= 1
        return Miss()

    async def requests() -> AsyncIterator[pb.GetStreamRequest]:
        items = [pb.GetStreamRequest.Item(id=number, get=LOAD) for number in range(1, MAX_SLOW + 2)]
        items.append(pb.GetStreamRequest.Item(id=0, get=HOT))
        for start in range(0, len(items), 1000):
            yield pb.GetStreamRequest(items=items[start : start + 1000])

    answers = Reads(at_once, find, max_message_bytes=4 << 20).serve(requests())
    refused, hot = pb.GetStreamResponse.FromString(await anext(answers)).items
    assert (refused.id, refused.error.reason) == (MAX_SLOW + 1, "OVERLOADED")
    assert (hot.id, hot.result.hit.value) == (0, b"shoe")
    released.set()
    loaded = {item.id async for answer in answers for item in pb.GetStreamResponse.FromString(answer).items}
    assert loaded == set(range(1, MAX_SLOW + 1))
    assert most == MAX_WAITS
