"""Weights of other frameworks become checkpoints that give the same logits."""

import contextlib

import numpy as np
import pytest

from commands.engines import convert_weights
from core import layers, network
from core.checkpoints import restore
from options.config import Config
from options.network import NETWORK_OPTIONS, NetworkSpec
from options.weights import WeightsOptions
from tests import in_process
from tests.core.checkpoints import torch_writer
from tests.golden import __main__ as golden
from tests.golden import rules as images_of
from tests.golden.abeja import networks
from tests.golden.hardnet import rules as hardnet
from tests.resources import golden_folder, golden_json
from utils.compat import tf
from utils.errors import OptionError, UserError

_SIZE = (65, 65)
_CHANNELS = 3
_FCN = {"architecture": "fcn", "model_variant": "resnet18_torch", "output_stride": 8}


def _convert(source, path, output, **network_options):
    values = {"source": source, "input": str(path), "output": str(output), **network_options}
    convert_weights.main(Config.create((WeightsOptions, *NETWORK_OPTIONS), values))


@contextlib.contextmanager
def _logits(spec, builds_auxiliary=True):
    """Builds the network for an image and gives its logits in a session."""
    image = np.random.RandomState(0).uniform(0, 255, (1, *_SIZE, 3)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        outputs = network.build(
            tf.constant(image),
            spec,
            _CHANNELS,
            layers.Mode(builds_auxiliary=builds_auxiliary),
            crop_size=_SIZE,
        )
        yield session, outputs.logits


def _entries(spec) -> dict:
    """Returns the state dict of a network by rule, in PyTorch's order."""
    with _logits(spec):
        entries = {}
        for variable in network.variables():
            shape = variable.shape.as_list()
            order = [shape[axis] for axis in (3, 2, 0, 1)] if len(shape) == 4 else shape
            name = networks.entry_name(variable.op.name, spec)
            entries[name] = networks.entry_value(name, order)
        return entries


def _logits_by_rule(spec):
    with _logits(spec) as (session, logits):
        networks.load_weights(session, spec)
        return session.run(logits)


def _logits_of(checkpoint, spec):
    with _logits(spec, builds_auxiliary=False) as (session, logits):
        matched = restore.match(str(checkpoint), network.variables())
        matched.raise_if_unexpected("")
        session.run(tf.global_variables_initializer())
        tf.train.Saver(matched.loaded).restore(session, str(checkpoint))
        return session.run(logits)


def test_a_state_dict_gives_the_logits_of_its_network(tmp_path, capsys):
    spec = NetworkSpec.of(**_FCN)
    entries = {**_entries(spec), "bn.num_batches_tracked": np.float32(3)}
    torch_writer.write(tmp_path / "net.pth", entries, lambda state: {"state_dict": state})
    _convert("torchvision", tmp_path / "net.pth", tmp_path / "out" / "model.ckpt", **_FCN)
    assert "not used" not in capsys.readouterr().out
    found = _logits_of(tmp_path / "out" / "model.ckpt", spec)
    np.testing.assert_allclose(found, _logits_by_rule(spec), atol=1e-4)


def test_the_tool_for_checkpoints_is_the_second_door(tmp_path, capsys):
    entries = _entries(NetworkSpec.of(**_FCN))
    torch_writer.write(tmp_path / "net.pth", entries)
    (tmp_path / "source.flags").write_text("--source=torchvision\n")
    flags = [f"--{name}={value}" for name, value in _FCN.items()]
    flags += [f"--input={tmp_path / 'net.pth'}", f"--output={tmp_path / 'model.ckpt'}"]
    source = f"--flagfile={tmp_path / 'source.flags'}"
    assert in_process.run("checkpoint_tool.py", source, *flags) == 0
    assert len(restore.shapes(str(tmp_path / "model.ckpt"))) == len(entries)
    assert in_process.run("checkpoint_tool.py", f"--checkpoint_path={tmp_path / 'model.ckpt'}") == 0
    assert f"{len(entries)} tensors" in capsys.readouterr().out
    assert in_process.run("checkpoint_tool.py", *flags) == 2


def test_the_auxiliary_head_may_be_missing_and_what_is_left_is_named(tmp_path, capsys):
    spec = NetworkSpec.of(**_FCN)
    entries = {n: v for n, v in _entries(spec).items() if not n.startswith("aux_classifier.")}
    entries["other.weight"] = np.ones((2,), np.float32)
    torch_writer.write(tmp_path / "net.pth", entries)
    _convert("torchvision", tmp_path / "net.pth", tmp_path / "model.ckpt", **_FCN)
    printed = capsys.readouterr().out
    assert "aux_classifier/0/weights" in printed
    assert "other.weight" in printed
    np.testing.assert_allclose(
        _logits_of(tmp_path / "model.ckpt", spec), _logits_by_rule(spec), atol=1e-4
    )


def test_a_classification_network_gives_the_backbone(tmp_path, capsys):
    spec = NetworkSpec.of(**_FCN)
    entries = {
        name[len("backbone.") :]: value
        for name, value in _entries(spec).items()
        if name.startswith("backbone.")
    }
    entries["fc.weight"], entries["fc.bias"] = np.ones((10, 512)), np.ones((10,))
    torch_writer.write(tmp_path / "net.pth", entries)
    _convert("torchvision", tmp_path / "net.pth", tmp_path / "model.ckpt", **_FCN)
    printed = capsys.readouterr().out
    assert "classifier/4/weights" in printed
    assert "fc." not in printed
    stored = restore.shapes(str(tmp_path / "model.ckpt"))
    assert stored["resnet18_torch/conv1/weights"] == [7, 7, 3, 64]
    assert len(stored) == len(entries) - 2


def _as_saved_by_its_training(state) -> dict:
    state = {f"module.{name}": value for name, value in state.items()}
    return {"epoch": 7, "model_state": state, "best_iou": 0.5}


def _as_saved_by_lightning(state) -> dict:
    return {"epoch": 7, "state_dict": {f"model.{name}": each for name, each in state.items()}}


_HARDNET = {"architecture": "fc_hardnet", "model_variant": "hardnet70"}


def _hardnet_entries() -> dict:
    """Returns the state dict of FC-HarDNet-70 with four classes, by rule."""
    stored = golden_json("hardnet/state_dict.json")["networks"]["fc_hardnet70_4c"]
    return {name: hardnet.entry_value(name, shape) for name, shape, *_ in stored["entries"]}


@pytest.mark.parametrize("wrap", [_as_saved_by_its_training, _as_saved_by_lightning])
def test_a_file_of_hardnet_gives_the_stored_logits_of_the_original(wrap, tmp_path, capsys):
    torch_writer.write(tmp_path / "best_model.pkl", _hardnet_entries(), wrap)
    checkpoint = str(tmp_path / "model.ckpt")
    _convert("hardnet", tmp_path / "best_model.pkl", checkpoint, **_HARDNET)
    printed = capsys.readouterr().out
    assert "not used" not in printed
    assert "not in it" not in printed

    path = golden_folder() / "hardnet" / "logits" / "hardnet_65x129.json"
    manifest = golden.read(path)
    images = images_of.images(manifest["config"]["images"], golden_folder() / "photos.npz")
    with tf.Graph().as_default(), tf.Session() as session:
        logits = network.build(tf.constant(images, tf.float32), hardnet.SPEC, 4).logits
        tf.train.Saver(network.variables()).restore(session, checkpoint)
        found = session.run(logits)
    with np.load(str(path.with_suffix(".npz"))) as stored:
        np.testing.assert_allclose(found, stored["logits_out"], atol=1e-4)


def test_an_imagenet_file_of_hardnet_gives_the_backbone(tmp_path, capsys):
    entries = {
        name[len("base.") :]: value
        for name, value in _hardnet_entries().items()
        if name.startswith("base.")
    }
    torch_writer.write(tmp_path / "base.pth", entries)
    _convert("hardnet", tmp_path / "base.pth", tmp_path / "model.ckpt", **_HARDNET)
    printed = capsys.readouterr().out
    assert "not used" not in printed
    assert "not in it, so not in the checkpoint" in printed
    stored = restore.shapes(str(tmp_path / "model.ckpt"))
    assert all(name.startswith("hardnet70/base/") for name in stored)
    counters = [name for name in entries if name.endswith("num_batches_tracked")]
    assert len(stored) == len(entries) - len(counters)


def test_a_network_that_lacks_a_layer_is_refused_and_nothing_is_written(tmp_path):
    entries = _entries(NetworkSpec.of(**_FCN))
    del entries["backbone.layer2.0.conv1.weight"]
    torch_writer.write(tmp_path / "net.pth", entries)
    with pytest.raises(UserError, match="resnet18_torch/layer2/0/conv1/weights"):
        _convert("torchvision", tmp_path / "net.pth", tmp_path / "model.ckpt", **_FCN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.pth"]


def test_an_array_of_another_shape_is_refused_with_both(tmp_path):
    entries = _entries(NetworkSpec.of(**_FCN))
    entries["backbone.bn1.weight"] = np.ones((65,), np.float32)
    torch_writer.write(tmp_path / "net.pth", entries)
    with pytest.raises(UserError, match=r"resnet18_torch/bn1/gamma is \[65\].*\[64\]"):
        _convert("torchvision", tmp_path / "net.pth", tmp_path / "model.ckpt", **_FCN)


def test_a_file_of_another_kind_is_refused_with_the_sources_that_fit(tmp_path):
    torch_writer.write(tmp_path / "best.weights", {"conv.weight": np.ones((2,), np.float32)})
    with pytest.raises(OptionError, match=r"best\.weights.*hardnet, torchvision"):
        _convert("musket", tmp_path / "best.weights", tmp_path / "model.ckpt", **_FCN)
    with pytest.raises(OptionError, match=r"--input=.*absent"):
        _convert("musket", tmp_path / "absent", tmp_path / "model.ckpt", **_FCN)
    with pytest.raises(OptionError, match=r"caffe is not a known --source.*torchvision"):
        _convert("caffe", tmp_path / "best.weights", tmp_path / "model.ckpt", **_FCN)


def test_a_checkpoint_of_the_refinenet_system_is_converted(tmp_path, capsys):
    path = golden_folder() / "refinenet" / "checkpoints" / "fresh18_layer1" / "fresh18_layer1"
    _convert(
        "refinenet",
        path,
        tmp_path / "model.ckpt",
        architecture="refinenet",
        model_variant="resnet18_refinenet",
        output_stride=32,
        refinenet_blocks=("layer1",),
        refinenet_reduce_channel_scale=8,
        refinenet_raw_mrf_inputs=True,
    )
    assert "not in it" not in capsys.readouterr().out
    assert restore.shapes(str(tmp_path / "model.ckpt"))["head/weights"][-1] == 2


def _write_deeplab(folder, spec):
    """Writes a checkpoint and the frozen graph of a network, and returns its logits."""
    with _logits(spec) as (session, logits):
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(folder / "model.ckpt-7"))
        name = logits.op.name
        graph = tf.graph_util.convert_variables_to_constants(
            session, tf.get_default_graph().as_graph_def(), [name]
        )
        (folder / "frozen.pb").write_bytes(graph.SerializeToString())
        return session.run(logits)


def test_a_checkpoint_that_exists_is_kept(tmp_path):
    entries = _entries(NetworkSpec.of(**_FCN))
    torch_writer.write(tmp_path / "net.pth", entries)
    (tmp_path / "model.ckpt.index").write_text("mine")
    with pytest.raises(OptionError, match=r"--output=.*model\.ckpt exists"):
        _convert("torchvision", tmp_path / "net.pth", tmp_path / "model.ckpt", **_FCN)
    assert (tmp_path / "model.ckpt.index").read_text() == "mine"


@pytest.mark.parametrize("name", ["model.ckpt-7", "frozen.pb"])
def test_checkpoints_and_frozen_graphs_of_deeplab_are_converted(name, tmp_path, capsys):
    options = {"model_variant": "mobilenet_v2", "atrous_rates": (6,)}
    spec = NetworkSpec.of(**options)
    expected = _write_deeplab(tmp_path, spec)
    _convert("deeplab", tmp_path / name, tmp_path / "out" / "model.ckpt", **options)
    printed = capsys.readouterr().out
    assert "not in it" not in printed
    assert "not used" not in printed
    found = _logits_of(tmp_path / "out" / "model.ckpt", spec)
    np.testing.assert_allclose(found, expected, atol=1e-4)
