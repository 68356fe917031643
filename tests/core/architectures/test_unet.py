"""U-Net: its decoder on every backbone, at every output stride and any size."""

import numpy as np
import pytest

from core import layers, network
from options.network import NetworkSpec
from utils.compat import tf
from utils.errors import OptionError

# The others are slow to build.
_QUICK = ("mobilenet_v2", "resnet_v1_18")


def _spec(backbone="resnet_v1_18", **changes):
    return NetworkSpec.of(architecture="unet", model_variant=backbone, **changes)


def _build(spec, size=(33, 49)):
    return network.build(tf.zeros([1, *size, 3]), spec, 3, crop_size=size).logits


def _shapes():
    return {variable.op.name: variable.shape.as_list() for variable in tf.model_variables()}


@pytest.mark.parametrize(
    "backbone",
    [
        name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in sorted(network.BACKBONES)
    ],
)
def test_every_backbone_has_a_decoder_with_the_same_variables_at_every_output_stride(backbone):
    channels, found = network.BACKBONES[backbone].channels, []
    for output_stride in (16, 32):
        with tf.Graph().as_default():
            logits = _build(_spec(backbone, output_stride=output_stride))
            assert logits.shape.as_list() == [1, 33, 49, 3]
            found.append(_shapes())
    assert found[0] == found[1]
    for number, (below, stride, filters) in enumerate(
        [(channels[32], 16, 256), (256, 8, 128), (128, 4, 64), (64, 2, 32)], 1
    ):
        expected = [3, 3, below + channels[stride], filters]
        assert found[0][f"decoder/block{number}/conv1/weights"] == expected
        assert found[0][f"decoder/block{number}/conv2/weights"] == [3, 3, filters, filters]
    assert found[0]["decoder/block5/conv1/weights"] == [3, 3, 32, 16]
    assert found[0]["logits/semantic/weights"] == [3, 3, 16, 3]
    assert found[0]["logits/semantic/biases"] == [3]


def test_blocks_have_the_filters_that_are_asked_for_and_biases_without_batch_norm():
    _build(_spec(unet_decoder_filters=(8, 7, 6, 5, 4), unet_decoder_use_batch_norm=False))
    shapes = _shapes()
    assert [shapes[f"decoder/block{n}/conv2/biases"] for n in range(1, 6)] == [
        [8],
        [7],
        [6],
        [5],
        [4],
    ]
    decoder = [name for name in shapes if name.startswith(("decoder/", "logits/"))]
    assert not [name for name in decoder if "BatchNorm" in name]
    assert shapes["logits/semantic/weights"] == [3, 3, 4, 3]


@pytest.mark.parametrize("filters", [(8, 8), (8, 8, 8, 8, 0)])
def test_a_decoder_of_another_length_or_without_channels_is_refused(filters):
    with pytest.raises(OptionError, match="--unet_decoder_filters"):
        _spec(unet_decoder_filters=filters)


@pytest.mark.parametrize(
    "options", [{"decoder_output_stride": (4,)}, {"use_bounded_activation": True}]
)
def test_options_of_deeplab_are_refused(options):
    with pytest.raises(OptionError, match=f"--{next(iter(options))} .*unet"):
        network.check(_spec(**options))


def test_features_are_doubled_by_repeating_them():
    features = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    with tf.Session() as session:
        found = session.run(layers.resize_nearest(tf.constant(features), (4, 6), False))
    np.testing.assert_array_equal(found, features.repeat(2, axis=1).repeat(2, axis=2))
