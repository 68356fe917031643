"""Reads masks of any kind, checks every pixel, and makes 8-bit grey PNG files of class numbers.

A mask is a PNG file of indices, with a palette, or of colours; a `.mat` file of SBD; or drawn by
its format (COCO's polygons).
"""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image

from datasets.files import defects, image_files
from datasets.files.defects import BadFileError
from utils.classes import ClassSet
from utils.imaging import png

try:
    # Optional: inflates masks several times faster, see docs/decisions/0015-zlib-ng-for-masks.md.
    from zlib_ng import zlib_ng as inflating
except ImportError:
    inflating = zlib

_BITS = 24
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
        content = image_files.read(mask)
        rows = _unfiltered(mask, content)
        if rows is None:
            return self._from_image(mask, content, _decoded(mask, content))
        pixels = count(rows)
        # The first byte of each row is not a pixel.
        pixels[0] -= len(rows)
        return self._from_indices(mask, content, rows[:, 1:], pixels)

    def _from_image(self, path: str, content: bytes, image: Image.Image) -> tuple:
        if image.mode in ("RGB", "RGBA"):
            labels = self._labels_of(path, np.asarray(image)[..., :3])
            return _encode(labels), labels.shape, count(labels)
        if content[png.KIND] in (png.GREY_8, png.PALETTE_8):
            # For a palette image these are the indices, never the colours.
            values = np.asarray(image)
            return self._from_indices(path, content, values, count(values))
        return self._from_values(path, _values(path, image, content[_BITS]))

    def _from_indices(self, path: str, content: bytes, values, pixels: np.ndarray) -> tuple:
        """Returns the result of `read` for a PNG file of 8 bits, its values and their counts."""
        if (self._changed & (pixels > 0)).any():
            return self._from_values(path, values)
        if content[png.KIND] == png.PALETTE_8:
            content = png.without_palette(content)
        return content, values.shape, pixels

    def _from_values(self, path: str, values: np.ndarray) -> tuple:
        """Returns the result of `read` for values of 8 or 16 bits, [h, w]."""
        labels = self._label_of_value[values]
        if labels.min() < 0:
            wrong = np.unique(values[labels < 0])
            raise BadFileError(self._unknown(path, wrong), defects.LABELS, labels)
        labels = labels.astype(np.uint8)
        return _encode(labels), labels.shape, count(labels)

    def _unknown(self, path: str, wrong: np.ndarray) -> str:
        """Returns the message about a mask with values outside of the classes."""
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
        return (
            f"{path} holds {shown}, but there are {number} classes ({classes}) and ignore label "
            f"{self._classes.ignore_label}{hint}"
        )

    def _labels_of(self, path: str, colors: np.ndarray) -> np.ndarray:
        if not self._by_color:
            raise BadFileError(
                f"{path} is a mask of RGB colours, not class numbers; pass a --class_table with "
                "the colour of each class, or save class numbers as 8-bit grey PNG",
                defects.COLORS,
            )
        if self._label_of_color is None:
            # 32 MiB, made for the first mask that needs it.
            self._label_of_color = _label_of_color(self._classes)
        packed = _packed(colors)
        labels = self._label_of_color[packed]
        if labels.min() < 0:
            unknown = np.unique(packed[labels < 0])
            shown = ", ".join(
                f"({value >> 16},{value >> 8 & 255},{value & 255})"
                for value in unknown[:_SHOWN_VALUES]
            )
            raise BadFileError(
                f"{path} holds {len(unknown)} colours that are not in the class table: {shown}",
                defects.LABELS,
                labels,
            )
        return labels.astype(np.uint8)


def only_0_and_255(pixels: np.ndarray, ignore_label: int) -> bool:
    """Returns whether masks hold only 0 and 255, where 255 would be ignored, not learned.

    Args:
      pixels: Pixels of each value over all masks, [256].
      ignore_label: The value of pixels that never count.
    """
    return bool(ignore_label == 255 and pixels[255] and not pixels[1:255].any())


def count(values: np.ndarray) -> np.ndarray:
    """Returns the number of pixels of each value, int64 [256].

    Masks consist of areas: counting runs takes a quarter of the time of counting pixels.

    Args:
      values: uint8, at least one, of any shape.
    """
    flat = values.ravel()
    # Where runs end. Most groups of eight pixels contain no end, which one comparison shows.
    is_end = np.zeros(-(-flat.size // 8) * 8, bool)
    np.not_equal(flat[1:], flat[:-1], out=is_end[: flat.size - 1])
    is_end[flat.size - 1] = True
    eights = is_end.view(np.uint64)
    some = np.flatnonzero(eights != 0)
    inside = np.flatnonzero(eights[some].view(bool))
    ends = some[inside // 8] * 8 + inside % 8
    lengths = ends.copy()
    lengths[0] += 1
    lengths[1:] -= ends[:-1]
    return np.bincount(flat[ends], lengths, 256).astype(np.int64)


def _unfiltered(path: str, content: bytes) -> np.ndarray | None:
    """Returns the rows of a PNG file of 8 bits that are stored as they are, uint8 [h, 1 + w].

    Each begins with the number of its filter, 0. Palette masks nearly always are such files, and
    need only be inflated then, which is faster than a decoder for everything. None for any other
    file, a damaged one too.
    """
    if content[:8] != png.SIGNATURE or content[png.KIND] not in (png.GREY_8, png.PALETTE_8):
        return None
    image_files.check_png(path, content)
    header = png.header(content)
    if header.is_interlaced:
        return None
    size = header.height * (header.width + 1)
    try:
        rows = inflating.decompressobj().decompress(png.compressed(content), size + 1)
    except inflating.error:
        return None
    if len(rows) != size:
        return None
    rows = np.frombuffer(rows, np.uint8).reshape(header.height, header.width + 1)
    return None if rows[:, 0].any() else rows


def nonzero(path: str) -> np.ndarray:
    """Returns which pixels of a PNG file are not 0, bool [h, w]; of colours, not black.

    Raises:
      BadFileError: If it is not a readable PNG file.
    """
    content = image_files.read(path)
    values = np.asarray(_decoded(path, content))
    if values.ndim == 3:
        # Without alpha: transparency is not a class.
        bands = {2: 1, 4: 3}.get(values.shape[2], values.shape[2])
        return values[..., :bands].any(axis=2)
    return values != 0


def index_png(path: str) -> bytes:
    """Returns the grey PNG file of a mask of indices, whatever they mean.

    Raises:
      BadFileError: If it is not a readable mask of 8 bits or less, or holds colours.
    """
    content = image_files.read(path)
    image = _decoded(path, content)
    kind = content[png.KIND]
    if kind == png.GREY_8:
        return content
    if kind == png.PALETTE_8:
        return png.without_palette(content)
    if image.mode in ("RGB", "RGBA") or image.mode.startswith("I"):
        raise BadFileError(f"{path} is of mode {image.mode}, not a mask of indices")
    return _encode(_values(path, image, content[_BITS]))


def _decoded(path: str, content: bytes) -> Image.Image:
    """Returns the decoded image of a PNG file."""
    image = image_files.open_image(path, content)
    if image.format != "PNG":
        raise BadFileError(f"{path} is a {image.format} file; masks must be PNG files")
    image_files.check_png(path, content)
    try:
        image.load()
    except Exception as error:
        raise BadFileError(f"{path} is damaged: {error}") from error
    return image


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
    table[[classes.ignore_label, *classes.ignored_values]] = classes.ignore_label
    table[list(classes.values)] = np.arange(classes.count)
    return table


def _label_of_color(classes: ClassSet) -> np.ndarray:
    """Returns the label of each 24-bit colour, -1 where it has none: int16 [2 ** 24]."""
    table = np.full(1 << 24, -1, np.int16)
    if classes.ignore_color is not None:
        table[_packed(np.array(classes.ignore_color))] = classes.ignore_label
    for label, color in enumerate(classes.colors):
        table[_packed(np.array(color))] = label
    return table


def _values(path: str, image: Image.Image, bits: int) -> np.ndarray:
    """Returns the values of a mask of another depth than 8 bits, integers [h, w]."""
    if image.mode in ("P", "1"):
        return np.asarray(image, np.uint8)
    if image.mode == "L":
        # Pillow spreads 2- and 4-bit grey over 0..255.
        return np.asarray(image) // np.uint8(255 // (2**bits - 1))
    if image.mode.startswith("I"):
        return np.asarray(image)
    raise BadFileError(f"{path} is a mask of mode {image.mode}; save it as 8-bit grey PNG")


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


def _packed(colors: np.ndarray) -> np.ndarray:
    """Returns colours [..., 3] as 24-bit numbers."""
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def _encode(labels: np.ndarray) -> bytes:
    """Returns a grey PNG file, its rows without filters: `png.is_plain_grey`."""
    # Pillow filters the rows of grey images, not those of a palette.
    height, width = labels.shape
    image = Image.frombytes("P", (width, height), np.ascontiguousarray(labels).tobytes())
    image.putpalette(bytes(range(256)) * 3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return png.without_palette(buffer.getvalue())
