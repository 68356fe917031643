"""PSPNet: its features, pooling, dense upsampling, and the sizes of images."""

import numpy as np
import pytest

from core import layers, network
from core.architectures import pspnet
from options.network import NetworkSpec
from tests.golden.logits import load_weights
from utils.compat import tf
from utils.errors import OptionError


def _spec(**changes):
    return NetworkSpec.of(architecture="pspnet", model_variant="resnet_v1_18", **changes)


def _build(spec, size, mode=layers.INFERENCE):
    return network.build(tf.zeros([1, *size, 3]), spec, 3, mode, crop_size=size).logits


def _shapes():
    return {variable.op.name: variable.shape.as_list() for variable in tf.model_variables()}


@pytest.mark.parametrize(("factor", "channels"), [(4, 64), (8, 128), (16, 256)])
def test_the_backbone_ends_at_the_features_of_the_factor(factor, channels):
    size = (6 * factor, 12 * factor)
    spec = _spec(pspnet_downsample_factor=factor)
    assert _build(spec, size).shape.as_list() == [1, *size, 3]
    shapes = _shapes()
    assert shapes["decoder/level6_conv/weights"] == [1, 1, channels, 512]
    assert shapes["decoder/conv_block_conv/weights"] == [1, 1, channels + 4 * 512, 512]
    assert shapes["logits/semantic/weights"] == [3, 3, 512, 3]
    assert not [name for name in shapes if name.startswith("resnet_v1_18/block4")]
    has_block_3 = any(name.startswith("resnet_v1_18/block3") for name in shapes)
    assert has_block_3 == (factor == 16)


@pytest.mark.parametrize("kind", ["avg", "max"])
def test_windows_of_unknown_size_are_pooled_alike(kind):
    features = np.random.RandomState(0).standard_normal((2, 12, 6, 5)).astype(np.float32)
    any_size = tf.placeholder_with_default(features, [None, None, None, 5])
    known = pspnet._pool(tf.constant(features), [4, 2], kind)
    unknown = pspnet._pool(any_size, [side // 3 for side in layers.spatial_size(any_size)], kind)
    with tf.Session() as session:
        known, unknown = session.run([known, unknown])
    windows = features.reshape(2, 3, 4, 3, 2, 5)
    expected = {"avg": windows.mean((2, 4)), "max": windows.max((2, 4))}[kind]
    np.testing.assert_allclose(known, expected, atol=1e-6)
    np.testing.assert_allclose(unknown, expected, atol=1e-6)


def test_dense_upsampling_makes_a_block_of_pixels_of_the_channels():
    spec = _spec(pspnet_final_interpolation="duc", pspnet_downsample_factor=4)
    logits = _build(spec, (24, 48))
    assert _shapes()["logits/duc_4_conv/weights"] == [1, 1, 3, 3 * 16]
    assert "logits/duc_4_conv/biases" not in _shapes()
    (before,) = [
        operation.inputs[0]
        for operation in tf.get_default_graph().get_operations()
        if operation.type == "Reshape"
        and operation.inputs[0].op.type == "Relu"
        and operation.inputs[0].shape.as_list() == [1, 6, 12, 48]
    ]
    with tf.Session() as session:
        load_weights(session)
        channels, found = session.run([before, logits])
    for label, row, column in ((0, 0, 1), (2, 3, 2)):
        np.testing.assert_array_equal(
            found[:, row::4, column::4, label], channels[..., label * 16 + row * 4 + column]
        )


def test_only_the_classifiers_depend_on_the_number_of_classes_with_dense_upsampling():
    shapes = []
    for channels in (3, 5):
        with tf.Graph().as_default():
            spec = _spec(pspnet_final_interpolation="duc")
            network.build(tf.zeros([1, 48, 48, 3]), spec, channels, crop_size=(48, 48))
            shapes.append(_shapes())
    different = [name for name in shapes[0] if shapes[0][name] != shapes[1][name]]
    assert different
    assert all(name.startswith("logits/") for name in different)
    scopes = [name.rsplit("/", 1)[0] for name in different]
    assert set(scopes) <= {pspnet.keras.CLASSIFIER, "logits/duc_8_conv", "logits/duc_8_bn"}


@pytest.mark.parametrize(
    ("size", "nearest"),
    [((65, 96), "48x96 and 96x96"), ((24, 100), "48x96 and 48x144"), ((48, 47), "48x48 and 48x48")],
)
def test_other_sizes_are_refused_with_the_nearest(size, nearest):
    with pytest.raises(OptionError, match=f"multiples of 48, not {size[0]}x{size[1]}.*{nearest}"):
        network.check(_spec(), size)


def test_a_factor_beyond_the_output_stride_is_refused():
    spec = _spec(pspnet_downsample_factor=16, output_stride=8)
    with pytest.raises(OptionError, match="--pspnet_downsample_factor is 16.* stride 4 or 8"):
        network.check(spec)
