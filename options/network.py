"""The options of the network: backbone, head, decoder."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option
from utils.errors import OptionError


@dataclasses.dataclass(frozen=True)
class ModelOptions(Options):
    """The network: everything that decides its graph and its variables."""

    model_variant: str = option(flags.DEFINE_string, "mobilenet_v2", "The backbone.")
    normalization: str = option(
        flags.DEFINE_string,
        "backbone",
        "What the network sees of an image's colours. backbone: what the DeepLab family's weights "
        "of this backbone expect. imagenet: shares of white, minus ImageNet's mean, over its "
        "standard deviation, as weights of other frameworks do. Saved with the checkpoint.",
        choices=("backbone", "imagenet"),
    )
    output_stride: int = option(
        flags.DEFINE_integer,
        16,
        "Input size over feature size; smaller is finer and slower.",
        choices=(8, 16, 32),
    )
    atrous_rates: tuple[int, ...] | None = option(
        flags.DEFINE_multi_integer,
        None,
        "Rate of one 3x3 ASPP branch; repeat the flag for more (6, 12, 18 at output stride 16; "
        "12, 24, 36 at 8). Without it ASPP has its 1x1 branch only.",
        minimum=1,
    )
    multi_grid: tuple[int, ...] | None = option(
        flags.DEFINE_multi_integer,
        None,
        "Unit rate of the last ResNet block; repeat the flag, one value per unit (1, 2, 4).",
        minimum=1,
    )
    depth_multiplier: float = option(
        flags.DEFINE_float, 1.0, "Factor on the channels of a MobileNet.", above=0.0
    )
    divisible_by: int | None = option(
        flags.DEFINE_integer, None, "MobileNet channels are multiples of this.", minimum=1
    )
    use_bounded_activation: bool = option(
        flags.DEFINE_bool, False, "Whether Xception uses ReLU6 instead of ReLU."
    )
    add_image_level_feature: bool = option(
        flags.DEFINE_bool, True, "Whether the head has the image-level (global pooling) branch."
    )
    image_pooling_crop_size: tuple[int, ...] | None = option(
        flags.DEFINE_list,
        None,
        "Height,width in input pixels over which the image-level branch pools; the crop if unset.",
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
        flags.DEFINE_bool, False, "Whether the image-level branch scales the others (MobileNetV3)."
    )
    image_se_uses_qsigmoid: bool = option(
        flags.DEFINE_bool, False, "Whether that scaling uses a piecewise linear sigmoid."
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
    image_pyramid: tuple[float, ...] | None = option(
        flags.DEFINE_multi_float,
        None,
        "Input scale of an image pyramid whose logits are merged; repeat the flag.",
        above=0.0,
    )
    merge_method: str = option(
        flags.DEFINE_string, "max", "How pyramid logits are merged.", choices=("max", "avg")
    )
    prediction_with_upsampled_logits: bool = option(
        flags.DEFINE_bool,
        True,
        "Whether logits are resized before softmax; False resizes probabilities.",
    )
    batch_norm_decay: float = option(
        flags.DEFINE_float,
        0.9997,
        "Decay of the head's batch-norm moving averages; a backbone has its own.",
        minimum=0.0,
        maximum=1.0,
    )
    nas_stem_output_num_conv_filters: int = option(
        flags.DEFINE_integer, 20, "Refused: architecture-search backbones are not part of this."
    )
    nas_use_classification_head: bool = option(
        flags.DEFINE_bool, False, "Refused: architecture-search backbones are not part of this."
    )
    nas_remove_os32_stride: bool = option(
        flags.DEFINE_bool, False, "Refused: architecture-search backbones are not part of this."
    )
    drop_path_keep_prob: float = option(
        flags.DEFINE_float, 1.0, "Refused unless 1: drop path belongs to architecture search."
    )
    quantize_delay_step: int = option(
        flags.DEFINE_integer, -1, "Refused unless -1: it needs TensorFlow 1's contrib package."
    )

    def check(self):
        """Raises OptionError for combinations that no network can have."""
        for name, only in (
            ("nas_stem_output_num_conv_filters", 20),
            ("nas_use_classification_head", False),
            ("nas_remove_os32_stride", False),
            ("drop_path_keep_prob", 1.0),
            ("quantize_delay_step", -1),
        ):
            if getattr(self, name) != only:
                reason = "contrib quantisation" if name.startswith("quant") else "NAS backbones"
                raise OptionError(
                    f"--{name}={getattr(self, name)} cannot have an effect: {reason} are not part "
                    "of this project; leave the flag out."
                )
        strides = self.decoder_output_stride or ()
        if list(strides) != sorted(set(strides), reverse=True):
            raise OptionError(f"--decoder_output_stride is {_joined(strides)}, but must descend.")
        if strides and strides[0] >= self.output_stride:
            raise OptionError(
                f"--decoder_output_stride is {_joined(strides)}, but each must be below "
                f"--output_stride={self.output_stride}."
            )
        if self.decoder_output_is_logits and not strides:
            raise OptionError("--decoder_output_is_logits needs --decoder_output_stride.")


def _joined(values) -> str:
    return ",".join(str(value) for value in values)
