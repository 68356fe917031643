"""train_npu.py on the stand-in of an NPU: loops, resume, evaluation, two processes."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from core import checkpoint
from datasets import convert
from datasets.options import ConvertOptions
from tests import small_data
from tests.npu_adapter import session as device
from utils.compat import tf

ROOT = pathlib.Path(__file__).parent.parent
STAND_IN = pathlib.Path(device.__file__).parent
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
    """Images larger than the crop whose masks ignore nothing.

    So each image counts as much as any other, wherever it is trained on: the loss is the mean over
    the pixels of a rank's batch.
    """
    folder = tmp_path_factory.mktemp("data")
    options = small_data.make_voc(folder, train=8, val=3)
    for index, path in enumerate(sorted((folder / "Masks").iterdir())):
        mask = np.minimum(small_data.labels(index, 40, 44), small_data.NUM_CLASSES - 1)
        small_data.save_mask(path, mask)
        image = small_data.pixels(index, 40, 44)
        small_data.save_image(folder / "Images" / f"{path.stem}.jpg", image)
    convert.convert("pascal_voc", ConvertOptions(**options))
    return "--dataset_dir=" + options["output_dir"]


def environment(tmp_path, layout="bridge"):
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RANK_", "CM_", "DEVICE_", "JOB_ID", "ASCEND_"))
    }
    path = [str(STAND_IN / layout), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **clean,
        "PYTHONPATH": os.pathsep.join(path),
        "NPU_STAND_IN_SOCKET": str(tmp_path / "ranks"),
    }


def run(tmp_path, *command, **options):
    result = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env=environment(tmp_path, **options),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return result.stdout + result.stderr


def train(tmp_path, folder, records, steps, *more, **options):
    arguments = (f"--train_logdir={folder}", f"--training_number_of_steps={steps}", records)
    return run(tmp_path, "train_npu.py", *arguments, *NETWORK, *more, **options)


def values(path):
    reader = checkpoint.reader(path)
    return {name: reader.get_tensor(name) for name in checkpoint.shapes(path)}


def assert_same(first, second, tolerance=0.0):
    """Compares checkpoints; the tolerance is a share of each tensor's largest value."""
    first, second = values(first), values(second)
    assert set(first) == set(second)
    for name, value in first.items():
        allowed = tolerance * np.abs(value).max()
        np.testing.assert_allclose(value, second[name], rtol=0, atol=allowed, err_msg=name)


@pytest.mark.parametrize("layout", ["bridge", "device"])
def test_a_loop_on_the_device_takes_the_steps_of_single_runs_and_can_be_continued(
    tmp_path, records, layout
):
    loop = ("--iterations_per_loop=3", "--train_batch_size=2", "--save_checkpoints_steps=3")
    single = ("--iterations_per_loop=1", "--train_batch_size=2")
    train(tmp_path, tmp_path / "loop", records, 6, *loop, layout=layout)
    continued = train(tmp_path, tmp_path / "loop", records, 9, *loop, layout=layout)
    assert "model.ckpt-6 at step 6" in continued
    # The stand-in's dropout counts its own runs, so the one to compare with pauses there too.
    train(tmp_path, tmp_path / "single", records, 6, *single, layout=layout)
    train(tmp_path, tmp_path / "single", records, 9, *single, layout=layout)
    assert_same(str(tmp_path / "loop/model.ckpt-9"), str(tmp_path / "single/model.ckpt-9"))
    assert not any("npu_runconfig" in name for name in values(str(tmp_path / "loop/model.ckpt-9")))

    run(
        tmp_path,
        "train_npu.py",
        "--mode=evaluate",
        f"--checkpoint_dir={tmp_path / 'loop'}",
        records,
        "--eval_crop_size=65,65",
        "--device=npu",
        "--noreport",
        layout=layout,
    )
    metrics = json.loads((tmp_path / "loop/eval/metrics.json").read_text())
    assert metrics["step"] == 9
    assert metrics["device"] == "npu"


def test_a_total_that_is_no_whole_number_of_loops_is_refused(tmp_path, records):
    arguments = (
        f"--train_logdir={tmp_path}",
        "--training_number_of_steps=100",
        "--iterations_per_loop=30",
    )
    result = subprocess.run(
        [sys.executable, "train_npu.py", *arguments, records, *NETWORK],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "pass --training_number_of_steps=90 or 120" in result.stderr


def test_two_ranks_with_half_the_batch_take_the_steps_of_one(tmp_path, records):
    # Without batch statistics and dropout, which differ between the shares of a batch.
    same = (
        "--iterations_per_loop=2",
        "--nofine_tune_batch_norm",
        "--noaspp_with_batch_norm",
        "--base_learning_rate=0.00001",
    )
    train(tmp_path, tmp_path / "one", records, 4, *same, "--train_batch_size=4")
    table = tmp_path / "2p.json"
    table.write_text(json.dumps(TABLE))
    launcher = ("--devices=2", f"--rank_table={table}", f"--rank_logs={tmp_path / 'logs'}")
    arguments = (f"--train_logdir={tmp_path / 'two'}", records, *NETWORK, *same)
    run(
        tmp_path,
        *("-m", "deployment.launch", *launcher, "--", "train_npu.py", *arguments, "--rank=2"),
        *("--train_batch_size=2", "--training_number_of_steps=4"),
    )
    assert_same(str(tmp_path / "one/model.ckpt-4"), str(tmp_path / "two/model.ckpt-4"), 1e-4)
    events = list((tmp_path / "two").glob("events.out.tfevents.*"))
    assert len(events) == 1, "only rank 0 writes"


def test_the_stand_in_finds_what_the_device_cannot_take():
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
