"""What a graph is built for, and how its device computes the layers."""

from __future__ import annotations

import dataclasses
from typing import Callable

from core.layers import convolution

# Forms of a frozen batch norm: what it normalizes with, and what of it is trained.
FROZEN_INFERENCE = "inference"
FROZEN_AFFINE = "affine"
FROZEN_STATISTICS = "statistics"


@dataclasses.dataclass(frozen=True)
class DeviceLayers:
    """How a device computes the layers of a training graph, and which images it gets.

    Attributes:
      formulation: How convolutions are computed, one of `convolution.FORMULATIONS`; the result is
        the same.
      dropout: Function of inputs and keep_prob that drops on the device, with masks of its own;
        None for `layers.dropout`'s.
      average: Function from a list of tensors to the list of their means over all ranks, with its
        gradient, for batch norm with the statistics of all ranks; None: those of this one.
      rank: Which of the step's images this device gets: every ranks-th from this one on.
      ranks: Number of ranks, whose batches have one size.
    """

    formulation: str = convolution.PRODUCTS
    dropout: Callable | None = None
    average: Callable | None = None
    rank: int = 0
    ranks: int = 1


@dataclasses.dataclass(frozen=True)
class Mode:
    """What a graph is built for; the default is inference.

    Attributes:
      is_training: Whether it trains (dropout).
      fine_tune_batch_norm: Whether batch norm that is not frozen uses batch statistics in training.
      weight_decay: L2 factor of convolution weights, never of depthwise ones.
      is_frozen: Function from a variable's name to whether it is in a part that is frozen; None
        freezes nothing.
      frozen_batch_norm: Form of the batch norm of such a part. With `FROZEN_INFERENCE` and
        `FROZEN_AFFINE` it uses its moving averages, with `FROZEN_STATISTICS` it uses and updates
        batch statistics.
      recompute: Whether the units of the backbone are computed again for their gradients.
      builds_auxiliary: Whether heads that only training needs are built outside of it too.
      device: How a training graph is computed.
    """

    is_training: bool = False
    fine_tune_batch_norm: bool = False
    weight_decay: float = 0.0
    is_frozen: Callable[[str], bool] | None = None
    frozen_batch_norm: str = FROZEN_INFERENCE
    recompute: bool = False
    builds_auxiliary: bool = False
    device: DeviceLayers = DeviceLayers()

    @property
    def has_auxiliary(self) -> bool:
        """Whether heads that only training needs are a part of the graph."""
        return self.is_training or self.builds_auxiliary

    def uses_batch_statistics(self, name: str) -> bool:
        """Whether a batch norm uses and updates batch statistics.

        Args:
          name: Of its gamma, or of its beta if it has no gamma.
        """
        if not self.is_training:
            return False
        if self.is_frozen is not None and self.is_frozen(name):
            return self.frozen_batch_norm == FROZEN_STATISTICS
        return self.fine_tune_batch_norm

    @property
    def formulation(self) -> str:
        """How convolutions are computed: as TensorFlow does it in inference."""
        return self.device.formulation if self.is_training else convolution.NATIVE


INFERENCE = Mode()
