"""What every backbone promises, for whatever stands in core/backbones."""

import functools
import json
import zlib

import numpy as np
import pytest

from core import layers, network
from core.backbones import Features
from options.network import NetworkOptions, NetworkSpec
from tests.golden.logits import load_weights, options_of
from tests.resources import golden_folder, golden_json
from utils.compat import tf

# The others are slow to build or to run.
_QUICK = (
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v2_keras",
    "resnet18_preact",
    "resnet18_refinenet",
    "resnet_v1_18",
    "resnet_v1_18_beta",
    "seresnet18",
)

VARIANTS = [
    name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in network.shared_backbones()
]

# Squeeze-and-excitation scales by a mean over all positions, which subsampling changes.
_POOLS_INSIDE = (
    "mobilenet_v3_large_seg",
    "mobilenet_v3_small_seg",
    "senet154",
    "seresnet18",
    "seresnet34",
    "seresnet50",
    "seresnet101",
    "seresnet152",
    "seresnext50",
    "seresnext101",
)

_VARIABLES = (
    "mobilenet_v2",
    "mobilenet_v2_dm05",
    "mobilenet_v3_large_seg",
    "mobilenet_v3_small_seg",
    "resnet_v1_18",
    "resnet_v1_18_beta",
    "resnet_v1_50",
    "resnet_v1_50_beta",
    "resnet_v1_50_beta_nobn_aspp",
    "resnet_v1_50_beta_separable_aspp",
    "resnet_v1_101",
    "resnet_v1_101_beta",
    "resnet_v1_101_beta_decoder4",
    "resnet_v1_101_decoder4_noseparable",
    "resnet_v1_101_noimagelevel",
    "xception_41",
    "xception_65",
    "xception_65_decoder4",
    "xception_71",
)

# The stored pad value of this network is a defect of the reference: its input's mean is not 127.5.
_PAD_COLOR_DIFFERS = "resnet_v1_18"


def _name(parameter) -> str:
    return parameter if isinstance(parameter, str) else parameter.values[0]


def _build(name, size, output_stride) -> Features:
    record = network.BACKBONES[name]
    options = NetworkOptions(model_variant=name, output_stride=output_stride)
    images = np.random.RandomState(zlib.crc32(name.encode())).uniform(0, 255, (1, *size, 3))
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        return record.build(
            record.normalize(tf.constant(images, tf.float32)),
            options,
            layers.INFERENCE,
        )


def _strided(size, stride):
    return [-(-side // stride) for side in size]


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("size", [(65, 96), (75, 50)])
def test_features_have_the_declared_channels_and_the_size_over_their_stride(name, size):
    record = network.BACKBONES[name]
    for output_stride in record.output_strides:
        features = _build(name, size, output_stride)
        assert features.output.shape.as_list()[1:3] == _strided(size, output_stride)
        assert {s: t.shape.as_list() for s, t in features.stages.items()} == {
            stride: [1, *_strided(size, min(stride, output_stride)), channels]
            for stride, channels in record.channels.items()
        }
        assert features.stages[max(record.channels)] is features.output
        finer = {stride for stride in record.low_level_strides if stride < output_stride}
        assert finer <= set(features.low_level)
        for stride in finer:
            shape = features.low_level[stride].shape.as_list()
            assert shape[1:3] == _strided(size, stride)


@pytest.mark.parametrize(
    "name", [item for item in VARIANTS if network.BACKBONES[_name(item)].named]
)
def test_named_layers_are_those_that_are_declared_and_have_the_size_over_their_stride(name):
    record = network.BACKBONES[name]
    for output_stride in (min(record.output_strides), 32):
        with tf.Graph().as_default():
            named = _build(name, (65, 96), output_stride).named
        assert {
            layer: (stride, outputs.shape.as_list()[3])
            for layer, (stride, outputs) in named.items()
        } == record.named
        for stride, outputs in named.values():
            size = _strided((65, 96), min(stride, output_stride))
            assert outputs.shape.as_list()[1:3] == size


@functools.lru_cache(maxsize=None)
def _values(name) -> tuple:
    """Returns output stride -> features of an image as arrays, and the variables' names."""
    record = network.BACKBONES[name]
    finest = min(record.low_level_strides)
    with tf.Graph().as_default(), tf.Session() as session:
        built = {stride: _build(name, (65, 97), stride) for stride in record.output_strides}
        load_weights(session)
        values = session.run(
            {
                stride: Features(
                    item.output,
                    item.stages,
                    {finest: item.low_level[finest]} if stride > finest else {},
                )
                for stride, item in built.items()
            }
        )
        return values, [variable.op.name for variable in tf.global_variables()]


@pytest.mark.parametrize("name", VARIANTS)
def test_stages_above_the_output_stride_do_not_depend_on_it(name):
    values, _ = _values(name)
    dense, coarse = values[8].stages, values[32].stages
    for stride in (2, 4, 8):
        np.testing.assert_array_equal(dense[stride], coarse[stride])


@pytest.mark.parametrize("name", [item for item in VARIANTS if _name(item) not in _POOLS_INSIDE])
def test_dense_features_agree_with_those_of_stride_32_where_both_are(name):
    values, _ = _values(name)
    assert max(values) == 32
    for stride, found in values.items():
        step = 32 // stride
        # With these weights the features of some networks grow with the depth.
        scale = max(20.0, np.abs(values[32].output).max())
        np.testing.assert_allclose(
            found.output[:, ::step, ::step], values[32].output, rtol=1e-3, atol=1e-5 * scale
        )


@pytest.mark.parametrize("name", VARIANTS)
def test_lower_features_do_not_depend_on_the_output_stride(name):
    values, _ = _values(name)
    first, *others = [found.low_level for found in values.values() if found.low_level]
    assert others
    for other in others:
        for stride, value in first.items():
            np.testing.assert_array_equal(value, other[stride])


@pytest.mark.parametrize("name", VARIANTS)
def test_all_variables_of_a_backbone_are_in_its_scope(name):
    _, names = _values(name)
    assert all(item.startswith(network.BACKBONES[name].scope + "/") for item in names)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_trainable_variable_receives_a_gradient_and_every_regularization_is_of_one(name):
    options = NetworkSpec.of(
        model_variant=name,
        atrous_rates=(6,),
        decoder_output_stride=(min(network.BACKBONES[name].low_level_strides),),
        decoder_filters=16,
    )
    images = tf.zeros([2, 65, 65, 3])
    logits = network.build(
        images,
        options,
        5,
        layers.Mode(is_training=True, fine_tune_batch_norm=True, weight_decay=0.1),
        crop_size=(65, 65),
    ).logits
    variables = tf.trainable_variables()
    gradients = tf.gradients(tf.reduce_sum(logits), variables)
    assert [v.op.name for v, gradient in zip(variables, gradients) if gradient is None] == []
    assert set(_regularized()) == {v for v in variables if v.op.name.endswith("/weights")}


def _regularized() -> list:
    """Returns the variable of each regularization loss, in order."""
    variables = {variable.op.name: variable for variable in tf.global_variables()}
    found = []
    for loss in tf.losses.get_regularization_losses():
        operations, names = [loss.op], set()
        while operations:
            operation = operations.pop()
            if operation.name in variables:
                names.add(operation.name)
            operations.extend(tensor.op for tensor in operation.inputs)
        (name,) = names
        found.append(variables[name])
    return found


@pytest.mark.parametrize("name", sorted(network.BACKBONES))
def test_the_pad_colour_is_what_is_normalized_to_zero(name):
    record = network.BACKBONES[name]
    image = tf.constant(record.pad_color, tf.float32, [1, 1, 1, 3])
    with tf.Session() as session:
        np.testing.assert_allclose(session.run(record.normalize(image)), 0.0, atol=1e-5)


@pytest.mark.parametrize("name", sorted(network.BACKBONES))
def test_normalization_and_pad_colour_equal_the_stored_ones(name):
    stored = golden_json("preprocess.json")["input_normalisation"]
    if name not in stored["variants"]:
        pytest.skip(f"{name} is not of the DeepLab family.")
    probe = tf.constant(stored["probe"], tf.float32, [1, 1, len(stored["probe"]), 3])
    record, expected = network.BACKBONES[name], stored["variants"][name]
    with tf.Session() as session:
        actual = session.run(record.normalize(probe))[0, 0]
    np.testing.assert_allclose(actual, expected["normalised_probe"], atol=1e-4)
    if name != _PAD_COLOR_DIFFERS:
        np.testing.assert_allclose(record.pad_color, expected["mean_pixel"], atol=1e-4)


def _variable_files() -> list:
    names = [name for name in _VARIABLES if name.startswith(tuple(network.BACKBONES))]
    quick = (*_QUICK, "mobilenet_v2_dm05")
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", _variable_files())
def test_variables_of_a_training_graph_equal_the_stored_ones(name):
    folder = golden_folder()
    stored = json.loads((folder / "variables" / f"{name}.json").read_text(encoding="utf-8"))
    config = stored["config"]
    crop_size = config["crop"]
    network.build(
        tf.zeros([2, *crop_size, 3]),
        options_of(config, folder),
        21,
        layers.Mode(is_training=True, fine_tune_batch_norm=True, weight_decay=0.0001),
        crop_size=crop_size,
    )
    expected = {item["name"]: item for item in stored["variables"] if item["model_variable"]}
    assert _described() == {
        name: {key: item[key] for key in _KEYS} for name, item in expected.items()
    }
    assert list(_described()) == list(expected)


_KEYS = ("shape", "dtype", "trainable", "l2_regularized", "moving_average_decay")


def _described() -> dict:
    """Returns what the stored files say of each model variable of the default graph."""
    trainable, regularized = set(tf.trainable_variables()), set(_regularized())
    decays = _moving_average_decays()
    return {
        variable.op.name: {
            "shape": variable.shape.as_list(),
            "dtype": variable.dtype.base_dtype.name,
            "trainable": variable in trainable,
            "l2_regularized": variable in regularized,
            "moving_average_decay": decays.get(variable.op.name),
        }
        for variable in tf.model_variables()
    }


def _moving_average_decays() -> dict:
    """Returns moving average -> decay, read from the constants of the update operations."""
    decays = {}
    for update in tf.get_collection(tf.GraphKeys.UPDATE_OPS):
        share = tf.get_static_value(update.inputs[1].op.inputs[1])
        decays[update.updated_variable.op.name] = pytest.approx(1.0 - share, abs=1e-6)
    return decays
