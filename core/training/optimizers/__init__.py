"""Optimizers, one file per family; what a file's VARIANTS name is a value of --optimizer.

Each is an `Optimizer` made of `Settings`; `core/training/updates.py` chooses it. What commands know
without TensorFlow (slots, flags) is its row in `options/optimizer.py`.

SGD, momentum and Adam are TensorFlow's fused operations; the others are written in operations that
every device knows.
"""

from __future__ import annotations

import types
from typing import NamedTuple

from options.optimizer import OptimizerOptions
from utils.compat import tf


class Settings(NamedTuple):
    """What an optimizer is made of.

    Attributes:
      options: Its numbers.
      learning_rate: float32 scalar.
      momentum: float32 scalar that takes the place of the option that the row names; None: the
        option counts.
      multipliers: Variable name -> factor of its learning rate, where it is not 1.
      decaying: Names of the variables whose weight decay is decoupled.
    """

    options: OptimizerOptions
    learning_rate: tf.Tensor
    momentum: tf.Tensor | None = None
    multipliers: dict = types.MappingProxyType({})
    decaying: frozenset = frozenset()


class Optimizer(tf.train.Optimizer):
    """An optimizer whose rate may differ between variables, and whose decay may be decoupled.

    Decoupled decay shrinks a weight by learning rate * weight decay before its update. It is a part
    of the update, so a skipped (overflowed) step skips it too. Source: arXiv 1711.05101, algorithms
    1 and 2.

    Attributes:
      NAME: Of its slots in checkpoints.
      SLOTS: Names by which it asks for its slots.
    """

    NAME = ""
    SLOTS = ()

    def __init__(self, settings: Settings):
        """Makes the optimizer."""
        super().__init__(use_locking=False, name=self.NAME)
        self._settings = settings
        self._options = settings.options

    def slots(self) -> dict:
        """Returns slot -> its initial value, in the order of their names in checkpoints."""
        return dict.fromkeys(self.SLOTS, 0.0)

    def scalars(self) -> dict:
        """Returns name -> initial value of the variables that it keeps once."""
        return {}

    def update(self, gradient, variable, rate) -> tf.Operation:
        """Returns the operation that updates a variable and its slots.

        Args:
          gradient: A tensor of the variable's shape.
          variable: The variable.
          rate: Its learning rate, a float32 scalar.
        """
        raise NotImplementedError

    def next_scalars(self) -> dict:
        """Returns name -> value of each scalar after the step."""
        return {}

    def slot(self, variable, name: str):
        """Returns the value of a slot."""
        return self.get_slot(variable, name).read_value()

    def scalar(self, name: str):
        """Returns the value of a scalar."""
        return self._get_non_slot_variable(name, graph=tf.get_default_graph()).read_value()

    def assign(self, variable, change, **slots) -> tf.Operation:
        """Returns the operation that subtracts a change from a variable and sets its slots.

        Args:
          variable: The variable.
          change: Tensor of its shape.
          **slots: Slot -> its new value.
        """
        # All is computed from the old values before the first is overwritten.
        with tf.control_dependencies([change, *slots.values()]):
            return tf.group(
                tf.assign_sub(variable, change),
                *(tf.assign(self.get_slot(variable, name), new) for name, new in slots.items()),
            )

    # The methods that tf.train.Optimizer calls.

    def _create_slots(self, variables):
        first = min(variables, key=lambda variable: variable.name)
        for name, value in self.scalars().items():
            self._create_non_slot_variable(value, name, colocate_with=first)
        for variable in variables:
            for slot, value in self.slots().items():
                self._get_or_make_slot_with_initializer(
                    variable,
                    tf.constant_initializer(value),
                    variable.shape,
                    variable.dtype.base_dtype,
                    slot,
                    self._name,
                )

    def _apply_dense(self, gradient, variable):
        rate = self._settings.learning_rate
        factor = self._settings.multipliers.get(variable.op.name, 1.0)
        if factor != 1.0:
            rate = rate * factor
        decayed = []
        if variable.op.name in self._settings.decaying:
            # The gradients that read the weight come first.
            with tf.control_dependencies([gradient]):
                share = rate * self._options.weight_decay
                decayed = [tf.assign_sub(variable, share * variable.read_value()).op]
        with tf.control_dependencies(decayed):
            return self.update(gradient, variable, rate)

    def _finish(self, update_ops, name_scope):
        with tf.control_dependencies(update_ops):
            values = self.next_scalars()
        # What is read of a variable is not copied: all is computed before the first is overwritten.
        with tf.control_dependencies(list(values.values())):
            graph = tf.get_default_graph()
            updates = [
                tf.assign(self._get_non_slot_variable(name, graph=graph), value).op
                for name, value in values.items()
            ]
        return tf.group(*update_ops, *updates, name=name_scope)
