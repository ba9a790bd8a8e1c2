"""`souk demo`: what `make demo` runs."""

import re
from pathlib import Path

import pictures
import pytest
from souk_command import souk


def running() -> set[str]:
    """The command lines of souk's processes."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "souk-demo-" in line:
            found.add(line)
    return found


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "one.jpg").write_bytes(pictures.jpeg(1200, 900))
    (folder / "two.JPEG").write_bytes(pictures.jpeg(300, 400, seed=2))
    (folder / "notes.txt").write_text("not looked at")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_shop_from_photos_of_every_kind_to_what_breaks(tmp_path):
    before = running()
    result = await souk("demo", "--out", tmp_path / "sheet", TMPDIR=str(tmp_path))
    assert (result.status, "✗" in result.out) == (0, False), result.out + result.err
    for name in ("camera-12mp", "progressive-12mp", "cmyk", "display-p3", "transparent", "animated.webp", "orientation-8"):
        assert name in result.out
    assert re.search(r"\d+ uploaded photos became READY", result.out)
    assert re.search(r"\d+ variants are the same by rpc and HTTP", result.out)
    assert re.search(r"\d+ variants carry no GPS, EXIF or XMP", result.out)
    assert re.search(r"of 12,000 reads, 0 showed an old price", result.out), result.out
    for where in ("near cache", "cache service", "dbopt"):
        assert re.search(rf"{where} +[\d,]+ +\d+\.\d%", result.out), result.out
    assert "a wallet that changes hands shows its new owner at once" in result.out
    assert re.search(r"\d+ orders, and none was unseen by its buyer's next read", result.out), result.out
    assert "6 scarce products were not sold more often than there are" in result.out
    assert re.search(r"DEFAULT-\d+ +open +error +4 +4 .*InternalError", result.out), result.out
    assert "4 checkouts failed on a trigger whose assertion fails: one issue" in result.out
    assert "there is no other issue" in result.out
    assert "4 the shop and dbopt told of each in one trace" in result.out
    for browser, form in (("Chrome 140", "avif"), ("Safari 15", "webp|jpeg"), ("an old one", "jpeg")):
        assert re.search(rf"{browser}\s+image/({form})", result.out), result.out
    assert running() == before, "nothing is left running"
    assert not list(tmp_path.glob("souk-demo-*")), "nothing is left behind"
    page = (tmp_path / "sheet" / "index.html").read_text()
    links = set(re.findall(r'(?:href|src|srcset)="([^"]+)"', page))
    assert links
    assert all((tmp_path / "sheet" / link).is_file() for link in links), "the page shows what is beside it"
    assert "http" not in "".join(links), "and needs nothing else"


async def test_of_a_folder_a_photo_that_fails_fails_the_demo_and_the_rest_is_shown(photos, tmp_path):
    (photos / "broken.jpg").write_bytes(b"no photo at all" * 100)
    result = await souk("demo", "--out", tmp_path / "sheet", PHOTOS=str(photos))
    assert result.status == 1
    assert re.findall(r"✗ .*", result.out) == ["✗ broken.jpg became READY"]
    assert "NOT_AN_IMAGE" in result.err
    page = (tmp_path / "sheet" / "index.html").read_text()
    assert [name in page for name in ("one.jpg", "two.JPEG", "notes.txt")] == [True, True, False]


async def test_a_folder_without_photos_is_an_error(tmp_path):
    result = await souk("demo", "--photos", tmp_path, "--out", tmp_path / "sheet")
    assert (result.status, "there are no photos in" in result.err) == (1, True)
