"""Small pictures for tests, made by Pillow and numpy alone."""

import io
from typing import Any

import numpy as np
from PIL import Image


def array(width: int = 900, height: int = 600, *, seed: int = 1) -> np.ndarray:
    """A picture like a photo: soft gradients, and enough detail that encoders have work to do."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / random.uniform(20, 200) + y / random.uniform(20, 200) + random.uniform(0, 6)) for _ in range(3)]
    noise = random.normal(0, 6, (height, width, 3))
    return np.clip(128 + 90 * np.stack(waves, axis=-1) + noise, 0, 255).astype(np.uint8)


def jpeg(width: int = 900, height: int = 600, *, seed: int = 1, **options: Any) -> bytes:
    """A JPEG; `options` are Pillow's."""
    return encode(Image.fromarray(array(width, height, seed=seed)), "JPEG", **{"quality": 88, **options})


def encode(image: Image.Image, form: str, **options: Any) -> bytes:
    """The bytes of a Pillow image."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()
