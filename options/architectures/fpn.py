"""The options of FPN."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import option
from options.architectures import ArchitectureOptions


@dataclasses.dataclass(frozen=True)
class FPNOptions(ArchitectureOptions):
    """FPN: the pyramid and its head."""

    SECTION = "fpn"

    fpn_pyramid_block_filters: int = option(
        flags.DEFINE_integer,
        256,
        "Channels of the pyramid; each level of the head has half of them.",
        minimum=2,
    )
    fpn_pyramid_use_batch_norm: bool = option(
        flags.DEFINE_bool,
        True,
        "Whether the pyramid's convolutions have batch norm; False gives them biases.",
    )
    fpn_pyramid_dropout: float = option(
        flags.DEFINE_float,
        0.0,
        "Share of the channels before the classifier that are dropped in training.",
        minimum=0.0,
        maximum=0.99,
    )
    fpn_final_interpolation: str = option(
        flags.DEFINE_string,
        "bilinear",
        "How levels are enlarged to join, and logits to the image's size.",
        choices=("bilinear", "nearest"),
    )


VARIANTS = {"fpn": FPNOptions}
