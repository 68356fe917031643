"""Binary and multi-label data through the commands: convert, train, evaluate, predict, export."""

import dataclasses
import json
import os
from typing import Callable
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from commands import running
from core.backbones import mobilenet_v2
from core.evaluation import results
from core.inference import segmenter
from tests import small_data
from tests.converting import convert
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


def _sample(seed):
    """Returns an image, and its bright half and its right half, which has another colour."""
    random = np.random.RandomState(seed)
    bright = np.zeros([SIZE, SIZE], bool)
    bright[:, : SIZE // 2] = True
    bright = np.rot90(bright, seed).copy()
    right = np.zeros([SIZE, SIZE], bool)
    right[:, SIZE // 2 :] = True
    image = random.randint(0, 40, [SIZE, SIZE, 3]) + np.where(bright, 150, 10)[..., None]
    image[right, 0] += 60
    return image.astype(np.uint8), (bright, right)


def _make_binary(folder, name, masks):
    values = masks[0].astype(np.uint8)
    values[0, :5] = 255
    small_data.save_mask(folder / "masks" / f"{name}.png", values)


def _make_multilabel(folder, name, masks):
    for label, mask in zip(("bright", "right"), masks):
        small_data.save_mask(folder / "masks" / label / f"{name}.png", mask.astype(np.uint8))


@dataclasses.dataclass(frozen=True)
class Case:
    """What differs between the tasks.

    Attributes:
      make: Writes the masks of an image.
      source: Folder of the masks -> name of the format, and its flags by name.
      train: Further flags of training.
      monitor: The score that selects checkpoints.
      masks: Endings of the written masks.
    """

    make: Callable
    source: Callable
    train: dict
    monitor: str
    masks: tuple


CASES = {
    # Converted without a task: the flag of training makes two classes an object and the rest.
    "binary": Case(
        make=_make_binary,
        source=lambda masks: (
            "folders",
            {"semantic_segmentation_folder": masks, "num_classes": 2},
        ),
        train={"task": "binary"},
        monitor="iou",
        masks=("_index.png",),
    ),
    "multilabel": Case(
        make=_make_multilabel,
        source=lambda masks: ("binary_masks", {"mask_folders": [masks]}),
        train={},
        monitor="mean_iou_of_labels",
        masks=("_bright.png", "_right.png"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained case: its name, the folders of its records and of the run."""

    task: str
    records: str
    run: str

    @property
    def case(self) -> Case:
        return CASES[self.task]


@pytest.fixture(scope="module", params=CASES)
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    case = CASES[request.param]
    for number in range(10):
        image, masks = _sample(number)
        small_data.save_image(folder / "images" / f"{number}.png", image)
        case.make(folder, number, masks)
    name, flags = case.source(str(folder / "masks"))
    output = {"output_dir": str(folder / "records"), "val_fraction": 0.4}
    convert(name, {"image_folder": str(folder / "images"), **flags, **output})
    # The backbone's own 0.997 needs a thousand steps to forget its start.
    with mock.patch.object(mobilenet_v2, "_BATCH_NORM_DECAY", 0.8):
        _train(case, str(folder / "records"), str(folder / "run"))
    return Trained(request.param, str(folder / "records"), str(folder / "run"))


def _train(case, records, run):
    running.call(
        "train",
        **NETWORK,
        **case.train,
        dataset_dir=records,
        train_logdir=run,
        train_crop_size=(49, 49),
        eval_crop_size=(49, 49),
        train_batch_size=6,
        base_learning_rate=0.1,
        training_number_of_steps=60,
        eval_interval_steps=30,
        log_steps=30,
        min_scale_factor=1.0,
        max_scale_factor=1.0,
        device="cpu",
    )


def _labels(values, task):
    """Returns labels as bool [h, w, labels]."""
    return values.astype(bool) if task == "multilabel" else values[..., np.newaxis] == 1


def test_training_selects_by_the_score_of_the_task(trained):
    with open(os.path.join(trained.run, "metrics.jsonl")) as file:
        records = [json.loads(line) for line in file]
    key = f"eval_{trained.case.monitor}"
    scores = [record[key] for record in records if key in record]
    assert len(scores) == 2
    with open(os.path.join(trained.run, "best", "best.json")) as file:
        assert json.load(file)[key] == max(scores) > 0.6
    with open(os.path.join(trained.run, "options.json")) as file:
        assert json.load(file)["run"]["task"] == trained.task


def test_an_evaluation_follows_the_run_and_the_threshold(trained, tmp_path):
    summaries = {}
    for threshold in (0.5, 1.0):
        summaries[threshold] = running.call(
            "evaluate",
            checkpoint_dir=trained.run,
            dataset_dir=trained.records,
            eval_logdir=str(tmp_path),
            threshold=threshold,
            calibration_bins=5,
            device="cpu",
        )
    half = summaries[0.5]
    assert half[trained.case.monitor] > 0.6
    assert summaries[1.0][trained.case.monitor] == 0.0
    assert half["num_images"] == 4
    assert half["settings"]["task"] == trained.task
    assert len(half["classes"]) == 2
    assert "calibration" in (tmp_path / results.REPORT_FILE).read_text()
    assert f"eval/{trained.case.monitor}_1.0_overall" in (tmp_path / results.LOG_FILE).read_text()


def test_predictions_and_exports_agree(trained, tmp_path):
    image, masks = _sample(1)
    small_data.save_image(tmp_path / "photos" / "a.png", image)
    exported = str(tmp_path / "net.pb")
    described = running.call(
        "export",
        checkpoint_dir=trained.run,
        export_path=exported,
        format=("frozen", "tflite"),
        check_images=str(tmp_path / "photos"),
        device="cpu",
    )
    assert (described["task"], described["inference"]["threshold"]) == (trained.task, 0.5)
    running.call(
        "predict",
        checkpoint_dir=trained.run,
        input=[str(tmp_path / "photos")],
        output_dir=str(tmp_path / "out"),
        save=("index", "overlay", "prob", "rle"),
        device="cpu",
    )
    written = []
    for ending in trained.case.masks:
        with Image.open(tmp_path / "out" / f"a{ending}") as mask:
            written.append(np.asarray(mask) == 1)
    labels = np.stack(written, axis=2)
    truth = np.stack(masks[: len(written)], axis=2)
    assert np.mean(labels == truth) > 0.8
    probabilities = np.load(str(tmp_path / "out" / "a_prob.npz"))["probabilities"]
    assert np.mean(labels == (probabilities > 0.5)) > 0.999
    with segmenter.load(exported) as network:
        again = _labels(network.segment(image).labels, trained.task)
    assert np.mean(again == labels) > 0.999


def test_a_task_that_labels_cannot_have_is_refused(trained, tmp_path):
    other = "multiclass" if trained.task == "multilabel" else "multilabel"
    with pytest.raises(OptionError, match=f"--task={other}"):
        running.call(
            "evaluate",
            checkpoint_dir=trained.run,
            dataset_dir=trained.records,
            eval_logdir=str(tmp_path),
            task=other,
            device="cpu",
        )
