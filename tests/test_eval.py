"""The evaluation command: what a user types, what is left behind, what is refused."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from commands import running
from core.evaluation import results
from datasets import description
from datasets.description import Description
from datasets.records import shards, tfrecord
from options.network import NetworkSpec
from tests import in_process, small_data
from tests.resources import data_folder, pretrained
from tests.small_networks import save_run
from utils import report
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError, UserError

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODEL = NetworkSpec.of(depth_multiplier=0.25, aspp_convs_filters=16)
NAMES = ("a", "b", "c")
# Height, width; images are smaller.
CROP = (41, 57)


def _write_records(folder, names=NAMES, label_values=(0, 1, 2, 255)):
    """Writes three images of different sizes as split val; returns the pixels with a class."""
    random = np.random.RandomState(0)
    os.makedirs(folder, exist_ok=True)
    counted = 0
    with tf.io.TFRecordWriter(os.path.join(folder, shards.shard_name("val", 0, 1))) as writer:
        for index, (height, width) in enumerate([(33, 40), (41, 57), (20, 57)]):
            label = random.choice(label_values, [height, width]).astype(np.uint8)
            counted += int((label != 255).sum())
            image = random.randint(0, 256, [height, width, 3]).astype(np.uint8)
            record = tfrecord.Record(
                f"image_{index}", small_data.png(image), "png", height, width, small_data.png(label)
            )
            writer.write(tfrecord.serialize(record))
    colors = ((0, 0, 0), (200, 0, 0), (0, 200, 0))[: len(names)]
    description.save(folder, Description(ClassSet(names, colors, name="tiny"), {"val": 3}))
    return counted


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("records"))
    return folder, _write_records(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder with two checkpoints of random weights and the options of the network."""
    folder = str(tmp_path_factory.mktemp("run"))
    save_run(folder, MODEL, CROP, NAMES, (3, 20))
    return folder


def _evaluate(records, logdir, **options):
    return running.call(
        "evaluate", dataset_dir=records[0], eval_logdir=str(logdir), device="cpu", **options
    )


def test_the_newest_checkpoint_is_evaluated_with_the_options_saved_beside_it(
    records, run, tmp_path, capsys
):
    summary = _evaluate(records, tmp_path, checkpoint_dir=run, eval_batch_size=2)
    assert summary["step"] == 20
    assert summary["num_images"] == 3
    assert sum(row["labelled"] for row in summary["classes"]) == records[1]
    assert summary["settings"]["eval_crop_size"] == list(CROP)
    assert json.loads((tmp_path / "metrics.json").read_text()) == json.loads(json.dumps(summary))
    assert "image_2" in (tmp_path / "report.html").read_text()
    assert "mIoU  " in capsys.readouterr().out


def test_without_the_package_of_the_report_the_rest_is_written_and_it_says_so(
    records, run, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(report.importlib.util, "find_spec", lambda name: None)
    assert _evaluate(records, tmp_path, checkpoint_dir=run)["num_images"] == 3
    assert "no report.html: the package Jinja2 is missing" in caplog.text
    assert (tmp_path / "metrics.json").exists()
    assert not (tmp_path / "report.html").exists()


def test_results_lie_beside_the_checkpoint_by_default(records, run):
    running.call(
        "evaluate",
        checkpoint_path=os.path.join(run, "model.ckpt-3"),
        report=False,
        dataset_dir=records[0],
        device="cpu",
    )
    folder = os.path.join(run, "eval")
    with open(os.path.join(folder, results.METRICS_FILE)) as file:
        assert json.load(file)["step"] == 3
    assert not os.path.exists(os.path.join(folder, results.REPORT_FILE))


def test_another_network_needs_consent(records, run, tmp_path):
    options = {"checkpoint_dir": run, "report": False, "output_stride": 8}
    with pytest.raises(OptionError, match=r"--output_stride=8 \(saved: 16\).*--change_network"):
        _evaluate(records, tmp_path, **options)
    assert not os.listdir(str(tmp_path))
    assert _evaluate(records, tmp_path, change_network=True, **options)["num_images"] == 3


@pytest.mark.parametrize("options", [{}, {"checkpoint_dir": "a", "checkpoint_path": "b/c"}])
def test_exactly_one_checkpoint_must_be_named(records, tmp_path, options):
    with pytest.raises(OptionError, match=r"--checkpoint_dir=RUN .* or --checkpoint_path=.* given"):
        _evaluate(records, tmp_path, **options)


def test_what_cannot_work_is_a_sentence(records, run, tmp_path):
    (tmp_path / "file").write_text("")
    logdir = tmp_path / "eval"
    with pytest.raises(UserError, match="no records of split test"):
        _evaluate(records, logdir, checkpoint_dir=run, eval_split="test")
    with pytest.raises(UserError, match="no folder .*nowhere"):
        _evaluate(records, logdir, checkpoint_dir=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="no checkpoint at "):
        _evaluate(records, logdir, checkpoint_path=os.path.join(run, "model.ckpt-4"))
    with pytest.raises(UserError, match="cannot write to --eval_logdir="):
        _evaluate(records, tmp_path / "file" / "eval", checkpoint_dir=run)
    with pytest.raises(OptionError, match=r"pass --eval_crop_size=41,57"):
        _evaluate(records, logdir, checkpoint_dir=run, eval_crop_size=(33, 57))
    assert not logdir.exists()


def test_data_of_another_class_count_is_a_sentence(run, tmp_path):
    folder = str(tmp_path / "two")
    counted = _write_records(folder, NAMES[:2], (0, 1))
    with pytest.raises(UserError, match="3 outputs .* data set tiny has 2"):
        _evaluate((folder, counted), tmp_path / "new" / "eval", checkpoint_dir=run)
    assert not (tmp_path / "new").exists()


def test_other_class_names_are_noticed(run, tmp_path):
    folder = str(tmp_path / "other")
    counted = _write_records(folder, ("a", "c", "b"))
    _evaluate((folder, counted), tmp_path / "eval", checkpoint_dir=run)
    page = (tmp_path / "eval" / "report.html").read_text()
    assert "1 was b, is c; 2 was c, is b" in page


def _command(*arguments):
    return subprocess.run(
        [sys.executable, os.path.join(ROOT, "eval.py"), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no_such_flag=1"], "no_such_flag"),
        (["--eval_batch_size=0"], "--eval_batch_size is 0"),
        (["--dataset_dir=x"], "neither is given"),
    ],
)
def test_a_refused_option_exits_with_2_before_tensorflow_is_loaded(arguments, message):
    code = (
        "import sys, runpy, atexit\n"
        "atexit.register(lambda: print('tensorflow' in sys.modules))\n"
        f"sys.argv = ['eval.py'] + {arguments!r}\n"
        "runpy.run_path('eval.py', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.strip() == "False"


def test_the_command_evaluates_and_both_entry_points_agree(records, run, tmp_path):
    arguments = [
        f"--checkpoint_dir={run}",
        f"--dataset_dir={records[0]}",
        f"--eval_logdir={tmp_path}",
        "--device=cpu",
    ]
    done = _command(*arguments)
    assert done.returncode == 0, done.stderr
    first = json.loads((tmp_path / "metrics.json").read_text())
    assert in_process.run("train_npu.py", "--mode=evaluate", "--noreport", *arguments) == 0
    second = json.loads((tmp_path / "metrics.json").read_text())
    assert second["iou_per_class"] == first["iou_per_class"]


@pytest.mark.once
def test_a_failure_exits_with_1(run, tmp_path):
    done = _command(f"--checkpoint_dir={run}", f"--dataset_dir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ") or "\nError: " in done.stderr
    assert "Traceback" not in done.stderr


def _write_voc_crops(source, folder):
    """Writes the eight VOC crops as records without a dataset.json, as other code leaves them."""
    os.makedirs(folder)
    with tf.io.TFRecordWriter(os.path.join(folder, shards.shard_name("val", 0, 1))) as writer:
        for path in sorted(source.glob("*_image.png")):
            name = path.name.replace("_image.png", "")
            label = source / f"{name}_label.png"
            record = tfrecord.Record(name, path.read_bytes(), "png", 513, 513, label.read_bytes())
            writer.write(tfrecord.serialize(record))


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        ("dm05_os16_513", {}),
        pytest.param(
            "dm05_os16_513_msflip",
            {"eval_scales": (0.5, 0.75, 1.0, 1.25, 1.5, 1.75), "add_flipped_images": True},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_published_checkpoint_scores_as_it_does_with_the_reference(setting, options, tmp_path):
    voc, golden = data_folder("voc"), data_folder("golden_deeplab_dm05")
    _write_voc_crops(voc / "crops513", str(tmp_path / "records"))
    summary = running.call(
        "evaluate",
        depth_multiplier=0.5,
        checkpoint_path=pretrained("deeplabv3_mnv2_dm05_pascal"),
        eval_logdir=str(tmp_path / "eval"),
        dataset_dir=str(tmp_path / "records"),
        device="cpu",
        **options,
    )
    expected = json.loads((golden / "metrics.json").read_text())[f"{setting}/voc_crops513"]
    assert summary["num_images"] == expected["images"]
    assert summary["miou"] == pytest.approx(expected["miou_union_nonzero"], abs=5e-4)
    assert summary["pixel_accuracy"] == pytest.approx(expected["pixel_acc"], abs=1e-4)
    for ours, theirs in zip(summary["iou_per_class"], expected["iou"]):
        assert ours == (None if theirs is None else pytest.approx(theirs, abs=2e-3))
    # Labels may differ in one pixel of a thousand between processors.
    rows = (tmp_path / "eval" / results.CONFUSION_FILE).read_text().splitlines()[1:]
    confusion = np.array([row.split(",")[1:] for row in rows], np.int64)
    difference = np.abs(confusion - expected["confusion_rows_gt"]).sum()
    assert difference <= 0.001 * confusion.sum()


def test_all_checkpoints_leave_a_folder_each_and_a_table(records, run, tmp_path):
    summary = _evaluate(records, tmp_path, checkpoint_dir=run, checkpoint="all", report=False)
    assert summary["step"] == 20
    lines = (tmp_path / "evaluations.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines] == [
        ["checkpoint", "step"],
        ["model.ckpt-3", "3"],
        ["model.ckpt-20", "20"],
    ]
    assert (tmp_path / "model.ckpt-3" / "metrics.json").exists()
    alone = _evaluate(records, tmp_path / "x", checkpoint_dir=run, checkpoint="20", report=False)
    assert alone["iou_per_class"] == summary["iou_per_class"]


def test_watching_ends_after_the_wanted_number_of_evaluations(records, run, tmp_path):
    options = {"checkpoint_dir": run, "watch": True, "report": False}
    summary = _evaluate(records, tmp_path, max_number_of_evaluations=1, **options)
    assert summary["step"] == 20
    assert (tmp_path / "model.ckpt-20" / "metrics.json").exists()
    with pytest.raises(UserError, match="got no checkpoint in 1 s"):
        _evaluate(
            records,
            tmp_path,
            **dict(options, checkpoint_dir=str(tmp_path / "none")),
            watch_timeout_secs=1,
            eval_interval_secs=1,
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"watch": True, "checkpoint_path": "a/b"}, "evaluates the newest checkpoints"),
        ({"checkpoint_dir": "a", "checkpoint": "last"}, "'last', but must be newest, best"),
        ({"checkpoint_path": "a/b", "checkpoint": "all"}, "--checkpoint_path names one"),
    ],
)
def test_contradicting_choices_of_checkpoints_are_refused(records, tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        _evaluate(records, tmp_path, **options)


def test_images_at_their_own_size_in_windows_and_by_two_checkpoints(records, run, tmp_path):
    paths = [os.path.join(run, f"model.ckpt-{step}") for step in (3, 20)]
    summary = _evaluate(
        records,
        tmp_path,
        checkpoint_path=paths,
        eval_batch_size=2,
        window_size=(33, 41),
        window_overlap=0.5,
    )
    assert summary["num_images"] == 3
    assert sum(row["labelled"] for row in summary["classes"]) == records[1]
    assert summary["checkpoints"] == paths
    assert summary["settings"]["eval_crop_size"] == ["auto"]
    assert summary["settings"]["window_size"] == [33, 41]
    assert "mean of 2 checkpoints" in (tmp_path / "report.html").read_text()


def test_windows_need_images_at_their_own_size(records, run, tmp_path):
    with pytest.raises(OptionError, match="pass --eval_crop_size=auto"):
        _evaluate(records, tmp_path, checkpoint_dir=run, eval_crop_size=CROP, max_pixels=1000)
