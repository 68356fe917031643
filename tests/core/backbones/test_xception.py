import numpy as np
import pytest

from core import layers, network
from core.backbones import scale_to_unit_range, xception
from core.backbones.xception import IDENTITY, NONE, Block
from options.network import NetworkOptions, NetworkSpec
from tests.golden import logits as golden_logits
from tests.golden import rules
from utils.compat import tf
from utils.errors import OptionError

# Few channels and one unit per block: the mechanism is that of the real networks.
_BLOCKS = (
    Block("entry_flow/block1", (8, 8, 8)),
    Block("entry_flow/block2", (12, 12, 16)),
    Block("entry_flow/block3", (24, 20, 24)),
    Block("middle_flow/block1", (24, 24, 24), stride=1, shortcut=IDENTITY),
    Block("exit_flow/block1", (24, 28, 32)),
    Block("exit_flow/block2", (32, 32, 40), stride=1, shortcut=NONE),
)


def _features(images, **flags):
    """Builds a small network at inference; in the same graph again with the same variables."""
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        return xception.build(
            scale_to_unit_range(images),
            NetworkOptions(**flags),
            layers.INFERENCE,
            scope="tiny",
            blocks=_BLOCKS,
        )


def _values(fetches):
    with tf.Session() as session:
        golden_logits.load_weights(session)
        return session.run(fetches)


def _image(height, width):
    return tf.constant(rules.noise_image(1, height, width)[np.newaxis], tf.float32)


def test_dense_features_agree_with_strided_ones_at_even_sizes_too():
    images = _image(64, 96)
    strided, dense = _values([_features(images, output_stride=stride).output for stride in (32, 8)])
    assert strided.shape == (1, 2, 3, 40)
    np.testing.assert_allclose(dense[:, ::4, ::4], strided, atol=1e-4 * np.abs(strided).max())


def test_bounded_features_are_between_0_and_6_and_agree_where_sides_are_32k_plus_1():
    images = _image(65, 33)
    strided, dense = _values(
        [
            _features(images, output_stride=stride, use_bounded_activation=True).output
            for stride in (32, 16)
        ]
    )
    assert strided.min() >= 0.0
    assert strided.max() <= 6.0
    np.testing.assert_allclose(dense[:, ::2, ::2], strided, atol=1e-4)


def test_multi_grid_of_ones_changes_nothing_and_other_rates_do():
    images = _image(65, 65)
    plain, ones, spread = _values(
        [_features(images, multi_grid=grid).output for grid in (None, (1, 1, 1), (1, 2, 4))]
    )
    np.testing.assert_array_equal(plain, ones)
    assert np.abs(plain - spread).max() > 0.1


def test_multi_grid_needs_one_rate_for_each_convolution_of_the_last_block():
    with pytest.raises(OptionError, match="--multi_grid has 2 values, but xception_41 needs"):
        network.check(NetworkSpec.of(model_variant="xception_41", multi_grid=(1, 2)))


def test_decoder_features_are_of_their_stride_and_from_before_the_next():
    features = _features(tf.placeholder(tf.float32, [1, 97, 66, 3]), output_stride=32)
    shapes = {stride: tensor.shape.as_list() for stride, tensor in features.low_level.items()}
    assert shapes == {4: [1, 25, 17, 12], 8: [1, 13, 9, 20], 16: [1, 7, 5, 28]}
    assert features.output.shape.as_list() == [1, 4, 3, 40]


def test_features_that_are_no_coarser_than_the_output_are_not_offered_to_a_decoder():
    features = _features(tf.placeholder(tf.float32, [1, 65, 65, 3]), output_stride=8)
    assert set(features.low_level) == {4}
