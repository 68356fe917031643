"""Lovász losses: the convex surrogate of the Jaccard loss of sorted errors."""

from __future__ import annotations

from core.losses import Context, Loss, pixelwise, regions
from core.task import Targets
from utils.compat import tf


def build(logits: tf.Tensor, targets: Targets, context: Context, over: str = "batch") -> tf.Tensor:
    """Returns the mean over classes of the Lovász extension of their errors, a float32 scalar.

    Where each channel is a yes or no: the Lovász hinge, errors max(0, 1 - z (2y - 1)) of logits z.
    Where classes exclude each other: Lovász-softmax, errors |y - p|, over the classes that are
    labelled.

    Source: Berman et al., arXiv 1705.08790, equations 9, 11 and 12, algorithm 1.

    Args:
      logits: float32 [N, h, w, channels].
      targets: The targets.
      context: See `Context`.
      over: "batch" or "image": whose pixels are sorted together.
    """
    logits, values = pixelwise.resized(logits, targets, context), targets.values()
    if targets.task.sums_to_one:
        probabilities = tf.nn.softmax(logits)
        errors = values + probabilities - 2.0 * values * probabilities
    else:
        errors = tf.nn.relu(hinge(logits, values))
    weights = regions.weights_of(targets)
    losses = extension(*(rows(part, logits, over) for part in (errors, values, weights)))
    labelled = regions.group(weights * values, over)
    region = regions.Region(labelled, labelled, labelled, regions.group(weights, over))
    return regions.mean(tf.reshape(losses, tf.shape(labelled)), region, targets, context)


def hinge(logits: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns 1 - z (2y - 1) of logits z and values y of 0 or 1."""
    return 1.0 - logits * (2.0 * values - 1.0)


def rows(values: tf.Tensor, logits: tf.Tensor, over: str) -> tf.Tensor:
    """Returns [N, h, w, channels or 1] as a row for each group and channel of the logits."""
    channels = logits.shape.as_list()[3]
    values = tf.broadcast_to(values, tf.shape(logits))
    if over == "image":
        images = logits.shape.as_list()[0]
        values = tf.reshape(values, [images, -1, channels])
        return tf.reshape(tf.transpose(values, [0, 2, 1]), [images * channels, -1])
    return tf.transpose(tf.reshape(values, [-1, channels]))


def extension(errors: tf.Tensor, values: tf.Tensor, weights: tf.Tensor, of_error=tf.identity):
    """Returns the Lovász extension of the weighted Jaccard loss at the errors, [rows].

    The errors are sorted downwards; each is multiplied by how much the Jaccard loss grows when its
    pixel becomes wrong after those before it. A pixel of weight 0 adds nothing to the loss.

    Args:
      errors: float32 [rows, pixels].
      values: 0 or 1, in that shape.
      weights: In that shape.
      of_error: Function of the sorted errors.
    """
    ordered, order = tf.nn.top_k(errors, errors.shape.as_list()[1])
    wrong = tf.gather(weights * values, order, batch_dims=1)
    other = tf.gather(weights * (1.0 - values), order, batch_dims=1)
    labelled = tf.reduce_sum(wrong, axis=1, keepdims=True)
    left = labelled - tf.cumsum(wrong, axis=1)
    loss = 1.0 - regions.ratio(left, labelled + tf.cumsum(other, axis=1))
    growth = loss - tf.pad(loss[:, :-1], [[0, 0], [1, 0]])
    return tf.reduce_sum(of_error(ordered) * tf.stop_gradient(growth), axis=1)


VARIANTS = {"lovasz": Loss(build=build, parameters={"over": regions.OVER})}
