"""Dropout whose masks depend on the image, not on how images are divided over ranks."""

from __future__ import annotations

import zlib

from core.layers.mode import Mode
from utils.compat import tf


def dropout(inputs: tf.Tensor, keep_prob: float, mode: Mode) -> tf.Tensor:
    """Zeroes elements with probability 1 - keep_prob in training and scales the others.

    The mask of an image is a function of the graph's seed, the place in the graph, the global step
    and the image's number in the step: a run that is continued, or one with another number of
    ranks, drops what an uninterrupted one would.

    Args:
      inputs: float32 [N, ...], N static.
      keep_prob: Share of the elements that stay.
      mode: What the graph is for; outside of training the inputs are returned. The device may drop
        by itself, with its own masks.
    """
    if not mode.is_training:
        return inputs
    if mode.device.dropout is not None:
        return mode.device.dropout(inputs, keep_prob)
    rank, ranks = mode.device.rank, mode.device.ranks
    size = inputs.shape.as_list()[0]
    with tf.name_scope("dropout") as scope:
        place = (tf.get_default_graph().seed or 0) + zlib.crc32(scope.encode("utf-8"))
        first = tf.cast(tf.train.get_or_create_global_step(), tf.int64) * (size * ranks) + rank
        noise = tf.stack(
            [
                tf.random.stateless_uniform(
                    tf.shape(inputs)[1:],
                    tf.stack([tf.constant(place, tf.int64), first + image * ranks]),
                )
                for image in range(size)
            ]
        )
        return inputs * (tf.cast(noise < keep_prob, inputs.dtype) / keep_prob)


def spatial_dropout(inputs: tf.Tensor, keep_prob: float, mode: Mode) -> tf.Tensor:
    """Zeroes whole channels of an image as `dropout` zeroes elements (arXiv 1411.4280).

    Args:
      inputs: float32 [N, h, w, channels], N and channels static.
      keep_prob: Share of the channels that stay.
      mode: What the graph is for; outside of training the inputs are returned.
    """
    if not mode.is_training:
        return inputs
    count, _, _, channels = inputs.shape.as_list()
    return inputs * dropout(tf.ones([count, 1, 1, channels]), keep_prob, mode)
