"""The images that exports are checked on, or that set the ranges of whole numbers."""

from __future__ import annotations

import io
import os

import numpy as np
from PIL import Image

from utils.errors import UserError

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def read_folder(folder: str, limit: int, flag: str) -> list:
    """Returns images of a folder, spread evenly over its sorted names.

    Args:
      folder: Where they are.
      limit: At most this many.
      flag: The option that named the folder, for messages.

    Returns:
      uint8 [h, w, 3] each.

    Raises:
      UserError: If the folder is missing or has no image, or one cannot be read.
    """
    if not os.path.isdir(folder):
        raise UserError(f"{flag}={folder} is no folder; name a folder of images.")
    names = sorted(name for name in os.listdir(folder) if name.lower().endswith(_SUFFIXES))
    if not names:
        raise UserError(f"{flag}={folder} holds no image ({', '.join(_SUFFIXES)}).")
    found = []
    for index in spread(len(names), limit):
        path = os.path.join(folder, names[index])
        with open(path, "rb") as file:
            found.append(decode(file.read(), f"{path} of {flag}"))
    return found


def spread(number: int, limit: int) -> list:
    """Returns at most `limit` of 0 to number - 1, evenly spread."""
    return [int(index) for index in np.linspace(0, number - 1, min(number, limit)).round()]


def decode(content: bytes, name: str) -> np.ndarray:
    """Returns the image of a file's content, uint8 [h, w, 3].

    Raises:
      UserError: If it cannot be read; the message begins with the name.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image.convert("RGB"))
    # Pillow raises many kinds of errors for damaged files (OSError, SyntaxError, ValueError...).
    except Exception as error:
        raise UserError(f"{name} cannot be read ({error}); leave it out.") from error
