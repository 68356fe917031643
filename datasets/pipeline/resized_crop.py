"""The random resized crop of ImageNet training (`--augmentation=imagenet`)."""

from __future__ import annotations

import math

from options.augmentation import AugmentationOptions
from utils.compat import tf

# Attempts to draw an area and an aspect ratio that fit; then the largest central crop is taken.
_TRIES = 10
# The number of uniform numbers that `resized_crop` takes.
NUM_RANDOM = 2 * _TRIES + 2


def resized_crop(size: tf.Tensor, options: AugmentationOptions, random: tf.Tensor) -> tuple:
    """Chooses the part of an image that becomes the crop, by area and aspect ratio.

    Source: "Going deeper with convolutions" (arXiv 1409.4842), section 6, as ImageNet training has
    it: the area is uniform, the logarithm of the aspect ratio (width / height) is uniform, and the
    first of ten draws that fits is taken.

    Args:
      size: Height and width of the image, int32 [2].
      options: `random_crop_area` and `random_crop_aspect`.
      random: float32 [NUM_RANDOM] in [0, 1).

    Returns:
      Offset and size, int32 [2] each.
    """
    height, width = tf.unstack(tf.cast(size, tf.float32))
    low, high = options.random_crop_area
    area = height * width * (low + random[:_TRIES] * (high - low))
    low, high = (math.log(aspect) for aspect in options.random_crop_aspect)
    aspect = tf.exp(low + random[_TRIES : 2 * _TRIES] * (high - low))
    heights, widths = tf.round(tf.sqrt(area / aspect)), tf.round(tf.sqrt(area * aspect))
    # The last candidate always fits.
    lowest, highest = options.random_crop_aspect
    middle = tf.clip_by_value(width / height, lowest, highest)
    heights = tf.concat([heights, [tf.minimum(height, tf.floor(width / middle))]], axis=0)
    widths = tf.concat([widths, [tf.minimum(width, tf.floor(height * middle))]], axis=0)
    fits = (heights >= 1) & (widths >= 1) & (heights <= height) & (widths <= width)
    fits = tf.concat([fits[:-1], [True]], axis=0)
    chosen = tf.argmax(tf.cast(fits, tf.int32))
    crop = tf.maximum(tf.stack([heights[chosen], widths[chosen]]), 1.0)
    room = tf.cast(size, tf.float32) - crop + 1
    drawn = tf.cast(random[2 * _TRIES :] * room, tf.int32)
    centre = tf.cast((room - 1) / 2, tf.int32)
    offset = tf.where(tf.equal(chosen, _TRIES), centre, drawn)
    return tf.minimum(offset, tf.cast(room, tf.int32) - 1), tf.cast(crop, tf.int32)
