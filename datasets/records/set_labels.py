"""Labels of several classes per pixel, in records and in conversions.

`utils.imaging.label_bits` describes the files.
"""

from __future__ import annotations

import numpy as np

from datasets.files.defects import BadFileError
from utils.classes import ClassSet
from utils.compat import tf
from utils.imaging import label_bits


class SetLabels:
    """Labels of several classes per pixel, in records and in the input pipeline.

    Attributes:
      dtype: The type of a decoded label.
      ignored: The value of an ignored pixel in it.
      is_exclusive: Whether a pixel has exactly one class.
    """

    is_exclusive = False

    def __init__(self, classes: ClassSet):
        """Takes the classes."""
        self._count = classes.count
        self._layout = label_bits.layout_of(classes.count)
        self.dtype = self._layout.dtype
        self.ignored = self._layout.ignored

    def decode(self, content: tf.Tensor, decode_grey) -> tf.Tensor:
        """Returns a PNG file's label, `dtype` [h, w, 1]; `decode_grey` decodes 8-bit grey files."""
        return label_bits.decode_tensor(content, self._count, decode_grey)

    def unpack(self, labels: tf.Tensor) -> tf.Tensor:
        """Returns the label of a batch, int32 [N, h, w, classes], of [N, h, w, 1]."""
        return label_bits.unpack_tensor(labels, self._count)

    def read(self, content: bytes, name: str) -> np.ndarray:
        """Returns a PNG file's label, int64 [h, w].

        Args:
          content: The file.
          name: What messages call it.

        Raises:
          BadFileError: If the file is damaged, or of another kind.
        """
        try:
            return label_bits.decode(content, self._count)
        except ValueError as error:
            raise BadFileError(f"{name} {error}; convert the data again") from error

    def unknown(self, values: np.ndarray) -> list:
        """Returns the classes in a label that do not exist, sorted."""
        bits = self._layout.bits
        return [place for place in range(self._count, bits - 1) if (values >> place & 1).any()]

    def count(self, values: np.ndarray) -> tuple:
        """Returns the pixels of each class, int64 [256], IGNORED last; and the pixels that count.

        Args:
          values: From `read`.
        """
        found, pixels = np.unique(values, return_counts=True)
        ignored = label_bits.is_ignored(found, self._count)
        counts = np.zeros(256, np.int64)
        counts[label_bits.IGNORED] = pixels[ignored].sum()
        members = label_bits.unpack(found[~ignored], self._count).astype(np.int64)
        counts[: self._count] = pixels[~ignored] @ members
        return counts, int(pixels[~ignored].sum())

    def together(self, values: np.ndarray) -> np.ndarray:
        """Returns the pixels of each pair of classes, int64 [classes, classes].

        Args:
          values: From `read`.
        """
        found, pixels = np.unique(values, return_counts=True)
        counted = ~label_bits.is_ignored(found, self._count)
        members = label_bits.unpack(found[counted], self._count).astype(np.int64)
        return members.T @ (members * pixels[counted][:, np.newaxis])

    def shown(self, values: np.ndarray) -> np.ndarray:
        """Returns a label as pictures take it: uint8 [h, w, classes] of 0, 1, or IGNORED."""
        return label_bits.unpack(values, self._count)


class SetReader:
    """Reads the masks of a conversion, for labels of several classes per pixel."""

    def __init__(self, classes: ClassSet):
        """Takes the classes."""
        self._labels = SetLabels(classes)

    def read(self, mask) -> tuple:
        """Reads one mask.

        Args:
          mask: A `mask_files.DrawnMask`.

        Returns:
          The content of a PNG file; height and width; the pixels of each class, int64 [256].

        Raises:
          BadFileError: If its files cannot be used.
        """
        content = label_bits.encode(*mask.draw())
        values = self._labels.read(content, mask.name)
        return content, values.shape, self._labels.count(values)[0]
