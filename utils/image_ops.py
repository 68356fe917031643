"""Resizing and padding of one image, [h, w, channels], with the DeepLab family's conventions.

Functions of tensors first; `fitting_size`, `shrink` and `pad_array` work on NumPy arrays.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

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
    """Resizes by nearest neighbour with aligned corners, rounding halves up.

    Args:
      image: [h, w, channels], any type; the result has the same.
      size: Height and width, as numbers or an int32 tensor [2].
    """
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
    """Returns the size at which the shorter side is `min_size`.

    If that makes the longer side larger than `max_size`, the longer side becomes `max_size`
    instead. Sides are rounded down, then up to a multiple of `factor` plus 1, so that corners stay
    aligned at that output stride. Computed in float32, as in the DeepLab family: in double
    precision some sizes differ by one.

    Args:
      height: float32 tensor, or numpy array with `math=numpy`.
      width: The same.
      min_size: Length of the shorter side, in pixels.
      max_size: Largest length of the longer side, lowered to a multiple of `factor` plus 1.
      factor: See above; None keeps the size.
      keep_aspect_ratio: If False, both sides get the length of the longer one.
      math: The module to compute with, `tf` or numpy.

    Returns:
      Height and width, float32 integers of the shape of the arguments.
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
    """Returns the values of a uniform area for `pad`: [height * width * channels].

    Args:
      height: Rows.
      width: Columns.
      color: One number for each channel.
    """
    # Rows are repeated, since repeating single pixels is ten times slower in TensorFlow.
    return tf.tile(tf.tile(tf.convert_to_tensor(color), [width]), [height])


def pad(image: tf.Tensor, height, width, color, left=0, values=None) -> tf.Tensor:
    """Pads at the bottom and at the right, with `left` of the columns at the left.

    Args:
      image: [h, w, channels].
      height: Rows afterwards, at least h.
      width: Columns afterwards, at least w.
      color: One number for each channel.
      left: Number of new columns at the left.
      values: The `border` of this height, width and color; if it is created outside of a tf.data
        function, it is computed once instead of for each image.
    """
    rows, columns, channels = tf.unstack(tf.shape(image))
    if values is None:
        values = border(height, width, tf.cast(tf.convert_to_tensor(color), image.dtype))

    # Rows are concatenated as rows of values, and the border is sliced as a single row, since
    # TensorFlow's kernels copy rows of pixels pixel by pixel.
    def part(height, width):
        width *= channels
        return tf.reshape(values[: height * width], tf.stack([height, width]))

    right = width - columns - left
    image = tf.reshape(image, tf.stack([rows, columns * channels]))
    image = tf.cond(
        tf.equal(columns, width),
        lambda: image,
        lambda: tf.concat([part(rows, left), image, part(rows, right)], axis=1),
    )
    image = tf.cond(
        tf.equal(rows, height),
        lambda: image,
        lambda: tf.concat([image, part(height - rows, width)], axis=0),
    )
    return tf.reshape(image, tf.stack([height, width, channels]))


def pad_labels(labels: tf.Tensor, height, width, value: int, left=0) -> tf.Tensor:
    """Pads labels [h, w, 1] with one value; otherwise like `pad`."""
    rows, columns = tf.unstack(tf.shape(labels)[:2])
    # With two axes: three take several times as long.
    padded = tf.pad(
        labels[..., 0],
        tf.stack([tf.stack([0, height - rows]), tf.stack([left, width - columns - left])]),
        constant_values=value,
    )
    return padded[..., tf.newaxis]


def fitting_size(size, crop_size) -> tuple:
    """Returns (height, width) of an image shrunk until it fits a crop; never enlarged.

    Args:
      size: (height, width) of the image.
      crop_size: (height, width) that it must not exceed.
    """
    scale = min(1.0, crop_size[0] / size[0], crop_size[1] / size[1])
    return tuple(min(limit, max(1, round(side * scale))) for side, limit in zip(size, crop_size))


def shrink(image: np.ndarray, size) -> np.ndarray:
    """Returns an image, uint8 [h, w, 3], at a smaller (height, width); details are averaged."""
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.BILINEAR))


def pad_array(image: np.ndarray, size, color, dtype=np.float32) -> np.ndarray:
    """Returns an image padded at the bottom and at the right.

    Args:
      image: [h, w, channels].
      size: (height, width) afterwards, at least that of the image.
      color: One number for each channel.
      dtype: Of the result, [height, width, channels].
    """
    padded = np.empty([*size, image.shape[2]], dtype)
    padded[:] = np.asarray(color, dtype)
    padded[: image.shape[0], : image.shape[1]] = image
    return padded
