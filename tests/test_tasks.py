"""Binary and multi-label data through the commands: convert, train, evaluate, predict, export."""

import dataclasses
import json
import os
import shutil
from typing import Callable
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from commands import running
from core.backbones import mobilenet_v2
from core.evaluation import results
from core.inference import segmenter, thresholds
from tests import small_data
from tests.converting import convert
from utils.errors import OptionError, UserError

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


def test_thresholds_found_on_a_split_decide_everywhere(trained, tmp_path):
    run = str(tmp_path / "run")
    shutil.copytree(trained.run, run)
    common = {"checkpoint_dir": run, "device": "cpu"}
    data = {**common, "dataset_dir": trained.records}
    found = running.call("threshold", metric="dice", **data)
    names = ("bright", "right") if trained.task == "multilabel" else ("class_1",)
    assert tuple(found["classes"]) == names
    summary = running.call("evaluate", eval_logdir=str(tmp_path / "eval"), **data)
    values = list(found["classes"].values())
    used = summary["settings"]["threshold"]
    assert used == (values if len(set(values)) > 1 else values[0])
    assert thresholds.FILE in summary["settings"]["threshold_source"]
    # The pass at the thresholds that were found has the scores that the search saw.
    rows = summary["classes"][-len(names) :]
    for row, name in zip(rows, names):
        assert row["f1"] == pytest.approx(found["scores"][name]["score"], abs=1e-3)
        assert row["f1"] >= found["scores"][name]["score_at_0.5"] - 1e-3
    _predicts_and_exports(run, values, tmp_path)
    running.call("threshold", metric="map10", per_class=False, **data)
    with open(os.path.join(run, thresholds.FILE)) as file:
        stored = json.load(file)
    assert set(stored["classes"].values()) == {stored["for_all"]["threshold"]}
    assert stored["checkpoint"] == "model.ckpt-60"
    with pytest.raises(UserError, match=r"thresholds of checkpoint model.ckpt-60"):
        running.call("evaluate", checkpoint="30", eval_logdir=str(tmp_path / "eval"), **data)


def _predicts_and_exports(run, values, tmp_path):
    """Checks that prediction, pictures and an export decide by the thresholds of a run."""
    image, _ = _sample(3)
    exported = str(tmp_path / "net.pb")
    described = running.call("export", checkpoint_dir=run, export_path=exported, device="cpu")
    assert described["inference"]["thresholds"]["checkpoint"] == "model.ckpt-60"
    for source in (run, exported):
        with segmenter.load(source) as network:
            result = network.segment(image, probabilities=True)
            labels = network.segment(image).labels
        expected = result.probabilities > np.float32(values)
        assert 0 < expected.mean() < 1
        np.testing.assert_array_equal(labels, expected.reshape(labels.shape))
