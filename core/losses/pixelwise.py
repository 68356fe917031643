"""From one loss per target to a scalar: weights, mean, hard example mining."""

from __future__ import annotations

from core.losses import Context
from core.task import Targets
from utils.compat import tf


def mean(losses: tf.Tensor, targets: Targets, context: Context) -> tf.Tensor:
    """Returns the weighted mean of losses, a float32 scalar.

    Without mining it is the weighted sum over the number of targets that are not ignored (the mean
    of that number over ranks, so that the mean of their losses is the loss of all their images).
    With mining it is the mean of the largest weighted losses, over those that are not zero. It is
    zero if no target counts.

    Args:
      losses: float32, one per target in any shape.
      targets: The targets.
      context: See `Context`.
    """
    weighted = tf.reshape(losses, [-1]) * tf.reshape(targets.weights, [-1])
    if context.options.top_k_percent_pixels == 1.0:
        return _mean(weighted, tf.reduce_sum(targets.counted), context.average)
    return _mean_of_hardest(weighted, _mined_fraction(context))


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
    return _mean(hardest, tf.reduce_sum(tf.cast(tf.not_equal(hardest, 0.0), tf.float32)))


def _mean(losses, number, average=None):
    if average is not None:
        (number,) = average([number])
    # If nothing counts, the sum is zero too, and so is the result.
    return tf.reduce_sum(losses) / tf.maximum(number, 1.0)
