"""Images to logits: normalization, backbone, architecture, at one scale or several."""

from __future__ import annotations

import dataclasses

import core.architectures
import core.backbones
from core import layers
from core.architectures import MERGED, Architecture, Outputs
from core.backbones import NORMALIZATIONS, OF_ANY_CHANNELS, OPTIONAL, Backbone, either
from options.network import NetworkOptions, NetworkSpec
from utils import variants
from utils.compat import slim, tf
from utils.errors import OptionError

# Name -> record; the folders are the registries.
ARCHITECTURES = variants.collect(core.architectures)
BACKBONES = variants.collect(core.backbones)

# Shares of red, green and blue in a grey value (ITU-R BT.601).
_SHARES_OF_GREY = (0.299, 0.587, 0.114)


def architecture(spec: NetworkSpec) -> Architecture:
    """Returns the record of the chosen architecture.

    Raises:
      OptionError: If there is no such architecture.
    """
    return variants.lookup(ARCHITECTURES, spec.options.architecture, "--architecture")


def backbone(options: NetworkOptions) -> Backbone:
    """Returns the record of the chosen backbone, with the chosen normalization.

    Raises:
      OptionError: If there is no such backbone.
    """
    _refuse_nasnet(options.model_variant)
    record = variants.lookup(BACKBONES, options.model_variant, "--model_variant")
    if options.normalization == "backbone":
        return record
    return dataclasses.replace(record, **NORMALIZATIONS[options.normalization]._asdict())


def _refuse_nasnet(name):
    """Raises OptionError for a backbone that others have and this project does not."""
    if name.startswith("nasnet"):
        raise OptionError(
            f"--model_variant={name} is not offered, because no weights for NASNet are maintained; "
            "an accurate backbone with weights is xception_65."
        )


def shared_backbones() -> list:
    """Returns the names of the backbones that are not made for one architecture."""
    return sorted(name for name, record in BACKBONES.items() if not record.architectures)


def variables() -> list:
    """Returns the variables of the network in the default graph, without those of training."""
    return slim.get_model_variables()


def pad_color(spec: NetworkSpec) -> tuple[float, float, float]:
    """Returns the (red, green, blue) in 0..255 that images are padded with."""
    return backbone(spec.options).pad_color


def logits_stride(spec: NetworkSpec) -> int:
    """Returns the stride of the logits of a network without image pyramid."""
    return architecture(spec).logits_stride(spec)


def check(spec: NetworkSpec, crop_size=None, channels=None):
    """Refuses a network that cannot be built, before any graph is.

    Args:
      spec: The network.
      crop_size: (height, width) of its input, if known.
      channels: Number of logits of a pixel, if known.

    Raises:
      OptionError: If options contradict each other, the backbone, the crop size or the channels.
    """
    chosen, record = architecture(spec), backbone(spec.options)
    _check_backbone(spec, chosen, record)
    scales = _scales(spec)
    keys = [_scale_key(scale) for scale in scales]
    if len(set(keys)) != len(keys):
        raise OptionError(
            f"--image_pyramid is {', '.join(keys)}, but its scales must differ in two decimals."
        )
    for scale in scales:
        size = None if crop_size is None else _scaled(crop_size, scale)
        chosen.check(chosen.at_scale(spec, scale), record, image_size=size, channels=channels)


def _check_backbone(spec, chosen, record):
    options, defaults = spec.options, NetworkOptions()
    if record.architectures and options.architecture not in record.architectures:
        raise OptionError(
            f"--model_variant={options.model_variant} works under "
            f"--architecture={either(record.architectures)} only, not {options.architecture}."
        )
    _check_output_stride(options, defaults, record)
    _check_normalization(options, record)
    for name in OPTIONAL:
        is_default = getattr(options, name) == getattr(defaults, name)
        if not is_default and name not in record.takes | chosen.takes:
            raise OptionError(
                f"--{name} has no effect on {options.model_variant} with "
                f"--architecture={options.architecture}; leave it out."
            )
    record.check(options)
    missing = sorted(set(chosen.strides) - set(record.channels))
    if missing:
        raise OptionError(
            f"--architecture={options.architecture} needs features of stride {either(missing)}, "
            f"which {options.model_variant} does not have."
        )


def _check_normalization(options, record):
    if options.input_channels != 3 and record.normalize not in OF_ANY_CHANNELS:
        raise OptionError(
            f"--normalization={options.normalization} of {options.model_variant} has values for "
            f"red, green and blue, but --input_channels is {options.input_channels}; pass "
            "--normalization=tf or none."
        )


def _check_output_stride(options, defaults, record):
    if record.output_strides and options.output_stride not in record.output_strides:
        raise OptionError(
            f"--output_stride is {options.output_stride}, but {options.model_variant} can do "
            f"{either(record.output_strides)}."
        )
    if not record.output_strides and options.output_stride != defaults.output_stride:
        raise OptionError(
            f"--output_stride has no effect on {options.model_variant}, whose output stride is "
            f"{record.output_stride(options)}; leave it out."
        )


def build(
    images: tf.Tensor,
    spec: NetworkSpec,
    channels: int,
    mode: layers.Mode = layers.INFERENCE,
    *,
    crop_size=None,
) -> Outputs:
    """Builds a network for a batch of images.

    Called again in the same graph it uses the same variables.

    Args:
      images: [N, h, w, input channels] float32, 0..255, not normalized. A network with one input
        channel also takes RGB and makes it grey.
      spec: The network.
      channels: Number of logits of a pixel.
      mode: What the graph is for.
      crop_size: (height, width) of the images. With None images may have any size.

    Returns:
      The logits [N, h', w', channels], of the size that the largest scale (at least 1) has over
      the stride of the logits. With an image pyramid the logits of each scale are supervised too,
      under names such as "0.50" and in the size of the merged ones.

    Raises:
      OptionError: If the network cannot be built, or not for these images.
    """
    check(spec, crop_size, channels)
    _check_images(images, crop_size)
    images = _with_input_channels(images, spec.options.input_channels)
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
        return _merged(_at_scales(images, spec, mode, channels, crop_size), spec)


def _check_images(images, crop_size):
    static = images.shape.as_list()[1:3]
    if crop_size is not None and None not in static and tuple(static) != tuple(crop_size):
        raise ValueError(f"Images are {static[0]}x{static[1]}, but crop_size is {crop_size}.")


def _with_input_channels(images, wanted: int):
    """Returns images [N, h, w, wanted]."""
    found = images.shape.as_list()[3]
    if found == wanted:
        return images
    if wanted == 1 and found == 3:
        return tf.reduce_sum(images * tf.constant(_SHARES_OF_GREY), axis=3, keepdims=True)
    raise OptionError(
        f"the network takes images of {wanted} channels (--input_channels), but these have {found}."
    )


def _at_scales(images, spec, mode, channels, crop_size) -> dict:
    """Returns key of a scale -> its outputs, the logits of all scales in one size."""
    chosen, scales = architecture(spec), _scales(spec)
    size = layers.spatial_size(images) if crop_size is None else crop_size
    merged_size = _scaled(size, max(1.0, *scales) / chosen.logits_stride(spec))
    outputs = {}
    for scale in scales:
        scaled_images, scaled_crop = images, crop_size
        if scale != 1.0:
            scaled_size = _scaled(size, scale)
            scaled_images = layers.resize_bilinear(images, scaled_size, chosen.align_corners)
            scaled_crop = None if crop_size is None else scaled_size
        one = _one_scale(scaled_images, chosen.at_scale(spec, scale), mode, channels, scaled_crop)
        outputs[_scale_key(scale)] = _resized(one, merged_size, chosen.align_corners)
    return outputs


def _one_scale(images, spec, mode, channels, crop_size) -> Outputs:
    record = backbone(spec.options)
    features = record.build(record.normalize(images), spec.options, mode)
    outputs = architecture(spec).build(
        features._replace(output=tf.identity(features.output, name="features")),
        spec,
        mode,
        channels,
        image_size=layers.spatial_size(images),
        crop_size=crop_size,
    )
    supervised = [logits for logits, _ in outputs.supervised.values()]
    layers.drop_unused(record.scope, [outputs.logits, *supervised])
    return outputs


def _resized(outputs, size, align_corners) -> Outputs:
    """Returns outputs whose answer has a size."""
    logits = layers.resize_bilinear(outputs.logits, size, align_corners)
    supervised = dict(outputs.supervised)
    if MERGED in supervised:
        supervised[MERGED] = (logits, supervised[MERGED][1])
    return Outputs(logits, supervised)


def _merged(by_scale: dict, spec) -> Outputs:
    """Returns the outputs of an image pyramid as those of one network."""
    outputs = list(by_scale.values())
    if len(outputs) == 1:
        return outputs[0]
    supervised = {
        key if name == MERGED else f"{name}_{key}": output
        for key, one in by_scale.items()
        for name, output in one.supervised.items()
    }
    merge = tf.reduce_max if spec.options.merge_method == "max" else tf.reduce_mean
    logits = merge(tf.stack([one.logits for one in outputs], axis=4), axis=4)
    if MERGED in outputs[0].supervised:
        supervised[MERGED] = (logits, outputs[0].supervised[MERGED][1])
    return Outputs(logits, supervised)


def _scales(spec) -> tuple:
    return spec.options.image_pyramid or (1.0,)


def _scaled(size, scale) -> tuple:
    return tuple(layers.scaled_size(side, scale) for side in size)


def _scale_key(scale) -> str:
    return f"{scale:.2f}"
