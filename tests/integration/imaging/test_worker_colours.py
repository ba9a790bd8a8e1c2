"""Colours come out as littleCMS says they look, from photos in other colour spaces than sRGB."""

import asyncio
import io
import sys
from pathlib import Path

import colour
import making
import numpy as np
import photos
import pytest
from PIL import Image, ImageCms
from souk_cli import demo_photos, demo_profiles
from souk_imaging.images import Format

LIMIT = 2.0
"""A CIEDE2000 that is just seen side by side."""
SHARMA = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
    ((50.0, 2.8361, -74.0200), (50.0, 0.0, -82.7485), 3.4412),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0009), 7.1792),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0011), 7.2195),
    ((50.0, -0.0010, 2.4900), (50.0, 0.0009, -2.4900), 4.8045),
    ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (56.0, -27.0, -3.0), 31.9030),
    ((50.0, 2.5, 0.0), (50.0, 3.1736, 0.5854), 1.0000),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]
"""From table 1 of the paper."""


def test_the_colour_difference_is_that_of_its_paper() -> None:
    for one, other, difference in SHARMA:
        for pair in ((one, other), (other, one)):
            assert colour.ciede2000(np.array(pair[0]), np.array(pair[1])) == pytest.approx(difference, abs=1e-4)


async def test_display_p3_becomes_srgb(tmp_path: Path) -> None:
    profile = demo_profiles.display_p3_profile()
    hues = np.kron(np.arange(0, 240, 20), np.ones((2, 1))).astype(np.uint8)
    patches = np.stack([hues, np.full_like(hues, 215), np.array([[210], [120]], dtype=np.uint8) + 0 * hues], axis=-1)
    vivid = Image.fromarray(patches, "HSV").convert("RGB").resize((1200, 200), Image.Resampling.NEAREST)
    photo = photos.encode(vivid, "JPEG", quality=95, icc_profile=profile)
    with Image.open(io.BytesIO(photo)) as stored:
        expected = colour.to_srgb(stored, _profile(profile))
    ignored = colour.mean_difference(vivid, expected)  # the wider colours are not far away: the limit alone would not see it
    await _assert_looks_like(expected, photo, tmp_path, limit=min(LIMIT, ignored / 2))


async def test_cmyk_without_a_profile_becomes_srgb_by_the_profile_for_print(tmp_path: Path) -> None:
    photo = demo_photos.cmyk_jpeg(tmp_path / "photo.jpg", size=(800, 600))
    with Image.open(photo.path) as stored:
        expected = colour.to_srgb(stored, _profile(await _cmyk_profile()))
        naive = stored.convert("RGB")
    assert colour.mean_difference(naive, expected) > LIMIT
    await _assert_looks_like(expected, photo.path.read_bytes(), tmp_path)


async def test_cmyk_with_a_profile_becomes_srgb(tmp_path: Path) -> None:
    profile = await _cmyk_profile()
    picture = demo_photos.scene(800, 600, 31).convert("CMYK")
    photo = photos.encode(picture, "JPEG", quality=95, icc_profile=profile)
    with Image.open(io.BytesIO(photo)) as stored:
        expected = colour.to_srgb(stored, _profile(profile))
    await _assert_looks_like(expected, photo, tmp_path)


@pytest.mark.parametrize("profile", [b"", demo_profiles.srgb_profile(), demo_profiles.display_p3_profile()[:200], b"nonsense"])
async def test_srgb_stays_as_it_is_with_a_profile_without_or_with_a_broken_one(tmp_path: Path, profile: bytes) -> None:
    picture = demo_photos.scene(800, 600, 32)
    photo = photos.encode(picture, "JPEG", quality=95, icc_profile=profile)
    await _assert_looks_like(picture, photo, tmp_path)


async def test_a_profile_of_another_colour_space_is_not_applied(tmp_path: Path) -> None:
    picture = demo_photos.scene(800, 600, 33)
    photo = photos.encode(picture, "JPEG", quality=95, icc_profile=await _cmyk_profile())
    await _assert_looks_like(picture, photo, tmp_path)


async def test_deep_pictures_keep_their_profile_s_colours(tmp_path: Path) -> None:
    picture = demo_photos.scene(400, 300, 34)
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    photo = photos.encode(Image.fromarray(grey), "PNG")
    await _assert_looks_like(picture.convert("L").convert("RGB"), photo, tmp_path)


async def _assert_looks_like(expected: Image.Image, photo: bytes, folder: Path, *, limit: float = LIMIT) -> None:
    async with making.open_pool() as pool:
        outcome = await making.run(pool, making.job(folder, photo))
    width = max(width for _, width in outcome.files)
    for form in (Format.JPEG, Format.WEBP, Format.AVIF):
        for width in {w for f, w in outcome.files if f is form}:
            made = outcome.picture(form, width).convert("RGB")
            wanted = expected.resize(made.size, Image.Resampling.LANCZOS)
            # noise that a lossy encoder leaves out is no matter of colour
            assert colour.mean_difference(_calm(made), _calm(wanted)) < limit, (form, width)


def _calm(picture: Image.Image) -> Image.Image:
    return picture.resize((max(1, picture.width // 4), max(1, picture.height // 4)), Image.Resampling.BOX)


def _profile(data: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(data))


async def _cmyk_profile() -> bytes:
    """The CMYK profile that libvips carries, asked of it in a process of its own."""
    code = "import sys, pyvips; sys.stdout.buffer.write(bytes(pyvips.Operation.call('profile_load', 'cmyk')))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    profile, _ = await process.communicate()
    assert profile[12:20] == b"prtrCMYK"
    return profile
