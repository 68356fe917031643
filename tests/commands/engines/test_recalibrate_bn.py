"""`seg.py recalibrate_bn`: what it takes from the run, and where it writes."""

import json

import numpy as np
import pytest

from core.checkpoints import restore
from tests import in_process, small_data


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return small_data.make_records(tmp_path_factory.mktemp("data"), train=4, val=2)


@pytest.fixture(scope="module")
def run(records, tmp_path_factory, shallow_mobilenet):
    folder = tmp_path_factory.mktemp("run")
    status = in_process.run(
        "train_npu.py",
        *(f"--dataset_dir={records}", f"--train_logdir={folder}", "--training_number_of_steps=2"),
        *("--model_variant=mobilenet_v2", "--depth_multiplier=0.1", "--aspp_convs_filters=4"),
        *("--train_crop_size=33,33", "--train_batch_size=2", "--device=cpu"),
        *("--freeze=MobilenetV2/Conv/", "--unfreeze_step=50", "--ema_decay=0.9"),
    )
    assert status == 0
    return folder


def _recalibrate(run, records, output, *more):
    return in_process.run(
        "recalibrate_bn",
        f"--checkpoint_dir={run}",
        f"--dataset_dir={records}",
        f"--output={output}",
        "--device=cpu",
        *more,
    )


def _tensors(prefix):
    opened = restore.reader(str(prefix))
    return {name: opened.get_tensor(name) for name in opened.get_variable_to_shape_map()}


def test_the_new_checkpoint_has_the_runs_options_and_the_old_one_is_untouched(
    records, run, tmp_path, capsys
):
    before, output = _tensors(run / "model.ckpt-2"), tmp_path / "new" / "model.ckpt-2"
    names = sorted(path.name for path in run.iterdir())
    assert _recalibrate(run, records, output) == 0
    assert "over 2 batches of 2 images; 1 stay" in capsys.readouterr().out
    assert sorted(path.name for path in run.iterdir()) == names
    after = _tensors(output)
    assert set(after) == set(before)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert all(name.endswith(("/moving_mean", "/moving_variance")) for name in changed)
    # What the run has frozen with its moving averages.
    assert "MobilenetV2/Conv/BatchNorm/moving_mean" not in changed
    assert "aspp0/BatchNorm/moving_mean" in changed
    saved = json.loads((tmp_path / "new" / "options.json").read_text())
    assert saved == json.loads((run / "options.json").read_text())
    # A prefix that exists, and the name of a checkpoint of a run.
    assert _recalibrate(run, records, output) == 2
    assert _recalibrate(run, records, tmp_path / "new" / "model.ckpt-3") == 2
    errors = capsys.readouterr().err
    assert "exists" in errors
    assert "would be taken for a checkpoint of the run" in errors


@pytest.mark.once
def test_the_average_is_recalibrated_and_nothing_kept_when_asked(records, run, tmp_path, capsys):
    before, output = _tensors(run / "model.ckpt-2"), tmp_path / "model.ckpt"
    options = ("--use_ema", "--keep=nothing", "--num_batches=1")
    assert _recalibrate(run, records, output, *options) == 0
    assert "over 1 batch of 2 images." in capsys.readouterr().out
    after = _tensors(output)
    for name, value in before.items():
        is_average = "/moving_" in name and name.endswith("/ExponentialMovingAverage")
        assert np.array_equal(value, after[name]) != is_average, name
    added = set(after) - set(before)
    assert {name.split("/moving_")[0] for name in added} == {"MobilenetV2/Conv/BatchNorm"}
