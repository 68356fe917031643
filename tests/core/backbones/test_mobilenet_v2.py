"""MobileNetV2: names and shapes of released checkpoints, output strides, widths."""

import numpy as np
import pytest

from core import layers
from core.backbones import mobilenet_v2
from options.network import NetworkOptions
from tests.resources import golden_json
from utils.compat import tf


def build(images, mode=None, **flags):
    return mobilenet_v2.build(images, NetworkOptions(**flags), mode or layers.INFERENCE)


def features_of(size, mode=None, **flags):
    return build(tf.zeros([1, size, size, 3]), mode, **flags)


def variable_shapes():
    return {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}


@pytest.mark.parametrize(
    ("name", "flags"), [("mobilenet_v2", {}), ("mobilenet_v2_dm05", {"depth_multiplier": 0.5})]
)
def test_variables_are_those_of_the_reference(name, flags):
    expected = {
        variable["name"]: variable
        for variable in golden_json(f"variables/{name}.json")["variables"]
        if variable["name"].startswith("MobilenetV2/") and variable["model_variable"]
    }
    features_of(97, layers.Mode(True, True, 4e-5), **flags)
    assert variable_shapes() == {key: value["shape"] for key, value in expected.items()}
    trainable = {variable.op.name for variable in tf.trainable_variables()}
    assert trainable == {key for key, value in expected.items() if value["trainable"]}


def test_only_convolution_weights_are_regularized():
    features_of(65, layers.Mode(weight_decay=4e-5))
    weights = [name for name in variable_shapes() if name.endswith("/weights")]
    losses = tf.losses.get_regularization_losses()
    regularized = {loss.op.name.split("/Regularizer")[0] for loss in losses}
    assert len(losses) == len(weights) == 34
    assert all(any(name.startswith(scope) for scope in regularized) for name in weights)


def test_without_weight_decay_nothing_is_regularized():
    features_of(65)
    assert not tf.losses.get_regularization_losses()


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_features_have_the_size_of_the_output_stride(size, output_stride):
    features = features_of(size, output_stride=output_stride)
    side = -(-size // output_stride)
    assert features.output.shape.as_list() == [1, side, side, 320]
    for stride, lower in features.low_level.items():
        side = -(-size // stride)
        assert stride < output_stride
        assert lower.shape.as_list()[1:3] == [side, side]


def test_decoder_features_are_the_filtered_expanded_ones():
    lower = features_of(65, output_stride=32).low_level
    assert {stride: tensor.shape.as_list()[3] for stride, tensor in lower.items()} == {
        4: 144,
        8: 192,
        16: 576,
    }


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dense_features_agree_with_those_of_stride_32_after_subsampling(output_stride):
    images = tf.constant(np.random.RandomState(0).uniform(-1, 1, [1, 65, 65, 3]), tf.float32)
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        dense = build(images, output_stride=output_stride, depth_multiplier=0.25).output
        coarse = build(images, output_stride=32, depth_multiplier=0.25).output
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        dense_value, coarse_value = session.run([dense, coarse])
    step = 32 // output_stride
    assert np.abs(coarse_value).max() > 0
    np.testing.assert_allclose(dense_value[:, ::step, ::step], coarse_value, atol=1e-5)


def test_atrous_rates_start_after_the_block_whose_stride_is_removed():
    def rates(output_stride):
        blocks = mobilenet_v2.BLOCKS
        return [rate for _, rate in mobilenet_v2.placements(blocks, output_stride)]

    assert rates(8) == [1] * 7 + [2] * 7 + [4] * 3
    assert rates(16) == [1] * 14 + [2] * 3
    assert rates(32) == [1] * 17


@pytest.mark.parametrize("depth_multiplier", [1.0, 0.35])
def test_every_trainable_variable_receives_a_gradient(depth_multiplier):
    output = features_of(65, layers.Mode(True, True), depth_multiplier=depth_multiplier).output
    gradients = tf.gradients(tf.reduce_sum(output), tf.trainable_variables())
    assert None not in gradients


def test_frozen_batch_norm_has_no_updates():
    features_of(65)
    assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)


def test_half_width_does_not_round_channels_to_multiples_of_8():
    features_of(65, depth_multiplier=0.5)
    assert variable_shapes()["MobilenetV2/expanded_conv_1/project/weights"] == [1, 1, 48, 12]


def test_divisible_by_rounds_channels():
    features_of(65, depth_multiplier=0.5, divisible_by=8)
    assert variable_shapes()["MobilenetV2/expanded_conv_1/project/weights"] == [1, 1, 48, 16]


def test_expanded_channels_are_always_multiples_of_8():
    features_of(65, depth_multiplier=0.35)
    shapes = variable_shapes()
    # 24 * 0.35 is 8 channels, 48 expanded; 32 * 0.35 is 11, 66 expanded, 64 the nearest multiple.
    assert shapes["MobilenetV2/expanded_conv_2/expand/weights"] == [1, 1, 8, 48]
    assert shapes["MobilenetV2/expanded_conv_4/expand/weights"] == [1, 1, 11, 64]


@pytest.mark.parametrize(
    ("channels", "divisor", "minimum", "expected"),
    [
        (32, 8, 8, 32),
        (12.0, 1, 1, 12),
        (11.2, 1, 1, 11),
        (12.0, 8, 8, 16),
        (18.0, 8, 8, 24),
        (3.0, 8, 8, 8),
        (0.4, 1, 1, 1),
    ],
)
def test_channels_are_rounded_but_never_lose_more_than_a_tenth(
    channels, divisor, minimum, expected
):
    assert mobilenet_v2.make_divisible(channels, divisor, minimum) == expected
