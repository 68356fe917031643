"""Opens and decodes images with Pillow, and turns them upright."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from PIL import Image

from utils.errors import BadImageError

ORIENTATION = 0x0112
# The most pixels that TensorFlow's decoders take. It is the limit of everything here, in place of
# Pillow's own third of it, so that an image is good for all decoders or for none.
MOST_PIXELS = (1 << 29) - 1
Image.MAX_IMAGE_PIXELS = None
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
      BadImageError: If it is not an image, or too large.
    """
    try:
        image = Image.open(io.BytesIO(content))
    # Pillow raises many kinds of errors for damaged files (OSError, SyntaxError, ValueError...).
    except Exception as error:
        raise BadImageError(f"{name} is not a readable image") from error
    check_size(image.height, image.width, name)
    return image


def check_size(height: int, width: int, name: str):
    """Raises BadImageError if an image has too many pixels, before they are decoded."""
    if height * width > MOST_PIXELS:
        raise BadImageError(
            f"{name} is {height}x{width} (height x width), more than the {MOST_PIXELS:,} pixels "
            "that an image may have; cut it into tiles"
        )


def load(content: bytes, *, pixels: bool = True) -> Image.Image:
    """Returns a decoded image.

    Args:
      content: The bytes of a file.
      pixels: Whether to decode them; if not, only the header is read.

    Raises:
      ValueError: If it is damaged, too large or not an image, with the reason.
    """
    try:
        image = Image.open(io.BytesIO(content))
        check_size(image.height, image.width, "it")
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
