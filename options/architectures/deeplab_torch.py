"""The options of torchvision's DeepLabV3."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import option
from options.architectures import ArchitectureOptions


@dataclasses.dataclass(frozen=True)
class DeepLabTorchOptions(ArchitectureOptions):
    """torchvision's DeepLabV3: the heads."""

    SECTION = "deeplab_torch"

    deeplab_torch_atrous_rates: tuple[int, ...] = option(
        flags.DEFINE_list,
        (12, 24, 36),
        "Rates of the 3x3 branches, comma separated; the default is for --output_stride=8.",
        convert=int,
        minimum=1,
    )
    deeplab_torch_dropout: float = option(
        flags.DEFINE_float,
        0.5,
        "Share of the projected branches' elements that training drops.",
        minimum=0.0,
        maximum=0.99,
    )
    deeplab_torch_aux_loss_weight: float = option(
        flags.DEFINE_float,
        0.5,
        "Weight of the auxiliary head's loss; 0: no auxiliary head.",
        minimum=0.0,
    )


VARIANTS = {"deeplab_torch": DeepLabTorchOptions}
