"""Windows of a resized image, of which only the window's pixels are computed.

The grid is that of `image_ops.resize_bilinear` and `resize_nearest` (aligned corners), so the
result equals a crop of the resized image: labels exactly, images within the float32 rounding of a
position (some 1e-4 of a pixel).
"""

from __future__ import annotations

import dataclasses

from utils.compat import tf

# The largest error of a position by float32 rounding, relative to the length of the axis.
_ROUNDING = 4e-7


@dataclasses.dataclass(frozen=True)
class Axis:
    """The source of a window's pixels along one axis.

    Attributes:
      first: First pixel of the image that is needed, int32.
      count: Number of pixels that are needed, int32.
      length: Pixels of the window, int32.
      start: Position of the window's first pixel relative to `first`, float32.
      stop: Position of its last pixel relative to `first`.
      nearest: int32 [length], the nearest pixels of the image relative to `first`.
    """

    first: tf.Tensor
    count: tf.Tensor
    length: tf.Tensor
    start: tf.Tensor
    stop: tf.Tensor
    nearest: tf.Tensor

    def shifted(self, pixels) -> Axis:
        """Returns the axis for an image with `pixels` more at its start."""
        return dataclasses.replace(self, first=self.first + pixels)

    def mirrored(self, where: tf.Tensor) -> Axis:
        """Returns the axis with its window reversed where a scalar bool is true."""
        return dataclasses.replace(
            self,
            start=tf.where(where, self.stop, self.start),
            stop=tf.where(where, self.start, self.stop),
            nearest=tf.where(where, tf.reverse(self.nearest, [0]), self.nearest),
        )


def window_axis(size, scaled, offset, length) -> Axis:
    """Returns the source of the pixels of a window of a resized axis.

    Args:
      size: Pixels of the image, int32.
      scaled: Pixels of the resized image.
      offset: First pixel of the window in the resized image.
      length: Pixels of the window.
    """
    steps = tf.cast(tf.stack([size, scaled]), tf.float32)
    aligned = (steps[0] - 1) / tf.maximum(steps[1] - 1, 1)
    ratio = tf.where(scaled > 1, aligned, steps[0] / steps[1])
    positions = tf.minimum(
        tf.cast(tf.range(offset, offset + length), tf.float32) * ratio, steps[0] - 1
    )
    below = tf.floor(positions)
    # Halves are rounded up.
    nearest = tf.cast(below, tf.int32) + tf.cast(positions - below >= 0.5, tf.int32)
    first = tf.cast(below[0], tf.int32)
    last = tf.minimum(tf.cast(below[-1], tf.int32) + 1, size - 1)
    return Axis(
        first=first,
        count=last - first + 1,
        length=length,
        start=positions[0] - below[0],
        stop=positions[-1] - below[0],
        nearest=nearest - first,
    )


def bilinear(pixels: tf.Tensor, rows: Axis, columns: Axis) -> tf.Tensor:
    """Returns a window, float32 [rows.length, columns.length, channels].

    One axis is interpolated after the other, each as rows of many values, for which TensorFlow's
    kernel is several times faster than for pixels of three values. Transposing tables of two axes
    is also faster than of three, so a transposed image is a table of its channels' columns.

    Args:
      pixels: [rows.count, columns.count, channels], the part of the image that the axes select.
      rows: Along the height.
      columns: Along the width.
    """
    channels = tf.shape(pixels)[2]
    # The minimum changes nothing, but without it TensorFlow transposes before the cast, and oneDNN
    # reports an error for transposing bytes.
    pixels = tf.minimum(tf.cast(pixels, tf.float32), 255.0)
    table = tf.reshape(pixels, tf.stack([rows.count, columns.count * channels]))
    transposed = tf.reshape(tf.transpose(table), tf.stack([columns.count, channels * rows.count]))
    across = _bilinear_rows(transposed, columns)
    across = tf.reshape(across, tf.stack([columns.length * channels, rows.count]))
    window = _bilinear_rows(tf.transpose(across), rows)
    return tf.reshape(window, tf.stack([rows.length, columns.length, channels]))


def _bilinear_rows(table: tf.Tensor, axis: Axis) -> tf.Tensor:
    """Interpolates between rows: [axis.count, n] to [axis.length, n]."""
    values = tf.shape(table)[1]
    span = tf.cast(axis.count - 1, tf.float32)
    margin = tf.cast(axis.count, tf.float32) * _ROUNDING
    # The kernel returns 0 at positions outside of the image, even if only by rounding.
    ends = tf.clip_by_value(tf.stack([axis.start, axis.stop]), margin, span - margin)
    ends /= tf.maximum(span, 1)
    resized = tf.image.crop_and_resize(
        tf.reshape(table, tf.stack([1, axis.count, 1, values])),
        tf.stack([[ends[0], 0.0, ends[1], 0.0]]),
        [0],
        tf.stack([axis.length, 1]),
    )
    return tf.reshape(resized, tf.stack([axis.length, values]))


def nearest(labels: tf.Tensor, rows: Axis, columns: Axis) -> tf.Tensor:
    """Returns a window of labels, [rows.length, columns.length] of the same type.

    Args:
      labels: Integers [rows.count, columns.count].
      rows: Along the height.
      columns: Along the width.
    """
    if labels.dtype != tf.uint8:
        return _nearest(labels, rows, columns)
    # As bfloat16, since oneDNN reports an error for other types of 8 or 16 bits.
    wide = tf.bitcast(tf.cast(labels, tf.int16), tf.bfloat16)
    return tf.cast(tf.bitcast(_nearest(wide, rows, columns), tf.int16), tf.uint8)


def _nearest(labels: tf.Tensor, rows: Axis, columns: Axis) -> tf.Tensor:
    across = tf.transpose(tf.gather(tf.transpose(labels), columns.nearest))
    return tf.gather(across, rows.nearest)
