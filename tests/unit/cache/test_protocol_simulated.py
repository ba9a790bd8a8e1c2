"""The shipped protocol and the shipped Lua, by seeded schedules of faults: no stale read, and every broken rule is seen."""

import gc
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from simulator.mutants import MUTANTS, Mutant
from simulator.world import simulate

SCHEDULES = int(os.environ.get("SOUK_SCHEDULES", "400"))
"""`make soak` runs 200,000."""
FIRST = int(os.environ.get("SOUK_FIRST_SCHEDULE", "0"))
"""Where a run goes on that was ended before: schedules are known by their numbers."""
BATCH = 100
SHOWN = 50
"""Batches after which it is told how far it is."""
ENOUGH = 4000
"""Schedules within which every mutant is seen; most within fifty."""


def stale_reads(first: int) -> tuple[list[str], int, int, int, int]:
    """The schedules of one batch: what was stale, and how much happened at least and in all."""
    gc.disable()  # a schedule is garbage as a whole, when it is over
    stale, fewest_events, fewest_faults, reads, invalidations = [], 10**9, 10**9, 0, 0
    for seed in range(first, first + BATCH):
        world = simulate(seed)
        stale += [f"seed {seed}: {read}" for read in world.oracle.stale]
        fewest_events, fewest_faults = min(fewest_events, world.events), min(fewest_faults, world.faults)
        reads += world.oracle.reads
        invalidations += world.oracle.invalidations
        assert len(world.nodes) >= 3
    gc.collect()
    return stale, fewest_events, fewest_faults, reads, invalidations


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
def test_no_read_is_stale_in_any_schedule():
    batches = []
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for batch in pool.map(stale_reads, range(FIRST, FIRST + SCHEDULES, BATCH)):
            batches.append(batch)
            if len(batches) % SHOWN == 0:
                stale = sum(len(each[0]) for each in batches)
                print(f"{len(batches) * BATCH:,} of {SCHEDULES:,} schedules, {stale} stale reads", flush=True)
    assert [read for batch in batches for read in batch[0]] == []
    assert min(batch[1] for batch in batches) >= 200
    assert min(batch[2] for batch in batches) >= 2
    reads, invalidations = sum(batch[3] for batch in batches), sum(batch[4] for batch in batches)
    print(f"{SCHEDULES:,} schedules, {reads:,} reads, {invalidations:,} invalidations that returned, 0 stale")
    assert reads > 25 * SCHEDULES
    assert invalidations > 6 * SCHEDULES


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_broken_rule_is_seen(mutant: Mutant):
    rules = {"coherence": mutant.coherence, "script": mutant.script, "near": mutant.near, "watchers": mutant.watchers}
    seeds = range(mutant.first, mutant.first + ENOUGH)
    assert any(simulate(seed, **rules).oracle.stale for seed in seeds), "no schedule shows that this rule is missing"


def what_happens(seed: int) -> tuple[int, int, int]:
    """In a schedule. What is collected as garbage meanwhile may wake somebody, so nothing is."""
    gc.collect()
    gc.disable()
    try:
        world = simulate(seed)
        return world.events, world.oracle.reads, world.oracle.invalidations
    finally:
        gc.enable()


def test_a_schedule_is_the_same_each_time_and_in_each_process():
    seeds = range(300, 330)
    gc.collect()
    gc.freeze()  # or else all that other tests have imported is looked through for garbage before each schedule
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
            assert list(other.map(what_happens, seeds)) == [what_happens(seed) for seed in seeds]
    finally:
        gc.unfreeze()
