"""Evaluates during training: keeps the best checkpoints, and asks for what follows from scores.

What follows is decided in `core/training/monitor.py`, from the state in `monitor.json` and the
evaluations in `metrics.jsonl`: a run that was interrupted anywhere decides as one without a break.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile

import numpy as np
from absl import logging

from core.checkpoints import files
from core.training import intervals, stopping
from core.training.hooks.follow_score import FollowScore
from core.training.step import TrainStep
from deployment.backend import Backend
from options.monitor import MonitorOptions
from options.training import TrainOptions
from utils.compat import tf

# Number of scores in the log line of an evaluation.
_SHOWN = 2


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How a run evaluates itself.

    Attributes:
      run: Function from a checkpoint's prefix to a `core.evaluation.evaluator.Result`.
      class_names: Names of the classes.
      sample: The same, of the first --sanity_eval_batches batches.
    """

    run: object
    class_names: tuple
    sample: object = None


class EvaluateWhileTraining(tf.train.SessionRunHook):
    """Evaluates every `eval_interval_steps` and at the end of training.

    It evaluates the checkpoint of the step, so it must come after the hook that saves. With several
    ranks it runs in all of them, and each evaluates its share.
    """

    def __init__(
        self,
        step: TrainStep,
        train: TrainOptions,
        options: MonitorOptions,
        *,
        evaluation: Evaluation,
        follow: FollowScore,
        backend: Backend,
        log=None,
    ):
        """Makes the hook.

        Args:
          step: The training step.
          train: The training.
          options: What follows from scores.
          evaluation: How to evaluate.
          follow: The hook that holds the state, called before the one that saves.
          backend: The device.
          log: The `LogTraining` hook of the chief, which records results and excludes their time.
        """
        self._step = step
        self._train = train
        self._options = options
        self._evaluation = evaluation
        self._follow = follow
        self._backend = backend
        self._log = log

    def begin(self):
        """Creates a saver for the sanity evaluation; called before the graph is finalized."""
        if self._options.sanity_eval_batches:
            self._saver = tf.train.Saver()

    def after_create_session(self, session, coordinator):
        """Evaluates some batches before the first step, or repeats what was interrupted."""
        step = int(session.run(self._step.global_step))
        if not step and self._options.sanity_eval_batches:
            self._timed(self._try_out, session)
        if step and self._is_due(step):
            self._timed(self._measure, session, step)
        if self._is_enough():
            coordinator.request_stop()

    def after_run(self, run_context, unused_values):
        """Evaluates if it is due, and requests a stop if the patience is exhausted."""
        step = int(run_context.session.run(self._step.global_step))
        if self._is_due(step):
            self._timed(self._measure, run_context.session, step)
            if self._is_enough():
                run_context.request_stop()

    def _is_due(self, step: int) -> bool:
        last = self._follow.state.evaluated
        if step >= self._train.training_number_of_steps:
            return step > last
        return intervals.passed(self._train, "eval_interval_steps", last, step)

    def _is_enough(self) -> bool:
        if self._follow.is_enough:
            self._follow.log_end()
        return self._follow.is_enough

    def _timed(self, function, *arguments):
        """Calls a function without counting its time."""
        # The checkpoint is saved, so a signal may end the process at once.
        with stopping.immediate():
            if self._log is None:
                function(*arguments)
                return
            with self._log.pause():
                function(*arguments)

    def _try_out(self, session):
        """Evaluates some batches with the initial weights, in a graph and a folder of their own."""
        folder = tempfile.mkdtemp(prefix="sanity-evaluation-")
        try:
            result = self._evaluation.sample(files.write(self._saver, session, folder, 0))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if self._log is not None:
            batches = self._options.sanity_eval_batches
            what = f"sanity evaluation of {batches} batches ({result.num_images} images)"
            self._log.line("  ".join([what, *_columns(result)]))

    def _measure(self, session, step: int):
        folder, follow = self._train.train_logdir, self._follow
        # The other ranks wait until the chief has saved.
        self._backend.sum_over_ranks(np.zeros([1], np.int64))
        result = self._evaluation.run(files.prefix_of(folder, step))
        if not follow.state.evaluated:
            self._warn_of_problem(result)
        value = follow.value(result)
        record = {
            "step": step,
            "eval_split": follow.score.split,
            follow.score.key: value,
            **result.record(),
        }
        effect = follow.add(session, step, value)
        if self._log is not None:
            self._keep(record, result)
            if effect:
                self._log.line(effect)

    def _keep(self, record: dict, result):
        """Keeps the checkpoint if it is one of the best, and writes the record and the state."""
        folder, state = self._train.train_logdir, self._follow.state
        is_best = state.best_step == record["step"]
        # The record comes after them: if it is missing, all of this is repeated.
        if is_best:
            files.keep_best(folder, record)
        if self._options.save_top_k > 1:
            files.keep_top(folder, state.kept, self._follow.score.key)
        shown = result.headlines()[:_SHOWN]
        self._log.add_evaluation(record, shown, self._evaluation.class_names, is_best)
        self._follow.save(record["step"])

    def _warn_of_problem(self, result):
        problem = result.problem()
        if problem and self._backend.is_chief:
            logging.warning("First evaluation: %s", problem)


def _columns(result) -> list:
    return [score.as_text() for score in result.headlines()[:_SHOWN]]
