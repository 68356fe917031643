"""Evaluation inside training: when, what is kept, when it ends; on a graph without a network."""

import json
import os
import signal

import pytest

from core.checkpoints import restore
from core.evaluation import evaluator
from core.runs import records as run_records
from core.training import loop
from core.training.hooks.evaluate_while_training import EvaluateWhileTraining, Evaluation
from core.training.hooks.log_training import LogTraining
from core.training.hooks.save_checkpoints import SaveCheckpoints
from deployment import backend as backends
from options.device import DeviceOptions
from options.evaluation import EvalOptions
from options.training import TrainOptions
from tests.small_steps import step_of
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import Interrupted, UserError


def _counting_step():
    return step_of(tf.assign_add(tf.train.get_or_create_global_step(), 1).op)


class _Scores:
    """Evaluates without a network: each step has the score that it was given; keeps a log."""

    def __init__(self, scores, interrupt_at=None):
        self.steps = []
        self._scores = scores
        self._interrupt_at = interrupt_at

    def __call__(self, path):
        step = restore.step_of(path)
        self.steps.append(step)
        if step == self._interrupt_at:
            os.kill(os.getpid(), signal.SIGTERM)
        right, sky = self._scores[step], 100
        if isinstance(right, tuple):
            right, sky = right
        (measure,) = evaluator.create_measures(ClassSet(("a", "b")), EvalOptions())
        measure.sums[:] = [[right, sky - right], [100 - right, right]]
        return evaluator.Result((measure,), 1, (), path, step, 1.0)


def _train(folder, scores, steps=10, monitor="miou", **options):
    folder.mkdir(exist_ok=True)
    (folder / "options.json").write_text("{}")
    options = TrainOptions(
        train_logdir=str(folder),
        training_number_of_steps=steps,
        iterations_per_loop=1,
        **{"eval_interval_steps": 2, "max_to_save": 1, **options},
    )
    found = restore.find_all(str(folder))
    backend = backends.create(DeviceOptions(device="cpu"))
    with tf.Graph().as_default():
        step = _counting_step()
        log = LogTraining(str(folder), step, options, images_per_step=1, num_images=1)
        loop.run(
            step,
            options=options,
            backend=backend,
            hooks=[
                log,
                SaveCheckpoints(str(folder), step, options),
                EvaluateWhileTraining(
                    step, options, Evaluation(scores, "val", ("a", "b"), monitor), backend, log
                ),
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
    _train(tmp_path / "a", scores, steps=6, monitor="mean_accuracy")
    assert restore.step_of(restore.best(str(tmp_path / "a"))) == 6
    _train(tmp_path / "b", scores, steps=4, monitor="pixel_accuracy")
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
