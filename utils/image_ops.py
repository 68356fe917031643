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


def border(height: int, width: int, color) -> tf.Tensor:
    """Returns an area of one colour, [height * width, channels], for `pad`.

    Args:
      height: Rows.
      width: Columns.
      color: One number for each channel.
    """
    # Whole rows are repeated: TensorFlow repeats single pixels ten times more slowly.
    row = tf.tile(tf.convert_to_tensor(color), [width])[tf.newaxis]
    return tf.reshape(tf.tile(row, [height, 1]), [height * width, -1])


def pad(image: tf.Tensor, height, width, color, left=0) -> tf.Tensor:
    """Pads at the bottom and at the right, or some of it at the left.

    Args:
      image: [h, w, channels].
      height: Rows afterwards, at least h.
      width: Columns afterwards, at least w.
      color: One number for each channel, or the `border` of this height and width: made outside of
        a tf.data function, it is computed once and not for each image.
      left: How many of the new columns are put at the left.
    """
    rows, columns, channels = tf.unstack(tf.shape(image))
    color = tf.cast(tf.convert_to_tensor(color), image.dtype)
    pixels = border(height, width, color) if color.shape.ndims == 1 else color

    # The first pixels of a tensor are no copy of them.
    def part(height, width):
        return tf.reshape(pixels[: height * width], tf.stack([height, width, channels]))

    right = width - columns - left
    image = tf.cond(
        tf.equal(columns, width),
        lambda: image,
        lambda: tf.concat([part(rows, left), image, part(rows, right)], axis=1),
    )
    return tf.cond(
        tf.equal(rows, height),
        lambda: image,
        lambda: tf.concat([image, part(height - rows, width)], axis=0),
    )
