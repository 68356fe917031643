"""Follows the monitored score: loads, keeps and applies the state that decisions depend on."""

from __future__ import annotations

from absl import logging

from core.checkpoints import restore
from core.training import monitor
from core.training.step import TrainStep
from deployment.backend import Backend
from options.monitor import MonitorOptions
from options.training import TrainOptions
from utils.compat import tf


class FollowScore(tf.train.SessionRunHook):
    """Holds the `monitor.State` of a run, the same in all ranks; rank 0 writes it.

    It must come after the hook that drops records and before the one that saves, which calls `save`
    first: a checkpoint without its state could not be continued from.

    Attributes:
      state: The state after the last loop.
      score: What is monitored.
    """

    def __init__(
        self,
        step: TrainStep,
        train: TrainOptions,
        options: MonitorOptions,
        score: monitor.Score,
        backend: Backend,
    ):
        self.state = monitor.State()
        self.score = score
        self._step = step
        self._train = train
        self._options = options
        self._backend = backend

    @property
    def is_enough(self) -> bool:
        """Whether the patience of early stopping is exhausted."""
        return self.state.is_enough(self._options)

    @property
    def _follows_loss(self) -> bool:
        return self.score.name == monitor.TRAINING_LOSS

    def after_create_session(self, session, unused_coordinator):
        """Loads the state of the step, and the factor of the learning rate."""
        step = int(session.run(self._step.global_step))
        state = monitor.State()
        if self._backend.rank == 0:
            state = monitor.load(self._train.train_logdir, step, self.score, self._options)
        # Ranks with other files would stop at other steps.
        shared = self._backend.share("the monitored score", state.to_dict())
        self.state = monitor.State.from_dict(shared)
        self._apply(session)

    def before_run(self, unused_context):
        """Fetches the loss if it is monitored."""
        return tf.train.SessionRunArgs(self._step.loss) if self._follows_loss else None

    def after_run(self, run_context, run_values):
        """Adds the loss of the loop."""
        if not self._follows_loss:
            return
        step = int(run_context.session.run(self._step.global_step))
        # A signal may end a loop early; a run without one does not see that step.
        is_end = step >= self._train.training_number_of_steps
        if is_end or step % self._train.iterations_per_loop == 0:
            self.state = self.state.add_loss(float(run_values.results))

    def value(self, result) -> float | None:
        """Returns the monitored score of an evaluation.

        Args:
          result: The `core.evaluation.evaluator.Result`.
        """
        if self._follows_loss:
            return self._backend.share("the training loss", self.state.mean_loss)
        return result.score(self.score.name)

    def add(self, session, step: int, value: float | None) -> str:
        """Adds the score of an evaluation and applies what follows; returns what does as text."""
        before = self.state.multiplier
        self.state = monitor.after_evaluation(self.state, step, value, self.score, self._options)
        if self.state.multiplier == before:
            return ""
        self._apply(session)
        return (
            f"{self.score.name} has not improved for {self._options.plateau_patience} evaluations: "
            f"the learning rate is {self.state.multiplier:g} of the scheduled one"
        )

    def save(self, step: int):
        """Writes the state of a step."""
        folder = self._train.train_logdir
        found = restore.find_all(folder)
        oldest = int(found[0].rsplit("-", 1)[1]) if found else step
        monitor.save(folder, step, self.state, self.score, oldest)

    def log_end(self):
        """Logs why training stops early."""
        logging.info(
            "%s on split %s has not improved on %s of step %d for %d evaluations "
            "(--early_stopping_patience=%d): stopping early at step %d.",
            self.score.name,
            self.score.split,
            "-" if self.state.best is None else f"{self.state.best:.4f}",
            self.state.best_step,
            self.state.stop_waited,
            self._options.early_stopping_patience,
            self.state.evaluated,
        )

    def _apply(self, session):
        if self._step.plateau is not None:
            self._step.plateau.set(session, self.state.multiplier)
