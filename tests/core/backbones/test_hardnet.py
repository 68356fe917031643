"""HarDNet: widths and links by the published table, sizes, and what it is refused with."""

import numpy as np
import pytest

from core import layers, network
from core.backbones import hardnet
from options.network import NetworkOptions
from tests.golden.hardnet import rules
from tests.resources import golden_json
from utils.compat import tf
from utils.errors import OptionError

_RECORD = network.BACKBONES["hardnet70"]


@pytest.mark.once
@pytest.mark.parametrize(
    ("growth", "widths"),
    [
        (10, [10, 18, 10, 28]),
        (18, [18, 30, 18, 52, 18, 30, 18, 88]),
        (32, [32, 54, 32, 92, 32, 54, 32, 158]),
    ],
)
def test_layers_are_as_wide_as_published(growth, widths):
    assert [hardnet.width(growth, number) for number in range(1, len(widths) + 1)] == widths


@pytest.mark.once
def test_a_layer_reads_those_a_power_of_two_before_it_the_nearest_first():
    found = [hardnet.links(number) for number in range(1, 9)]
    assert found == [[0], [1, 0], [2], [3, 2, 0], [4], [5, 4], [6], [7, 6, 4, 0]]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((65, 129), [(33, 65), (17, 33), (8, 16), (4, 8), (2, 4), (1, 2)]),
        ((96, 66), [(48, 33), (24, 17), (12, 8), (6, 4), (3, 2), (1, 1)]),
    ],
)
def test_pooling_drops_an_odd_last_row_or_column(size, expected):
    images = tf.zeros([1, *size, 3])
    features = _RECORD.build(images, NetworkOptions(model_variant="hardnet70"), layers.INFERENCE)
    shapes = {stride: tensor.shape.as_list() for stride, tensor in features.stages.items()}
    assert shapes == {
        stride: [1, *sides, channels]
        for (stride, channels), sides in zip(_RECORD.channels.items(), expected)
    }
    assert features.output is features.stages[64]


def test_the_network_sees_standardized_blue_green_and_red():
    pixel = np.array([10.0, 100.0, 200.0], np.float32).reshape(1, 1, 1, 3)
    with tf.Session() as session:
        found = session.run(_RECORD.normalize(tf.constant(pixel))).ravel()
    mean, deviation = np.array([0.406, 0.456, 0.485]), np.array([0.225, 0.224, 0.229])
    expected = (np.array([200.0, 100.0, 10.0]) / 255.0 - mean) / deviation
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_variables_equal_the_entries_of_the_state_dict_in_their_order():
    stored = golden_json("hardnet/state_dict.json")["networks"]["fc_hardnet70_19c"]
    network.build(tf.zeros([1, 64, 64, 3]), rules.SPEC, 19, crop_size=(64, 64))
    found = {
        rules.entry_of(variable.op.name): rules.as_entry(np.empty(variable.shape.as_list())).shape
        for variable in network.variables()
    }
    entries = {name: tuple(shape) for name, shape, _, _ in stored["entries"]}
    assert found == {
        name: shape for name, shape in entries.items() if "num_batches_tracked" not in name
    }
    trained = sum(variable.shape.num_elements() for variable in tf.trainable_variables())
    assert trained == 4_119_257


def test_every_kernel_is_regularized_and_nothing_else():
    mode = layers.Mode(is_training=True, fine_tune_batch_norm=True, weight_decay=0.1)
    network.build(tf.zeros([2, 65, 65, 3]), rules.SPEC, 5, mode, crop_size=(65, 65))
    kernels = [v for v in tf.trainable_variables() if v.op.name.endswith("/weights")]
    expected = sum(0.05 * tf.reduce_sum(tf.square(kernel)) for kernel in kernels)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        found, expected = session.run([tf.losses.get_regularization_loss(), expected])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_another_table_makes_another_network(monkeypatch):
    small = hardnet.Network(
        "hardnet_small", (4, 6, 8, 8), (hardnet.Block(4, 2, 12), hardnet.Block(6, 4, 16))
    )
    monkeypatch.setitem(hardnet.NETWORKS, small.scope, small)
    features = hardnet.build(tf.zeros([1, 33, 33, 3]), None, layers.INFERENCE, network=small)
    assert {stride: t.shape.as_list() for stride, t in features.stages.items()} == {
        2: [1, 17, 17, 6],
        4: [1, 9, 9, small.blocks[0].outputs],
        8: [1, 4, 4, 16],
    }
    # Layers of 4 and 6 channels.
    assert small.blocks[0].outputs == 10


@pytest.mark.once
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "deeplab"}, "--model_variant=hardnet70 works under .*fc_hardnet only"),
        ({"architecture": "unet"}, "--model_variant=hardnet70 works under .*fc_hardnet only"),
        ({"model_variant": "resnet_v1_18"}, "must be hardnet70, not resnet_v1_18"),
        ({"output_stride": 8}, "--output_stride has no effect on hardnet70.* is 64"),
    ],
)
def test_a_hardnet_and_fc_hardnet_go_together_only(changes, message):
    spec = rules.SPEC.replace(**changes)
    with pytest.raises(OptionError, match=message):
        network.check(spec)


@pytest.mark.once
def test_images_of_which_pooling_leaves_nothing_are_refused():
    network.check(rules.SPEC, (61, 61))
    with pytest.raises(OptionError, match="60x97 are too small for hardnet70.* at least 61"):
        network.check(rules.SPEC, (60, 97))
