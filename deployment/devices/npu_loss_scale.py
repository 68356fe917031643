"""The loss scale managers that the Ascend adapter's optimizer takes.

The optimizer asks its manager for the scale and reports after each step whether all gradients were
finite (Micikevicius et al., Mixed Precision Training, arXiv 1710.03740). The adapter has managers
of its own for TensorFlow 1.15 only.
"""

from __future__ import annotations

import dataclasses

from deployment.devices import loss_scaling
from utils.compat import tf

# The dynamic scale: its start, the good steps that double it, its minimum.
_START = 2.0**15
_STEPS_TO_GROW = 2000
_FACTOR = 2.0
_SMALLEST = 1.0


@dataclasses.dataclass(frozen=True)
class FixedLossScale:
    """A constant scale.

    Attributes:
      scale: The factor, at least 1.
    """

    scale: float

    def get_loss_scale(self) -> tf.Tensor:
        """Returns the factor, float32."""
        return tf.constant(self.scale, tf.float32)

    def update_loss_scale(self, unused_finite_grads: tf.Tensor) -> tf.Operation:
        """Does nothing."""
        return tf.no_op()


class DynamicLossScale:
    """A scale that every overflow halves and many steps without overflow double.

    Its two variables are local to the process and not part of a checkpoint: a resumed run starts
    with the initial scale and reaches the right one within a few skipped steps.
    """

    def __init__(self):
        with tf.variable_scope("loss_scale"):
            self._scale = _local("scale", _START, tf.float32)
            self._good_steps = _local("good_steps", 0, tf.int32)

    def get_loss_scale(self) -> tf.Tensor:
        """Returns the factor, float32."""
        return self._scale

    def update_loss_scale(self, finite_grads: tf.Tensor) -> tf.Operation:
        """Returns the operation that updates the scale after a step.

        Args:
          finite_grads: bool scalar, whether all gradients of the step were finite.
        """
        good_steps = tf.where(finite_grads, self._good_steps + 1, 0)
        grows = good_steps >= _STEPS_TO_GROW
        scale = tf.where(grows, self._scale * _FACTOR, self._scale)
        scale = tf.where(finite_grads, scale, tf.maximum(self._scale / _FACTOR, _SMALLEST))
        good_steps = tf.where(grows, 0, good_steps)
        return tf.group(self._scale.assign(scale), self._good_steps.assign(good_steps))


def create(text: str):
    """Returns the manager of `--loss_scale`, None for none.

    Raises:
      OptionError: If `loss_scaling.check` refuses the value.
    """
    if text == "none":
        return None
    return DynamicLossScale() if text == "dynamic" else FixedLossScale(loss_scaling.check(text))


def _local(name: str, value, dtype) -> tf.Variable:
    return tf.get_variable(
        name,
        initializer=tf.constant(value, dtype),
        trainable=False,
        collections=[tf.GraphKeys.LOCAL_VARIABLES],
    )
