"""Reads photos from folders and archives."""

from __future__ import annotations

import numpy as np

from datasets.files import image_files
from utils.imaging.decoding import Decoder


def read(path: str) -> np.ndarray:
    """Returns the pixels of one image file; see `PhotoReader.read`."""
    with PhotoReader() as reader:
        return reader.read(path)


class PhotoReader(Decoder):
    """Reads and decodes image files; a context manager, usable from several threads."""

    def read(self, path: str) -> np.ndarray:
        """Reads an image file, upright.

        Returns:
          uint8 [h, w, 3].

        Raises:
          BadImageError: If it cannot be read or decoded; the message begins with the path.
        """
        return self.decode(image_files.read(path), path)
