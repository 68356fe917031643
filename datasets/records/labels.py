"""How labels are stored and travel through the input pipeline, by the task of the classes.

One class per pixel: 8-bit grey PNG files of class numbers, `IndexLabels`. Several: bits,
`set_labels.SetLabels`, with the same methods.
"""

from __future__ import annotations

import numpy as np

from datasets.files import defects
from datasets.files.defects import BadFileError
from datasets.records.set_labels import SetLabels
from utils.classes import BINARY, MULTICLASS, MULTILABEL, ClassSet
from utils.compat import tf
from utils.imaging import pillow, png


class IndexLabels:
    """Labels of one class per pixel.

    Attributes:
      dtype: The type of a decoded label.
      ignored: The value of an ignored pixel in it.
      is_exclusive: Whether a pixel has exactly one class.
    """

    dtype = tf.uint8
    is_exclusive = True

    def __init__(self, classes: ClassSet):
        """Takes the classes."""
        self._classes = classes
        self.ignored = classes.ignore_label

    def decode(self, content: tf.Tensor, decode_grey) -> tf.Tensor:
        """Returns a PNG file's label, uint8 [h, w, 1]; `decode_grey` decodes 8-bit grey files."""
        return decode_grey(content)

    def unpack(self, labels: tf.Tensor) -> tf.Tensor:
        """Returns the label of a batch, int32 [N, h, w, 1], of the same in any type."""
        return tf.cast(labels, tf.int32)

    def read(self, content: bytes, name: str) -> np.ndarray:
        """Returns a PNG file's label, integers [h, w].

        Args:
          content: The file.
          name: What messages call it.

        Raises:
          BadFileError: If the file is damaged or holds something else.
        """
        try:
            label = pillow.load(content)
        except ValueError as error:
            raise BadFileError(f"{name}: {error}") from error
        if label.format != "PNG":
            raise BadFileError(f"{name} is a {label.format} file; labels are PNG files")
        # What the input pipeline reads otherwise than Pillow does is refused: it takes the upper
        # byte of 16 bits, spreads 1, 2 and 4 bits over 0..255, and makes colours grey.
        depth = png.header(content).depth
        if label.mode in ("L", "1") or label.mode.startswith("I"):
            if depth == 8:
                return np.asarray(label)
            raise BadFileError(
                f"{name} has {depth} bits per pixel, but labels have 8; convert the data again "
                "with python -m datasets.convert",
                defects.LABELS,
            )
        raise BadFileError(
            f"{name} holds colours (mode {label.mode}), not class numbers; convert the data "
            "again with python -m datasets.convert",
            defects.COLORS,
        )

    def unknown(self, values: np.ndarray) -> list:
        """Returns the values in a label that are neither a class nor ignored, sorted."""
        found = np.unique(values)
        wrong = (found >= self._classes.count) & (found != self._classes.ignore_label)
        return found[wrong].tolist()

    def count(self, values: np.ndarray) -> tuple:
        """Returns the pixels of each value, int64 [256], and the number of pixels that count.

        Args:
          values: From `read`.
        """
        known = values[(values >= 0) & (values < 256)]
        counts = np.bincount(known.ravel(), minlength=256).astype(np.int64)
        return counts, int(counts.sum() - counts[self._classes.ignore_label])

    def together(self, unused_values: np.ndarray) -> None:
        """Returns None: no pixel has two classes."""
        return

    def shown(self, values: np.ndarray) -> np.ndarray:
        """Returns a label as pictures take it: integers [h, w]."""
        return values


_OF_TASK = {MULTICLASS: IndexLabels, BINARY: IndexLabels, MULTILABEL: SetLabels}


def of(classes: ClassSet):
    """Returns the labels of a set of classes.

    Raises:
      UserError: If there are more classes than labels can hold.
    """
    return _OF_TASK[classes.task](classes)
