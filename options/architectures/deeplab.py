"""The options of DeepLabV2, V3 and V3+."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import option
from options.architectures import ArchitectureOptions
from utils.errors import OptionError


@dataclasses.dataclass(frozen=True)
class DeepLabOptions(ArchitectureOptions):
    """DeepLabV2, V3 and V3+: the head and the decoder."""

    SECTION = "deeplab"

    atrous_rates: tuple[int, ...] | None = option(
        flags.DEFINE_multi_integer,
        None,
        "Rate of one 3x3 ASPP branch; repeat the flag for more (6, 12, 18 at output stride 16; "
        "12, 24, 36 at 8). Without it ASPP has its 1x1 branch only.",
        minimum=1,
    )
    add_image_level_feature: bool = option(
        flags.DEFINE_bool, True, "Whether the head has the image-level (global pooling) branch."
    )
    image_pooling_crop_size: tuple[int, ...] | None = option(
        flags.DEFINE_list,
        None,
        "Window (height,width in input pixels) of the image-level pooling; unset: the whole crop.",
        convert=int,
        length=2,
        minimum=1,
    )
    image_pooling_stride: tuple[int, ...] = option(
        flags.DEFINE_list,
        (1, 1),
        "Strides (height,width) of the image-level pooling.",
        convert=int,
        length=2,
        minimum=1,
    )
    aspp_with_batch_norm: bool = option(
        flags.DEFINE_bool,
        True,
        "Whether the head is ASPP with batch norm; False is DeepLabV2's sum of one logits layer "
        "per atrous rate.",
    )
    aspp_with_separable_conv: bool = option(
        flags.DEFINE_bool, True, "Whether atrous ASPP branches are depthwise separable."
    )
    aspp_with_squeeze_and_excitation: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether the image-level branch scales the other branches (MobileNetV3).",
    )
    image_se_uses_qsigmoid: bool = option(
        flags.DEFINE_bool, False, "Whether squeeze-and-excitation uses a piecewise linear sigmoid."
    )
    aspp_convs_filters: int = option(
        flags.DEFINE_integer, 256, "Channels of each ASPP branch.", minimum=1
    )
    aspp_with_concat_projection: bool = option(
        flags.DEFINE_bool, True, "Whether a 1x1 convolution merges the ASPP branches."
    )
    dense_prediction_cell_json: str = option(
        flags.DEFINE_string, "", "JSON file of a dense prediction cell that replaces ASPP."
    )
    decoder_output_stride: tuple[int, ...] | None = option(
        flags.DEFINE_list,
        None,
        "Output strides of the DeepLabV3+ decoder, comma separated, descending; unset: no decoder.",
        convert=int,
        minimum=1,
    )
    decoder_use_separable_conv: bool = option(
        flags.DEFINE_bool, True, "Whether decoder convolutions are depthwise separable."
    )
    decoder_filters: int = option(flags.DEFINE_integer, 256, "Channels of the decoder.", minimum=1)
    decoder_use_sum_merge: bool = option(
        flags.DEFINE_bool, False, "Whether the decoder adds features instead of concatenating."
    )
    decoder_output_is_logits: bool = option(
        flags.DEFINE_bool, False, "Whether the decoder's output is the logits."
    )
    logits_kernel_size: int = option(
        flags.DEFINE_integer, 1, "Kernel size of the logits convolution.", minimum=1
    )

    def check(self):
        """Raises OptionError for combinations that no head or decoder can have."""
        strides = self.decoder_output_stride or ()
        if list(strides) != sorted(set(strides), reverse=True):
            raise OptionError(f"--decoder_output_stride is {_joined(strides)}, but must descend.")
        if self.decoder_output_is_logits and not strides:
            raise OptionError("--decoder_output_is_logits needs --decoder_output_stride.")

    def check_network(self, network):
        """Raises OptionError if the decoder is not finer than the backbone's output."""
        strides = self.decoder_output_stride or ()
        if strides and strides[0] >= network.output_stride:
            raise OptionError(
                f"--decoder_output_stride is {_joined(strides)}, but each must be below "
                f"--output_stride={network.output_stride}."
            )


def _joined(values) -> str:
    return ",".join(str(value) for value in values)


VARIANTS = {"deeplab": DeepLabOptions}
