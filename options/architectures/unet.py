"""The options of U-Net."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import option
from options.architectures import ArchitectureOptions


@dataclasses.dataclass(frozen=True)
class UNetOptions(ArchitectureOptions):
    """U-Net: the decoder."""

    SECTION = "unet"

    unet_decoder_filters: tuple[int, ...] = option(
        flags.DEFINE_list,
        (256, 128, 64, 32, 16),
        "Channels of the five decoder blocks, from coarse to fine, comma separated.",
        convert=int,
        length=5,
        minimum=1,
    )
    unet_decoder_use_batch_norm: bool = option(
        flags.DEFINE_bool,
        True,
        "Whether the decoder's convolutions have batch norm; False gives them biases.",
    )


VARIANTS = {"unet": UNetOptions}
