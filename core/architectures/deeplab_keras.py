"""DeepLabV3 of the Keras libraries, which is DeepLabV3+ over Xception (arXiv 1802.02611).

Over MobileNetV2 the head has no atrous branches, and there is no decoder. Predictions are activated
before they are resized to the image.
"""

from __future__ import annotations

from core import layers
from core.architectures import Architecture, Outputs
from core.backbones import Backbone, Features, either, keras
from core.backbones.mobilenet_v2_keras import LAST_BLOCK
from options.network import NetworkSpec
from utils.compat import tf
from utils.errors import OptionError

_HEAD, _DECODER, _CLASSIFIER = "head", "decoder", "logits/semantic"
_FILTERS, _SKIP_FILTERS = 256, 48
_KEEP_PROB = 0.9
_DECODER_STRIDE = 4

_MOBILENET, _XCEPTION = "mobilenet_v2_keras", "xception_keras"
# Backbone -> output stride -> rates of the atrous branches.
_RATES = {_MOBILENET: {8: ()}, _XCEPTION: {8: (12, 24, 36), 16: (6, 12, 18)}}


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
    del image_size, crop_size
    with layers.arg_scope(mode, decay=spec.options.batch_norm_decay):
        with tf.variable_scope(_HEAD):
            outputs = _head(_features(features, spec), _rates(spec))
            outputs = layers.dropout(outputs, _KEEP_PROB, mode)
        if _has_decoder(spec):
            with tf.variable_scope(_DECODER):
                outputs = _decoder(outputs, features.low_level[_DECODER_STRIDE])
        logits = layers.conv2d(
            outputs, channels, 1, activation_fn=None, normalizer_fn=None, scope=_CLASSIFIER
        )
    return Outputs.of(logits)


def _features(features, spec):
    """Returns what the head sees: of MobileNetV2 not the last convolution, made to classify."""
    if spec.options.model_variant == _MOBILENET:
        return features.named[LAST_BLOCK][1]
    return features.output


def _rates(spec) -> tuple:
    return _RATES[spec.options.model_variant][spec.options.output_stride]


def _has_decoder(spec) -> bool:
    return spec.options.model_variant == _XCEPTION


def _head(features, rates):
    """Returns the joined branches: image-level features, a 1x1 and the atrous convolutions."""
    pooled = tf.reduce_mean(features, axis=[1, 2], keepdims=True)
    pooled = keras.convolve(pooled, _FILTERS, 1, scope="image_pooling")
    branches = [
        layers.resize_bilinear(pooled, layers.spatial_size(features)),
        keras.convolve(features, _FILTERS, 1, scope="aspp0"),
    ]
    for number, rate in enumerate(rates, 1):
        branches.append(keras.separable(features, _FILTERS, rate=rate, scope=f"aspp{number}"))
    return keras.convolve(tf.concat(branches, 3), _FILTERS, 1, scope="concat_projection")


def _decoder(outputs, skip):
    outputs = layers.resize_bilinear(outputs, layers.spatial_size(skip))
    skip = keras.convolve(skip, _SKIP_FILTERS, 1, scope="feature_projection0")
    outputs = tf.concat([outputs, skip], 3)
    for number in range(2):
        outputs = keras.separable(outputs, _FILTERS, scope=f"decoder_conv{number}")
    return outputs


def check(spec: NetworkSpec, unused_backbone: Backbone, *, image_size, channels):
    """Raises OptionError for what the original cannot build, and for what has no effect."""
    del image_size, channels
    variant, stride = spec.options.model_variant, spec.options.output_stride
    if variant not in _RATES:
        raise OptionError(
            f"--model_variant is {variant}, but --architecture=deeplab_keras is built over "
            f"{either(_RATES)}; other backbones go with --architecture=deeplab."
        )
    if stride not in _RATES[variant]:
        raise OptionError(
            f"--output_stride is {stride}, but --architecture=deeplab_keras over {variant} can do "
            f"{either(_RATES[variant])}."
        )
    if not spec.options.prediction_with_upsampled_logits:
        raise OptionError(
            "--noprediction_with_upsampled_logits has no effect with "
            "--architecture=deeplab_keras, which always activates before it resizes; leave it out."
        )


def logits_stride(spec: NetworkSpec) -> int:
    """Returns the stride of the logits: the decoder's, or that of the features."""
    return _DECODER_STRIDE if _has_decoder(spec) else spec.options.output_stride


VARIANTS = {
    "deeplab_keras": Architecture(
        build=build,
        logits_stride=logits_stride,
        classifier=_CLASSIFIER,
        head_scopes=(f"{_HEAD}/", f"{_DECODER}/"),
        decoder_scopes=(f"{_DECODER}/",),
        check=check,
        align_corners=True,
        activates_before_resizing=True,
    )
}
