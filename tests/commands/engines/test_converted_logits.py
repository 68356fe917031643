"""Files in the formats of others, converted, give the numbers that their own programs computed."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from commands.engines import convert_weights
from core import layers, network
from core.checkpoints import restore
from core.checkpoints.convert import state_dict
from options.config import Config
from options.network import NETWORK_OPTIONS, NetworkSpec
from options.weights import WeightsOptions
from tests.core.checkpoints import keras_writer, torch_writer
from tests.golden import __main__ as golden
from tests.golden import compare
from tests.golden.abeja import logits as abeja
from tests.golden.abeja import networks
from tests.golden.musket import logits as musket
from tests.golden.musket import rules
from tests.resources import data_folder, golden_folder, golden_json, pretrained
from utils.compat import tf


def _convert(source, path, spec, output) -> str:
    """Converts a file for a network; returns the prefix of the checkpoint."""
    values = {**spec.options.to_dict(), **spec.architecture.to_dict()}
    values.update(source=source, input=str(path), output=str(output / "model.ckpt"))
    convert_weights.main(Config.create((WeightsOptions, *NETWORK_OPTIONS), values))
    return values["output"]


def _restore(session, checkpoint):
    """Restores the variables of the session's network; the other heads keep initial values."""
    session.run(tf.global_variables_initializer())
    stored = restore.shapes(checkpoint)
    variables = [item for item in network.variables() if item.op.name in stored]
    assert {item.op.name for item in variables} == set(stored)
    session.run(restore.restore_op(checkpoint, variables))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("musket", "deeplabv3_mobilenetv2_65x97"),
        pytest.param("segmentation_models", "unet_seresnet18", marks=pytest.mark.slow),
        pytest.param("keras_applications", "linknet_vgg16", marks=pytest.mark.slow),
        pytest.param("musket", "deeplabv3_xception_os8", marks=pytest.mark.slow),
        pytest.param("musket", "fpn_resnext50", marks=pytest.mark.slow),
        pytest.param("musket", "pspnet_8_duc", marks=pytest.mark.slow),
        pytest.param("keras_applications", "unet_densenet121", marks=pytest.mark.slow),
    ],
)
def test_a_file_of_keras_gives_the_stored_logits(source, name, tmp_path, monkeypatch):
    path = golden_folder() / "musket" / "logits" / f"{name}.json"
    manifest = golden.read(path)
    rows = [row[:2] for row in golden_json(f"musket/weights/{name}.json")["weights"]]
    factor_first = not any(row[0] == "bn_data/beta" for row in rows)
    first = next(row[0] for row in rows if row[0].endswith("/kernel"))

    def value(array, shape):
        found = rules.array_value(array, shape, manifest["backbone"], manifest["salt"])
        return found / 64 if factor_first and array == first else found

    arrays = {array: value(array, shape) for array, shape in rows}
    keras_writer.write(tmp_path / "best-0.1.weights", arrays, whole_model=True)
    spec = musket.options_of(manifest)
    checkpoint = _convert(source, tmp_path / "best-0.1.weights", spec, tmp_path)
    monkeypatch.setattr(rules, "load", lambda session, *_: _restore(session, checkpoint))
    actual = musket.recompute(manifest, golden.root(path))
    expected = golden.stored(path, manifest, musket)
    limit = 1e-3 if manifest["backbone"].startswith("vgg") else 3e-4
    assert compare.difference_to_range(actual["logits"], expected["logits"]) <= limit


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fcn_64x96_b2", "deeplabv3_65x129_b2"])
def test_a_state_dict_of_torchvision_gives_the_stored_logits(name, tmp_path, monkeypatch):
    path = golden_folder() / "abeja" / "logits" / f"{name}.json"
    manifest = golden.read(path)
    stored = golden_json("abeja/state_dict.json")["networks"][manifest["config"]["arch"]]
    entries = {}
    for entry, shape, *_ in stored["entries"]:
        if entry.startswith("classifier.4."):
            shape = [manifest["config"]["num_classes"], *shape[1:]]
        entries[entry] = networks.entry_value(entry, shape)
    torch_writer.write(tmp_path / "net.pth", entries)
    spec = networks.spec_of(manifest["config"])
    checkpoint = _convert("torchvision", tmp_path / "net.pth", spec, tmp_path)
    monkeypatch.setattr(networks, "load_weights", lambda session, *_: _restore(session, checkpoint))
    actual = abeja.recompute(manifest, golden.root(path))
    expected = golden.stored(path, manifest, abeja)
    assert compare.difference_to_range(actual["logits"], expected["logits"]) <= 3e-4


# Photo -> number of its class among those of ImageNet: an airliner, a ram, a tandem.
_PHOTOS = {"0": 404, "20": 348, "120": 444}


def _crop_of_voc(name) -> np.ndarray:
    path = data_folder("voc") / "crops513" / f"{name}_image.png"
    return np.asarray(Image.open(str(path)).convert("RGB"))[None]


@pytest.mark.once
def test_the_published_mobilenet_of_torchvision_knows_what_is_in_photos(tmp_path):
    path = pathlib.Path(pretrained("torchvision_mobilenet_v2")).with_name(
        "mobilenet_v2-b0353104.pth"
    )
    spec = NetworkSpec.of(model_variant="mobilenet_v2_torch", output_stride=32)
    checkpoint = _convert("torchvision", path, spec, tmp_path)
    photos = np.concatenate([_crop_of_voc(name)[:, ::2, ::2] for name in _PHOTOS])
    record = network.backbone(spec.options)
    with tf.Graph().as_default(), tf.Session() as session:
        images = record.normalize(tf.constant(photos, tf.float32))
        features = record.build(images, spec.options, layers.INFERENCE).output
        _restore(session, checkpoint)
        pooled = session.run(tf.reduce_mean(features, [1, 2]))
    arrays = state_dict.read(str(path))
    scores = pooled @ arrays["classifier.1.weight"].T + arrays["classifier.1.bias"]
    assert list(scores.argmax(1)) == list(_PHOTOS.values())


def test_the_frozen_graph_of_a_user_gives_its_own_logits(tmp_path):
    path = pathlib.Path(pretrained("portrait_deeplab_dm05")).with_name("frozen_inference_graph.pb")
    options = {"model_variant": "mobilenet_v2", "depth_multiplier": 0.5, "output_stride": 8}
    spec = NetworkSpec.of(**options)
    checkpoint = _convert("deeplab", path, spec, tmp_path)
    photo = _crop_of_voc("120")
    frozen = tf.GraphDef()
    frozen.ParseFromString(path.read_bytes())
    with tf.Graph().as_default(), tf.Session() as session:
        tf.import_graph_def(frozen, name="")
        expected = session.run("logits/semantic/BiasAdd:0", {"ImageTensor:0": photo})
    with tf.Graph().as_default(), tf.Session() as session:
        logits = network.build(tf.constant(photo, tf.float32), spec, 2, crop_size=(513, 513)).logits
        _restore(session, checkpoint)
        found = session.run(logits)
    assert compare.difference_to_range(found, expected) <= 1e-5
