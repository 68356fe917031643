"""A training starts from weights of other frameworks as from a checkpoint."""

import numpy as np
import pytest

from core import layers, network
from core.checkpoints import files, foreign, restore
from options.network import NetworkSpec
from tests import small_networks
from tests.core.checkpoints import keras_writer, torch_writer
from tests.golden.abeja import networks
from tests.golden.musket import rules
from tests.resources import golden_folder
from utils.compat import tf
from utils.errors import UserError

_TORCH = {"architecture": "fcn", "model_variant": "resnet18_torch", "output_stride": 8}
_HEADS = ("classifier", "aux_classifier")
_KERAS = {"architecture": "pspnet", "model_variant": "vgg16", "output_stride": 32}


def _build(spec, channels, size=96):
    mode = layers.Mode(builds_auxiliary=True)
    network.build(tf.zeros([1, size, size, 3]), spec, channels, mode, crop_size=(size, size))
    return network.variables()


def _started(path, spec, channels, initialize_head=True, size=96):
    """Returns the match of a file with a network, and variable -> value after loading."""
    with tf.Graph().as_default(), tf.Session() as session:
        variables = _build(spec, channels, size)
        matched = foreign.match_initial(str(path), variables, spec, initialize_head, False)
        load = restore.loader(matched)
        session.run(tf.global_variables_initializer())
        load(session)
        return matched, {variable.op.name: session.run(variable) for variable in matched.loaded}


def _write_torch(path, spec, classes, prefix=""):
    """Writes the state dict of a network by rule; returns its values by variable."""
    entries, values = {"num_batches_tracked.other": np.float32(1)}, {}
    with tf.Graph().as_default():
        for variable in _build(spec, classes):
            shape = variable.shape.as_list()
            order = [shape[axis] for axis in (3, 2, 0, 1)] if len(shape) == 4 else shape
            name = networks.entry_name(variable.op.name, spec)
            value = networks.entry_value(name, order)
            if name.startswith(prefix):
                entries[name] = value
                values[variable.op.name] = value
    torch_writer.write(path, entries)
    return {
        name: value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
        for name, value in values.items()
    }


def _assert_equal(found, expected):
    assert set(found) == set(expected)
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_a_state_dict_is_loaded_and_what_is_left_is_reported(tmp_path):
    spec = NetworkSpec.of(**_TORCH)
    expected = _write_torch(tmp_path / "model.ckpt", spec, 3)
    matched, found = _started(tmp_path / "model.ckpt", spec, 3)
    _assert_equal(found, expected)
    assert not matched.new
    assert "skipped      1 tensors of the checkpoint (num_batches_tracked 1)" in matched.report()


def test_a_classifier_for_other_classes_and_an_absent_head_stay_new(tmp_path):
    spec = NetworkSpec.of(**_TORCH)
    expected = _write_torch(tmp_path / "net.pth", spec, 7)
    matched, found = _started(tmp_path / "net.pth", spec, 3)
    other = {f"{scope}/4/{last}" for scope in _HEADS for last in ("weights", "biases")}
    assert set(matched.new) == other
    _assert_equal(found, {n: value for n, value in expected.items() if n not in other})
    assert "classifier/4/weights: 1x1x128x7 in the checkpoint, 1x1x128x3" in matched.report()

    expected = _write_torch(tmp_path / "net.pth", spec, 3, "backbone.")
    matched, found = _started(tmp_path / "net.pth", spec, 3)
    _assert_equal(found, expected)
    assert all(name.startswith(_HEADS) for name in matched.new)


def test_a_file_of_another_network_is_refused_with_what_is_missing(tmp_path):
    _write_torch(tmp_path / "net.pth", NetworkSpec.of(**_TORCH), 3)
    other = NetworkSpec.of(**{**_TORCH, "model_variant": "resnet34_torch"})
    with pytest.raises(UserError, match=r"(?s)net\.pth does not fit.*layer1/2/conv1"):
        _started(tmp_path / "net.pth", other, 3)


def test_a_file_of_keras_is_loaded_and_dense_upsampling_for_other_classes_is_new(tmp_path):
    spec = NetworkSpec.of(**_KERAS, pspnet_final_interpolation="duc")
    with tf.Graph().as_default():
        variables = _build(spec, 3)
        parts = rules.arrays_of(variables, "vgg16", "final_conv")
        arrays = {
            name: rules.array_value(name, shape, "vgg16")
            for each in parts.values()
            for name, shape in each
        }
    keras_writer.write(tmp_path / "best-0.1.weights", arrays)
    matched, found = _started(tmp_path / "best-0.1.weights", spec, 3)
    assert not matched.new
    np.testing.assert_array_equal(
        found["vgg16/block1_conv1/weights"], arrays["block1_conv1/kernel"]
    )
    matched, found = _started(tmp_path / "best-0.1.weights", spec, 2)
    assert {name.rsplit("/", 1)[0] for name in matched.new} == {
        "logits/semantic",
        "logits/duc_8_conv",
        "logits/duc_8_bn",
    }


def test_a_checkpoint_of_the_refinenet_system_is_loaded():
    path = golden_folder() / "refinenet" / "checkpoints" / "fresh18_layer1" / "fresh18_layer1"
    spec = NetworkSpec.of(
        architecture="refinenet",
        model_variant="resnet18_refinenet",
        output_stride=32,
        refinenet_blocks=("layer1",),
        refinenet_reduce_channel_scale=8,
        refinenet_raw_mrf_inputs=True,
    )
    matched, found = _started(path, spec, 2)
    assert not matched.new
    assert not matched.skipped
    assert found["head/weights"].any()


def test_our_checkpoints_are_no_files_of_others(tmp_path, shallow_mobilenet):
    path = small_networks.save_checkpoint(tmp_path, 3)
    assert foreign.sources_of(path) == []
    foreign.check(path)
    matched, found = _started(path, small_networks.SMALL, 3, size=33)
    assert not matched.new
    assert matched.arrays is None
    assert found["logits/semantic/weights"].any()


def test_a_file_of_no_known_kind_is_refused_with_its_name(tmp_path):
    (tmp_path / "notes.txt").write_text("no weights")
    with pytest.raises(UserError, match=r"notes\.txt"):
        foreign.check(str(tmp_path / "notes.txt"))
    with pytest.raises(UserError, match="no checkpoint at"):
        foreign.check(str(tmp_path / "absent"))


@pytest.mark.parametrize("channels", [1, 4])
def test_a_first_convolution_for_rgb_is_adapted_to_other_input_channels(
    channels, tmp_path, shallow_mobilenet
):
    path = small_networks.save_checkpoint(tmp_path, 3)
    random = np.random.RandomState(0)
    images = random.uniform(0, 255, [1, 33, 33, max(3, channels)]).astype(np.float32)
    if channels == 1:
        images[:] = images[..., :1]
    changed = NetworkSpec.of(depth_multiplier=0.25, aspp_convs_filters=8, input_channels=channels)
    logits = []
    for spec in (small_networks.SMALL, changed):
        with tf.Graph().as_default(), tf.Session() as session:
            seen = tf.constant(images[..., : spec.options.input_channels])
            outputs = network.build(seen, spec, 3, crop_size=(33, 33))
            matched = foreign.match_initial(path, network.variables(), spec, True, False)
            restore.loader(matched)(session)
            logits.append(session.run(outputs.logits))
    np.testing.assert_allclose(logits[1], logits[0], rtol=1e-4, atol=1e-4)
    ((name, stored, needed),) = matched.other_inputs
    assert (name, stored[2], needed[2]) == ("MobilenetV2/Conv/weights", 3, channels)
    assert f"so adapted: {name}: 3x3x3x8 in the checkpoint, 3x3x{channels}x8" in matched.report()


@pytest.mark.parametrize("in_file", [False, True])
def test_batch_norm_before_it_has_the_mean_of_the_three_in_a_fourth_channel(in_file, tmp_path):
    arrays = {"net/bn/beta": np.float32([1, 2, 6]), "net/conv/weights": np.ones((1, 1, 3, 2))}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    shapes = {"net/bn/beta": [4], "net/conv/weights": [1, 1, 4, 2]}
    given = dict(arrays) if in_file else None
    if not in_file:
        files.write_arrays(arrays, str(tmp_path / "model.ckpt"))
    with tf.Graph().as_default(), tf.Session() as session:
        variables = [tf.get_variable(name, shape) for name, shape in shapes.items()]
        matched = restore.match_initial(
            str(tmp_path / "model.ckpt"),
            variables,
            ("head/",),
            ("head/",),
            True,
            input_scopes=("net/",),
            arrays=given,
        )
        restore.loader(matched)(session)
        beta, weights = session.run(variables)
    assert list(beta) == [1, 2, 6, 3]
    assert weights[0, 0].tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]


def test_two_input_channels_cannot_be_adapted(tmp_path, shallow_mobilenet):
    path = small_networks.save_checkpoint(tmp_path, 3)
    spec = NetworkSpec.of(depth_multiplier=0.25, aspp_convs_filters=8, input_channels=2)
    with tf.Graph().as_default():
        network.build(tf.zeros([1, 33, 33, 2]), spec, 3)
        with pytest.raises(UserError, match="Conv/weights: 3x3x3x8 in the checkpoint, 3x3x2x8"):
            foreign.match_initial(path, network.variables(), spec, True, False)
