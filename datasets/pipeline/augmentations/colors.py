"""Random brightness, contrast, saturation and hue."""

from __future__ import annotations

from datasets.pipeline.augmentations import Augmentation
from options.augmentation import AugmentationOptions
from utils.compat import tf


def distort(image: tf.Tensor, label, options: AugmentationOptions, random: tf.Tensor, _fill):
    """Changes brightness, contrast, saturation and hue, in this order.

    Args:
      image: float32 [h, w, 3] in 0..255.
      label: Returned as it is.
      options: The largest changes; 0 leaves one out.
      random: float32 [4] in [0, 1).
    """
    change = random * 2 - 1
    if options.brightness_delta:
        image += 255 * options.brightness_delta * change[0]
    if options.contrast_delta:
        mean = tf.reduce_mean(image)
        image = (image - mean) * (1 + options.contrast_delta * change[1]) + mean
    image = tf.clip_by_value(image, 0.0, 255.0)
    if options.saturation_delta:
        grey = tf.image.rgb_to_grayscale(image)
        image = grey + (image - grey) * (1 + options.saturation_delta * change[2])
        image = tf.clip_by_value(image, 0.0, 255.0)
    if options.hue_delta:
        image = tf.image.adjust_hue(image / 255, options.hue_delta * change[3]) * 255
    return image, label


def _is_on(options: AugmentationOptions) -> bool:
    deltas = ("brightness_delta", "contrast_delta", "saturation_delta", "hue_delta")
    return any(getattr(options, name) for name in deltas)


VARIANTS = {"colors": Augmentation(apply=distort, is_on=_is_on, numbers=4, order=1)}
