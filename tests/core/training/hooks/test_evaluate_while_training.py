"""Evaluation inside training: when, what is kept, when it ends; on a graph without a network."""

import json
import os
import signal

import pytest

from core.checkpoints import restore
from core.evaluation import evaluator
from core.runs import records as run_records
from core.training import loop, monitor, plateau
from core.training.hooks.evaluate_while_training import EvaluateWhileTraining, Evaluation
from core.training.hooks.follow_score import FollowScore
from core.training.hooks.log_training import LogTraining
from core.training.hooks.save_checkpoints import SaveCheckpoints
from deployment import backend as backends
from options.device import DeviceOptions
from options.evaluation import EvalOptions
from options.monitor import MonitorOptions
from options.training import TrainOptions
from tests.small_steps import step_of
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import Interrupted, UserError


def _counting_step(options):
    """Returns a step whose loss is its number, and that adds its learning rate to a variable."""
    rate, on_plateau = plateau.lowered(tf.constant(1.0), options)
    moved = tf.assign_add(tf.get_variable("weight", [], initializer=tf.zeros_initializer()), rate)
    with tf.control_dependencies([moved]):
        number = tf.assign_add(tf.train.get_or_create_global_step(), 1)
    loss = tf.cast(number, tf.float32)
    return step_of(number.op, loss=loss, learning_rate=rate, plateau=on_plateau)


MIOU = monitor.Score("miou")
LOSS = monitor.Score("training_loss", larger_is_better=False)


class _Scores:
    """Evaluates without a network: each step has the score that it was given; keeps a log."""

    missing = KeyError

    def __init__(self, scores, interrupt_at=None):
        self.steps = []
        self._scores = scores
        self._interrupt_at = interrupt_at

    def __call__(self, path):
        step = restore.step_of(path)
        self.steps.append(step)
        if step == self._interrupt_at:
            os.kill(os.getpid(), signal.SIGTERM)
        if step not in self._scores:
            raise self.missing
        right, sky = self._scores[step], 100
        if isinstance(right, tuple):
            right, sky = right
        (measure,) = evaluator.create_measures(ClassSet(("a", "b")), EvalOptions())
        measure.sums[:] = [[right, sky - right], [100 - right, right]]
        return evaluator.Result((measure,), 1, (), path, step, 1.0)


def _train(folder, scores, steps=10, score=MIOU, hooks=(), **options):
    folder.mkdir(exist_ok=True)
    names = set(options) & set(MonitorOptions.names())
    follows = MonitorOptions(**{name: options.pop(name) for name in names})
    (folder / "options.json").write_text("{}")
    options = TrainOptions(
        train_logdir=str(folder),
        training_number_of_steps=steps,
        **{"iterations_per_loop": 1, "eval_interval_steps": 2, "max_to_save": 1, **options},
    )
    found = restore.find_all(str(folder))
    backend = backends.create(DeviceOptions(device="cpu"))
    with tf.Graph().as_default():
        step = _counting_step(follows)
        log = LogTraining(str(folder), step, options, images_per_step=1, num_images=1)
        follow = FollowScore(step, options, follows, score, backend)
        loop.run(
            step,
            options=options,
            backend=backend,
            hooks=[
                log,
                follow,
                SaveCheckpoints(str(folder), step, options, follow.save),
                EvaluateWhileTraining(
                    step,
                    options,
                    follows,
                    evaluation=Evaluation(scores, ("a", "b"), scores),
                    follow=follow,
                    backend=backend,
                    log=log,
                ),
                *hooks,
            ],
            resume_from=found[-1] if found else None,
        )


def _evaluated(folder):
    records = run_records.read(str(folder), 10**6)
    return [record["step"] for record in records if "eval_miou" in record]


RISING_AND_FALLING = {2: 50, 4: 80, 6: 60, 8: 70, 10: 75, 11: 90, 12: 70}


def test_the_best_checkpoint_stays_when_training_goes_on(tmp_path):
    scores = _Scores(RISING_AND_FALLING)
    _train(tmp_path, scores)
    assert scores.steps == _evaluated(tmp_path) == [2, 4, 6, 8, 10]
    assert restore.best(str(tmp_path)) == str(tmp_path / "best" / "model.ckpt-4")
    assert restore.step_of(restore.best(str(tmp_path))) == 4
    best = json.loads((tmp_path / "best" / "best.json").read_text())
    assert best["step"] == 4
    assert best["eval_miou"] == pytest.approx(80 / 120)
    assert sorted(os.listdir(str(tmp_path / "best"))) == [
        "best.json",
        "model.ckpt-4.data-00000-of-00001",
        "model.ckpt-4.index",
        "options.json",
    ]
    assert restore.step_of(restore.newest(str(tmp_path))) == 10


def test_the_best_checkpoint_is_that_of_the_monitored_score(tmp_path):
    # Right pixels of each class, and labelled pixels of the first: (accuracy, mean accuracy).
    scores = _Scores({2: (60, 100), 4: (62, 300), 6: (61, 61)})
    _train(tmp_path / "a", scores, steps=6, score=monitor.Score("mean_accuracy"))
    assert restore.step_of(restore.best(str(tmp_path / "a"))) == 6
    _train(tmp_path / "b", scores, steps=4, score=monitor.Score("pixel_accuracy"))
    assert restore.step_of(restore.best(str(tmp_path / "b"))) == 2


def test_the_end_of_training_is_evaluated_too(tmp_path):
    scores = _Scores(RISING_AND_FALLING)
    _train(tmp_path, scores, steps=11, eval_interval_steps=4)
    assert scores.steps == [4, 8, 11]
    assert restore.step_of(restore.best(str(tmp_path))) == 11


def test_training_stops_when_the_patience_is_exhausted_also_after_a_restart(tmp_path):
    scores = _Scores(RISING_AND_FALLING)
    _train(tmp_path, scores, early_stopping_patience=2)
    assert scores.steps == [2, 4, 6, 8]
    assert restore.step_of(restore.newest(str(tmp_path))) == 8
    _train(tmp_path, scores, early_stopping_patience=2)
    assert scores.steps == [2, 4, 6, 8]
    _train(tmp_path, scores, early_stopping_patience=3)
    assert scores.steps == [2, 4, 6, 8, 10]


def test_an_interrupted_evaluation_is_repeated(tmp_path):
    with pytest.raises(Interrupted, match="same command continues"):
        _train(tmp_path, _Scores(RISING_AND_FALLING, interrupt_at=6), early_stopping_patience=3)
    assert _evaluated(tmp_path) == [2, 4]
    rest = _Scores(RISING_AND_FALLING)
    _train(tmp_path, rest, early_stopping_patience=3)
    assert rest.steps == [6, 8, 10]
    assert _evaluated(tmp_path) == [2, 4, 6, 8, 10]


def test_scores_after_the_checkpoint_are_measured_again(tmp_path):
    """A killed run may have evaluated steps that no checkpoint holds any more."""
    _train(tmp_path, _Scores(RISING_AND_FALLING), steps=4, max_to_save=9)
    for path in tmp_path.glob("model.ckpt-4*"):
        path.unlink()
    again = _Scores(RISING_AND_FALLING)
    _train(tmp_path, again, steps=8)
    assert again.steps == [4, 6, 8]
    assert _evaluated(tmp_path) == [2, 4, 6, 8]


def test_both_curves_are_in_tensorboard_and_the_log(tmp_path):
    _train(tmp_path, _Scores(RISING_AND_FALLING), log_steps=2)
    tags = {
        value.tag
        for path in tmp_path.glob("events*")
        for event in tf.train.summary_iterator(str(path))
        for value in event.summary.value
    }
    assert {"train/loss", "eval/miou", "eval/pixel_accuracy", "eval/iou/a"} <= tags
    lines = (tmp_path / "training.log").read_text().splitlines()
    assert "evaluation at step 4 on val  mIoU 0.6667  pixel accuracy 0.8000  best" in lines


def test_an_evaluation_that_fails_ends_training_with_its_checkpoint(tmp_path):
    def fail(unused_path):
        raise UserError("image x has a label that is no class")

    with pytest.raises(UserError, match="image x"):
        _train(tmp_path, fail)
    assert restore.step_of(restore.newest(str(tmp_path))) == 2


def _weight(folder):
    return float(restore.reader(restore.newest(str(folder))).get_tensor("weight"))


def _monitored(folder):
    return json.loads((folder / "monitor.json").read_text())


PLATEAU = {"plateau_patience": 1, "plateau_factor": 0.5, "plateau_minimum_learning_rate": 0.2}


def test_a_plateau_lowers_the_rate_of_the_steps_after_it(tmp_path):
    _train(tmp_path, _Scores(RISING_AND_FALLING), log_steps=1, **PLATEAU)
    rates = [r["learning_rate"] for r in run_records.read(str(tmp_path)) if "learning_rate" in r]
    assert rates == pytest.approx([1.0] * 6 + [0.5] * 2 + [0.25] * 2)
    assert _weight(tmp_path) == pytest.approx(7.5)
    text = (tmp_path / "training.log").read_text()
    assert "the learning rate is 0.125 of the scheduled one" in text
    _train(tmp_path, _Scores(RISING_AND_FALLING), steps=12, **PLATEAU)
    assert _weight(tmp_path) == pytest.approx(7.5 + 2 * 0.2)


class _Killed(Exception):
    """Ends a run as a kill does: nothing is written any more."""


class _KillAt(tf.train.SessionRunHook):
    def __init__(self, step):
        self._step = step

    def after_run(self, run_context, unused_values):
        if (
            run_context.session.run(tf.train.get_global_step(run_context.session.graph))
            == self._step
        ):
            raise _Killed


def _raise_for(step):
    """Returns `monitor.save` that ends the run before the state after an evaluation is written."""

    def save(folder, number, state, *rest, save=monitor.save, **more):
        if number == state.evaluated == step:
            raise _Killed
        save(folder, number, state, *rest, **more)

    return save


def _kill(folder, place, monkeypatch, **options):
    """Trains until it is killed at a place."""
    scores, hooks = _Scores(RISING_AND_FALLING), []
    with monkeypatch.context() as patch:
        if place == "in the evaluation":
            patch.delitem(RISING_AND_FALLING, 6)
            patch.setattr(_Scores, "missing", _Killed)
        elif place == "before its state is written":
            patch.setattr(monitor, "save", _raise_for(6))
        else:
            hooks.append(_KillAt(7))
        with pytest.raises(_Killed):
            _train(folder, scores, steps=12, hooks=hooks, **options)


@pytest.mark.once
@pytest.mark.parametrize(
    "place", ["in the evaluation", "before its state is written", "between two checkpoints"]
)
def test_a_killed_run_continues_with_the_state_of_its_step(tmp_path, monkeypatch, place):
    options = {**PLATEAU, "save_top_k": 2, "early_stopping_patience": 9, "score": LOSS}
    options = {**options, "save_checkpoints_steps": 3, "iterations_per_loop": 1}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    _train(whole, _Scores(RISING_AND_FALLING), steps=12, **options)
    _kill(killed, place, monkeypatch, **options)
    _train(killed, _Scores(RISING_AND_FALLING), steps=12, **options)
    assert _monitored(killed) == _monitored(whole)
    assert _weight(killed) == _weight(whole) < 12
    for name in ("top", "best"):
        assert sorted(os.listdir(str(killed / name))) == sorted(os.listdir(str(whole / name)))


def test_the_training_loss_is_monitored_over_the_interval(tmp_path):
    scores = _Scores(dict.fromkeys(range(13), 50))
    _train(tmp_path / "whole", scores, steps=12, eval_interval_steps=4, score=LOSS)
    found = [r for r in run_records.read(str(tmp_path / "whole")) if "eval_training_loss" in r]
    assert [r["eval_training_loss"] for r in found] == [2.5, 6.5, 10.5]
    assert restore.step_of(restore.best(str(tmp_path / "whole"))) == 4


def test_the_best_several_are_kept_in_a_folder_of_their_own(tmp_path):
    _train(tmp_path, _Scores(RISING_AND_FALLING), steps=12, save_top_k=3)
    top = json.loads((tmp_path / "top" / "top.json").read_text())
    assert [entry["step"] for entry in top] == [4, 10, 8]
    assert top[0] == {"checkpoint": "model.ckpt-4", "step": 4, "eval_miou": pytest.approx(80 / 120)}
    found = [restore.step_of(path) for path in restore.find_all(str(tmp_path / "top"))]
    assert found == [4, 8, 10]
    assert restore.run_of(str(tmp_path / "top" / "model.ckpt-8")) == str(tmp_path)
    assert restore.step_of(restore.best(str(tmp_path))) == 4


def test_some_batches_are_evaluated_before_the_first_step_without_a_record(tmp_path):
    scores = _Scores({**RISING_AND_FALLING, 0: 10})
    _train(tmp_path, scores, steps=4, sanity_eval_batches=2)
    assert scores.steps == [0, 2, 4]
    assert _evaluated(tmp_path) == [2, 4]
    _train(tmp_path, scores, steps=6, sanity_eval_batches=2)
    assert scores.steps == [0, 2, 4, 6]
    assert "sanity evaluation of 2 batches" in (tmp_path / "training.log").read_text()
