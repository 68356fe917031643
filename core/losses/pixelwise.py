"""From one loss per target to a scalar: weights, mean, hard example mining."""

from __future__ import annotations

from core import layers
from core.losses import Context, Parameter
from core.task import Targets
from utils.compat import tf

REDUCTION = Parameter("mean", choices=("mean", "weighted_mean", "sum"))


def resized(logits: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns logits [N, h, w, channels] in the size of the targets."""
    return layers.resize_bilinear(
        logits, layers.spatial_size(targets.labels), context.align_corners
    )


def mean(
    losses: tf.Tensor, targets: Targets, context: Context, reduction: str = "mean"
) -> tf.Tensor:
    """Returns the weighted mean of losses, a float32 scalar.

    Without mining it is the weighted sum over the number of targets that are not ignored (the mean
    of that number over ranks, so that the mean of their losses is the loss of all their images).
    With mining it is the mean of the largest weighted losses, over those that are not zero. It is
    zero if no target counts.

    Args:
      losses: float32, one per target in any shape.
      targets: The targets.
      context: See `Context`.
      reduction: "mean"; "weighted_mean" divides by the sum of the weights instead of the number,
        as PyTorch's losses with class weights do; "sum" does not divide.
    """
    weighted = tf.reshape(losses, [-1]) * tf.reshape(targets.weights, [-1])
    if reduction == "sum":
        return tf.reduce_sum(weighted)
    if reduction == "weighted_mean":
        return over(tf.reduce_sum(weighted), tf.reduce_sum(targets.weights), context.average)
    if context.options.top_k_percent_pixels == 1.0:
        return over(tf.reduce_sum(weighted), tf.reduce_sum(targets.counted), context.average)
    return _mean_of_hardest(weighted, _mined_fraction(context))


def mean_of_channels(losses: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the weighted mean of one loss per pixel and channel.

    Args:
      losses: float32 [N, h, w, channels], also where a pixel is a single target.
      targets: The targets.
      context: See `Context`.
    """
    if targets.task.is_exclusive:
        losses = tf.reduce_mean(losses, axis=3)
    return mean(losses, targets, context)


def of_pixels(targets: Targets) -> tuple:
    """Returns weights of a pixel's channels, and targets with one weight per pixel.

    For losses that compare all channels of a pixel at once. Where each channel is a target, its
    weight acts inside such a loss, and a pixel counts if any of its channels does.
    """
    if targets.task.is_exclusive:
        return tf.ones_like(targets.weights), targets
    counted = tf.reduce_max(targets.counted, axis=3, keepdims=True)
    return targets.weights, targets._replace(counted=counted, weights=counted)


def over(total: tf.Tensor, number: tf.Tensor, average=None) -> tf.Tensor:
    """Returns total / number, and 0 if the number is 0.

    Args:
      total: A sum, zero if the number is.
      number: How much counts in it, float32 of the same shape; not negative.
      average: See `Context`; the mean of the number over ranks is what divides.
    """
    if average is not None:
        (number,) = average([number])
    return total / tf.where(tf.equal(number, 0.0), tf.ones_like(number), number)


def _mined_fraction(context):
    """Returns the fraction of targets to mine: a number, or a tensor while it changes."""
    final, steps = context.options.top_k_percent_pixels, context.options.hard_example_mining_step
    if not steps:
        return final
    done = tf.cast(context.global_step, tf.float32) / float(steps)
    done = tf.minimum(done, 1.0)
    return done * final + (1.0 - done)


def _mean_of_hardest(losses, fraction):
    """Returns the mean of the largest losses that are not zero."""
    number = losses.shape.num_elements() or tf.shape(losses)[0]
    count = tf.cast(fraction * tf.cast(number, tf.float32), tf.int32)
    # All are sorted and a mask selects: shapes stay static while the fraction changes, which a
    # device's compiler needs, and on CPU sorting all is not slower than finding a quarter.
    ordered = tf.nn.top_k(losses, number).values
    hardest = tf.where(tf.range(number) < count, ordered, tf.zeros_like(ordered))
    return over(
        tf.reduce_sum(hardest), tf.reduce_sum(tf.cast(tf.not_equal(hardest, 0.0), tf.float32))
    )
