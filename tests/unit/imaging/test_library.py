"""Records of a store that does not replace objects at once, as some that are compatible with S3 do not."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from souk_imaging.adapters.disk import DiskStore
from souk_imaging.images import Image, ImageState, Original, new_image_id
from souk_imaging.library import LOOKS, Library, Pending, RequestRecord


class Torn(DiskStore):
    """Gives half of an object as often as it is told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.halves = 0

    async def get(self, key: str) -> bytes | None:
        data = await super().get(key)
        if data is None or not self.halves:
            return data
        self.halves -= 1
        return data[: len(data) // 2]


@pytest.fixture
def store(tmp_path: Path) -> Torn:
    return Torn(tmp_path)


@pytest.fixture
async def image(store: Torn, tmp_path: Path) -> Image:
    now = time.time()
    made = Image(new_image_id(), "o", "product", (), now, now, ImageState.PROCESSING, Original("image/jpeg", 3, 4, 3, 1, False, ""))
    (tmp_path / "photo").write_bytes(b"jpg")
    record = RequestRecord(made.image_id, "f", now + 60)
    pending = Pending(made.image_id, "o", (), "process", "another/1", now + 60)
    await Library(store).accept(made, tmp_path / "photo", pending, ("r", record))
    return made


def reads(library: Library, image: Image) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "manifest": lambda: library.image(image.image_id),
        "pending": lambda: library.pending(image.image_id),
        "request": lambda: library.request("o", "r"),
    }


@pytest.mark.parametrize("what", ["manifest", "pending", "request"])
async def test_half_of_a_record_is_read_again_until_it_is_whole(store: Torn, image: Image, what: str) -> None:
    read = reads(Library(store), image)[what]
    whole = await read()
    assert whole is not None
    store.halves = LOOKS - 1
    assert await read() == whole
    assert store.halves == 0


@pytest.mark.parametrize("what", ["manifest", "pending", "request"])
async def test_a_record_that_stays_unreadable_is_told(store: Torn, image: Image, what: str) -> None:
    store.halves = 1_000
    with pytest.raises(ValueError, match=r"unexpected|EOF|end of"):
        await reads(Library(store), image)[what]()
    assert store.halves == 1_000 - LOOKS
