"""FPN: the shapes of its levels, dropout and interpolation."""

import numpy as np
import pytest

from core import layers, network
from options.network import NetworkSpec
from tests.golden.logits import load_weights
from utils.compat import tf


def _spec(**changes):
    return NetworkSpec.of(architecture="fpn", model_variant="resnet_v1_18", **changes)


def _build(spec, size=(33, 49), mode=layers.INFERENCE, images=None):
    images = tf.zeros([1, *size, 3]) if images is None else images
    return network.build(images, spec, 3, mode, crop_size=size).logits


def _shapes():
    return {variable.op.name: variable.shape.as_list() for variable in tf.model_variables()}


@pytest.mark.parametrize("output_stride", [8, 32])
def test_levels_have_the_filters_that_are_asked_for(output_stride):
    spec = _spec(fpn_pyramid_block_filters=16, output_stride=output_stride)
    assert _build(spec).shape.as_list() == [1, 33, 49, 3]
    shapes = _shapes()
    for number, channels in enumerate([512, 256, 128, 64]):
        assert shapes[f"decoder/pyramid_stage_{number}_conv/weights"] == [1, 1, channels, 16]
        assert shapes[f"decoder/segm1_stage_{number}_conv/weights"] == [3, 3, 16, 8]
        assert shapes[f"decoder/segm2_stage_{number}_conv/weights"] == [3, 3, 8, 8]
    assert shapes["decoder/conv_block_conv/weights"] == [3, 3, 32, 32]
    assert shapes["logits/semantic/weights"] == [3, 3, 32, 3]


def test_without_batch_norm_convolutions_have_biases():
    _build(_spec(fpn_pyramid_use_batch_norm=False))
    assert _shapes()["decoder/conv_block_conv/biases"] == [512]
    assert not [name for name in _shapes() if name.startswith("decoder/") and "_bn/" in name]


def test_nearest_logits_are_repeated_four_times():
    spec = _spec(fpn_final_interpolation="nearest")
    images = np.random.RandomState(0).uniform(0, 255, (1, 32, 64, 3)).astype(np.float32)
    logits = _build(spec, (32, 64), images=tf.constant(images))
    with tf.Session() as session:
        load_weights(session)
        found = session.run(logits)
    np.testing.assert_array_equal(found, found[:, ::4, ::4].repeat(4, axis=1).repeat(4, axis=2))
    assert found.std() > 0.0


def test_dropout_drops_channels_in_training_only():
    spec, trains = _spec(fpn_pyramid_dropout=0.5), layers.Mode(is_training=True)
    _build(spec)
    names = [operation.name for operation in tf.get_default_graph().get_operations()]
    assert not [name for name in names if "dropout" in name]
    _build(spec, mode=trains)
    masks = [
        operation.outputs[0].shape.as_list()
        for operation in tf.get_default_graph().get_operations()
        if "dropout" in operation.name and operation.type == "Mul" and operation.outputs
    ]
    assert [1, 1, 1, 512] in masks
