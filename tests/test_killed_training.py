"""A training that is killed and started again learns, to the bit, what one without a break does."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from core.checkpoints import restore
from tests import small_data

pytestmark = pytest.mark.once

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STEPS = 12


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return small_data.make_records(tmp_path_factory.mktemp("data"), train=5, val=2)


def _command(records, folder, *more):
    return [
        sys.executable,
        os.path.join(ROOT, "train_npu.py"),
        f"--dataset_dir={records}",
        f"--train_logdir={folder}",
        f"--training_number_of_steps={STEPS}",
        "--iterations_per_loop=2",
        "--save_checkpoints_steps=4",
        "--eval_interval_steps=6",
        "--log_steps=2",
        "--train_crop_size=33,33",
        "--eval_crop_size=65,65",
        "--train_batch_size=2",
        "--depth_multiplier=0.25",
        "--aspp_convs_filters=16",
        "--base_learning_rate=0.05",
        "--batch_norm_decay=0.9",
        *more,
    ]


def _run(command, kill_when=None):
    """Runs a training, to its end or until it is killed; returns its exit status."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if kill_when is not None:
        while process.poll() is None and not kill_when(process.pid):
            time.sleep(0.01)
        process.kill()
    _, errors = process.communicate(timeout=300)
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    return process.returncode


def _processor_seconds(pid) -> float:
    """Returns what a process has used, which other work on the machine changes little."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        user, system = file.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _learned(folder):
    """Returns all that a training leaves but rates and times."""
    opened = restore.reader(restore.newest(str(folder)))
    tensors = {name: opened.get_tensor(name) for name in opened.get_variable_to_shape_map()}
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        for name in list(record):
            if name in ("time", "images_per_second") or name.endswith("_share"):
                del record[name]
    best = json.loads((folder / "best" / "best.json").read_text())
    return tensors, records, best


def _assert_equal(folder, whole, slot="/Momentum"):
    tensors, records, best = _learned(folder)
    assert sorted(tensors) == sorted(whole[0])
    assert any(name.endswith(slot) for name in tensors)
    for name, value in tensors.items():
        np.testing.assert_array_equal(value, whole[0][name], err_msg=name)
    assert records == whole[1]
    assert best == whole[2]


def test_a_killed_run_ends_as_one_without_a_break(records, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert _run(_command(records, whole)) == 0
    assert _run(_command(records, killed), lambda _: (killed / "model.ckpt-8.index").exists()) != 0
    assert _run(_command(records, killed)) == 0
    _assert_equal(killed, _learned(whole))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.ckpt-6.index", "monitor.json", "top/model.ckpt-8.index"])
def test_a_run_whose_rate_was_lowered_ends_as_one_without_a_break(records, tmp_path, name):
    """The first also evaluates some batches before its first step."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # A loss that falls is taken for a plateau.
    follows = (
        *("--monitor=training_loss", "--monitor_mode=max", "--plateau_patience=1"),
        *("--plateau_factor=0.5", "--early_stopping_patience=9", "--save_top_k=2"),
        *("--eval_interval_steps=4", "--save_checkpoints_steps=2", "--max_to_save=9"),
    )
    assert _run(_command(records, whole, *follows, "--sanity_eval_batches=1")) == 0
    assert _run(_command(records, killed, *follows), lambda _: (killed / name).exists()) != 0
    assert _run(_command(records, killed, *follows)) == 0
    _assert_equal(killed, _learned(whole))
    state = json.loads((whole / "monitor.json").read_text())
    assert json.loads((killed / "monitor.json").read_text()) == state
    assert state["states"]["12"]["multiplier"] < 1
    assert "sanity evaluation of 1 batches" in (whole / "training.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("step", [4, 7, 8])
def test_a_run_that_is_killed_around_its_unfreezing_ends_as_one_without_a_break(
    records, tmp_path, step
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    unfreezing = ("--freeze=backbone", "--unfreeze_step=7", "--ema_decay=0.9")
    command = _command(records, killed, *unfreezing)
    assert _run(_command(records, whole, *unfreezing)) == 0
    assert _run(command, lambda _: (killed / f"model.ckpt-{step}.index").exists()) != 0
    assert _run(command) == 0
    _assert_equal(killed, _learned(whole))


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ("--optimizer=nadam", "--learning_policy=cosine_restarts", "--cosine_steps=5"),
        ("--optimizer=adam", "--adam_learning_rate=0", "--learning_policy=one_cycle"),
        ("--optimizer=ftrl", "--learning_rate_unit=epoch", "--weight_decay_on=all"),
    ],
)
def test_a_killed_run_of_another_optimizer_ends_as_one_without_a_break(records, tmp_path, flags):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # What divides by the size of gradients shows it where threads sum them in another order.
    flags = (*flags, "--intra_op_threads=1")
    assert _run(_command(records, whole, *flags)) == 0
    command = _command(records, killed, *flags)
    assert _run(command, lambda _: (killed / "model.ckpt-8.index").exists()) != 0
    assert _run(command) == 0
    _assert_equal(killed, _learned(whole), slot=f"/{flags[0].partition('=')[2].capitalize()}")


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(records, tmp_path):
    """The moments are random within a run: start, steps, saving, evaluation."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    before = sum(os.times()[2:4])
    assert _run(_command(records, whole)) == 0
    duration = sum(os.times()[2:4]) - before
    chance = random.Random(0)
    kills = 0
    for _ in range(6):
        moment = chance.uniform(0.2, 1.0) * duration
        status = _run(_command(records, killed), lambda pid: _processor_seconds(pid) > moment)  # noqa: B023
        kills += status != 0
    _run(_command(records, killed))
    assert kills >= 3
    _assert_equal(killed, _learned(whole))
