"""Evaluates during training: keeps the best checkpoint, stops when it no longer improves.

Decisions depend only on the evaluations in `metrics.jsonl`, so a run that was interrupted anywhere
decides as an uninterrupted one does.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from absl import logging

from core.checkpoints import files
from core.runs import records as run_records
from core.training import intervals, stopping
from core.training.step import TrainStep
from deployment.backend import Backend
from options.training import TrainOptions
from utils.compat import tf

# Number of scores in the log line of an evaluation.
_SHOWN = 2


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How a run evaluates itself.

    Attributes:
      run: Function from a checkpoint's prefix to a `core.evaluation.evaluator.Result`.
      split: The split to evaluate on.
      class_names: Names of the classes.
      monitor: The score that selects the best checkpoint; larger is better.
    """

    run: object
    split: str
    class_names: tuple
    monitor: str = "miou"

    @property
    def key(self) -> str:
        """The name of the score in `metrics.jsonl`."""
        return f"eval_{self.monitor}"


class EvaluateWhileTraining(tf.train.SessionRunHook):
    """Evaluates every `eval_interval_steps` and at the end of training.

    It evaluates the checkpoint of the step, so it must come after the hook that saves. With several
    ranks it runs in all of them, and each evaluates its share.
    """

    def __init__(
        self,
        step: TrainStep,
        options: TrainOptions,
        evaluation: Evaluation,
        backend: Backend,
        log=None,
    ):
        """Makes the hook.

        Args:
          step: The training step.
          options: The training.
          evaluation: How to evaluate.
          backend: The device.
          log: The `LogTraining` hook of the chief, which records results and excludes their time.
        """
        self._step = step
        self._options = options
        self._evaluation = evaluation
        self._backend = backend
        self._log = log

    def after_create_session(self, session, coordinator):
        """Reads earlier evaluations, and repeats one that was interrupted."""
        step = int(session.run(self._step.global_step))
        records = run_records.read(self._options.train_logdir, step)
        history = [
            (record["step"], _known(record[self._evaluation.key]))
            for record in records
            if record.get("eval_split") == self._evaluation.split and self._evaluation.key in record
        ]
        # Ranks with other records would stop at other steps.
        self._history = self._backend.share("earlier evaluations", history)
        if step and self._is_due(step):
            self._evaluate(step)
        if self._is_enough():
            coordinator.request_stop()

    def after_run(self, run_context, unused_values):
        """Evaluates if it is due, and requests a stop if the patience is exhausted."""
        step = int(run_context.session.run(self._step.global_step))
        if self._is_due(step):
            self._evaluate(step)
            if self._is_enough():
                run_context.request_stop()

    def _is_due(self, step: int) -> bool:
        last = self._history[-1][0] if self._history else 0
        if step >= self._options.training_number_of_steps:
            return step > last
        return intervals.passed(self._options, "eval_interval_steps", last, step)

    def _evaluate(self, step: int):
        # The checkpoint is saved, so a signal may end the process at once.
        with stopping.immediate():
            if self._log is None:
                self._measure(step)
                return
            with self._log.pause():
                self._measure(step)

    def _measure(self, step: int):
        folder = self._options.train_logdir
        # The other ranks wait until the chief has saved.
        self._backend.sum_over_ranks(np.zeros([1], np.int64))
        result = self._evaluation.run(files.prefix_of(folder, step))
        scores = result.record(self._evaluation.monitor)
        record = {"step": step, "eval_split": self._evaluation.split, **scores}
        score = _known(scores[self._evaluation.key])
        if not self._history:
            self._warn_of_problem(result)
        is_best = not self._history or score > max(past for _, past in self._history)
        if self._log is not None:
            # The record comes last: if it is missing, all of this is repeated.
            if is_best:
                files.keep_best(folder, record)
            shown = result.headlines()[:_SHOWN]
            self._log.add_evaluation(record, shown, self._evaluation.class_names, is_best)
        self._history.append((step, score))

    def _warn_of_problem(self, result):
        problem = result.problem()
        if problem and self._backend.is_chief:
            logging.warning("First evaluation: %s", problem)

    def _is_enough(self) -> bool:
        """Whether the patience is exhausted; logs it."""
        patience = self._options.early_stopping_patience
        if not patience or not self._history:
            return False
        scores = [score for _, score in self._history]
        best_at = scores.index(max(scores))
        since = len(self._history) - 1 - best_at
        if since < patience:
            return False
        logging.info(
            "%s on split %s has not improved on %.4f of step %d for %d evaluations "
            "(--early_stopping_patience=%d): stopping early at step %d.",
            self._evaluation.monitor,
            self._evaluation.split,
            scores[best_at],
            self._history[best_at][0],
            since,
            patience,
            self._history[-1][0],
        )
        return True


def _known(score: float | None) -> float:
    """Returns a score; an undefined one (no pixel to measure it on) is the worst."""
    return -math.inf if score is None else score
