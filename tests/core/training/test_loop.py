"""The loop: steps, saving, resuming, stopping; on a small graph without a network."""

import dataclasses
import json
import os
import resource
import signal
from unittest import mock

import numpy as np
import pytest

from core.checkpoints import restore
from core.runs import records as run_records
from core.training import loop, nonfinite
from core.training.hooks import log_training
from core.training.hooks.save_checkpoints import SaveCheckpoints
from core.training.hooks.stop_on_nonfinite import StopOnNonFinite
from deployment import backend as backends
from deployment.backend import Backend
from options.device import DeviceOptions
from options.training import TrainOptions
from tests.small_steps import step_of
from utils.compat import tf
from utils.errors import Interrupted, OptionError, UserError


def _linear_step(bad_after=None):
    """Returns a step that moves a weight towards 1; its loss is NaN after step `bad_after`."""
    global_step = tf.train.get_or_create_global_step()
    weight = tf.get_variable("weight", [], initializer=tf.zeros_initializer())
    loss = tf.square(weight - 1.0)
    if bad_after is not None:
        loss = tf.where(global_step > bad_after, tf.constant(float("nan")), loss)
    rate = tf.constant(0.1)
    values = {name: tf.constant(0.1) for name in nonfinite.REPORTED}
    bad_step = nonfinite.record_bad_step(global_step, dict(values, loss=loss))
    train_op = nonfinite.skip_update_if_nonfinite(
        bad_step,
        lambda: tf.train.MomentumOptimizer(rate, 0.9).minimize(
            tf.square(weight - 1.0), global_step=global_step
        ),
        can_branch=True,
    )
    return step_of(
        train_op,
        learning_rate=rate,
        loss=loss,
        gradient_norm=values["gradient_norm"],
        bad_step=bad_step,
    )


class _Runs(tf.train.SessionRunHook):
    """Counts the runs that hooks see; may send a signal at one of them."""

    def __init__(self, signal_at=None):
        self.count = 0
        self._signal_at = signal_at

    def after_run(self, unused_context, unused_values):
        self.count += 1
        if self.count == self._signal_at:
            os.kill(os.getpid(), signal.SIGTERM)


def _train(folder, steps, per_loop=1, bad_after=None, extra=None, large=False, **options):
    """Trains the small graph; returns the final weight and slot."""
    options = TrainOptions(
        train_logdir=str(folder),
        training_number_of_steps=steps,
        iterations_per_loop=per_loop,
        **options,
    )
    found = restore.find_all(str(folder))
    with tf.Graph().as_default():
        step = _linear_step(bad_after)
        if large:
            tf.get_variable("large", [100000])
        loop.run(
            step,
            options=options,
            backend=backends.create(DeviceOptions(device="cpu")),
            hooks=[
                StopOnNonFinite(step),
                log_training.LogTraining(
                    str(folder), step, options, images_per_step=2, num_images=10
                ),
                SaveCheckpoints(str(folder), step, options),
                *([extra] if extra else []),
            ],
            resume_from=found[-1] if found else None,
        )
    return _weights(folder)


def _weights(folder):
    opened = restore.reader(restore.newest(str(folder)))
    return [opened.get_tensor(name) for name in ("weight", "weight/Momentum")]


def _steps_of(folder):
    return [int(path.rsplit("-", 1)[1]) for path in restore.find_all(str(folder))]


def test_training_ends_exactly_on_the_total(tmp_path):
    runs = _Runs()
    _train(tmp_path, 23, per_loop=10, extra=runs)
    assert _steps_of(tmp_path) == [23]
    assert runs.count == 3


def _names(fetches) -> frozenset:
    if isinstance(fetches, dict):
        fetches = list(fetches.values())
    if isinstance(fetches, (list, tuple)):
        return frozenset().union(*map(_names, fetches))
    return frozenset([getattr(fetches, "name", fetches)])


def test_all_steps_ask_for_the_same_results(tmp_path):
    """TensorFlow prepares the graph for each set, seconds for a large network."""
    asked = []
    run = tf.Session.run

    def noted(self, fetches, *arguments, **settings):
        names = _names(fetches)
        if len(names) > 1:
            asked.append(names)
        return run(self, fetches, *arguments, **settings)

    with mock.patch.object(tf.Session, "run", noted):
        _train(tmp_path, 7, per_loop=3)
    assert len(asked) == 7
    assert len(set(asked)) == 1


class _Operations(tf.train.SessionRunHook):
    """Notes the types of the operations that the session has."""

    def after_create_session(self, session, coord):
        self.types = {operation.type for operation in session.graph.get_operations()}


def test_no_variable_is_asked_whether_it_is_initialized(tmp_path):
    """With a thousand variables that takes a second each time."""
    found = _Operations()
    _train(tmp_path, 1, extra=found)
    assert "Assign" in found.types
    assert not found.types & {"IsVariableInitialized", "VarIsInitializedOp"}


def test_the_loop_length_does_not_change_what_is_learned(tmp_path):
    one = _train(tmp_path / "one", 20, per_loop=1)
    ten = _train(tmp_path / "ten", 20, per_loop=10)
    np.testing.assert_array_equal(one, ten)


def test_an_interval_is_rounded_up_to_whole_loops_in_a_run(tmp_path):
    _train(tmp_path, 30, per_loop=4, save_checkpoints_steps=10)
    assert _steps_of(tmp_path) == [12, 24, 30]


def test_loops_end_on_the_same_steps_after_a_break_elsewhere(tmp_path):
    _train(tmp_path, 7, per_loop=4, save_checkpoints_steps=8)
    _train(tmp_path, 18, per_loop=4, save_checkpoints_steps=8)
    assert _steps_of(tmp_path) == [7, 8, 16, 18]


class _DeviceLoop(Backend):
    """Stands for a device that makes all steps of a loop in one run."""

    name = "device"

    def runs_loop_on_device(self):
        return True


def _device_step(length):
    """Returns a step whose operation makes a whole loop, as on a device."""
    global_step = tf.train.get_or_create_global_step()
    weight = tf.get_variable("weight", [], initializer=tf.zeros_initializer(), use_resource=True)

    def one_step(done):
        with tf.control_dependencies([done]):
            moved = tf.assign_add(weight, 0.1 * (1.0 - weight)).op
        with tf.control_dependencies([moved]):
            return done + 1

    loop_op = tf.while_loop(lambda done: done < length, one_step, [tf.constant(0)])
    with tf.control_dependencies([loop_op]):
        train_op = tf.assign_add(global_step, length).op
    bad_step = nonfinite.BadStep(tf.constant(0, tf.int64), {})
    return step_of(train_op, gradient_norm=tf.constant(0.0), bad_step=bad_step)


def test_a_loop_on_the_device_is_one_run_and_training_ends_on_the_total(tmp_path):
    options = TrainOptions(
        train_logdir=str(tmp_path),
        training_number_of_steps=12,
        iterations_per_loop=4,
        save_checkpoints_steps=5,
    )
    runs = _Runs()
    step = _device_step(4)
    hooks = [SaveCheckpoints(str(tmp_path), step, options), runs]
    loop.run(step, options=options, backend=_DeviceLoop(DeviceOptions()), hooks=hooks)
    assert runs.count == 3
    assert _steps_of(tmp_path) == [8, 12]
    weight = restore.reader(restore.newest(str(tmp_path))).get_tensor("weight")
    np.testing.assert_allclose(weight, 1 - 0.9**12, rtol=1e-6)


@pytest.mark.parametrize(
    ("total", "start", "nearest"),
    [(25, 0, "20 or 30"), (5, 0, "10"), (25, 8, "18 or 28")],
)
def test_a_device_that_cannot_shorten_its_loop_refuses_other_totals(total, start, nearest):
    options = TrainOptions(training_number_of_steps=total, iterations_per_loop=10)
    backend = _DeviceLoop(DeviceOptions())
    with pytest.raises(OptionError, match=f"pass --training_number_of_steps={nearest}"):
        loop.check(backend, start, options)
    loop.check(backends.create(DeviceOptions(device="cpu")), start, options)
    loop.check(backend, start, dataclasses.replace(options, training_number_of_steps=start + 20))


def test_a_device_that_cannot_shorten_its_loop_unfreezes_after_whole_loops():
    options = TrainOptions(
        training_number_of_steps=40, iterations_per_loop=10, freeze=("a",), unfreeze_step=20
    )
    backend = _DeviceLoop(DeviceOptions())
    loop.check(backend, 0, options)
    with pytest.raises(OptionError, match="pass --unfreeze_step=20 or 30"):
        loop.check(backend, 0, dataclasses.replace(options, unfreeze_step=25))
    with pytest.raises(OptionError, match="pass --training_number_of_steps=40 or 50"):
        loop.check(backend, 0, dataclasses.replace(options, training_number_of_steps=45))
    loop.check(backend, 30, dataclasses.replace(options, unfreeze_step=25))


@pytest.mark.parametrize("steps", [10, 20])
def test_milestones_are_kept_for_good(tmp_path, steps):
    kept = {"save_checkpoints_steps": 4, "max_to_save": 1}
    _train(tmp_path, steps, milestone_steps=8, **kept)
    assert _steps_of(tmp_path) == ([8, 10] if steps == 10 else [8, 16, 20])
    _train(tmp_path, 30, **kept)
    assert _steps_of(tmp_path) == ([8, 30] if steps == 10 else [8, 16, 30])


def test_tensorflow_finds_the_newest_checkpoint_too_wherever_the_folder_is(tmp_path):
    _train(tmp_path / "run", 4, save_checkpoints_steps=2)
    os.rename(str(tmp_path / "run"), str(tmp_path / "moved"))
    newest = tf.train.latest_checkpoint(str(tmp_path / "moved"))
    assert newest == restore.newest(str(tmp_path / "moved"))


class _SmallDisk(tf.train.SessionRunHook):
    """Lets no file grow beyond some bytes from a step on, as a full disk would."""

    def __init__(self, after, size):
        self._after = after
        self._size = size
        self._runs = 0

    def after_run(self, unused_context, unused_values):
        self._runs += 1
        if self._runs == self._after:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, resource.RLIM_INFINITY))


def test_a_full_disk_is_reported_and_earlier_checkpoints_stay(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(UserError, match="checkpoint .*-4 .File too large.; .*Free some"):
            _train(tmp_path, 8, extra=_SmallDisk(3, 100000), save_checkpoints_steps=2, large=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert _steps_of(tmp_path) == [2]
    restore.check_readable(restore.newest(str(tmp_path)))
    assert not (tmp_path / ".incomplete").exists()
    _train(tmp_path, 8, save_checkpoints_steps=2, large=True)
    assert _steps_of(tmp_path) == [2, 4, 6, 8]


def test_only_complete_checkpoints_are_left(tmp_path):
    _train(tmp_path, 4)
    assert [name for name in os.listdir(str(tmp_path)) if "tmp" in name or "incompl" in name] == []


def test_only_the_newest_checkpoints_are_kept_also_after_a_restart(tmp_path):
    _train(tmp_path, 30, save_checkpoints_steps=10, max_to_save=2)
    _train(tmp_path, 50, save_checkpoints_steps=10, max_to_save=2)
    assert _steps_of(tmp_path) == [40, 50]


def test_a_run_in_two_parts_equals_one_without_a_break(tmp_path):
    whole = _train(tmp_path / "whole", 20)
    _train(tmp_path / "parts", 9)
    parts = _train(tmp_path / "parts", 20)
    np.testing.assert_array_equal(whole, parts)


def test_metrics_hold_one_record_per_interval_without_repeats(tmp_path):
    _train(tmp_path, 20, log_steps=5)
    path = tmp_path / run_records.METRICS_FILE
    with open(path, "a", encoding="utf-8") as file:  # what a killed run wrote after its checkpoint
        file.write(json.dumps({"step": 25}) + "\n" + '{"step": 3')
    _train(tmp_path, 40, log_steps=5)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["step"] for record in records] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert {"loss", "reg_loss", "total_loss", "learning_rate", "images_per_second"} <= set(
        records[-1]
    )


def test_the_log_line_has_its_values_in_the_columns_that_scripts_cut(tmp_path):
    _train(tmp_path, 20, display_every=10)
    lines = (tmp_path / "training.log").read_text().splitlines()
    columns = lines[-1].split()
    assert columns[:3:2] == ["step:", "epoch:"]
    assert columns[4] == "FPS:"
    assert columns[1] == "20"
    assert float(columns[3]) == 4.0
    assert float(columns[5]) > 0
    assert float(columns[6].split("loss:")[1]) < 1.0
    assert [column.split(":")[0] for column in columns[6:]] == [
        "loss",
        "reg_loss",
        "total_loss",
        "lr",
    ]


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_steps(tmp_path):
    with pytest.raises(
        UserError, match=r"step 15 is not finite: loss nan, .* learning rate 0\.1\."
    ):
        _train(tmp_path, 40, per_loop=4, bad_after=13, save_checkpoints_steps=4)
    assert _steps_of(tmp_path) == [4, 8, 12]


def test_a_signal_ends_the_run_after_its_loop_with_a_checkpoint(tmp_path):
    with pytest.raises(Interrupted, match="same command continues") as raised:
        _train(tmp_path, 40, per_loop=4, extra=_Runs(signal_at=3))
    assert raised.value.signal_number == signal.SIGTERM
    assert _steps_of(tmp_path) == [12]


def test_a_damaged_checkpoint_of_the_run_is_reported(tmp_path):
    _train(tmp_path, 5)
    data = restore.newest(str(tmp_path)) + ".data-00000-of-00001"
    os.truncate(data, os.path.getsize(data) // 2)
    with pytest.raises(UserError, match="damaged or incomplete"):
        _train(tmp_path, 10)
