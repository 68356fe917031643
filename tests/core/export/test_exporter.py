"""Exports of every format, for tasks that decide by a threshold."""

import dataclasses
import importlib.util
import json
import os

import numpy as np
import pytest

from core.export import exporter, graph
from core.export.artifact import Network
from core.inference import segmenter
from core.inference.predictor import Member, Predictor
from core.inference.thresholds import Thresholds
from deployment import backend as backends
from options.averaging import Averaging
from options.device import DeviceOptions
from options.export import ExportOptions
from tests import small_data
from tests.small_networks import SMALL, save_checkpoint
from utils.classes import ClassSet
from utils.compat import has_new_tflite_converter
from utils.errors import UserError

pytestmark = pytest.mark.usefixtures("shallow_mobilenet")

CROP = (33, 33)
NAMES = {"binary": ("rock", "salt"), "multilabel": ("cat", "dog", "tree")}
SHAPE = {"binary": [], "multilabel": [3]}


def formats():
    return [
        name for name in exporter.FORMATS if name != "onnx" or importlib.util.find_spec("tf2onnx")
    ]


def median_probabilities(network, checkpoint, images):
    """Returns the threshold of each channel that splits the pixels of the images in halves."""
    count = network.classes.count
    with Predictor(
        [Member(checkpoint, network.spec)], num_classes=count, task=network.task, crop_size=CROP
    ) as predictor:
        found = [predictor.probabilities(image) for image in images]
    # Near 0 and 1 a sigmoid in float32 has no digits left.
    return tuple(float(value) for value in np.median(found, axis=(0, 1, 2)).clip(1e-3, 0.999))


@pytest.mark.parametrize(
    ("task", "averaging"),
    [
        ("binary", Averaging(flip=True, rotate=True, average="gmean")),
        ("multilabel", Averaging()),
    ],
)
def test_every_format_agrees_with_the_checkpoint(task, averaging, tmp_path):
    images = exporter.Samples([small_data.pixels(seed, *CROP) for seed in range(2)], "noise")
    network = Network(
        spec=SMALL,
        classes=ClassSet(NAMES[task], task=task, name="tiny"),
        crop_size=CROP,
        averaging=averaging,
        pad_color=(127.5, 127.5, 127.5),
        resize=None,
    )
    channels = network.task.channels(network.classes.count)
    # Larger weights: few probabilities near the threshold.
    checkpoint = save_checkpoint(tmp_path, channels, factor=10.0)
    values = median_probabilities(network, checkpoint, images.images[:1])
    found = {"metric": "dice", "classes": dict(zip(NAMES[task], values))}
    network = dataclasses.replace(network, thresholds=Thresholds(values, "here", found))
    described = exporter.run(
        network,
        checkpoint_path=checkpoint,
        export_options=ExportOptions(
            checkpoint_path=checkpoint,
            export_path=str(tmp_path / "out" / "net.pb"),
            format=formats(),
            int8_label_agreement=0.0,
        ),
        samples=images,
        representative=images if has_new_tflite_converter() else None,
        backend=backends.create(DeviceOptions(device="cpu")),
    )
    for name, entry in described["artifacts"].items():
        assert entry["check"]["done"], name
        assert entry["outputs"][graph.LABELS]["shape"][3:] == SHAPE[task]
        assert entry["outputs"][graph.PROBABILITIES]["shape"][3:] == [channels]
    stored = json.loads((tmp_path / "out" / "net.json").read_text())
    assert stored["task"] == task
    assert stored["class_names"] == list(NAMES[task])
    assert stored["inference"]["threshold"] == (list(values) if channels > 1 else values[0])
    assert stored["inference"]["thresholds"] == found
    with graph.opened(str(tmp_path / "out" / "net.pb")) as run:
        labels, probabilities = run(images.images[0])
    decided = network.task.decide_array(probabilities, values)
    assert 0 < decided.mean() < 1
    assert np.mean(labels == decided) > 0.999
    for name in ("net.pb", "net_savedmodel"):
        with segmenter.load(str(tmp_path / "out" / name)) as loaded:
            assert loaded.classes == network.classes
            result = loaded.segment(images.images[0], probabilities=True)
            only_labels = loaded.segment(images.images[0]).labels
        assert np.mean(result.labels == labels) > 0.999
        np.testing.assert_array_equal(only_labels, labels)
        np.testing.assert_allclose(result.probabilities, probabilities, atol=1e-5)
    assert not [name for name in os.listdir(str(tmp_path / "out")) if name.startswith(".")]


def test_each_format_has_its_own_suffixes():
    suffixes = [suffix for record in exporter.FORMATS.values() for suffix in record.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert set(exporter.FORMATS) == {"frozen", "savedmodel", "tflite", "onnx", "om"}


@pytest.mark.parametrize(("export_path", "folder"), [("n.pb", "n_savedmodel"), ("n", "n")])
def test_a_folder_that_no_export_has_written_is_kept(export_path, folder, tmp_path):
    (tmp_path / folder).mkdir()
    thesis = tmp_path / folder / "thesis.txt"
    thesis.touch()
    (tmp_path / folder / "saved_model.pb").touch()
    network = Network(
        spec=SMALL,
        classes=ClassSet(("a", "b")),
        crop_size=CROP,
        averaging=Averaging(),
        pad_color=(127.5, 127.5, 127.5),
        resize=None,
    )
    with pytest.raises(UserError, match=f"{folder} is in the way.*thesis.txt"):
        exporter.run(
            network,
            checkpoint_path="nowhere",
            export_options=ExportOptions(export_path=str(tmp_path / export_path)),
            samples=exporter.Samples([], "none"),
            representative=None,
            backend=None,
        )
    assert thesis.exists()
