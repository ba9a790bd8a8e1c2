"""What worker processes make of good photos, looked at with Pillow."""

import asyncio
import hashlib
import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import making
import numpy as np
import photos
import processes
import pytest
from PIL import Image, ImageSequence
from souk_cli import demo_photos
from souk_common.telemetry.process import resident_bytes
from souk_imaging.adapters.workers import WorkerPool
from souk_imaging.images import Format
from souk_imaging.worker import wire


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    async with making.open_pool() as opened:
        yield opened


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_every_variant_stands_upright(pool: WorkerPool, tmp_path: Path, orientation: int) -> None:
    photo = demo_photos.oriented_jpeg(tmp_path / "photo.jpg", orientation, size=(900, 600))
    outcome = await making.run(pool, making.job(tmp_path, photo.path))
    assert (outcome.photo.width, outcome.photo.height) == (900, 600)
    assert {width for _, width in outcome.files} == {900, 800, 400, 200}
    for form, width in outcome.files:
        picture = outcome.picture(form, width).convert("RGB")
        assert picture.size == (width, round(width * 600 / 900))
        side = round(min(picture.size) * demo_photos.MARK_SHARE)
        near, right, bottom = side // 2, picture.width - side // 2, picture.height - side // 2
        for corner, at in {"top left": (near, near), "top right": (right, near), "bottom left": (near, bottom)}.items():
            assert np.abs(np.subtract(picture.getpixel(at), demo_photos.MARKS[corner])).max() < 40, (form, width, corner)


async def test_the_plan_is_made_and_every_file_is_what_its_event_says(pool: WorkerPool, tmp_path: Path) -> None:
    photo = demo_photos.camera_jpeg(tmp_path / "photo.jpg", size=(2000, 1500))
    outcome = await making.run(pool, making.job(tmp_path, photo.path))
    assert outcome.photo.content_type == "image/jpeg"
    assert outcome.photo.size_bytes == photo.path.stat().st_size
    assert outcome.photo.sha256 == hashlib.sha256(photo.path.read_bytes()).hexdigest()
    sizes = [(1600, 1200), (1200, 900), (800, 600), (400, 300), (200, 150)]
    assert outcome.photo.planned == tuple((form, *size) for size in sizes for form in (Format.AVIF, Format.WEBP, Format.JPEG))
    assert sorted((e.format, e.width, e.height) for e in outcome.encoded) == sorted(outcome.photo.planned)
    for each in outcome.encoded:
        if each.path is not None:
            data = outcome.files[each.format, each.width]
            assert (len(data), hashlib.sha256(data).hexdigest()) == (each.size_bytes, each.sha256)
            assert outcome.picture(each.format, each.width).size == (each.width, each.height)


async def test_an_older_format_is_never_the_smaller_one(pool: WorkerPool, tmp_path: Path) -> None:
    noise = np.random.default_rng(5).integers(0, 255, (500, 700, 3), dtype=np.uint8)
    outcome = await making.run(pool, making.job(tmp_path, photos.encode(Image.fromarray(noise), "JPEG", quality=30)))
    widths = {width for _, width in outcome.files}
    for width in widths:
        sizes = [
            len(outcome.files[form, width]) for form in (Format.AVIF, Format.WEBP, Format.JPEG) if (form, width) in outcome.files
        ]
        assert sizes == sorted(sizes)
        assert len(set(sizes)) == len(sizes)
        assert (Format.JPEG, width) in outcome.files
    assert len(outcome.files) < len(outcome.photo.planned)


async def test_jpegs_are_progressive(pool: WorkerPool, tmp_path: Path) -> None:
    outcome = await making.run(pool, making.job(tmp_path, photos.one_of_each()["jpeg"]))
    for form, width in outcome.files:
        if form is Format.JPEG:
            assert "progressive" in outcome.picture(form, width).info


@pytest.mark.parametrize(
    ("width", "height", "sizes"),
    [
        (120, 90, {(120, 90)}),
        (500, 40, {(500, 40), (400, 32), (200, 16)}),
        (2, 3000, {(1, 1600)}),
        (1, 1, {(1, 1)}),
    ],
)
async def test_no_photo_is_enlarged_and_no_shape_is_too_odd(
    pool: WorkerPool, tmp_path: Path, width: int, height: int, sizes: set[tuple[int, int]]
) -> None:
    photo = photos.encode(demo_photos.scene(width, height), "JPEG")
    outcome = await making.run(pool, making.job(tmp_path, photo))
    assert {(e.width, e.height) for e in outcome.encoded} == sizes


async def test_transparency_is_kept_in_every_format(pool: WorkerPool, tmp_path: Path) -> None:
    photo = demo_photos.transparent_png(tmp_path / "photo.png", size=(800, 600))
    outcome = await making.run(pool, making.job(tmp_path, photo.path))
    assert outcome.photo.has_alpha
    assert {form for form, _ in outcome.files} >= {Format.AVIF, Format.PNG}
    assert {form for form, *_ in outcome.photo.planned} == {Format.AVIF, Format.WEBP, Format.PNG}
    for form, width in outcome.files:
        picture = outcome.picture(form, width)
        assert picture.mode == "RGBA"
        with Image.open(photo.path) as original:
            expected = np.asarray(original.getchannel("A").resize(picture.size, Image.Resampling.LANCZOS), dtype=float)
        assert np.abs(np.asarray(picture.getchannel("A"), dtype=float) - expected).mean() < 2, (form, width)


async def test_colour_does_not_run_out_of_what_is_transparent(pool: WorkerPool, tmp_path: Path) -> None:
    pixels = np.zeros((800, 800, 4), dtype=np.uint8)
    pixels[..., 1] = 255  # green where nothing is seen
    pixels[200:600, 200:600] = (255, 0, 0, 255)
    outcome = await making.run(pool, making.job(tmp_path, photos.encode(Image.fromarray(pixels), "PNG")))
    small = np.asarray(outcome.picture(Format.PNG, 200)).astype(int)
    seen = small[..., 3] > 16
    assert small[seen][:, 1].max() < 24


async def test_an_alpha_channel_that_hides_nothing_makes_no_photo_transparent(pool: WorkerPool, tmp_path: Path) -> None:
    photo = photos.encode(demo_photos.scene(300, 200).convert("RGBA"), "PNG")
    outcome = await making.run(pool, making.job(tmp_path, photo))
    assert not outcome.photo.has_alpha
    assert {form for form, *_ in outcome.photo.planned} == {Format.AVIF, Format.WEBP, Format.JPEG}


@pytest.mark.parametrize("kind", ["webp", "gif"])
async def test_an_animation_keeps_its_frames_times_and_loops(pool: WorkerPool, tmp_path: Path, kind: str) -> None:
    write = demo_photos.animated_webp if kind == "webp" else demo_photos.animated_gif
    photo = write(tmp_path / f"photo.{kind}", size=(420, 300), frames=5)
    outcome = await making.run(pool, making.job(tmp_path, photo.path))
    assert outcome.photo.frames == 5
    assert {form for form, *_ in outcome.photo.planned} == {Format.WEBP, Format.JPEG}
    with Image.open(photo.path) as original:
        wanted = [(frame.convert("RGB"), frame.info["duration"]) for frame in ImageSequence.Iterator(original)]
    for width in {width for _, width in outcome.files}:
        moving = outcome.picture(Format.WEBP, width)
        assert moving.n_frames == 5
        assert moving.info["loop"] == (3 if kind == "webp" else 4)  # a GIF's count is of repeats
        for frame, (picture, duration) in zip(ImageSequence.Iterator(moving), wanted, strict=True):
            frame.load()
            assert frame.info["duration"] == duration
            assert _difference(frame, picture) < 12
        poster = outcome.picture(Format.JPEG, width)
        assert getattr(poster, "n_frames", 1) == 1
        assert _difference(poster, wanted[0][0]) < 12


async def test_an_animation_is_cropped_alike_in_every_frame(pool: WorkerPool, tmp_path: Path) -> None:
    background = demo_photos.scene(600, 200, 3)
    frames = []
    for index in range(4):
        frame = background.copy()
        frame.paste((250, 20, 20), (40 + 150 * index, 80, 80 + 150 * index, 120))  # what draws the eye moves
        frame.paste((60 * index, 120, 90), (0, 180, 600, 200))
        frames.append(frame)
    photo = photos.encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=100, quality=90)
    outcome = await making.run(pool, making.job(tmp_path, photo, "avatar"))
    moving = [frame.convert("RGB") for frame in ImageSequence.Iterator(outcome.picture(Format.WEBP, 200))]
    top = [np.asarray(frame.crop((0, 0, 200, 60)), dtype=float) for frame in moving]
    assert len(top) == 4
    assert max(np.abs(frame - top[0]).mean() for frame in top) < 4


@pytest.mark.parametrize(("profile", "ratio"), [("avatar", 1.0), ("banner", 3.0)])
async def test_a_profile_with_a_shape_crops_around_what_draws_the_eye(
    pool: WorkerPool, tmp_path: Path, profile: str, ratio: float
) -> None:
    picture = Image.new("RGB", (2000, 1200), (90, 90, 90))
    picture.paste((250, 40, 20), (1650, 950, 1850, 1150))
    outcome = await making.run(pool, making.job(tmp_path, photos.encode(picture, "JPEG"), profile))
    for form, width in outcome.files:
        made = outcome.picture(form, width).convert("RGB")
        assert abs(made.width / made.height - ratio) < 0.02
        red = np.asarray(made)[..., 0].astype(int) - np.asarray(made)[..., 1]
        assert (red > 120).mean() > 0.01, (form, width)


@pytest.mark.parametrize("name", ["jpeg", "progressive", "png", "webp", "lossless", "avif", "gif", "animated"])
async def test_every_format_that_is_taken_is_taken(pool: WorkerPool, tmp_path: Path, name: str) -> None:
    photo = photos.one_of_each()[name]
    outcome = await making.run(pool, making.job(tmp_path, photo))
    assert (outcome.photo.width, outcome.photo.height) == (400, 300)
    with Image.open(io.BytesIO(photo)) as original:
        expected = original.convert("RGBA")
    white = Image.new("RGBA", expected.size, "white")
    assert _difference(outcome.picture(min(form for form, _ in outcome.files), 400), Image.alpha_composite(white, expected)) < 12


async def test_deep_and_grey_pictures_become_plain_ones(pool: WorkerPool, tmp_path: Path) -> None:
    grey = demo_photos.scene(500, 400, 6).convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    for photo in (photos.encode(grey, "JPEG", quality=95), photos.encode(deep, "PNG"), photos.encode(grey.convert("LA"), "PNG")):
        outcome = await making.run(pool, making.job(tmp_path, photo))
        for form, width in outcome.files:
            assert _difference(outcome.picture(form, width), grey.convert("RGB")) < 6, (form, width)


_COUNT_DECODES = """
import json, sys, pyvips
from souk_imaging.worker import pipeline, wire

computed = []
call = pyvips.Operation.call

def watch(name, *arguments, **options):
    result = call(name, *arguments, **options)
    if "load" in name.lower() or "thumbnail" in name:
        index = len(computed)
        computed.append(0)
        image = result[0] if isinstance(result, list) else result
        if isinstance(image, pyvips.Image):
            def count(*_):
                computed[index] += 1
            image.set_progress(True)
            image.signal_connect("posteval", count)
    return result

pyvips.Operation.call = staticmethod(watch)
pipeline.set_up()
pipeline.run(wire.load_job(sys.stdin.buffer.readline()), lambda event: None)
print(json.dumps(computed))
"""
"""Runs a job, and prints for every image that libvips has opened how often it has computed pixels from it, by its own signals."""


@pytest.mark.parametrize("name", ["jpeg", "progressive", "png", "webp", "avif", "gif", "animated"])
async def test_a_photo_is_decoded_once(pool: WorkerPool, tmp_path: Path, name: str) -> None:
    photo = photos.one_of_each()[name]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _COUNT_DECODES, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate(wire.dump_job(making.job(tmp_path, photo)))
    computed = json.loads(said)
    assert sum(count > 0 for count in computed) == 1, "one opened image gives pixels; the other gives its header"
    assert len(computed) == 2
    outcome = await making.run(pool, making.job(tmp_path, photo))
    assert outcome.end.decodes == 1


async def test_a_worker_at_rest_holds_little_memory(pool: WorkerPool, tmp_path: Path) -> None:
    photo = demo_photos.camera_jpeg(tmp_path / "photo.jpg", size=(3000, 2400)).path
    (worker,) = pool.pids
    for _ in range(2):
        outcome = await making.run(pool, making.job(tmp_path, photo))
    assert outcome.end.peak_memory_bytes > 64 << 20
    await processes.until(lambda: resident_bytes(worker) < 72 << 20)  # given back after the last event
    assert pool.pids == [worker]


def _difference(one: Image.Image, other: Image.Image) -> float:
    """Mean of 0 to 255, at the smaller of the two sizes, on white."""
    size = min(one.size, other.size)
    flat = []
    for each in (one, other):
        rgba = each.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        flat.append(np.asarray(Image.alpha_composite(white, rgba).convert("RGB").resize(size, Image.Resampling.BOX), dtype=float))
    return float(np.abs(flat[0] - flat[1]).mean())
