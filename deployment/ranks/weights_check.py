"""Checks that all ranks have bitwise equal weights."""

from __future__ import annotations

from utils.compat import tf
from utils.errors import UserError

# The factors of the positions are odd, hence invertible: the multiplication loses no bit.
_FACTORS = 1021


class WeightsCheck(tf.train.SessionRunHook):
    """Compares fingerprints of all variables at intervals; a difference ends all ranks."""

    def __init__(self, steps: int, monitor):
        """Makes the hook.

        Args:
          steps: Steps between two checks, rounded up to the ends of loops.
          monitor: The `RankMonitor` of this rank.
        """
        self._steps = steps
        self._monitor = monitor
        self._checked = None

    def begin(self):
        """Builds the fingerprints."""
        self._step = tf.train.get_global_step()
        self._variables = tf.global_variables()
        self._fingerprints = [fingerprint(variable) for variable in self._variables]

    def after_create_session(self, session, unused_coordinator):
        """Checks that all ranks start with the same weights."""
        self._check(session)

    def after_run(self, run_context, unused_values):
        """Checks once per interval."""
        step = run_context.session.run(self._step)
        if step // self._steps > self._checked // self._steps:
            self._check(run_context.session)

    def _check(self, session):
        step, *fingerprints = session.run([self._step, *self._fingerprints])
        self._checked = int(step)
        mine = [int(value) for value in fingerprints]
        self._monitor.exchange(f"the weights of step {step}", mine, self._compare)

    def _compare(self, values):
        for rank, other in enumerate(values):
            different = [
                variable.op.name
                for variable, first, here in zip(self._variables, values[0], other)
                if first != here
            ]
            if different:
                raise UserError(
                    f"at step {self._checked} the weights of rank {rank} differ from those of "
                    f"rank 0 in {len(different)} variables such as {different[0]}; do not use "
                    "checkpoints saved since the last check. All ranks need the same kind of "
                    "processor and reliable memory."
                )


def fingerprint(variable: tf.Variable) -> tf.Tensor:
    """Returns an int64 that changes with any bit of a variable and with the order of elements."""
    value = tf.reshape(variable.read_value(), [-1])
    if value.dtype.is_floating:
        bits = {2: tf.int16, 4: tf.int32, 8: tf.int64}[value.dtype.size]
        value = tf.bitcast(value, bits)
    value = tf.cast(value, tf.int64)
    places = tf.range(variable.shape.num_elements(), dtype=tf.int64)
    return tf.reduce_sum(value * (2 * tf.floormod(places, _FACTORS) + 1))
