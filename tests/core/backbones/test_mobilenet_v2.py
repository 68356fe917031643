"""MobileNetV2: widths and atrous rates; test_backbones.py holds what all backbones promise."""

from unittest import mock

import pytest

from core import layers
from core.backbones import mobilenet_v2
from options.network import NetworkOptions
from utils.compat import tf


def features_of(size, **flags):
    images = tf.zeros([1, size, size, 3])
    return mobilenet_v2.build(images, NetworkOptions(**flags), layers.INFERENCE)


def first_shapes(**flags):
    """Returns the shapes of the variables of the first six blocks."""
    with mock.patch.object(mobilenet_v2, "BLOCKS", mobilenet_v2.BLOCKS[:6]):
        features_of(65, **flags)
    return {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}


def test_without_weight_decay_and_training_nothing_is_regularized_or_updated():
    features_of(65)
    assert not tf.losses.get_regularization_losses()
    assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)


def test_decoder_features_are_the_filtered_expanded_ones():
    lower = features_of(65, output_stride=32).low_level
    assert {stride: tensor.shape.as_list()[3] for stride, tensor in lower.items()} == {
        4: 144,
        8: 192,
        16: 576,
    }


def test_atrous_rates_start_after_the_block_whose_stride_is_removed():
    def rates(output_stride):
        blocks = mobilenet_v2.BLOCKS
        return [rate for _, rate in mobilenet_v2.placements(blocks, output_stride)]

    assert rates(8) == [1] * 7 + [2] * 7 + [4] * 3
    assert rates(16) == [1] * 14 + [2] * 3
    assert rates(32) == [1] * 17


def test_half_width_does_not_round_channels_to_multiples_of_8():
    shapes = first_shapes(depth_multiplier=0.5)
    assert shapes["MobilenetV2/expanded_conv_1/project/weights"] == [1, 1, 48, 12]


def test_divisible_by_rounds_channels():
    shapes = first_shapes(depth_multiplier=0.5, divisible_by=8)
    assert shapes["MobilenetV2/expanded_conv_1/project/weights"] == [1, 1, 48, 16]


def test_expanded_channels_are_always_multiples_of_8():
    shapes = first_shapes(depth_multiplier=0.35)
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
