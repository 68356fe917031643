"""LinkNet: its decoder's shapes, and stages that are added."""

import pytest

from core import network
from options.network import NetworkSpec
from utils.compat import tf
from utils.errors import OptionError


def _spec(**changes):
    return NetworkSpec.of(architecture="linknet", model_variant="resnet_v1_18", **changes)


def _build(spec, size=(33, 49)):
    return network.build(tf.zeros([1, *size, 3]), spec, 3, crop_size=size).logits


def _shapes():
    return {variable.op.name: variable.shape.as_list() for variable in tf.model_variables()}


def test_blocks_have_a_quarter_of_the_channels_and_end_with_those_of_the_stage():
    assert _build(_spec()).shape.as_list() == [1, 33, 49, 3]
    shapes, below = _shapes(), 512
    for number, channels in enumerate([256, 128, 64, 64, 16]):
        name, narrow = f"decoder/decoder_stage{number}", below // 4
        assert shapes[f"{name}_conv1/weights"] == [1, 1, below, narrow]
        assert shapes[f"{name}_conv2/weights"] == [3, 3, narrow, narrow]
        assert shapes[f"{name}_conv3/weights"] == [1, 1, narrow, channels]
        below = channels
    assert shapes["logits/semantic/weights"] == [3, 3, 16, 3]


def test_blocks_without_a_stage_have_the_channels_that_are_asked_for():
    _build(_spec(linknet_skip_count=1, linknet_decoder_filters=(8, 12, 16, 20)))
    shapes = _shapes()
    widths = [shapes[f"decoder/decoder_stage{n}_conv3/weights"][3] for n in range(4)]
    assert widths == [256, 12, 16, 20]


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(64, 96), (33, 49)])
def test_transposed_convolutions_have_biases_beside_batch_norm(size, output_stride):
    spec = _spec(linknet_decoder_block_type="transpose", output_stride=output_stride)
    assert _build(spec, size).shape.as_list() == [1, *size, 3]
    shapes = _shapes()
    assert shapes["decoder/decoder_stage0_upsample2/weights"] == [3, 3, 128, 128]
    assert shapes["decoder/decoder_stage0_upsample2/biases"] == [128]
    assert shapes["decoder/decoder_stage0_bn2/gamma"] == [128]


def test_without_batch_norm_convolutions_have_biases():
    _build(_spec(linknet_decoder_use_batch_norm=False))
    assert _shapes()["decoder/decoder_stage0_conv1/biases"] == [128]
    assert not [name for name in _shapes() if "/decoder_stage0_bn" in name]


@pytest.mark.parametrize("filters", [(8,) * 6, (8, 0)])
def test_a_decoder_of_six_blocks_or_without_channels_is_refused(filters):
    with pytest.raises(OptionError, match="--linknet_decoder_filters"):
        _spec(linknet_decoder_filters=filters)
