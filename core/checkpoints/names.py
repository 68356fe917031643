"""Names of tensors in checkpoints: which belong to the network, which to training."""

from __future__ import annotations

from options.optimizer import OPTIMIZERS

GLOBAL_STEP = "global_step"
# TensorFlow's name of an exponential moving average follows the variable's.
EMA_SUFFIX = "/ExponentialMovingAverage"

_SLOT_SUFFIXES = tuple(
    {f"/{slot}" for row in OPTIMIZERS.values() for slot in row.slots} | {EMA_SUFFIX}
)
_LOOP_NAMES = {GLOBAL_STEP}.union(*(row.scalars for row in OPTIMIZERS.values()))


def is_of_network(name: str) -> bool:
    """Whether a tensor belongs to the network, not to the optimizer or the loop."""
    return name not in _LOOP_NAMES and not name.endswith(_SLOT_SUFFIXES)
