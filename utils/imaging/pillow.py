"""Opens and decodes images with Pillow, and turns them upright."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from PIL import Image

from utils.errors import BadImageError

ORIENTATION = 0x0112
# EXIF orientation -> quarter turns to the left, then whether to mirror, so that it stands upright.
_UPRIGHT = {
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (3, False),
    7: (1, True),
    8: (1, False),
}


def open_image(content: bytes, name: str) -> Image.Image:
    """Returns an image whose pixels are not decoded yet.

    Args:
      content: The bytes of a file.
      name: What messages call it.

    Raises:
      BadImageError: If it is not an image.
    """
    try:
        return Image.open(io.BytesIO(content))
    # Pillow raises many kinds of errors for damaged files (OSError, SyntaxError, ValueError...).
    except Exception as error:
        raise BadImageError(f"{name} is not a readable image") from error


def load(content: bytes, *, pixels: bool = True) -> Image.Image:
    """Returns a decoded image.

    Args:
      content: The bytes of a file.
      pixels: Whether to decode them; if not, only the header is read.

    Raises:
      ValueError: If it is damaged or not an image, with Pillow's reason.
    """
    try:
        image = Image.open(io.BytesIO(content))
        if pixels:
            image.load()
    # Pillow raises many kinds of errors for damaged files.
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error
    return image


def rgb(content: bytes, name: str) -> np.ndarray:
    """Returns the colours of an image, uint8 [h, w, 3]; raises BadImageError if it has none."""
    image = open_image(content, name)
    with damage_named(name):
        return np.asarray(image.convert("RGB"))


@contextlib.contextmanager
def damage_named(name: str):
    """Raises what Pillow raises inside as a BadImageError with the image's name."""
    try:
        yield
    except Exception as error:
        raise BadImageError(f"{name} is damaged: {error}") from error


def upright(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """Returns the pixels of an image rotated by its EXIF orientation, [h, w, channels]."""
    turns, mirrored = _UPRIGHT.get(image.getexif().get(ORIENTATION, 1), (0, False))
    pixels = np.rot90(pixels, turns)
    return np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)
