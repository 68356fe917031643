"""Labels of several classes per pixel, as PNG files: one bit per class, the top bit for ignored.

The smallest kind of file that holds the classes is taken: 8-bit grey for up to 7 classes, 16-bit
grey for 15, 16-bit RGB for 47, 16-bit RGBA for 63. Class c is bit c % 16 of channel c // 16 (of 8
bits there is one channel); the top bit of the last channel marks a pixel that is ignored. In the
input pipeline a pixel's bits are one integer [h, w, 1], so that cropping, flipping, padding and
resizing by nearest neighbour treat it like a class number.

Files are written and read here, since Pillow reads 16-bit colours as 8-bit ones.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib

import numpy as np

from datasets.files import image_files
from datasets.files.defects import BadFileError
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import UserError

# In a batch, and as ignore label of the classes: every class of the pixel is ignored.
IGNORED = 255
MOST_CLASSES = 63

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Number of channels -> kind of PNG file.
_GREY, _RGB, _RGBA = 0, 2, 6
_COLOR_TYPES = {1: _GREY, 3: _RGB, 4: _RGBA}
# Bytes of compressed pixels for each file; more take longer and save little.
_COMPRESSION = 6


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the bits of a number of classes are stored.

    Attributes:
      depth: Bits per channel of the PNG file.
      channels: Its channels.
      dtype: The integer that holds a pixel's bits in the input pipeline.
    """

    depth: int
    channels: int
    dtype: tf.DType

    @property
    def bits(self) -> int:
        """The number of bits of a pixel, with the one for ignored."""
        return self.depth * self.channels

    @property
    def ignored(self) -> int:
        """The value of an ignored pixel in the input pipeline."""
        value = 1 << (self.bits - 1)
        return value - (1 << 64) if self.bits == 64 else value


_LAYOUTS = (
    Layout(8, 1, tf.uint8),
    # TensorFlow has few operations for 16 unsigned bits.
    Layout(16, 1, tf.int32),
    Layout(16, 3, tf.int64),
    Layout(16, 4, tf.int64),
)


def layout_of(count: int) -> Layout:
    """Returns the layout of a number of classes.

    Raises:
      UserError: If there are too many.
    """
    for layout in _LAYOUTS:
        if count < layout.bits:
            return layout
    raise UserError(
        f"{count} classes are too many: masks where a pixel may have several classes hold up to "
        f"{MOST_CLASSES}; leave classes out, or convert with --task=multiclass."
    )


def encode(members: np.ndarray, ignored: np.ndarray | None = None) -> bytes:
    """Returns the PNG file of a mask.

    Args:
      members: Which classes each pixel has, bool [h, w, classes].
      ignored: Which pixels are ignored, bool [h, w]; None: none.
    """
    height, width, count = members.shape
    layout = layout_of(count)
    bits = np.zeros([height, width], np.uint64)
    for label in range(count):
        bits |= members[..., label].astype(np.uint64) << np.uint64(label)
    if ignored is not None:
        bits[ignored] = np.uint64(1) << np.uint64(layout.bits - 1)
    shifts = np.arange(layout.channels, dtype=np.uint64) * np.uint64(layout.depth)
    samples = bits[..., np.newaxis] >> shifts & np.uint64((1 << layout.depth) - 1)
    rows = samples.astype(">u2" if layout.depth == 16 else np.uint8).tobytes()
    stride = width * layout.channels * layout.depth // 8
    # Each row begins with its filter, 0 for none: what `label_png` decodes fastest.
    data = b"".join(b"\0" + rows[at : at + stride] for at in range(0, len(rows), stride))
    color_type = _COLOR_TYPES[layout.channels]
    header = struct.pack(">IIBBBBB", width, height, layout.depth, color_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data, _COMPRESSION)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def decode(content: bytes, count: int) -> np.ndarray:
    """Returns the bits of each pixel, int64 [h, w]; the 64th bit is the sign.

    Args:
      content: A PNG file.
      count: The number of classes.

    Raises:
      ValueError: If the file is damaged, or not of the kind that holds so many classes.
    """
    layout = layout_of(count)
    if content[:8] != _SIGNATURE:
        raise ValueError("it is not a PNG file")
    try:
        chunks = image_files.check_png("it", content)
    except BadFileError as error:
        raise ValueError(str(error)) from error
    width, height, depth, color_type, *rest = struct.unpack(">IIBBBBB", content[16:29])
    if (depth, color_type, rest) != (layout.depth, _COLOR_TYPES[layout.channels], [0, 0, 0]):
        raise ValueError(
            f"it is a PNG file of {depth} bits and colour type {color_type}, but sets of {count} "
            f"classes need {layout.depth} bits and colour type {_COLOR_TYPES[layout.channels]}"
        )
    data = b"".join(content[begin:end] for name, begin, end in chunks if name == b"IDAT")
    pixel_bytes = layout.channels * layout.depth // 8
    try:
        rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, -1)
    except (zlib.error, ValueError) as error:
        raise ValueError(f"its pixels are damaged ({error})") from error
    if rows.shape[1] != 1 + width * pixel_bytes:
        raise ValueError("its pixels are damaged")
    samples = _without_filters(rows, pixel_bytes).reshape(height, width, pixel_bytes)
    bits = np.zeros([height, width], np.uint64)
    for byte in range(pixel_bytes):
        # Of a channel's two bytes the first is the higher one.
        place = byte ^ 1 if layout.depth == 16 else byte
        bits |= samples[..., byte].astype(np.uint64) << np.uint64(8 * place)
    return bits.view(np.int64)


def _without_filters(rows: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """Returns rows of bytes [h, 1 + n] without the filters that each begins with, [h, n].

    Source: the PNG specification, section 9. `encode` uses no filter; other writers do.
    """
    filters, values = rows[:, 0], rows[:, 1:].copy()
    above = np.zeros(values.shape[1], np.uint8)
    for filter_type, row in zip(filters, values):
        if filter_type == 1:
            row[:] = np.cumsum(row.reshape(-1, pixel_bytes), axis=0, dtype=np.uint8).ravel()
        elif filter_type == 2:
            row += above
        elif filter_type in (3, 4):
            _undo_prediction(row, above, pixel_bytes, _mean if filter_type == 3 else _paeth)
        elif filter_type:
            raise ValueError(f"its pixels are damaged (filter {filter_type})")
        above = row
    return values


def _undo_prediction(row, above, pixel_bytes: int, predict):
    """Adds to each byte of a row what is predicted from the bytes left, above, and above left."""
    for place in range(len(row)):
        left = int(row[place - pixel_bytes]) if place >= pixel_bytes else 0
        corner = int(above[place - pixel_bytes]) if place >= pixel_bytes else 0
        row[place] = (int(row[place]) + predict(left, int(above[place]), corner)) & 255


def _mean(left: int, above: int, unused_corner: int) -> int:
    return (left + above) // 2


def _paeth(left: int, above: int, corner: int) -> int:
    estimate = left + above - corner
    return min((left, above, corner), key=lambda value: abs(estimate - value))


def unpack(bits: np.ndarray, count: int) -> np.ndarray:
    """Returns which classes pixels have: uint8 [..., classes] of 0, 1, or IGNORED.

    Args:
      bits: From `decode`.
      count: The number of classes.
    """
    members = (bits[..., np.newaxis] >> np.arange(count) & 1).astype(np.uint8)
    members[is_ignored(bits, count)] = IGNORED
    return members


def is_ignored(bits: np.ndarray, count: int) -> np.ndarray:
    """Returns which pixels are ignored, bool in the shape of the bits."""
    return (bits >> (layout_of(count).bits - 1) & 1).astype(bool)


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
        self._layout = layout_of(classes.count)
        self.dtype = self._layout.dtype
        self.ignored = self._layout.ignored

    def decode(self, content: tf.Tensor, decode_grey) -> tf.Tensor:
        """Returns a PNG file's label, `dtype` [h, w, 1].

        Args:
          content: Scalar string.
          decode_grey: Decodes 8-bit grey files.
        """
        if self._layout.depth == 8:
            return decode_grey(content)
        channels = self._layout.channels
        samples = tf.image.decode_png(content, channels=channels, dtype=tf.uint16)
        samples.set_shape([None, None, channels])
        # The bits of different channels do not meet, so that their sum is what they are together.
        factors = [1 << 16 * channel for channel in range(channels)]
        wide = tf.cast(samples, self.dtype)
        return tf.reduce_sum(wide * tf.constant(factors, self.dtype), axis=2, keepdims=True)

    def unpack(self, labels: tf.Tensor) -> tf.Tensor:
        """Returns the label of a batch, int32 [N, h, w, classes], of [N, h, w, 1]."""
        size = self.dtype.size
        # TensorFlow has bit operations for bytes, which are also the least to move.
        parts = tf.bitcast(tf.cast(labels, self.dtype), tf.uint8)
        shape = tf.shape(labels)
        parts = tf.reshape(parts, tf.concat([shape[:3], [size]], axis=0))
        members = tf.gather(parts, [label // 8 for label in range(self._count)], axis=3)
        members = _bit(members, [label % 8 for label in range(self._count)])
        top = self._layout.bits - 1
        ignored = _bit(parts[..., top // 8 : top // 8 + 1], [top % 8])
        members = tf.bitwise.bitwise_or(members, ignored * np.uint8(IGNORED))
        members.set_shape([*labels.shape[:3], self._count])
        return tf.cast(members, tf.int32)

    def read(self, content: bytes, name: str) -> np.ndarray:
        """Returns a PNG file's label, int64 [h, w].

        Args:
          content: The file.
          name: What messages call it.

        Raises:
          BadFileError: If the file is damaged, or of another kind.
        """
        try:
            return decode(content, self._count)
        except ValueError as error:
            raise BadFileError(f"{name}: {error}; convert the data again") from error

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
        ignored = is_ignored(found, self._count)
        counts = np.zeros(256, np.int64)
        counts[IGNORED] = pixels[ignored].sum()
        members = unpack(found[~ignored], self._count).astype(np.int64)
        counts[: self._count] = pixels[~ignored] @ members
        return counts, int(pixels[~ignored].sum())

    def together(self, values: np.ndarray) -> np.ndarray:
        """Returns the pixels of each pair of classes, int64 [classes, classes].

        Args:
          values: From `read`.
        """
        found, pixels = np.unique(values, return_counts=True)
        counted = ~is_ignored(found, self._count)
        members = unpack(found[counted], self._count).astype(np.int64)
        return members.T @ (members * pixels[counted][:, np.newaxis])

    def shown(self, values: np.ndarray) -> np.ndarray:
        """Returns a label as pictures take it: uint8 [h, w, classes] of 0, 1, or IGNORED."""
        return unpack(values, self._count)


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
        content = encode(*mask.draw())
        values = self._labels.read(content, mask.name)
        return content, values.shape, self._labels.count(values)[0]


def _bit(values: tf.Tensor, places: list) -> tf.Tensor:
    """Returns one bit of each byte, 0 or 1; the last axis has a place each."""
    shifted = tf.bitwise.right_shift(values, tf.constant(places, tf.uint8))
    return tf.bitwise.bitwise_and(shifted, tf.constant(1, tf.uint8))
