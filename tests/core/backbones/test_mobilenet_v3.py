from unittest import mock

import numpy as np
import pytest

from core import layers, network
from core.backbones import mobilenet_v3
from options.network import NetworkOptions, NetworkSpec
from tests.golden import logits as golden_logits
from tests.golden import rules
from utils.compat import tf
from utils.errors import OptionError

VARIANTS = ("mobilenet_v3_large_seg", "mobilenet_v3_small_seg")
# The large one is a longer table of the same blocks.
SLOW_LARGE = [pytest.param(VARIANTS[0], marks=pytest.mark.slow), VARIANTS[1]]


def _features(variant, images, **flags):
    """Builds features at inference; again in the same graph with the same variables."""
    options = NetworkOptions(model_variant=variant, **flags)
    record = network.backbone(options)
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        return record.build(record.normalize(images), options, layers.INFERENCE)


def _values(fetches):
    with tf.Session() as session:
        golden_logits.load_weights(session)
        return session.run(fetches)


def test_hard_swish_is_zero_below_minus_3_and_the_identity_above_3():
    inputs = tf.constant([-4.0, -3.0, 0.0, 1.0, 3.0, 5.0])
    with tf.Session() as session:
        outputs = session.run(mobilenet_v3.hard_swish(inputs))
    np.testing.assert_allclose(outputs, [0.0, 0.0, 0.0, 4.0 / 6.0, 3.0, 5.0], atol=1e-6)


@pytest.mark.parametrize(
    ("variant", "coarse"),
    # The small network at stride 32 lacks a shortcut that it has where that block is atrous.
    [pytest.param(VARIANTS[0], 32, marks=pytest.mark.slow), (VARIANTS[1], 16)],
)
def test_dense_features_agree_with_strided_ones_but_for_the_image_mean(variant, coarse):
    # The mean over dense features is another one than over strided ones; the corner is the same.
    with mock.patch.object(mobilenet_v3, "_image_mean", lambda inputs: inputs[:, :1, :1]):
        images = tf.constant(rules.noise_image(1, 97, 65)[np.newaxis], tf.float32)
        strided, dense = _values(
            [_features(variant, images, output_stride=stride).output for stride in (coarse, 8)]
        )
    step = coarse // 8
    np.testing.assert_allclose(dense[:, ::step, ::step], strided, atol=1e-4 * np.abs(strided).max())


@pytest.mark.parametrize("variant", SLOW_LARGE)
@pytest.mark.parametrize("multiplier", [0.1, 0.75])
def test_channels_are_multiples_of_8_at_every_width(variant, multiplier):
    images = tf.placeholder(tf.float32, [1, 33, 33, 3])
    features = _features(variant, images, depth_multiplier=multiplier)
    kernels = [
        variable.shape.as_list()
        for variable in tf.global_variables()
        if variable.op.name.endswith("/weights")
    ]
    assert all(shape[3] % 8 == 0 for shape in kernels)
    full = 480 if "large" in variant else 288
    assert features.output.shape.as_list()[3] == pytest.approx(full * multiplier, abs=4)


@pytest.mark.parametrize(
    ("variant", "shapes"),
    [
        (VARIANTS[0], {4: [1, 25, 17, 72], 8: [1, 13, 9, 120], 16: [1, 7, 5, 672]}),
        (VARIANTS[1], {4: [1, 25, 17, 16], 8: [1, 13, 9, 88], 16: [1, 7, 5, 144]}),
    ],
)
def test_decoder_features_are_of_their_stride(variant, shapes):
    images = tf.placeholder(tf.float32, [1, 97, 66, 3])
    features = _features(variant, images, output_stride=32)
    found = {stride: tensor.shape.as_list() for stride, tensor in features.low_level.items()}
    assert found == shapes


def test_images_may_have_any_size():
    images = tf.placeholder(tf.float32, [None, None, None, 3])
    features = _features("mobilenet_v3_small_seg", images).output
    with tf.Session() as session:
        golden_logits.load_weights(session)
        for height, width in ((65, 33), (48, 80)):
            shape = session.run(tf.shape(features), {images: np.zeros([1, height, width, 3])})
            assert list(shape[1:3]) == [-(-height // 16), -(-width // 16)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_another_divisor_than_8_is_refused(variant):
    network.check(NetworkSpec.of(model_variant=variant, divisible_by=8))
    with pytest.raises(OptionError, match=f"channels of {variant} are always multiples of 8"):
        network.check(NetworkSpec.of(model_variant=variant, divisible_by=4))
