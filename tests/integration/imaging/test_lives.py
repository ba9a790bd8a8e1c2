"""A service knows which earlier lives of its node have ended, whatever their process ids are."""

from pathlib import Path

from souk_imaging.adapters.lives import Life


async def test_a_life_that_goes_on_has_not_ended(tmp_path: Path) -> None:
    first, second = Life(tmp_path, "node"), Life(tmp_path, "node")
    assert first.name != second.name
    assert await first.ended() == set()
    assert await second.ended() == set()
    first.close()
    assert await second.ended() == {first.name}
    second.close()


async def test_an_ended_life_is_told_until_nothing_is_left_of_it(tmp_path: Path) -> None:
    Life(tmp_path, "node").close()
    here = Life(tmp_path, "node")
    ended = await here.ended()
    assert ended == await here.ended()
    assert len(ended) == 1
    await here.forget(ended)
    await here.forget(ended)
    assert await here.ended() == set()
    here.close()


async def test_only_lives_of_its_own_node_are_told(tmp_path: Path) -> None:
    other = Life(tmp_path, "a/b é")
    other.close()
    here = Life(tmp_path, "node")
    assert await here.ended() == set()
    again = Life(tmp_path, "a/b é")
    assert await again.ended() == {other.name}
    here.close()
    again.close()


async def test_a_life_of_another_folder_is_not_known_to_have_ended(tmp_path: Path) -> None:
    Life(tmp_path / "one", "node").close()
    here = Life(tmp_path / "two", "node")
    assert await here.ended() == set()
    here.close()
