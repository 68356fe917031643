"""DeepLab: a head of parallel atrous convolutions, a decoder where one is asked for, and logits."""

from __future__ import annotations

from core import layers
from core.architectures import Architecture, Outputs
from core.architectures.deeplab import aspp, decoder, dense_prediction_cell, logits
from core.backbones import Backbone, Features, either
from options.network import NetworkSpec
from utils.errors import OptionError

_DECODER_SCOPES = ("decoder/",)
_HEAD_SCOPES = (
    "image_pooling/",
    r"aspp\d+(_depthwise|_pointwise)?/",
    "concat_projection/",
    "meta_architecture/",
    *_DECODER_SCOPES,
)


def build(
    features: Features,
    spec: NetworkSpec,
    mode: layers.Mode,
    channels: int,
    *,
    image_size,
    crop_size,
) -> Outputs:
    """Builds head, decoder and logits; see `Architecture.build`."""
    options = spec.architecture
    outputs = features.output
    if options.aspp_with_batch_norm:
        head = dense_prediction_cell if options.dense_prediction_cell_json else aspp
        outputs = head.build(outputs, spec, mode, crop_size=crop_size)
    if options.decoder_output_stride:
        outputs = decoder.build(outputs, features.low_level, spec, mode, image_size)
        if options.decoder_output_is_logits:
            return Outputs.of(outputs)
    return Outputs.of(logits.build(outputs, options, mode, channels))


def logits_stride(spec: NetworkSpec) -> int:
    """Returns the stride of the logits: the decoder's finest, or the output stride."""
    return min(spec.architecture.decoder_output_stride or (spec.options.output_stride,))


def at_scale(spec: NetworkSpec, scale: float) -> NetworkSpec:
    """Returns the network with its pooling window scaled like the image."""
    window = spec.architecture.image_pooling_crop_size
    if window is None:
        return spec
    scaled = tuple(layers.scaled_size(side, scale) for side in window)
    return spec.replace(image_pooling_crop_size=scaled)


def can_turn(spec: NetworkSpec) -> bool:
    """Whether the pooling window goes with the crop."""
    return spec.architecture.image_pooling_crop_size is None


def check(spec: NetworkSpec, backbone: Backbone, *, image_size, channels):
    """Raises OptionError for options that contradict each other, the backbone or the sizes."""
    options = spec.architecture
    _check_head(options)
    _check_decoder(spec, backbone, channels)
    if options.dense_prediction_cell_json:
        dense_prediction_cell.load(spec)
    if image_size is not None:
        _check_pooling(options, image_size)


def _check_head(options):
    if options.logits_kernel_size != 1 and (
        options.aspp_with_batch_norm or not options.atrous_rates
    ):
        raise OptionError(
            f"--logits_kernel_size={options.logits_kernel_size} needs --noaspp_with_batch_norm and "
            "--atrous_rates: after ASPP the logits are a 1x1 convolution."
        )
    if options.aspp_with_squeeze_and_excitation:
        if not options.add_image_level_feature:
            raise OptionError(
                "--aspp_with_squeeze_and_excitation needs the image-level branch; leave out "
                "--noadd_image_level_feature."
            )
        if options.atrous_rates and not options.aspp_with_concat_projection:
            raise OptionError(
                "--aspp_with_squeeze_and_excitation with --atrous_rates needs "
                "--aspp_with_concat_projection: it scales as many channels as one branch has."
            )


def _check_decoder(spec, backbone, channels):
    options = spec.architecture
    for stride in options.decoder_output_stride or ():
        if stride not in backbone.low_level_strides:
            raise OptionError(
                f"--decoder_output_stride has {stride}, but {spec.options.model_variant} has "
                f"features for a decoder at stride {either(backbone.low_level_strides)} only."
            )
    if channels is None or not options.decoder_output_is_logits:
        return
    if options.decoder_filters != channels:
        raise OptionError(
            f"--decoder_filters={options.decoder_filters} must be the number of classes, "
            f"{channels}, with --decoder_output_is_logits."
        )


def _check_pooling(options, image_size):
    window = options.image_pooling_crop_size
    if window is None or not options.add_image_level_feature:
        return
    if window[0] > image_size[0] or window[1] > image_size[1]:
        raise OptionError(
            f"--image_pooling_crop_size is {window[0]},{window[1]}, but the crop is only "
            f"{image_size[0]},{image_size[1]}; leave the flag out to pool over the whole crop."
        )


VARIANTS = {
    "deeplab": Architecture(
        build=build,
        logits_stride=logits_stride,
        classifier=f"{logits.SCOPE}/{logits.OUTPUT}",
        head_scopes=_HEAD_SCOPES,
        decoder_scopes=_DECODER_SCOPES,
        check=check,
        at_scale=at_scale,
        takes=frozenset(["use_bounded_activation"]),
        can_turn=can_turn,
        align_corners=True,
    )
}
