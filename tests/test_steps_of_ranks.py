"""Two ranks take the same steps as one process with the batches of both, and evaluate the same."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests import small_data
from tests.launched_training import ROOT, Launch
from utils.compat import uses_onednn

pytestmark = pytest.mark.slow

_STEPS = 50
# Relative difference of losses by sums in another order.
_ROUNDING = 1e-5


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    # An odd number of images to evaluate: one of two ranks has one more.
    return small_data.make_records(tmp_path_factory.mktemp("data"), train=8, val=5)


@pytest.fixture(scope="module")
def start(tmp_path_factory, records):
    """A checkpoint, since the same seed gives graphs of one and of two ranks different weights."""
    folder = tmp_path_factory.mktemp("start")
    _losses(folder, records, 1, "--training_number_of_steps=1")
    return f"--tf_initial_checkpoint={folder / 'run' / 'model.ckpt-1'}"


def _losses(folder, records, ranks, *arguments):
    """Returns the losses of all steps, of four images each."""
    launch = Launch(
        folder,
        records,
        *(f"--train_batch_size={4 // ranks}", "--train_crop_size=65,65"),
        *("--add_image_level_feature=false", "--learning_power=0"),
        *(f"--training_number_of_steps={_STEPS}", "--iterations_per_loop=1", "--log_steps=1"),
        *arguments,
        launcher=(f"--devices={ranks}",),
    )
    status, errors = launch.finish(300)
    assert status == 0, errors
    lines = (launch.run / "metrics.jsonl").read_text().splitlines()
    return np.array([json.loads(line)["loss"] for line in lines])


def test_with_frozen_batch_norm(tmp_path, records, start):
    options = (start, "--fine_tune_batch_norm=false", "--base_learning_rate=0.002")
    one = _losses(tmp_path / "one", records, 1, *options)
    two = _losses(tmp_path / "two", records, 2, *options)
    # The loss decreases; a constant loss would prove nothing.
    assert np.mean(one[-5:]) < (1 - 100 * _ROUNDING) * np.mean(one[:5])
    np.testing.assert_allclose(two, one, rtol=_ROUNDING)


def test_with_batch_norm_of_all_ranks(tmp_path, records, start, monkeypatch):
    # Batch norm over few values amplifies rounding, ten thousand times in these steps: so the
    # first steps are equal, and later ones differ by no more than those of one process differ from
    # the same process with other kernels.
    options = (start, "--fine_tune_batch_norm=true", "--base_learning_rate=0.00001")
    one = _losses(tmp_path / "one", records, 1, *options)
    two = _losses(tmp_path / "two", records, 2, *options, "--sync_batch_norm=true")
    differences = np.abs(two / one - 1)
    assert differences[:5].max() < _ROUNDING
    apart = _losses(tmp_path / "apart", records, 2, *options, "--training_number_of_steps=1")
    assert np.abs(apart / one[:1] - 1) > 10 * _ROUNDING
    if uses_onednn():
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
        other_kernels = _losses(tmp_path / "other", records, 1, *options)
        assert differences.max() < 10 * np.abs(other_kernels / one - 1).max()


def test_a_run_resumes_with_another_number_of_ranks(tmp_path, records, start):
    options = (start, "--fine_tune_batch_norm=false", "--base_learning_rate=0.002")
    whole = _losses(tmp_path / "whole", records, 1, *options, "--training_number_of_steps=6")
    parts = tmp_path / "parts"
    _losses(parts, records, 2, *options, "--training_number_of_steps=3")
    continued = _losses(parts, records, 1, *options, "--training_number_of_steps=6")
    np.testing.assert_allclose(continued, whole, rtol=_ROUNDING)


def test_two_ranks_count_the_same_confusion_matrix_of_each_checkpoint(tmp_path, records, start):
    run = pathlib.Path(start.split("=")[1]).parent
    for number in (1, 2):
        for path in run.glob("model.ckpt-1.*"):
            target = tmp_path / path.name.replace("-1.", f"-{number}.")
            target.write_bytes(path.read_bytes())
    (tmp_path / "options.json").write_bytes((run / "options.json").read_bytes())

    def confusions(ranks):
        folder = tmp_path / str(ranks)
        command = [sys.executable, "-m", "deployment.launch", "--device=cpu", f"--devices={ranks}"]
        command += [f"--rank_logs={folder}", "--", "eval.py", f"--checkpoint_dir={tmp_path}"]
        command += [f"--dataset_dir={records}", "--eval_crop_size=65,65", "--device=cpu"]
        command += [f"--eval_logdir={folder}", "--checkpoint=all"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found = sorted(folder.glob("model.ckpt-*/confusion_matrix.csv"))
        assert len(found) == 2
        return [path.read_text() for path in found]

    assert confusions(2) == confusions(1)
