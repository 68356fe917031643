"""Batch normalization, with the statistics of one rank or of all."""

from __future__ import annotations

from core.layers.mode import INFERENCE, Mode
from utils.compat import slim, tf


@slim.add_arg_scope
def batch_norm(
    inputs: tf.Tensor,
    decay: float = 0.9997,
    epsilon: float = 1e-5,
    mode: Mode = INFERENCE,
    scale: bool = True,
    scope: str | None = None,
) -> tf.Tensor:
    """Normalizes each channel; equal to `slim.batch_norm(scale=True, fused=True)`.

    In training the moving averages are updated by operations in the collection UPDATE_OPS. The
    moving variance takes the Bessel-corrected batch variance, as TensorFlow's fused kernel gives
    it. Source: arXiv 1502.03167.

    Args:
      inputs: [N, h, w, channels].
      decay: Weight of the old moving average in each update.
      epsilon: Added to the variance.
      mode: What the graph is for: whether batch statistics are used, and those of which ranks, and
        whether moving averages are updated.
      scale: Whether there is a gamma; else it is 1.
      scope: Name of the scope of gamma, beta, moving_mean and moving_variance.
    """
    with tf.variable_scope(scope, "BatchNorm", [inputs]):
        channels = [inputs.shape.as_list()[-1]]
        if scale:
            gamma = slim.model_variable("gamma", channels, initializer=tf.ones_initializer())
        else:
            # Exports fold constants; tf.ones is none where there are many channels.
            gamma = tf.constant(1.0, shape=channels)
        beta = slim.model_variable("beta", channels, initializer=tf.zeros_initializer())
        mean = slim.model_variable(
            "moving_mean", channels, initializer=tf.zeros_initializer(), trainable=False
        )
        variance = slim.model_variable(
            "moving_variance", channels, initializer=tf.ones_initializer(), trainable=False
        )
        if not mode.uses_batch_statistics((gamma if scale else beta).op.name):
            return tf.nn.fused_batch_norm(
                inputs, gamma, beta, mean, variance, epsilon=epsilon, is_training=False
            )[0]
        if mode.device.average is None:
            outputs, batch_mean, batch_variance = tf.nn.fused_batch_norm(
                inputs, gamma, beta, epsilon=epsilon, is_training=True
            )
        else:
            batch_mean, batch_variance = _statistics_of_all(
                inputs, mean.read_value(), mode.device.average
            )
            outputs = tf.nn.batch_normalization(
                inputs, batch_mean, batch_variance, beta, gamma, epsilon
            )
            count = mode.device.ranks * tf.cast(tf.size(inputs) // channels[0], tf.float32)
            batch_variance *= count / tf.maximum(count - 1.0, 1.0)
        for variable, value in ((mean, batch_mean), (variance, batch_variance)):
            update = _update_moving_average(variable, value, decay)
            # For those who compute the moving averages in another way.
            update.statistic, update.normalized = value, inputs
        return outputs


def _statistics_of_all(inputs, near, average) -> tuple:
    """Returns mean and variance [channels] of a batch over all ranks.

    Squares of distances from a number near the mean are summed, not of the values: their difference
    would lose the variance of channels that are far from zero.
    """
    mean, variance = tf.nn.moments(inputs, [0, 1, 2])
    distance = mean - near
    distance, square = average([distance, variance + tf.square(distance)])
    return near + distance, tf.maximum(square - tf.square(distance), 0.0)


def _update_moving_average(variable, value, decay) -> tf.Operation:
    # With shared weights (an image pyramid) one variable has several updates in a step; they run
    # one after the other, in the order of the graph.
    earlier = [
        update
        for update in tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        if getattr(update, "updated_variable", None) is variable
    ]
    with tf.control_dependencies(earlier):
        update = tf.assign_sub(variable, (variable.read_value() - value) * (1.0 - decay)).op
    update.updated_variable = variable
    tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, update)
    return update
