"""Images to logits: normalisation, backbone, head, decoder, logits, at one scale or several."""

from __future__ import annotations

import dataclasses

import core.backbones
from core import layers
from core.architectures.deeplab import aspp, decoder, dense_prediction_cell
from core.architectures.deeplab import logits as logits_layer
from core.backbones import Backbone, either
from core.layers import convolution
from options.network import NetworkOptions, NetworkSpec
from utils import variants
from utils.compat import slim, tf
from utils.errors import OptionError

# Name -> record of every backbone; the folder is the registry.
BACKBONES = variants.collect(core.backbones)

# Key of the final logits among those of an image pyramid.
MERGED = "merged"


def backbone(options: NetworkOptions) -> Backbone:
    """Returns the record of the chosen backbone, with the chosen normalisation.

    Raises:
      OptionError: If there is no such backbone.
    """
    record = variants.lookup(BACKBONES, options.model_variant, "--model_variant")
    if options.normalization == "backbone":
        return record
    return dataclasses.replace(
        record,
        normalize=core.backbones.standardize,
        pad_color=core.backbones.STANDARDIZED_MEAN,
    )


def pad_color(spec: NetworkSpec) -> tuple[float, float, float]:
    """Returns the (red, green, blue) in 0..255 that images are padded with."""
    return backbone(spec.options).pad_color


def check(spec: NetworkSpec, crop_size=None):
    """Refuses a network that cannot be built, before any graph is.

    Args:
      spec: The network.
      crop_size: (height, width) of its input, if known.

    Raises:
      OptionError: If options contradict each other, the backbone or the crop size.
    """
    backbone(spec.options).check(spec.options)
    _check_head(spec)
    keys = [_scale_key(scale) for scale in _scales(spec.options)]
    if len(set(keys)) != len(keys):
        raise OptionError(
            f"--image_pyramid is {', '.join(keys)}, but its scales must differ in two decimals."
        )
    if crop_size is not None:
        _check_pooling(spec.architecture, crop_size)


def _check_head(spec):
    options = spec.architecture
    for stride in options.decoder_output_stride or ():
        available = backbone(spec.options).decoder_strides
        if stride not in available:
            raise OptionError(
                f"--decoder_output_stride has {stride}, but {spec.options.model_variant} has "
                f"features for a decoder at stride {either(available)} only."
            )
    if options.logits_kernel_size != 1 and (
        options.aspp_with_batch_norm or not options.atrous_rates
    ):
        raise OptionError(
            f"--logits_kernel_size={options.logits_kernel_size} needs --noaspp_with_batch_norm and "
            "--atrous_rates: behind ASPP the logits are a 1x1 convolution."
        )
    if options.dense_prediction_cell_json:
        dense_prediction_cell.load(spec)
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


def _check_pooling(options, crop_size):
    window = options.image_pooling_crop_size
    if window is None or not options.add_image_level_feature:
        return
    if window[0] > crop_size[0] or window[1] > crop_size[1]:
        raise OptionError(
            f"--image_pooling_crop_size is {window[0]},{window[1]}, but the crop is only "
            f"{crop_size[0]},{crop_size[1]}; leave the flag out to pool over the whole crop."
        )


def logits(
    images: tf.Tensor,
    spec: NetworkSpec,
    num_classes: int,
    *,
    crop_size=None,
    is_training: bool = False,
    fine_tune_batch_norm: bool = False,
    weight_decay: float = 0.0,
) -> dict[str, tf.Tensor]:
    """Returns the logits of a batch of images.

    Called again in the same graph it uses the same variables.

    Args:
      images: [N, h, w, 3] float32, 0..255, not normalised.
      spec: The network.
      num_classes: Number of classes.
      crop_size: (height, width) of the images, which decides the window of the image-level
        pooling. With None images may have any size, and pooling covers all of them.
      is_training: Whether the graph trains.
      fine_tune_batch_norm: Whether batch norm learns while the graph trains.
      weight_decay: L2 factor of convolution weights.

    Returns:
      "merged" -> [N, h', w', num_classes], and for an image pyramid also the logits of each scale
      ("0.50" -> ...), all of the size that the largest scale (at least 1) has over the stride of
      the decoder, or the output stride.

    Raises:
      OptionError: If the network cannot be built.
    """
    check(spec, crop_size)
    _check_images(images, crop_size)
    _check_classes(spec.architecture, num_classes)
    mode = layers.Mode(is_training, fine_tune_batch_norm, weight_decay)
    # In training the caller's arg scope says how convolutions are computed, else layers.conv2d.
    native = {} if is_training else {"formulation": convolution.NATIVE}
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE), slim.arg_scope(
        [layers.conv2d], **native
    ):
        return _pyramid_logits(images, spec, mode, num_classes, crop_size)


def _check_images(images, crop_size):
    static = images.shape.as_list()[1:3]
    if crop_size is not None and None not in static and tuple(static) != tuple(crop_size):
        raise ValueError(f"Images are {static[0]}x{static[1]}, but crop_size is {crop_size}.")


def _check_classes(options, num_classes):
    if options.decoder_output_is_logits and options.decoder_filters != num_classes:
        raise OptionError(
            f"--decoder_filters={options.decoder_filters} must be the number of classes, "
            f"{num_classes}, with --decoder_output_is_logits."
        )


def _pyramid_logits(images, spec, mode, num_classes, crop_size):
    size = layers.spatial_size(images) if crop_size is None else crop_size
    scales = _scales(spec.options)
    merged_scale = max(1.0, max(scales)) / logits_stride(spec)
    merged_size = [layers.scaled_size(side, merged_scale) for side in size]
    outputs = {}
    for scale in scales:
        scale_spec, scale_images, scale_crop = spec, images, crop_size
        if scale != 1.0:
            scaled = tuple(layers.scaled_size(side, scale) for side in size)
            scale_spec = _scaled_pooling(spec, scale)
            scale_images = layers.resize_bilinear(images, scaled)
            scale_crop = None if crop_size is None else scaled
        outputs[_scale_key(scale)] = layers.resize_bilinear(
            _logits(scale_images, scale_spec, mode, num_classes, scale_crop), merged_size
        )
    if len(outputs) == 1:
        return {MERGED: next(iter(outputs.values()))}
    merge = tf.reduce_max if spec.options.merge_method == "max" else tf.reduce_mean
    outputs[MERGED] = merge(tf.stack(list(outputs.values()), axis=4), axis=4)
    return outputs


def _logits(images, spec, mode, num_classes, crop_size):
    options = spec.architecture
    record = backbone(spec.options)
    features = record.build(
        record.normalize(images),
        spec.options,
        is_training=mode.trains_batch_norm,
        weight_decay=mode.weight_decay,
    )
    outputs = tf.identity(features.output, name="features")
    if options.aspp_with_batch_norm:
        head = dense_prediction_cell if options.dense_prediction_cell_json else aspp
        outputs = head.build(outputs, spec, mode, crop_size=crop_size)
    if options.decoder_output_stride:
        outputs = decoder.build(
            outputs, features.at_stride, spec, mode, layers.spatial_size(images)
        )
        if options.decoder_output_is_logits:
            return outputs
    return logits_layer.build(outputs, options, mode, num_classes)


def logits_stride(spec: NetworkSpec) -> int:
    """Returns the stride of the logits: the decoder's finest, or the output stride."""
    return min(spec.architecture.decoder_output_stride or (spec.options.output_stride,))


def _scales(options):
    return options.image_pyramid or (1.0,)


def _scale_key(scale):
    return f"{scale:.2f}"


def _scaled_pooling(spec, scale):
    """Returns the network with its pooling window scaled like the image."""
    window = spec.architecture.image_pooling_crop_size
    if window is None:
        return spec
    scaled = tuple(layers.scaled_size(side, scale) for side in window)
    return spec.replace(image_pooling_crop_size=scaled)
