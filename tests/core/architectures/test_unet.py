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
        for name in network.shared_backbones()
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
        [(channels[32], 16, 256), (256, 8, 128), (128, 4, 64), (64, 2, 32)]
    ):
        expected = [3, 3, below + channels[stride], filters]
        assert found[0][f"decoder/decoder_stage{number}_conv1/weights"] == expected
        assert found[0][f"decoder/decoder_stage{number}_conv2/weights"] == [3, 3, filters, filters]
    assert found[0]["decoder/decoder_stage4_conv1/weights"] == [3, 3, 32, 16]
    assert found[0]["logits/semantic/weights"] == [3, 3, 16, 3]
    assert found[0]["logits/semantic/biases"] == [3]


def test_blocks_have_the_filters_that_are_asked_for_and_biases_without_batch_norm():
    _build(_spec(unet_decoder_filters=(8, 7, 6, 5, 4), unet_decoder_use_batch_norm=False))
    shapes = _shapes()
    assert [shapes[f"decoder/decoder_stage{n}_conv2/biases"] for n in range(5)] == [
        [8],
        [7],
        [6],
        [5],
        [4],
    ]
    decoder = [name for name in shapes if name.startswith(("decoder/", "logits/"))]
    assert not [name for name in decoder if name.endswith("/gamma")]
    assert shapes["logits/semantic/weights"] == [3, 3, 4, 3]


@pytest.mark.parametrize("filters", [(8, 8, 8, 8, 8, 8), (8, 8, 8, 8, 0)])
def test_a_decoder_of_six_blocks_or_without_channels_is_refused(filters):
    with pytest.raises(OptionError, match="--unet_decoder_filters"):
        _spec(unet_decoder_filters=filters)


@pytest.mark.parametrize(("blocks", "stride"), [(5, 1), (4, 2), (3, 4), (1, 16)])
@pytest.mark.parametrize("output_stride", [8, 32])
def test_each_block_halves_the_stride_of_the_logits(blocks, stride, output_stride):
    spec = _spec(unet_decoder_filters=(8,) * blocks, output_stride=output_stride)
    expected = min(stride, output_stride)
    assert network.logits_stride(spec) == expected
    assert _build(spec).shape.as_list()[1:3] == [-(-33 // expected), -(-49 // expected)]


def test_stages_after_the_skips_are_not_joined():
    _build(_spec(unet_skip_count=1, unet_decoder_filters=(8, 8, 8, 8, 8)))
    shapes = _shapes()
    depths = [shapes[f"decoder/decoder_stage{n}_conv1/weights"][2] for n in range(5)]
    assert depths == [512 + 256, 8, 8, 8, 8]


@pytest.mark.parametrize("output_stride", [8, 32])
@pytest.mark.parametrize("size", [(64, 96), (33, 49)])
def test_transposed_convolutions_enlarge_to_the_size_of_the_stages(size, output_stride):
    spec = _spec(unet_decoder_block_type="transpose", output_stride=output_stride)
    assert _build(spec, size).shape.as_list() == [1, *size, 3]
    shapes = _shapes()
    assert shapes["decoder/decoder_stage0_upsample/weights"] == [4, 4, 256, 512]
    assert shapes["decoder/decoder_stage0_conv2/weights"] == [3, 3, 256 + 256, 256]
    assert "decoder/decoder_stage0_conv1/weights" not in shapes


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
