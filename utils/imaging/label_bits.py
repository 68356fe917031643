"""Labels of several classes per pixel, as PNG files: one bit per class, the top bit for ignored.

The smallest kind of file that holds the classes is taken: 8-bit grey for up to 7 classes, 16-bit
grey for 15, 16-bit RGB for 47, 16-bit RGBA for 63. Class c is bit c % 16 of channel c // 16 (of 8
bits there is one channel); the top bit of the last channel marks a pixel that is ignored. In the
input pipeline a pixel's bits are one integer [h, w, 1], so that cropping, flipping, padding and
resizing by nearest neighbour treat it like a class number.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from utils.compat import tf
from utils.errors import UserError
from utils.imaging import png

# In a batch, and as ignore label of the classes: every class of the pixel is ignored.
IGNORED = 255
MOST_CLASSES = 63


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
    return png.encode(samples.astype(np.uint16 if layout.depth == 16 else np.uint8))


def decode(content: bytes, count: int) -> np.ndarray:
    """Returns the bits of each pixel, int64 [h, w]; the 64th bit is the sign.

    Args:
      content: A PNG file.
      count: The number of classes.

    Raises:
      ValueError: If the file is damaged, or not of the kind that holds so many classes.
    """
    layout, header = layout_of(count), png.header(content)
    if (header.depth, header.channels) != (layout.depth, layout.channels):
        raise ValueError(
            f"has {header.channels or 'palette'} x {header.depth} bits per pixel, but sets of "
            f"{count} classes need {layout.channels} x {layout.depth}"
        )
    samples = png.decode(content)
    bits = np.zeros(samples.shape[:2], np.uint64)
    for channel in range(layout.channels):
        bits |= samples[..., channel].astype(np.uint64) << np.uint64(layout.depth * channel)
    return bits.view(np.int64)


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


def decode_tensor(content: tf.Tensor, count: int, decode_grey) -> tf.Tensor:
    """Returns the bits of each pixel in a graph, of the layout's type, [h, w, 1].

    Args:
      content: A PNG file, scalar string.
      count: The number of classes.
      decode_grey: Decodes 8-bit grey files.
    """
    layout = layout_of(count)
    if layout.depth == 8:
        return decode_grey(content)
    samples = tf.image.decode_png(content, channels=layout.channels, dtype=tf.uint16)
    samples.set_shape([None, None, layout.channels])
    # The bits of different channels do not meet, so that their sum is what they are together.
    factors = [1 << 16 * channel for channel in range(layout.channels)]
    wide = tf.cast(samples, layout.dtype)
    return tf.reduce_sum(wide * tf.constant(factors, layout.dtype), axis=2, keepdims=True)


def unpack_tensor(bits: tf.Tensor, count: int) -> tf.Tensor:
    """Returns which classes pixels have: int32 [N, h, w, classes] of 0, 1, or IGNORED.

    Args:
      bits: From `decode_tensor`, [N, h, w, 1].
      count: The number of classes.
    """
    layout = layout_of(count)
    # TensorFlow has bit operations for bytes, which are also the least to move.
    parts = tf.bitcast(tf.cast(bits, layout.dtype), tf.uint8)
    shape = tf.concat([tf.shape(bits)[:3], [layout.dtype.size]], axis=0)
    parts = tf.reshape(parts, shape)
    members = tf.gather(parts, [label // 8 for label in range(count)], axis=3)
    members = _bit(members, [label % 8 for label in range(count)])
    top = layout.bits - 1
    ignored = _bit(parts[..., top // 8 : top // 8 + 1], [top % 8])
    members = tf.bitwise.bitwise_or(members, ignored * np.uint8(IGNORED))
    members.set_shape([*bits.shape[:3], count])
    return tf.cast(members, tf.int32)


def _bit(values: tf.Tensor, places: list) -> tf.Tensor:
    """Returns one bit of each byte, 0 or 1; the last axis has a place each."""
    shifted = tf.bitwise.right_shift(values, tf.constant(places, tf.uint8))
    return tf.bitwise.bitwise_and(shifted, tf.constant(1, tf.uint8))
