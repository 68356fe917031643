"""The pictures of `vis.py`, under the DeepLab family's names."""

from __future__ import annotations

import os

import numpy as np
from absl import logging
from PIL import Image

from core.inference.writers import encoded
from utils import colormap
from utils.classes import ClassSet
from utils.files import check_writable, write_together

PICTURES_FOLDER = "segmentation_results"
RAW_FOLDER = "raw_segmentation_results"
_IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png")


class VisFiles:
    """Writes images, their predictions in colours, and perhaps their class numbers.

    Attributes:
      folder: Where they are written; those of an earlier checkpoint are replaced.
    """

    def __init__(self, folder: str, classes: ClassSet, *, raw: bool):
        """Makes the folder.

        Args:
          folder: Where to write.
          classes: Their colours, and their numbers in raw masks.
          raw: Whether raw masks are written.

        Raises:
          UserError: If nothing can be written there.
        """
        self.folder = folder
        self._classes = classes
        self._raw = raw
        self._owners = {}
        check_writable(folder, "--vis_logdir")

    def write(self, number: int, name: str, image, labels):
        """Writes the files of one image, all or none.

        Args:
          number: Its place in the split, from 0.
          name: Its name in the records, for the raw mask.
          image: uint8 [h, w, 3].
          labels: Class ids [h, w].

        Raises:
          UserError: If one cannot be written.
        """
        pictures = os.path.join(self.folder, PICTURES_FOLDER, f"{number:06d}")
        colors = colormap.colorize(labels, self._classes.colors)
        contents = {
            f"{pictures}_image.png": encoded(Image.fromarray(np.asarray(image))),
            f"{pictures}_prediction.png": encoded(Image.fromarray(colors)),
        }
        if self._raw:
            path = os.path.join(self.folder, RAW_FOLDER, f"{self._own_stem(number, name)}.png")
            contents[path] = encoded(Image.fromarray(self._classes.to_mask(labels)))
        write_together(contents)

    def _own_stem(self, number, name) -> str:
        """Returns the name of a raw mask; all but one of the records of a name are numbered."""
        stem = _stem(name)
        if self._owners.setdefault(stem, number) == number:
            return stem
        logging.warning("Several images are called %s; number %d gets its number.", stem, number)
        return f"{stem}_{number:06d}"


def _stem(name: str) -> str:
    """Returns a record's name without folders and without an image's extension."""
    name = os.path.basename(name)
    stem, extension = os.path.splitext(name)
    return stem if extension.lower() in _IMAGE_EXTENSIONS else name
