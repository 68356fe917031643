"""train_npu.py on the stand-in of an NPU: loops, resume, evaluation, two processes."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from absl import flags, logging

from commands import running
from core.checkpoints import restore
from tests import small_data
from tests.converting import convert
from tests.npu_adapter import importable, parts
from tests.npu_adapter import session as device
from utils.compat import tf
from utils.errors import OptionError

ROOT = pathlib.Path(__file__).parent.parent
TABLE = {
    "version": "1.0",
    "server_count": "1",
    "status": "completed",
    "server_list": [
        {
            "server_id": "127.0.0.1",
            "device": [{"device_id": str(rank), "rank_id": str(rank)} for rank in range(2)],
        }
    ],
}
NETWORK = (
    "--model_variant=resnet_v1_18",
    "--aspp_convs_filters=8",
    "--aspp_with_separable_conv=false",
    "--atrous_rates=2",
    "--train_crop_size=33,33",
    "--min_scale_factor=1.0",
    "--max_scale_factor=1.0",
    "--base_learning_rate=0.01",
    "--device=npu",
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Records of images larger than the crop whose masks have no ignored pixels.

    So each image has the same weight on any rank: the loss is the mean over the pixels of a rank's
    batch.
    """
    folder = tmp_path_factory.mktemp("data")
    options = small_data.make_voc(folder, train=8, val=3)
    for index, path in enumerate(sorted((folder / "Masks").iterdir())):
        mask = np.minimum(small_data.labels(index, 40, 44), small_data.NUM_CLASSES - 1)
        small_data.save_mask(path, mask)
        image = small_data.pixels(index, 40, 44)
        small_data.save_image(folder / "Images" / f"{path.stem}.jpg", image)
    convert("pascal_voc", options)
    return "--dataset_dir=" + options["output_dir"]


@pytest.fixture
def adapter(request, monkeypatch):
    """Makes a layout of the adapter importable in this process."""
    with importable.adapter(request.param, monkeypatch):
        yield


def command(*arguments):
    """Runs train_npu.py in this process, so that TensorFlow is not loaded for each run."""
    argv = ["train_npu.py", *map(str, arguments)]
    parsed = running.parse("train", argv[0], True, flags.FlagValues(), argv)
    shown = logging.get_verbosity()
    try:
        running.act(parsed)
    finally:
        logging.set_verbosity(shown)


def train(folder, records, steps, *more):
    command(
        f"--train_logdir={folder}", f"--training_number_of_steps={steps}", records, *NETWORK, *more
    )


def evaluation(folder, records):
    return (
        "--mode=evaluate",
        f"--checkpoint_dir={folder}",
        records,
        "--eval_crop_size=65,65",
        "--device=npu",
        "--noreport",
    )


def run(tmp_path, *arguments):
    """Runs a command in a process of its own."""
    stand_in = pathlib.Path(device.__file__).parent / importable.LAYOUTS["npu_bridge"]
    path = [str(stand_in), *filter(None, [os.environ.get("PYTHONPATH")])]
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={
            **importable.clean(os.environ),
            "PYTHONPATH": os.pathsep.join(path),
            "NPU_STAND_IN_SOCKET": str(tmp_path / "ranks"),
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]


def values(path):
    reader = restore.reader(path)
    return {name: reader.get_tensor(name) for name in restore.shapes(path)}


def assert_same(first, second, tolerance=0.0):
    """Compares checkpoints; the tolerance is relative to each tensor's largest value."""
    first, second = values(first), values(second)
    assert set(first) == set(second)
    for name, value in first.items():
        allowed = tolerance * np.abs(value).max()
        np.testing.assert_allclose(value, second[name], rtol=0, atol=allowed, err_msg=name)


@pytest.mark.parametrize("adapter", ["npu_bridge"], indirect=True)
def test_a_loop_on_the_device_takes_the_steps_of_single_runs_and_can_be_continued(
    adapter, tmp_path, records, monkeypatch
):
    # The stand-in's dropout counts its own runs, which differ between loops and single steps.
    monkeypatch.setattr(parts, "dropout", lambda inputs, unused_keep_probability: inputs)
    # A constant rate, since the decay depends on the number of steps.
    same = ("--train_batch_size=2", "--learning_power=0")
    loop = ("--iterations_per_loop=3", "--save_checkpoints_steps=3", *same)
    single = ("--iterations_per_loop=1", *same)
    train(tmp_path / "loop", records, 3, *loop)
    train(tmp_path / "loop", records, 6, *loop)
    assert "continued from step 3" in (tmp_path / "loop/training.log").read_text()
    train(tmp_path / "single", records, 6, *single)
    assert_same(str(tmp_path / "loop/model.ckpt-6"), str(tmp_path / "single/model.ckpt-6"))
    assert not any("npu_runconfig" in name for name in values(str(tmp_path / "loop/model.ckpt-6")))


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["npu_bridge"], indirect=True)
def test_unfreezing_between_two_loops_on_the_device_equals_single_steps(
    adapter, tmp_path, records, monkeypatch
):
    monkeypatch.setattr(parts, "dropout", lambda inputs, unused_keep_probability: inputs)
    same = ("--train_batch_size=2", "--learning_power=0", "--freeze=backbone", "--unfreeze_step=3")
    train(tmp_path / "loop", records, 3, "--iterations_per_loop=3", *same)
    train(tmp_path / "loop", records, 6, "--iterations_per_loop=3", *same)
    train(tmp_path / "single", records, 6, "--iterations_per_loop=1", *same)
    assert_same(str(tmp_path / "loop/model.ckpt-6"), str(tmp_path / "single/model.ckpt-6"))


@pytest.mark.parametrize("adapter", ["npu_device"], indirect=True)
def test_a_run_evaluates_itself_between_loops_and_scales_its_loss(adapter, tmp_path, records):
    train(
        tmp_path,
        records,
        4,
        "--iterations_per_loop=2",
        "--train_batch_size=2",
        "--accumulate_batches=2",
        "--loss_scale=dynamic",
        "--eval_interval_steps=2",
        "--eval_crop_size=65,65",
    )
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    measured = [record for record in map(json.loads, lines) if "eval_miou" in record]
    assert [record["step"] for record in measured] == [2, 4]
    command(*evaluation(tmp_path, records))
    metrics = json.loads((tmp_path / "eval/metrics.json").read_text())
    assert (metrics["step"], metrics["device"]) == (4, "npu")
    assert metrics["miou"] == pytest.approx(measured[-1]["eval_miou"])


@pytest.mark.parametrize("adapter", ["npu_bridge"], indirect=True)
def test_a_total_that_is_not_a_multiple_of_the_loop_is_refused(adapter, tmp_path, records):
    with pytest.raises(OptionError, match="--training_number_of_steps=90 or 120"):
        train(tmp_path, records, 100, "--iterations_per_loop=30")


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["npu_bridge"], indirect=True)
def test_two_ranks_train_and_measure_as_one(adapter, tmp_path, records):
    # Without batch statistics and dropout, which differ between the shares of a batch.
    same = (
        "--iterations_per_loop=2",
        "--nofine_tune_batch_norm",
        "--noaspp_with_batch_norm",
        "--base_learning_rate=0.00001",
    )
    train(tmp_path / "one", records, 4, *same, "--train_batch_size=4")
    table = tmp_path / "2p.json"
    table.write_text(json.dumps(TABLE))
    launcher = ("-m", "deployment.launch", "--devices=2", f"--rank_table={table}")
    two = tmp_path / "two"
    run(
        tmp_path,
        *(*launcher, f"--rank_logs={tmp_path / 'logs'}", "--", "train_npu.py", "--rank=2"),
        *(f"--train_logdir={two}", records, *NETWORK, *same, "--train_batch_size=2"),
        *("--training_number_of_steps=4", "--eval_interval_steps=4", "--eval_crop_size=65,65"),
        *("--boundary_width=0.05", "--calibration_bins=5"),
    )
    assert_same(str(tmp_path / "one/model.ckpt-4"), str(two / "model.ckpt-4"), 1e-4)
    assert len(list(two.glob("events.out.tfevents.*"))) == 1, "only rank 0 writes"

    command(*evaluation(two, records))
    last = json.loads((two / "metrics.jsonl").read_text().splitlines()[-1])
    measured = json.loads((two / "eval/metrics.json").read_text())
    assert last["eval_miou"] == pytest.approx(measured["miou"], abs=1e-12)


def test_the_stand_in_refuses_what_the_device_does_not_support():
    with tf.Graph().as_default() as graph:
        tf.is_finite(tf.constant(1.0))
        with pytest.raises(device.AdapterError, match="no IsFinite"):
            device.check_operations(graph.get_operations())
    with tf.Graph().as_default() as graph:
        tf.placeholder(tf.float32, [None, 2])
        with pytest.raises(device.AdapterError, match="not static"):
            device.check_operations(graph.get_operations())
    with tf.Graph().as_default() as graph:
        tf.cast(tf.constant(1.0), tf.float64)
        with pytest.raises(device.AdapterError, match="is float64"):
            device.check_operations(graph.get_operations())
    with tf.Graph().as_default() as graph:
        tf.constant([1.0, float("nan")])
        with pytest.raises(device.AdapterError, match="no finite number"):
            device.check_operations(graph.get_operations())
