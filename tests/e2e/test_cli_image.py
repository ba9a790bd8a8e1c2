"""`souk image …` against a service of its own, with and without a terminal."""

import hashlib
import json

import pictures
import pytest
from souk_command import souk, terminal


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "one.jpg").write_bytes(pictures.jpeg(900, 600))
    (folder / "two.jpg").write_bytes(pictures.jpeg(600, 900, seed=2))
    return folder


async def test_photos_go_up_and_come_down(start, photos, tmp_path):
    here = {"SOUK_IMAGING_ADDRESS": (await start()).grpc}
    files = sorted(photos.iterdir())
    uploaded = await souk("image", "upload", *files, "--owner", "shop", "--tag", "a", "--tag", "b", "--json", **here)
    assert (uploaded.status, uploaded.err) == (0, "")
    first, second = uploaded.json()
    assert [first["file"], second["file"]] == [str(path) for path in files]
    image = first["image"]
    assert (image["owner"], image["tags"], image["state"]) == ("shop", ["a", "b"], "IMAGE_STATE_READY")
    assert 0 < first["saved"] < 1
    assert set(first["bytes_by_format"]) <= {"AVIF", "WebP", "JPEG"}

    shown = await souk("image", "show", image["image_id"], "--json", **here)
    assert shown.json() == image
    listed = await souk("image", "list", "--owner", "shop", "--json", **here)
    assert {each["image_id"] for each in listed.json()} == {image["image_id"], second["image"]["image_id"]}
    assert len((await souk("image", "list", "--limit", "1", "--json", **here)).json()) == 1
    watched = await souk("image", "watch", image["image_id"], "--json", **here)
    assert json.loads(watched.out.splitlines()[-1]) == image

    variant = next(each for each in image["variants"] if each["state"] == "VARIANT_STATE_READY")
    target = tmp_path / "out"
    target.mkdir()
    await souk("image", "download", image["image_id"], "--variant", variant["name"], "-o", target, **here)
    data = (target / variant["name"]).read_bytes()
    assert hashlib.sha256(data).hexdigest()[:16] in variant["name"]
    chosen = await souk("image", "download", image["image_id"], "--width", "100", "-o", target, "--json", **here)
    assert chosen.json()["variant"].endswith(".avif")

    deleted = await souk("image", "delete", image["image_id"], second["image"]["image_id"], **here)
    assert (deleted.status, deleted.out.count("deleted")) == (0, 2)
    assert (await souk("image", "list", "--json", **here)).json() == []


async def test_the_table_shows_what_was_made(start, photos):
    service = await start()
    result = await souk("image", "upload", *sorted(photos.iterdir()), "--address", service.grpc)
    assert (result.status, result.err) == (0, "")
    assert "\x1b" not in result.out, "no colours where nobody looks"
    header, one, two, total, *_ = result.out.splitlines()
    assert header.split() == ["Photo", "Image", "id", "Original", "Variants", "AVIF", "WebP", "JPEG", "Saved", "Time"]
    assert "900×600" in one
    assert "600×900" in two
    assert total.startswith("2 photos")
    assert "%" in total


async def test_one_bad_file_is_explained_and_the_good_ones_go_up(start, photos):
    service = await start()
    (photos / "notes.txt").write_text("not a photo " * 10_000)
    (photos / "half.jpg").write_bytes((photos / "one.jpg").read_bytes()[:20_000])
    result = await souk("image", "upload", *sorted(photos.iterdir()), photos / "gone.jpg", "--address", service.grpc)
    assert result.status == 1
    assert "one.jpg" in result.out
    assert "two.jpg" in result.out
    problems = dict(zip(["half", "notes", "gone"], result.err.split("✗")[1:], strict=True))
    assert "[IMAGE_TRUNCATED]" in problems["half"]
    assert "[NOT_AN_IMAGE]" in problems["notes"]
    assert "No such file" in problems["gone"]
    assert all("→" in text for text in problems.values()), "each says what to do next"
    told = await souk("image", "upload", photos / "notes.txt", "--json", "--address", service.grpc)
    assert told.status == 1
    assert told.json()[0]["error"]["reason"] == "NOT_AN_IMAGE"


async def test_accepted_photos_return_at_once_and_can_be_watched(start, photos):
    service = await start()
    result = await souk("image", "upload", photos / "one.jpg", "--accepted", "--json", "--address", service.grpc)
    image = result.json()[0]["image"]
    watched = await souk("image", "watch", image["image_id"], "--address", service.grpc)
    assert watched.status == 0
    assert "ready" in watched.out.splitlines()[-1]


async def test_a_terminal_gets_progress_and_colours(start, photos):
    service = await start()
    async with terminal("image", "upload", photos / "one.jpg", photos / "two.jpg", "--address", service.grpc) as screen:
        assert await screen.ends() == 0
        await screen.says("Saved: the smallest format")
        assert "total" in screen.text
        assert "done" in screen.text
        assert b"\x1b[32m" in screen.written


async def test_no_color_is_obeyed_in_a_terminal(start, photos):
    service = await start()
    async with terminal("image", "upload", photos / "one.jpg", "--address", service.grpc, NO_COLOR="1") as screen:
        assert await screen.ends() == 0
        await screen.says("Saved: the smallest format")
        assert b"\x1b[32m" not in screen.written


async def test_a_service_that_does_not_run_is_said_in_words():
    result = await souk("image", "list", "--address", "127.0.0.1:9")
    assert result.status == 1
    assert "UNAVAILABLE" in result.err
    assert "`souk up` starts it" in result.err
    told = await souk("image", "show", "0" * 26, "--address", "127.0.0.1:9", "--json")
    assert (told.status, told.json()["error"]["code"]) == (1, "UNAVAILABLE")


async def test_an_image_that_is_not_there_is_an_error_with_a_hint(start):
    service = await start()
    for command in ("show", "download", "watch", "delete"):
        result = await souk("image", command, "0" * 26, "--address", service.grpc)
        assert (result.status, "IMAGE_NOT_FOUND" in result.err, "`souk image list`" in result.err) == (1, True, True)
    assert (await souk("image", "delete", "0" * 26, "--allow-missing", "--address", service.grpc)).status == 0


async def test_a_token_that_would_be_sent_in_plaintext_is_a_usage_error():
    result = await souk("image", "list", "--address", "img.example:50051", "--token", "secret", COLUMNS="300")
    assert (result.status, "without TLS" in result.err, "secret" in result.err) == (2, True, False)
