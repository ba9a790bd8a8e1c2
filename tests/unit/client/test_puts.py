"""Many puts are sent in parts that the service takes."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from souk.cache.v1 import cache_pb2 as pb
from souk.client import put_request
from souk.client._puts import MAX_KEYS, parts


@given(st.lists(st.integers(0, 400), max_size=40), st.integers(1, 1000))
def test_every_put_is_in_one_part_in_its_order_and_no_part_of_several_is_too_large(sizes: Sequence[int], max_bytes: int):
    puts = [put_request("product", str(number), b"x" * size) for number, size in enumerate(sizes)]
    made = list(parts(puts, max_bytes))
    assert [put for part in made for put in part] == puts
    for part in made:
        assert part
        assert len(part) == 1 or pb.BatchPutRequest(puts=part).ByteSize() <= max_bytes


def test_a_part_has_no_more_puts_than_one_call_takes():
    puts = [put_request("product", str(number), None) for number in range(2 * MAX_KEYS + 1)]
    assert [len(part) for part in parts(puts, 1 << 30)] == [MAX_KEYS, MAX_KEYS, 1]


def test_what_goes_into_one_call_is_one_part():
    puts = [put_request("product", str(number), b"x" * 1000) for number in range(100)]
    assert [len(part) for part in parts(puts, 4 << 20)] == [100]
