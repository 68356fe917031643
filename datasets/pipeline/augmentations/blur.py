"""Gaussian blur of random strength."""

from __future__ import annotations

import math

from datasets.pipeline.augmentations import Augmentation
from options.augmentation import AugmentationOptions
from utils.compat import tf


def blur(image: tf.Tensor, label, options: AugmentationOptions, random: tf.Tensor, _fill):
    """Blurs with a Gaussian whose standard deviation is uniform from 0 to `max_blur_sigma` pixels.

    Args:
      image: float32 [h, w, 3].
      label: Returned as it is.
      options: `max_blur_sigma`.
      random: float32 [1] in [0, 1).
    """
    radius = math.ceil(3 * options.max_blur_sigma)
    distance = tf.range(-radius, radius + 1, dtype=tf.float32)
    sigma = tf.maximum(options.max_blur_sigma * random[0], 1e-3)
    weights = tf.exp(-0.5 * tf.square(distance / sigma))
    kernel = tf.tile((weights / tf.reduce_sum(weights))[:, tf.newaxis, tf.newaxis], [1, 3, 1])
    # Outside of the image the colour of its border is repeated.
    for axis in range(2):
        first, last = _edges(image, axis)
        repeats = [radius if other == axis else 1 for other in range(3)]
        padded = tf.concat([tf.tile(first, repeats), image, tf.tile(last, repeats)], axis=axis)
        along = tf.expand_dims(kernel, 1 - axis)
        image = tf.nn.depthwise_conv2d(padded[tf.newaxis], along, [1, 1, 1, 1], "VALID")[0]
    return image, label


def _edges(image, axis: int) -> tuple:
    return (image[:1], image[-1:]) if axis == 0 else (image[:, :1], image[:, -1:])


VARIANTS = {
    "blur": Augmentation(
        apply=blur, is_on=lambda options: options.max_blur_sigma > 0, numbers=1, order=2
    )
}
