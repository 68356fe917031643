"""The options of U-Net."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import option
from options.architectures import ArchitectureOptions, check_blocks

BLOCK_TYPES = ("upsampling", "transpose")


@dataclasses.dataclass(frozen=True)
class UNetOptions(ArchitectureOptions):
    """U-Net: the decoder."""

    SECTION = "unet"

    unet_decoder_filters: tuple[int, ...] = option(
        flags.DEFINE_list,
        (256, 128, 64, 32, 16),
        "Channels of the decoder blocks, from coarse to fine, comma separated. Five blocks give "
        "logits of the image's size, four of half the size ...",
        convert=int,
        minimum=1,
    )
    unet_decoder_use_batch_norm: bool = option(
        flags.DEFINE_bool,
        True,
        "Whether the decoder's convolutions have batch norm; False gives them biases.",
    )
    unet_decoder_block_type: str = option(
        flags.DEFINE_string,
        "upsampling",
        "How a decoder block enlarges features. upsampling: it repeats pixels. transpose: by a "
        "transposed convolution.",
        choices=BLOCK_TYPES,
    )
    unet_skip_count: int = option(
        flags.DEFINE_integer,
        4,
        "Number of decoder blocks that the backbone's features join, the coarsest first.",
        minimum=0,
        maximum=4,
    )

    def check(self):
        """Raises OptionError for a number of blocks that no decoder has."""
        check_blocks("unet_decoder_filters", self.unet_decoder_filters)


VARIANTS = {"unet": UNetOptions}
