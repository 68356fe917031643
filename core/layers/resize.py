"""Sizes, and how features, logits and labels are resized."""

from __future__ import annotations

from utils.compat import tf


def resize_bilinear(images: tf.Tensor, size, align_corners: bool = True) -> tf.Tensor:
    """Resizes [N, h, w, channels].

    Args:
      images: Float images or features.
      size: Height and width, as numbers or a tensor [2]. At their own size images come back as
        they are.
      align_corners: Whether the centers of the corner pixels stay where they are, the DeepLab
        family's convention; else the edges of the image do (half-pixel centers).
    """
    if _is_static(size) and images.shape.as_list()[1:3] == list(size):
        return images
    if align_corners:
        return tf.image.resize_bilinear(images, size, align_corners=True)
    return tf.image.resize_bilinear(images, size, half_pixel_centers=True)


def _is_static(size) -> bool:
    return not isinstance(size, tf.Tensor) and not any(isinstance(side, tf.Tensor) for side in size)


def resize_nearest(images: tf.Tensor, size, align_corners: bool = True) -> tf.Tensor:
    """Resizes [N, h, w, channels] by nearest neighbor; see `resize_bilinear`."""
    if align_corners:
        return tf.image.resize_nearest_neighbor(images, size, align_corners=True)
    if _is_static(size) and _doubles(images.shape.as_list()[1:3], size):
        # The same pixels, without the attribute that TFLite of TensorFlow 1.15 ignores.
        return tf.image.resize_nearest_neighbor(images, size)
    return tf.image.resize_nearest_neighbor(images, size, half_pixel_centers=True)


def _doubles(sides, size) -> bool:
    """Whether a size is the known sides times a power of two."""
    factors = [large / small for small, large in zip(sides, size) if small is not None]
    return len(factors) == 2 and all(factor in (1, 2, 4, 8, 16, 32) for factor in factors)


def scaled_size(size, scale: float):
    """Returns the size that a side has at a scale: int((size - 1) * scale + 1).

    Keeps the corners aligned: 513 at 1/16 is 33, 513 at 0.5 is 257. A size that is an int32 tensor
    gives one.
    """
    if isinstance(size, tf.Tensor):
        return tf.cast((tf.cast(size, tf.float32) - 1.0) * scale + 1.0, tf.int32)
    return int((float(size) - 1.0) * scale + 1.0)


def spatial_size(images: tf.Tensor) -> tuple:
    """Returns (height, width) as numbers where the static shape knows them, else as tensors."""
    static = images.shape.as_list()[1:3]
    if None not in static:
        return tuple(static)
    dynamic = tf.shape(images)
    return tuple(dynamic[i + 1] if side is None else side for i, side in enumerate(static))
