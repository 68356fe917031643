"""The options of PSPNet."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import option
from options.architectures import ArchitectureOptions

FACTORS = (4, 8, 16)


@dataclasses.dataclass(frozen=True)
class PSPNetOptions(ArchitectureOptions):
    """PSPNet: the pyramid pooling and the logits."""

    SECTION = "pspnet"

    pspnet_downsample_factor: int = option(
        flags.DEFINE_integer,
        8,
        "Stride of the features that are pooled; the backbone ends there. The sides of images are "
        "multiples of six times as much.",
        choices=FACTORS,
    )
    pspnet_conv_filters: int = option(
        flags.DEFINE_integer, 512, "Channels of each level of the pyramid pooling.", minimum=1
    )
    pspnet_pooling_type: str = option(
        flags.DEFINE_string,
        "avg",
        "Whether parts of the image are pooled by their means or their maxima.",
        choices=("avg", "max"),
    )
    pspnet_use_batch_norm: bool = option(
        flags.DEFINE_bool,
        True,
        "Whether the convolutions of the pyramid pooling have batch norm; False gives them biases.",
    )
    pspnet_dropout: float = option(
        flags.DEFINE_float,
        0.0,
        "Share of the channels before the classifier that are dropped in training.",
        minimum=0.0,
        maximum=0.99,
    )
    pspnet_final_interpolation: str = option(
        flags.DEFINE_string,
        "bilinear",
        "How logits come to the image's size. duc: rearranged from the channels of a dense "
        "upsampling convolution.",
        choices=("bilinear", "nearest", "duc"),
    )


VARIANTS = {"pspnet": PSPNetOptions}
