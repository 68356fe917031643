"""Resizes photos to the size that a network takes, and its results back to the size of the photo.

On the way back probabilities are resized, not labels: borders stay smooth where a label would
become a block of many pixels. This happens class by class, so that memory grows with the photo and
not with the number of classes.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from core.task import Task
from utils import image_ops
from utils.compat import tf


def fit(image: np.ndarray, crop_size, pad_color) -> tuple:
    """Makes an image exactly the crop size: shrinks it if larger, then pads it.

    Args:
      image: uint8 [h, w, 3].
      crop_size: (height, width).
      pad_color: (r, g, b), 0..255, rounded to whole numbers here.

    Returns:
      uint8 [crop height, crop width, 3], and the (height, width) of the part that is not padding.
    """
    image = image_ops.shrink(image, image_ops.fitting_size(image.shape[:2], crop_size))
    return image_ops.pad_array(image, crop_size, np.round(pad_color), np.uint8), image.shape[:2]


def probabilities_at(probabilities: np.ndarray, size) -> np.ndarray:
    """Returns probabilities [h, w, channels] at another (height, width), float32."""
    if probabilities.shape[:2] == tuple(size):
        return probabilities
    resized = np.empty([*size, probabilities.shape[2]], np.float32)
    for label in range(probabilities.shape[2]):
        resized[..., label] = _resized(probabilities[..., label], size)
    return resized


def labels_at(probabilities: np.ndarray, size, task: Task, threshold=0.5) -> np.ndarray:
    """Returns predicted labels at another (height, width), uint8.

    Args:
      probabilities: [h, w, channels].
      size: (height, width).
      task: The task.
      threshold: What a probability must exceed, in tasks that have one.
    """
    planes = [probabilities[..., channel] for channel in range(probabilities.shape[2])]
    return task.decide_planes(planes, lambda plane: _resized(plane, size), threshold)


def nearest_labels_at(labels: np.ndarray, size) -> np.ndarray:
    """Returns labels, uint8 [h, w] or [h, w, classes], at another size by nearest neighbour."""
    if labels.shape[:2] == tuple(size):
        return labels
    if labels.ndim == 3:
        planes = [nearest_labels_at(labels[..., index], size) for index in range(labels.shape[2])]
        return np.stack(planes, axis=2)
    return np.asarray(Image.fromarray(labels).resize((size[1], size[0]), Image.NEAREST))


def _resized(plane, size):
    plane = np.ascontiguousarray(plane, np.float32)
    return np.array(Image.fromarray(plane).resize((size[1], size[0]), Image.BILINEAR))


class RangeResizer:
    """Resizes photos as the input pipeline does with `min_resize_value`; a context manager."""

    def __init__(self, *, min_size: int, max_size=None, factor=None, keep_aspect_ratio=True):
        """Makes a resizer; arguments as of `image_ops.size_in_range`."""
        self._range = {
            "min_size": min_size,
            "max_size": max_size,
            "factor": factor,
            "keep_aspect_ratio": keep_aspect_ratio,
        }
        graph = tf.Graph()
        with graph.as_default():
            self._image = tf.placeholder(tf.uint8, [None, None, 3])
            self._size = tf.placeholder(tf.int32, [2])
            self._resized = image_ops.resize_bilinear(self._image, self._size)
        self._session = tf.Session(graph=graph, config=tf.ConfigProto(device_count={"GPU": 0}))

    def size(self, height: int, width: int) -> tuple:
        """Returns the (height, width) that an image of this size gets."""
        sides = np.float32([height]), np.float32([width])
        return tuple(
            int(side[0]) for side in image_ops.size_in_range(*sides, math=np, **self._range)
        )

    def resize(self, image: np.ndarray) -> np.ndarray:
        """Returns an image, uint8 [h, w, 3], in the range: float32 [height, width, 3]."""
        feeds = {self._image: image, self._size: self.size(*image.shape[:2])}
        return self._session.run(self._resized, feeds)

    def close(self):
        """Frees the session."""
        self._session.close()
