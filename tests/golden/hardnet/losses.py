"""The losses that FC-HarDNet's manifests are trained with, of logits in the labels' size."""

from __future__ import annotations

from utils.compat import tf
from utils.errors import UserError


def build(logits: tf.Tensor, labels: tf.Tensor, ignore_label: int, name: str, params: dict):
    """Returns the loss, a scalar.

    Args:
      logits: float32 [N, h, w, channels].
      labels: int32 [N, h, w].
      ignore_label: The label of pixels that do not count.
      name: The loss, as the manifest names it.
      params: Its arguments.

    Raises:
      UserError: If there is no such loss here.
    """
    if name not in _LOSSES:
        raise UserError(f"loss is {name}, but must be one of {', '.join(_LOSSES)}.")
    valid = tf.not_equal(labels, ignore_label)
    pixels = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(valid, labels, tf.zeros_like(labels)), logits=logits
    )
    valid = tf.cast(valid, tf.float32)
    return _LOSSES[name](pixels * valid, valid, **params)


def _cross_entropy(pixels, valid, *, size_average=True):
    total = tf.reduce_sum(pixels)
    return total / tf.reduce_sum(valid) if size_average else total


def _bootstrapped(pixels, unused_valid, *, min_K=4096, loss_th=0.3, size_average=True):
    """Averages the hardest pixels of each image: all above a threshold, but at least min_K."""
    del size_average  # It has no effect in the original.
    images, height, width = pixels.shape.as_list()
    pixels = tf.reshape(pixels, [images, height * width])
    count = min(min_K, height * width)
    hardest = tf.nn.top_k(pixels, min(count + 1, height * width)).values
    above = tf.cast(pixels > loss_th, tf.float32)
    mean_above = tf.reduce_sum(pixels * above, 1) / tf.maximum(tf.reduce_sum(above, 1), 1.0)
    many = (hardest[:, -1] > loss_th) if count < height * width else tf.fill([images], False)
    return tf.reduce_mean(tf.where(many, mean_above, tf.reduce_mean(hardest[:, :count], 1)))


def _multi_scale(pixels, valid, *, loss_th=0.3, scale_weight=None, size_average=True):
    """Is the plain cross entropy for a network with a single output."""
    del loss_th, scale_weight
    return _cross_entropy(pixels, valid, size_average=size_average)


_LOSSES = {
    "cross_entropy": _cross_entropy,
    "bootstrapped_cross_entropy": _bootstrapped,
    "multi_scale_cross_entropy": _multi_scale,
}
