"""Loss scaling: keeps small gradients from vanishing in fp16 by multiplying the loss by a factor.

For devices whose mixed precision has no loss scaling of its own: `Backend.wrap_optimizer` returns
`LossScaling(optimizer)`. Source: arXiv 1710.03740, section 3.2, with a dynamic factor.
"""

from __future__ import annotations

from utils.compat import tf
from utils.errors import OptionError

_START = 2.0**15
_LOWEST = 1.0
_HIGHEST = 2.0**24
# Steps without overflow after which the factor is doubled.
_STEPS_TO_DOUBLE = 1000


def check(text: str) -> float | None:
    """Returns the fixed scale of `--loss_scale`, None for none and dynamic.

    Raises:
      OptionError: If it is neither "none", "dynamic" nor a number of at least 1.
    """
    if text in ("none", "dynamic"):
        return None
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 1.0 <= scale < float("inf"):
        raise OptionError(
            f"--loss_scale is {text}, but must be none, dynamic, or a number of at least 1."
        )
    return scale


class LossScaling(tf.train.Optimizer):
    """An optimizer that scales the loss, and skips the update of a step that overflowed.

    A skipped step counts in the global step, so that schedule, checkpoints and the order of the
    data stay the same. It halves the factor, unless that is fixed.
    """

    def __init__(
        self,
        optimizer: tf.train.Optimizer,
        steps_to_double: int = _STEPS_TO_DOUBLE,
        *,
        fixed: float | None = None,
    ):
        """Wraps an optimizer.

        Args:
          optimizer: Computes gradients and makes the update.
          steps_to_double: Steps without overflow after which the factor is doubled.
          fixed: A constant factor; None for a dynamic one.
        """
        super().__init__(use_locking=False, name="LossScaling")
        self._optimizer = optimizer
        self._steps_to_double = steps_to_double
        self._is_fixed = fixed is not None
        start = tf.constant_initializer(_START if fixed is None else fixed)
        self.scale = tf.get_variable("loss_scale", [], initializer=start, trainable=False)
        self._good_steps = tf.get_variable(
            "loss_scale_good_steps",
            [],
            tf.int32,
            initializer=tf.zeros_initializer(),
            trainable=False,
        )

    def compute_gradients(self, loss, var_list=None, **settings):
        """Returns (gradient, variable) pairs of the unscaled loss; not finite after an overflow."""
        scale = self.scale.read_value()
        scaled = self._optimizer.compute_gradients(loss * scale, var_list, **settings)
        return [(None if one is None else one / scale, variable) for one, variable in scaled]

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        """Returns the operation that applies finite gradients and adjusts the factor."""
        pairs = list(grads_and_vars)
        gradients = [gradient for gradient, _ in pairs if gradient is not None]
        is_good = tf.reduce_all([tf.reduce_all(tf.is_finite(one)) for one in gradients])
        update = tf.cond(is_good, lambda: self._update(pairs), tf.no_op)
        with tf.control_dependencies([update]):
            adjust = tf.no_op() if self._is_fixed else self._adjust_scale(is_good)
        if global_step is None:
            return tf.group(adjust, name=name)
        with tf.control_dependencies([adjust]):
            return tf.assign_add(global_step, 1, name=name).op

    def variables(self) -> list:
        """Returns the variables of the optimizer and of the scaling."""
        return [*self._optimizer.variables(), self.scale, self._good_steps]

    def _update(self, pairs):
        with tf.control_dependencies([self._optimizer.apply_gradients(pairs)]):
            return tf.no_op()

    def _adjust_scale(self, is_good):
        good_steps = tf.where(is_good, self._good_steps + 1, tf.zeros_like(self._good_steps))
        doubles = good_steps >= self._steps_to_double
        factor = tf.where(doubles, 2.0, tf.where(is_good, 1.0, 0.5))
        scale = tf.clip_by_value(self.scale * factor, _LOWEST, _HIGHEST)
        good_steps = tf.where(doubles, tf.zeros_like(good_steps), good_steps)
        return tf.group(tf.assign(self.scale, scale), tf.assign(self._good_steps, good_steps))
