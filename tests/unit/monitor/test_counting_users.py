"""How many users there are, when they are many."""

import random

import pytest
from souk_monitor.cardinality import Sketch


@pytest.mark.parametrize("size", [1, 100, 1_001, 5_000, 20_000, 41_000, 60_000, 200_000])
def test_an_estimate_is_true_to_two_percent(size: int) -> None:
    chance = random.Random(size)
    errors = []
    for _ in range(5 if size < 50_000 else 1):
        sketch = Sketch()
        sketch.add(chance.getrandbits(64) - 2**63 for _ in range(size))
        errors.append(abs(sketch.estimate() - size) / size)
    assert sorted(errors)[len(errors) // 2] <= 0.02


def test_a_union_counts_each_once_and_what_is_known_changes_nothing() -> None:
    chance = random.Random(3)
    members = [chance.getrandbits(64) for _ in range(3_000)]
    one, other = Sketch(), Sketch()
    assert one.add(members[:2_000])
    assert not one.add(members[:500])
    other.add(members[1_000:])
    other.merge(one)
    assert abs(other.estimate() - 3_000) <= 60
    assert Sketch(bytes(other.registers)).estimate() == other.estimate()
    assert Sketch().estimate() == 0
