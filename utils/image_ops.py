"""Resizing and padding of one image, [h, w, channels], with the DeepLab family's conventions."""

from __future__ import annotations

from utils.compat import tf


def resize_bilinear(image: tf.Tensor, size) -> tf.Tensor:
    """Resizes with aligned corners.

    Args:
      image: [h, w, channels], any number type.
      size: Height and width, as numbers or an int32 tensor [2].

    Returns:
      float32 [height, width, channels].
    """
    return tf.image.resize_bilinear(image[tf.newaxis], size, align_corners=True)[0]


def resize_nearest(image: tf.Tensor, size) -> tf.Tensor:
    """Resizes by nearest neighbour with aligned corners, halves rounded up; keeps the type."""
    return tf.image.resize_nearest_neighbor(image[tf.newaxis], size, align_corners=True)[0]


def size_in_range(
    height,
    width,
    *,
    min_size: int,
    max_size: int | None = None,
    factor: int | None = None,
    keep_aspect_ratio: bool = True,
    math=tf,
):
    """Returns the size to resize to so that the shorter side is `min_size`.

    If that makes the longer side larger than `max_size`, the longer side becomes `max_size`
    instead. Sides are rounded down, then up to a multiple of `factor` plus 1, so that corners stay
    aligned at that output stride. Computed in float32 like the DeepLab family's sizes: in double
    precision some differ by one.

    Args:
      height: float32 tensor, or numpy array with `math=numpy`.
      width: The same.
      min_size: Wanted length of the shorter side, in pixels.
      max_size: Largest length of the longer side, lowered to a multiple of `factor` plus 1.
      factor: See above; None keeps the size.
      keep_aspect_ratio: If False both sides get the longer one's length.
      math: The module that computes, `tf` or numpy.

    Returns:
      Height and width, float32 of the shape of the arguments, whole numbers.
    """
    scale = min_size / math.minimum(height, width)
    new_height, new_width = math.floor(height * scale), math.floor(width * scale)
    if max_size is not None:
        if factor is not None:
            max_size -= (max_size - 1) % factor
        scale = max_size / math.maximum(height, width)
        too_large = math.maximum(new_height, new_width) > max_size
        new_height = math.where(too_large, math.floor(height * scale), new_height)
        new_width = math.where(too_large, math.floor(width * scale), new_width)
    if factor is not None:
        new_height += (factor - (new_height - 1) % factor) % factor
        new_width += (factor - (new_width - 1) % factor) % factor
    if not keep_aspect_ratio:
        new_height = new_width = math.maximum(new_height, new_width)
    return new_height, new_width


def pad(image: tf.Tensor, height, width, value, left=0) -> tf.Tensor:
    """Pads at the bottom and at the right, or some of it at the left.

    Args:
      image: [h, w, channels].
      height: Rows afterwards, at least h.
      width: Columns afterwards, at least w.
      value: One number for each channel.
      left: How many of the new columns are put at the left.
    """
    rows, columns, channels = tf.unstack(tf.shape(image))
    value = tf.cast(tf.convert_to_tensor(value), image.dtype)

    # Whole rows are repeated: TensorFlow repeats single pixels ten times more slowly.
    def beside(count):
        row = tf.tile(value, [count])[tf.newaxis]
        return tf.reshape(tf.tile(row, [rows, 1]), tf.stack([rows, count, channels]))

    def below(count):
        row = tf.tile(value, [width])[tf.newaxis]
        return tf.reshape(tf.tile(row, [count, 1]), tf.stack([count, width, channels]))

    right = width - columns - left
    image = tf.cond(
        tf.equal(columns, width),
        lambda: image,
        lambda: tf.concat([beside(left), image, beside(right)], axis=1),
    )
    return tf.cond(
        tf.equal(rows, height),
        lambda: image,
        lambda: tf.concat([image, below(height - rows)], axis=0),
    )
