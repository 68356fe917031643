"""Reads masks of any kind, checks every pixel, and makes 8-bit grey PNG files of class numbers.

A mask is a PNG file of indices, with a palette, or of colours; a `.mat` file of SBD; or drawn by
its format (COCO's polygons).
"""

from __future__ import annotations

import io

import numpy as np

from datasets.files import defects, image_files
from datasets.files.defects import BadFileError
from utils.classes import ClassSet
from utils.imaging import colors, masks

_SHOWN_VALUES = 10
# Masks hold 8 or 16 bits.
NUM_VALUES = 1 << 16


class DrawnMask:
    """A mask that is not a file but drawn from annotations.

    Attributes:
      name: Its name in messages.
    """

    name: str

    def draw(self):
        """Returns the mask values, integers [h, w]; raises BadFileError where it cannot.

        Where a pixel may have several classes, it returns which pixels have each one, bool
        [h, w, classes], and which are ignored, bool [h, w] or None.
        """
        raise NotImplementedError


class MaskReader:
    """Reads masks and checks that every pixel has a class, or is ignored."""

    def __init__(self, classes: ClassSet, *, by_color: bool = False, nonzero: bool = False):
        """Prepares the tables of labels.

        Args:
          classes: The classes that masks may hold.
          by_color: Whether the colours of the classes are those of RGB masks.
          nonzero: Whether every value but 0 is class 1.
        """
        self._classes = classes
        self._by_color = by_color
        self._label_of_value = label_of_value(classes, nonzero=nonzero)
        self._changed = self._label_of_value[:256] != np.arange(256)
        self._label_of_color = None

    def read(self, mask) -> tuple[bytes, tuple[int, int], np.ndarray]:
        """Reads one mask.

        Args:
          mask: Path of a PNG or .mat file, or a `DrawnMask`.

        Returns:
          The content of an 8-bit grey PNG file, the file's own bytes if it is one; height and
          width; the number of pixels of each label, int64 [256].

        Raises:
          BadFileError: If the file cannot be used; names the values outside of the classes.
        """
        if not isinstance(mask, str):
            return self._from_values(mask.name, mask.draw())
        if mask.endswith(".mat"):
            return self._from_values(mask, _read_mat(mask))
        return self._from_file(mask, image_files.read(mask))

    def _from_file(self, path: str, content: bytes) -> tuple:
        """Returns the result of `read` for a PNG file."""
        with image_files.bad_images_as_bad_files():
            values, pixels = masks.decode(content, path)
        if values.ndim == 3 and not self._by_color and _is_grey(values):
            # Image libraries save masks of numbers as three equal channels.
            return self._from_values(path, values[..., 0])
        if values.ndim == 3:
            labels = self._labels_of(path, values)
            return masks.encode(labels), labels.shape, masks.count(labels)
        if pixels is None or (self._changed & (pixels > 0)).any():
            return self._from_values(path, values)
        return masks.grey(content), values.shape, pixels

    def _from_values(self, path: str, values: np.ndarray) -> tuple:
        """Returns the result of `read` for values of 8 or 16 bits, [h, w]."""
        labels = self._label_of_value[values]
        if labels.min() < 0:
            wrong = np.unique(values[labels < 0])
            raise BadFileError(self._unknown(path, wrong, values), defects.LABELS, labels)
        labels = labels.astype(np.uint8)
        return masks.encode(labels), labels.shape, masks.count(labels)

    def _unknown(self, path: str, wrong: np.ndarray, values: np.ndarray) -> str:
        """Returns the message about a mask with values outside of the classes.

        Args:
          path: The mask.
          wrong: Those values, sorted.
          values: All of the mask.
        """
        number = self._classes.count
        shown = (
            f"{', '.join(map(str, wrong[:_SHOWN_VALUES]))}{', ...' * (wrong.size > _SHOWN_VALUES)}"
        )
        known = self._classes.mask_values
        classes = f"0 to {number - 1}" if known is None else ", ".join(map(str, known))
        hint = ""
        if wrong.max() > 255:
            hint = (
                "; to convert 16-bit masks, name the meaning of the values: "
                f"--mask_values=0:NAME,{wrong.max()}:NAME"
            )
        elif known is None and wrong.tolist() == [number]:
            hint = "; if ids begin at 1 and 0 marks no data, pass --reduce_zero_label"
            if (values == 0).any():
                hint = (
                    f"; if {number} marks no data, pass --ignore_label={number}; if it is a class, "
                    f"--num_classes={number + 1}{hint}"
                )
        return (
            f"{path} holds {shown}, but there are {number} classes ({classes}) and ignore label "
            f"{self._classes.ignore_label}{hint}"
        )

    def _labels_of(self, path: str, pixels: np.ndarray) -> np.ndarray:
        if not self._by_color:
            raise BadFileError(
                f"{path} is a mask of RGB colours, not class numbers; pass a --class_table with "
                "the colour of each class, or save class numbers as 8-bit grey PNG",
                defects.COLORS,
            )
        if self._label_of_color is None:
            # 32 MiB, made for the first mask that needs it.
            self._label_of_color = _label_of_color(self._classes)
        packed = colors.pack(pixels)
        labels = self._label_of_color[packed]
        if labels.min() < 0:
            unknown = np.unique(packed[labels < 0])
            shown = ", ".join(
                "({},{},{})".format(*colors.unpack(value)) for value in unknown[:_SHOWN_VALUES]
            )
            raise BadFileError(
                f"{path} holds {len(unknown)} colours that are not in the class table: {shown}",
                defects.LABELS,
                labels,
            )
        return labels.astype(np.uint8)


def _is_grey(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def only_0_and_255(pixels: np.ndarray, ignore_label: int) -> bool:
    """Returns whether masks hold only 0 and 255, where 255 would be ignored, not learned.

    Args:
      pixels: Pixels of each value over all masks, [256].
      ignore_label: The value of pixels that never count.
    """
    return bool(ignore_label == 255 and pixels[255] and not pixels[1:255].any())


def nonzero(path: str) -> np.ndarray:
    """Returns which pixels of a PNG file are not 0, bool [h, w]; of colours, not black.

    Raises:
      BadFileError: If it is not a readable PNG file.
    """
    content = image_files.read(path)
    with image_files.bad_images_as_bad_files():
        return masks.nonzero(content, path)


def index_png(path: str) -> bytes:
    """Returns the grey PNG file of a mask of indices, whatever they mean.

    Raises:
      BadFileError: If it is not a readable mask of 8 bits or less, or holds colours.
    """
    content = image_files.read(path)
    with image_files.bad_images_as_bad_files():
        return masks.index_png(content, path)


def label_of_value(classes: ClassSet, *, nonzero: bool = False) -> np.ndarray:
    """Returns the label of each mask value, -1 where it has none: int16 [NUM_VALUES].

    Args:
      classes: The classes.
      nonzero: Whether every value but 0 and `classes.ignored_values` is class 1.
    """
    if nonzero:
        table = np.ones(NUM_VALUES, np.int16)
        table[0] = 0
        table[list(classes.ignored_values)] = classes.ignore_label
        return table
    table = np.full(NUM_VALUES, -1, np.int16)
    table[list(classes.ignored_values)] = classes.ignore_label
    # The label of a class with a value of its own is not a mask value.
    if classes.mask_values is None or classes.ignore_label >= classes.count:
        table[classes.ignore_label] = classes.ignore_label
    table[list(classes.values)] = np.arange(classes.count)
    return table


def _label_of_color(classes: ClassSet) -> np.ndarray:
    """Returns the label of each 24-bit colour, -1 where it has none: int16 [2 ** 24]."""
    ignored = {} if classes.ignore_color is None else {classes.ignore_color: classes.ignore_label}
    return colors.table({**ignored, **dict(zip(classes.colors, range(classes.count)))})


def _read_mat(path: str) -> np.ndarray:
    """Returns GTcls.Segmentation of a MATLAB file of SBD, uint8 [h, w]."""
    # Needed for SBD only.
    from scipy import io as scipy_io

    content = image_files.read(path)
    try:
        found = scipy_io.loadmat(io.BytesIO(content), squeeze_me=True, struct_as_record=False)
        values = found["GTcls"].Segmentation
    # scipy raises many kinds of errors for damaged files.
    except Exception as error:
        raise BadFileError(
            f"{path} has no GTcls.Segmentation as SBD's files do ({error})"
        ) from error
    if getattr(values, "ndim", 0) != 2 or values.min() < 0:
        raise BadFileError(f"{path}: GTcls.Segmentation is not a mask")
    return values
