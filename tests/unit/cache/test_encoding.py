"""Hits in memory as bytes."""

from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st
from souk.cache.v1 import cache_pb2 as pb
from souk_cache.rpc import encoding

ages = st.integers(0, 40 * 86_400_000)


def entry(data: bytes | None, version: int | None) -> Any:
    return SimpleNamespace(data=data, version="" if version is None else f"{version:020}", stored=0.0)


def duration(ms: int) -> Duration:
    return Duration(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


@given(st.none() | st.binary(max_size=300), st.none() | st.integers(0, 2**63 - 1), ages)
def test_a_hit_is_encoded_as_protobuf_would(data: bytes | None, version: int | None, ms: int) -> None:
    state: Any = {"freshness": pb.FRESHNESS_FRESH, "level": pb.LEVEL_MEMORY, "age": duration(ms)}
    if data is None:
        result = pb.Result(negative=pb.NegativeHit(**state))
    else:
        result = pb.Result(hit=pb.Hit(value=data, version=version, **state))
    now = (ms + 0.5) / 1000
    assert pb.GetResponse.FromString(encoding.hit(entry(data, version), now)) == pb.GetResponse(result=result)
    for number in (0, 1, 127, 128, 2**64 - 1):
        answer = encoding.item(number, encoding.hit(entry(data, version), now, encoding.ITEM_RESULT))
        item = pb.GetStreamResponse.Item(id=number, result=result)
        assert pb.GetStreamResponse.FromString(answer) == pb.GetStreamResponse(items=[item])
    assert pb.GetResponse.FromString(encoding.field(encoding.RESULT, result)) == pb.GetResponse(result=result)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 1 << 20])
def test_values_of_every_size_arrive(size: int) -> None:
    results = pb.BatchGetResponse.FromString(encoding.hit(entry(bytes(size), 7), 2.5) * 3).results
    assert [len(result.hit.value) for result in results] == [size] * 3
    assert results[0].hit.version == 7


@pytest.mark.parametrize("size", [None, 0, 1, 127, 128, 16_383, 16_384, 1 << 20, 1 << 24])
@pytest.mark.parametrize("version", [None, 2**63 - 1])
def test_what_hits_take_is_known_before_they_are_made(size: int | None, version: int | None) -> None:
    one = entry(None if size is None else bytes(size), version)
    took = len(encoding.hit(one, 400 * 86_400.999))
    assert took <= encoding.hits_bytes([one]) <= took + encoding.MAX_FRAME
    assert encoding.hits_bytes([one] * 500) == 500 * encoding.hits_bytes([one])


def test_an_entry_of_a_clock_that_went_back_is_new() -> None:
    assert pb.GetResponse.FromString(encoding.hit(entry(b"x", None), -3.0)).result.hit.age == Duration()
