"""Rotation by a random angle."""

from __future__ import annotations

import math

from datasets.pipeline.augmentations import Augmentation, Fill
from options.augmentation import AugmentationOptions
from utils.compat import tf


def rotate(image, label, options: AugmentationOptions, random, fill: Fill) -> tuple:
    """Rotates a crop about its centre by a uniform angle of up to `max_rotation` either way.

    Args:
      image: float32 [h, w, 3]; interpolated.
      label: Integers [h, w, 1]; the nearest pixel.
      options: `max_rotation` in degrees.
      random: float32 [1] in [0, 1).
      fill: What lies outside.
    """
    height, width = image.shape.as_list()[:2]
    angle = (random[0] * 2 - 1) * (options.max_rotation * math.pi / 180)
    y = tf.range(height, dtype=tf.float32)[:, tf.newaxis] - (height - 1) / 2
    x = tf.range(width, dtype=tf.float32)[tf.newaxis] - (width - 1) / 2
    rows = y * tf.cos(angle) - x * tf.sin(angle) + (height - 1) / 2
    columns = y * tf.sin(angle) + x * tf.cos(angle) + (width - 1) / 2

    def pixels(array, row, column, outside):
        """Returns an array's values at integer positions, and `outside` elsewhere."""
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        flat = tf.where(inside, row * width + column, tf.fill(tf.shape(row), height * width))
        values = tf.concat([tf.reshape(array, [height * width, -1]), [outside]], axis=0)
        return tf.gather(values, flat)

    top, left = tf.floor(rows), tf.floor(columns)
    rotated = tf.zeros([])
    for down in range(2):
        for across in range(2):
            weight = (1 - tf.abs(rows - top - down)) * (1 - tf.abs(columns - left - across))
            row, column = tf.cast(top, tf.int32) + down, tf.cast(left, tf.int32) + across
            color = tf.constant(fill.color, tf.float32)
            rotated += weight[..., tf.newaxis] * pixels(image, row, column, color)
    nearest = [tf.cast(tf.floor(position + 0.5), tf.int32) for position in (rows, columns)]
    rotated_label = pixels(label, *nearest, tf.constant([fill.label], label.dtype))
    rotated.set_shape(image.shape)
    rotated_label.set_shape(label.shape)
    return rotated, rotated_label


VARIANTS = {
    "rotation": Augmentation(
        apply=rotate,
        is_on=lambda options: options.max_rotation > 0,
        numbers=1,
        order=3,
        on_padded=True,
    )
}
