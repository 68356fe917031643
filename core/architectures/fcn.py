"""FCN as torchvision has it: a 3x3 convolution, dropout, classifier; an auxiliary head alike.

Source: arXiv 1411.4038, and torchvision/models/segmentation/fcn.py. Variables are named as there,
initial kernels and biases are its own: uniform up to 1 / sqrt(fan-in) on both sides of zero.
"""

from __future__ import annotations

from core import layers
from core.architectures import Architecture, Outputs
from core.backbones import Features
from options.network import NetworkSpec
from utils.compat import tf

SCOPE, AUXILIARY_SCOPE = "classifier", "aux_classifier"
# Of either head.
CLASSIFIER = "4"
# Stride of the stage that the auxiliary head sees, and its factor of the learning rate.
AUXILIARY_STRIDE = 16
AUXILIARY_MULTIPLIER = 10.0
_AUXILIARY_DROPOUT = 0.1
_BATCH_NORM_EPSILON = 1e-5


def build(
    features: Features,
    spec: NetworkSpec,
    mode: layers.Mode,
    channels: int,
    *,
    image_size,
    crop_size,
) -> Outputs:
    """Builds the head, and the auxiliary one in training; see `Architecture.build`."""
    del image_size, crop_size
    options = spec.architecture
    with arg_scope(spec, mode):
        logits = head(features.output, channels, options.fcn_dropout, mode, SCOPE)
        auxiliary = auxiliary_head(features, channels, options.fcn_aux_loss_weight, mode)
    return Outputs.of(logits, **auxiliary)


def arg_scope(spec: NetworkSpec, mode: layers.Mode):
    """Returns the arg scope of the heads of torchvision's networks."""
    return layers.arg_scope(
        mode,
        decay=spec.options.batch_norm_decay,
        epsilon=_BATCH_NORM_EPSILON,
        weights_initializer=tf.variance_scaling_initializer(1.0 / 3.0, "fan_in", "uniform"),
    )


def head(
    inputs: tf.Tensor, channels: int, dropout: float, mode: layers.Mode, scope: str
) -> tf.Tensor:
    """Returns the logits [N, h, w, channels] of a 3x3 convolution to a quarter of the channels.

    Args:
      inputs: [N, h, w, channels of a stage].
      channels: Number of logits of a pixel.
      dropout: Share of the elements that training drops.
      mode: What the graph is for.
      scope: Scope of the head.
    """
    with tf.variable_scope(scope):
        width = inputs.shape.as_list()[3] // 4
        outputs = layers.conv2d_batch_norm(inputs, width, 3, scope="0", norm_scope="1")
        outputs = layers.dropout(outputs, 1.0 - dropout, mode)
        return classifier(outputs, channels)


def classifier(inputs: tf.Tensor, channels: int) -> tf.Tensor:
    """Returns the logits of a 1x1 convolution in the scope of a head."""
    bound = inputs.shape.as_list()[3] ** -0.5
    return layers.conv2d(
        inputs,
        channels,
        1,
        activation_fn=None,
        normalizer_fn=None,
        biases_initializer=tf.random_uniform_initializer(-bound, bound),
        scope=CLASSIFIER,
    )


def auxiliary_head(features: Features, channels: int, weight: float, mode: layers.Mode) -> dict:
    """Returns the auxiliary output for `Outputs.of`; empty in inference and with weight 0.

    Args:
      features: The backbone's.
      channels: Number of logits of a pixel.
      weight: Of the loss.
      mode: What the graph is for.
    """
    if not weight or not mode.has_auxiliary:
        return {}
    inputs = features.stages[AUXILIARY_STRIDE]
    return {"aux": (head(inputs, channels, _AUXILIARY_DROPOUT, mode, AUXILIARY_SCOPE), weight)}


def record(build) -> Architecture:
    """Returns the record of an architecture of torchvision, whose heads have the same scopes."""
    return Architecture(
        build=build,
        logits_stride=lambda spec: spec.options.output_stride,
        head_scopes=(f"{SCOPE}/", f"{AUXILIARY_SCOPE}/"),
        classifier=f"{SCOPE}/{CLASSIFIER}",
        auxiliary_classifiers=(f"{AUXILIARY_SCOPE}/{CLASSIFIER}",),
        auxiliary_scopes=(f"{AUXILIARY_SCOPE}/",),
        rate_multipliers={f"{AUXILIARY_SCOPE}/": AUXILIARY_MULTIPLIER},
        strides=(AUXILIARY_STRIDE,),
    )


VARIANTS = {"fcn": record(build)}
