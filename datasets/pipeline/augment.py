"""Augmentation beyond DeepLab's own: other crops, colours, blur, rotation.

All of it is off by default. As in `preprocess`, each function takes the uniform numbers that
decide, so that a sample depends on (seed, sample number) alone.
"""

from __future__ import annotations

import math

from options.augmentation import AugmentationOptions
from utils.compat import tf

# Attempts to draw an area and an aspect ratio that fit; then the largest central crop is taken.
_TRIES = 10
# The number of uniform numbers for each function below.
NUM_CROP = 2 * _TRIES + 2
NUM_COLOR = 4
NUM_BLUR = 1
NUM_ROTATION = 1


def resized_crop(size: tf.Tensor, options: AugmentationOptions, random: tf.Tensor) -> tuple:
    """Chooses the part of an image that becomes the crop, by area and aspect ratio.

    Source: "Going deeper with convolutions" (arXiv 1409.4842), section 6, as ImageNet training has
    it: the area is uniform, the logarithm of the aspect ratio (width / height) is uniform, and the
    first of ten draws that fits is taken.

    Args:
      size: Height and width of the image, int32 [2].
      options: `random_crop_area` and `random_crop_aspect`.
      random: float32 [NUM_CROP] in [0, 1).

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


def distort_colors(image: tf.Tensor, options: AugmentationOptions, random: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue, in this order.

    Args:
      image: float32 [h, w, 3] in 0..255.
      options: The largest changes; 0 leaves one out.
      random: float32 [NUM_COLOR] in [0, 1).
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
    return image


def blur(image: tf.Tensor, options: AugmentationOptions, random: tf.Tensor) -> tf.Tensor:
    """Blurs with a Gaussian whose standard deviation is uniform from 0 to `max_blur_sigma` pixels.

    Args:
      image: float32 [h, w, 3].
      options: `max_blur_sigma`.
      random: float32 [NUM_BLUR] in [0, 1).
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
    return image


def _edges(image, axis: int) -> tuple:
    return (image[:1], image[-1:]) if axis == 0 else (image[:, :1], image[:, -1:])


def rotate(image, label, options: AugmentationOptions, random, *, pad_color, ignore_label) -> tuple:
    """Rotates a crop about its centre by a uniform angle of up to `max_rotation` either way.

    Args:
      image: float32 [h, w, 3]; interpolated, `pad_color` outside.
      label: Integers [h, w, 1]; the nearest pixel, `ignore_label` outside.
      options: `max_rotation` in degrees.
      random: float32 [NUM_ROTATION] in [0, 1).
      pad_color: (r, g, b).
      ignore_label: The label.
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
            color = tf.constant(pad_color, tf.float32)
            rotated += weight[..., tf.newaxis] * pixels(image, row, column, color)
    nearest = [tf.cast(tf.floor(position + 0.5), tf.int32) for position in (rows, columns)]
    rotated_label = pixels(label, *nearest, tf.constant([ignore_label], label.dtype))
    rotated.set_shape(image.shape)
    rotated_label.set_shape(label.shape)
    return rotated, rotated_label
