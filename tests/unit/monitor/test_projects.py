"""Projects as a node knows them: what is asked for in vain is looked for once, and what is new is found at once."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from souk_monitor.exceptions import KeyInvalidError, ProjectUnknownError
from souk_monitor.misses import Misses
from souk_monitor.people import person
from souk_monitor.projects import LOOK_PAUSE, MISSED_SECONDS, Project, ProjectKey, Projects

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY, OTHER = "a" * 32, "b" * 32


class Table:
    """Projects, and how often they were read."""

    def __init__(self) -> None:
        self.projects = [Project(7, "shop", NOW, keys=(ProjectKey(KEY, "", NOW),))]
        self.reads = 0

    async def all(self) -> Sequence[Project]:
        self.reads += 1
        await asyncio.sleep(0)
        return list(self.projects)


class Clock:
    """Goes on by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def projects(table: Table, clock: Clock) -> Projects:
    return Projects(table, default="shop", interval=300, clock=clock)


async def test_a_wrong_key_is_looked_for_once_and_again_after_some_seconds(projects: Projects, table: Table, clock: Clock):
    for _ in range(5):
        with pytest.raises(KeyInvalidError):
            await projects.by_number_and_key(7, OTHER)
        with pytest.raises(ProjectUnknownError):
            await projects.by_number_and_key(8, KEY)
        with pytest.raises(ProjectUnknownError):
            await projects.by_name("none")
        clock.now += LOOK_PAUSE
    assert table.reads == 3
    clock.now += MISSED_SECONDS
    with pytest.raises(KeyInvalidError):
        await projects.by_number_and_key(7, OTHER)
    assert table.reads == 4


async def test_many_different_wrong_keys_at_once_are_few_reads(projects: Projects, table: Table):
    answers = await asyncio.gather(*(projects.by_number_and_key(7, f"{n:032x}") for n in range(500)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {KeyInvalidError}
    assert table.reads <= 2


async def test_a_key_that_was_made_a_moment_ago_is_found_by_the_first_who_asks(projects: Projects, table: Table, clock: Clock):
    with pytest.raises(KeyInvalidError):
        await projects.by_number_and_key(7, OTHER)
    clock.now += LOOK_PAUSE
    table.projects = [Project(7, "shop", NOW, keys=(ProjectKey("c" * 32, "", NOW),))]
    assert (await projects.by_number_and_key(7, "c" * 32)).number == 7


async def test_what_was_missed_is_found_once_projects_are_read_again(projects: Projects, table: Table):
    with pytest.raises(KeyInvalidError):
        await projects.by_number_and_key(7, OTHER)
    table.projects = [Project(7, "shop", NOW, keys=(ProjectKey(OTHER, "", NOW),))]
    await projects.refresh()
    assert (await projects.by_number_and_key(7, OTHER)).number == 7


def test_what_was_missed_is_remembered_within_bounds(clock: Clock):
    missed: Misses[int] = Misses(5, 10, clock)
    for number in range(12):
        missed.add(number)
    assert [number for number in range(12) if number in missed] == list(range(2, 12))


def test_a_user_has_another_hash_in_every_project():
    assert person(b"one" * 10, "bob") != person(b"two" * 10, "bob")
    assert person(b"one" * 10, "bob") == person(b"one" * 10, "bob")
    assert -(2**63) <= person(b"", "bob") < 2**63
