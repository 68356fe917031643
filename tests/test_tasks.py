"""A binary run through the commands: train, evaluate, predict, export."""

import json
import os
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from commands import running
from core.backbones import mobilenet_v2
from core.evaluation import results
from core.inference import segmenter
from core.inference.writers import read_probabilities
from datasets import description
from datasets.description import Description
from datasets.records import shards, tfrecord
from tests import small_data
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError

pytestmark = pytest.mark.usefixtures("shallow_mobilenet")

# Without the image-level feature, which is the same in all images here.
NETWORK = {
    "depth_multiplier": 0.25,
    "aspp_convs_filters": 16,
    "batch_norm_decay": 0.8,
    "add_image_level_feature": False,
}
SIZE = 48
BRIGHT = 190


def _sample(seed):
    """Returns an image, and whether a pixel belongs to its bright half."""
    random = np.random.RandomState(seed)
    mask = np.zeros([SIZE, SIZE], bool)
    mask[:, : SIZE // 2] = True
    mask = np.rot90(mask, seed).copy()
    image = random.randint(0, 40, [SIZE, SIZE, 3]) + np.where(mask, BRIGHT, 10)[..., None]
    return image.astype(np.uint8), mask


def _write(folder, task):
    """Writes eight images as records of both splits, whose dataset.json states the task."""
    for split in ("train", "val"):
        path = os.path.join(folder, shards.shard_name(split, 0, 1))
        with tf.io.TFRecordWriter(path) as writer:
            for seed in range(8):
                image, mask = _sample(seed)
                label = mask.astype(np.uint8)
                label[0, :5] = 255
                contents = small_data.png(image), "png", SIZE, SIZE, small_data.png(label)
                writer.write(tfrecord.serialize(tfrecord.Record(f"{split}_{seed}", *contents)))
    classes = ClassSet(("rock", "salt"), task=task, name="tiny")
    description.save(folder, Description(classes, {"train": 8, "val": 8}))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folders of records, whose file states no binary task, and of a run that does."""
    folder = tmp_path_factory.mktemp("binary")
    records, run = str(folder / "records"), str(folder / "run")
    os.makedirs(records)
    _write(records, "multiclass")
    # The backbone's own 0.997 needs a thousand steps to forget its start.
    with mock.patch.object(mobilenet_v2, "_BATCH_NORM_DECAY", 0.8):
        _train(records, run)
    return records, run


def _train(records, run):
    running.call(
        "train",
        **NETWORK,
        task="binary",
        dataset_dir=records,
        train_logdir=run,
        train_crop_size=(49, 49),
        eval_crop_size=(49, 49),
        train_batch_size=8,
        base_learning_rate=0.1,
        training_number_of_steps=60,
        eval_interval_steps=30,
        log_steps=30,
        min_scale_factor=1.0,
        max_scale_factor=1.0,
        device="cpu",
    )


def test_training_selects_by_the_iou_of_the_object(trained):
    _, run = trained
    with open(os.path.join(run, "metrics.jsonl")) as file:
        records = [json.loads(line) for line in file]
    scores = [record["eval_iou"] for record in records if "eval_iou" in record]
    assert len(scores) == 2
    with open(os.path.join(run, "best", "best.json")) as file:
        assert json.load(file)["eval_iou"] == max(scores) > 0.7
    with open(os.path.join(run, "options.json")) as file:
        saved = json.load(file)
    assert saved["run"]["task"] == "binary"
    assert 0 < records[0]["loss"] < 1.5


def test_an_evaluation_follows_the_run_and_the_threshold(trained, tmp_path):
    records, run = trained
    scores = {}
    for threshold in (0.5, 1.0):
        scores[threshold] = running.call(
            "evaluate",
            checkpoint_dir=run,
            dataset_dir=records,
            eval_logdir=str(tmp_path),
            threshold=threshold,
            calibration_bins=5,
            device="cpu",
        )
    assert scores[0.5]["iou"] > 0.7
    assert scores[0.5]["iou"] == pytest.approx(scores[0.5]["iou_per_class"][1])
    assert scores[0.5]["num_images"] == 8
    assert scores[1.0]["recall"] == 0.0
    assert scores[0.5]["settings"]["task"] == "binary"
    assert "salt" in (tmp_path / results.REPORT_FILE).read_text()
    assert "eval/iou_1.0_overall" in (tmp_path / results.LOG_FILE).read_text()


def test_predictions_and_exports_agree(trained, tmp_path):
    _, run = trained
    image, mask = _sample(1)
    small_data.save_image(tmp_path / "photos" / "a.png", image)
    exported = str(tmp_path / "net.pb")
    described = running.call(
        "export",
        checkpoint_dir=run,
        export_path=exported,
        format=("frozen", "tflite"),
        check_images=str(tmp_path / "photos"),
        device="cpu",
    )
    assert (described["task"], described["inference"]["threshold"]) == ("binary", 0.5)
    running.call(
        "predict",
        checkpoint_dir=run,
        input=[str(tmp_path / "photos")],
        output_dir=str(tmp_path / "out"),
        save=("index", "prob", "rle"),
        device="cpu",
    )
    with Image.open(tmp_path / "out" / "a_index.png") as written:
        labels = np.asarray(written)
    probabilities = read_probabilities(str(tmp_path / "out" / "a_prob.npz"))
    assert np.mean(labels == mask) > 0.85
    assert np.mean(labels == (probabilities[..., 0] > 0.5)) > 0.999
    with segmenter.load(exported) as network:
        assert network.classes.names == ("rock", "salt")
        assert np.mean(network.segment(image).labels == labels) > 0.999


def test_a_task_that_labels_cannot_have_is_refused(trained, tmp_path):
    records, run = trained
    settings = {"checkpoint_dir": run, "dataset_dir": records, "eval_logdir": str(tmp_path)}
    with pytest.raises(OptionError, match="--task=multilabel"):
        running.call("evaluate", task="multilabel", device="cpu", **settings)
