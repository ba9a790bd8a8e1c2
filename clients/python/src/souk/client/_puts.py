"""Puts of values, and the parts in which many of them are sent."""

from collections.abc import Iterable, Iterator, Sequence

from souk.cache.v1 import cache_pb2 as pb
from souk.client._spans import Span, duration

MAX_KEYS = 1000
"""Of one BatchPut or BatchGet."""
FRAME_BYTES = 6
"""What one put of up to 4 GiB takes in a BatchPutRequest beside itself: a tag and a length."""
NODES = pb.INVALIDATION_LEVEL_NODES
CLIENTS = pb.INVALIDATION_LEVEL_CLIENTS


def put_request(
    namespace: str,
    key: str,
    value: bytes | None,
    *,
    tags: Iterable[str] = (),
    aliases: Iterable[str] = (),
    ttl: Span | None = None,
    version: int | None = None,
    level: pb.InvalidationLevel.ValueType = NODES,
) -> pb.PutRequest:
    """One put, for batch_put. value None: there is nothing any more."""
    request = pb.PutRequest(
        namespace=namespace, key=key, tags=tags, aliases=aliases, ttl=duration(ttl), version=version, level=level
    )
    set_content(request, value)
    return request


def set_content(request: pb.FillRequest | pb.PutRequest, value: bytes | None) -> None:
    """Say what there is; None: there is nothing."""
    if value is None:
        request.negative.SetInParent()
    else:
        request.value = value


def parts(puts: Sequence[pb.PutRequest], max_bytes: int) -> Iterator[list[pb.PutRequest]]:
    """Puts in their order, in parts that each fit into one BatchPut: of MAX_KEYS and `max_bytes` at the most. One that is larger by
    itself is a part of its own."""
    part: list[pb.PutRequest] = []
    size = 0
    for put in puts:
        taken = put.ByteSize() + FRAME_BYTES
        if part and (size + taken > max_bytes or len(part) == MAX_KEYS):
            yield part
            part, size = [], 0
        part.append(put)
        size += taken
    if part:
        yield part
