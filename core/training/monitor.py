"""The monitored score of a training: what its course decides, and the file that keeps it.

Plain Python, without TensorFlow. A `State` holds all that a decision depends on. `monitor.json` in
the run's folder keeps the states of the steps that a run can continue from. That of a checkpoint is
written before the checkpoint, and again after its evaluation: wherever a run is interrupted, the
newest state up to the step of its checkpoint is the one to continue from.

Patience and cooldown count evaluations. The rules are those of Keras's ReduceLROnPlateau and
EarlyStopping (https://keras.io/api/callbacks/), whose plateau with cooldown c is ours with c - 1;
torch.optim.lr_scheduler.ReduceLROnPlateau with patience p is ours with p + 1 and
--plateau_min_delta_mode=rel.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from typing import NamedTuple

from core.runs import records as run_records
from options.monitor import ABSOLUTE, MonitorOptions
from utils.errors import UserError
from utils.files import read_json, write_text

MONITOR_FILE = "monitor.json"
# A score that no evaluation has: the mean loss of the loops since the last evaluation.
TRAINING_LOSS = "training_loss"


class Score(NamedTuple):
    """The score that is monitored.

    Attributes:
      name: Its name, as for `--monitor`.
      larger_is_better: Whether a larger one is better.
      split: The split that it is measured on.
    """

    name: str
    larger_is_better: bool = True
    split: str = "val"

    @property
    def key(self) -> str:
        """Its name in `metrics.jsonl`."""
        return f"eval_{self.name}"

    def is_better(self, value, than, *, delta: float = 0.0, mode: str = ABSOLUTE) -> bool:
        """Whether a value is better than another by more than a difference.

        Args:
          value: The value; None where it is not defined, which is better than nothing.
          than: The other, also None.
          delta: What it must be better by.
          mode: Whether that is a difference or a share of the other value.
        """
        if value is None or than is None:
            return value is not None
        if mode != ABSOLUTE:
            share = 1.0 + delta if self.larger_is_better else 1.0 - delta
            return value > than * share if self.larger_is_better else value < than * share
        return value - delta > than if self.larger_is_better else value + delta < than


@dataclasses.dataclass(frozen=True)
class State:
    """All that decisions depend on, after some steps.

    Attributes:
      evaluated: Step of the last evaluation, 0 before the first.
      best: The best score, None before the first that is defined.
      best_step: Its step.
      kept: (step, score) of the best checkpoints, the best first.
      stop_best: The score that early stopping wants improved.
      stop_waited: Evaluations since it was improved.
      stop_cooldown: Evaluations that early stopping does not count yet.
      plateau_best: The score that the plateau wants improved.
      plateau_waited: Evaluations since it was improved, or the rate was lowered.
      plateau_cooldown: Evaluations that the plateau does not count yet.
      multiplier: What the plateau multiplies the scheduled learning rate by.
      loss_sum: Sum of the training losses since the last evaluation.
      loss_count: Their number.
    """

    evaluated: int = 0
    best: float | None = None
    best_step: int = 0
    kept: tuple = ()
    stop_best: float | None = None
    stop_waited: int = 0
    stop_cooldown: int = 0
    plateau_best: float | None = None
    plateau_waited: int = 0
    plateau_cooldown: int = 0
    multiplier: float = 1.0
    loss_sum: float = 0.0
    loss_count: int = 0

    def to_dict(self) -> dict:
        """Returns the state as plain values."""
        return {**dataclasses.asdict(self), "kept": [list(pair) for pair in self.kept]}

    @classmethod
    def from_dict(cls, values: dict) -> State:
        """Makes a state of the result of `to_dict`; raises TypeError for other names."""
        kept = tuple((int(step), value) for step, value in values["kept"])
        return cls(**{**values, "kept": kept})

    def add_loss(self, loss: float) -> State:
        """Returns the state after a training loss."""
        return dataclasses.replace(
            self, loss_sum=self.loss_sum + loss, loss_count=self.loss_count + 1
        )

    @property
    def mean_loss(self) -> float | None:
        """The mean training loss since the last evaluation; None without one."""
        return self.loss_sum / self.loss_count if self.loss_count else None

    def is_enough(self, options: MonitorOptions) -> bool:
        """Whether the patience of early stopping is exhausted."""
        return 0 < options.early_stopping_patience <= self.stop_waited


def after_evaluation(
    state: State, step: int, value: float | None, score: Score, options: MonitorOptions
) -> State:
    """Returns the state after an evaluation.

    Args:
      state: The state before.
      step: The step of the evaluation.
      value: The monitored score; None if it is not defined, which counts as the worst.
      score: What is monitored.
      options: The rules.
    """
    value = None if value is None or math.isnan(value) else value
    is_best = not state.evaluated or score.is_better(value, state.best)
    changed = dataclasses.replace(
        state,
        evaluated=step,
        best=value if is_best else state.best,
        best_step=step if is_best else state.best_step,
        kept=_kept(state.kept, step, value, score, options.save_top_k),
        loss_sum=0.0,
        loss_count=0,
        **_plateau(state, value, score, options),
    )
    is_lowered = changed.multiplier != state.multiplier
    return dataclasses.replace(changed, **_stopping(state, value, score, options, is_lowered))


def _kept(kept, step, value, score, number) -> tuple:
    """Returns the best evaluations, the best first and of equal ones the earlier."""
    place = len(kept)
    while place and score.is_better(value, kept[place - 1][1]):
        place -= 1
    return (*kept[:place], (step, value), *kept[place:])[:number]


def _plateau(state, value, score, options) -> dict:
    """Returns what a plateau changes in a state."""
    delta, mode = options.plateau_min_delta, options.plateau_min_delta_mode
    if score.is_better(value, state.plateau_best, delta=delta, mode=mode):
        cooldown = max(state.plateau_cooldown - 1, 0)
        return {"plateau_best": value, "plateau_waited": 0, "plateau_cooldown": cooldown}
    if state.plateau_cooldown:
        return {"plateau_waited": 0, "plateau_cooldown": state.plateau_cooldown - 1}
    waited = state.plateau_waited + 1
    if not 0 < options.plateau_patience <= waited:
        return {"plateau_waited": waited}
    return {
        "plateau_waited": 0,
        "plateau_cooldown": options.plateau_cooldown,
        "multiplier": state.multiplier * options.plateau_factor,
    }


def _stopping(state, value, score, options, is_lowered) -> dict:
    """Returns what early stopping changes in a state."""
    delta, mode = options.early_stopping_min_delta, options.early_stopping_min_delta_mode
    cooldown = max(state.stop_cooldown - 1, 0)
    waited = state.stop_waited if state.stop_cooldown else state.stop_waited + 1
    changed = {"stop_waited": waited, "stop_cooldown": cooldown}
    if score.is_better(value, state.stop_best, delta=delta, mode=mode):
        changed.update(stop_best=value, stop_waited=0)
    if is_lowered:
        changed.update(stop_cooldown=options.early_stopping_cooldown)
    return changed


def load(folder: str, step: int, score: Score, options: MonitorOptions) -> State:
    """Returns the state of a run that continues from a step.

    Evaluations that the file does not know (another score was monitored, or the run was interrupted
    before it was written) are taken from `metrics.jsonl`.

    Raises:
      UserError: If a file is damaged.
    """
    state = State()
    for number, kept in sorted(_read(folder, score).items()):
        state = kept if number <= step else state
    for record in run_records.read(folder, step):
        is_new = record["step"] > state.evaluated and score.key in record
        if is_new and record.get("eval_split") == score.split:
            state = after_evaluation(state, record["step"], record[score.key], score, options)
    return state


def save(folder: str, step: int, state: State, score: Score, oldest: int):
    """Writes the state of a step, and forgets those that no checkpoint needs.

    Args:
      folder: The run's folder.
      step: The step.
      state: Its state.
      score: What is monitored.
      oldest: The step of the oldest checkpoint.

    Raises:
      UserError: If the file cannot be written.
    """
    states = {number: kept for number, kept in _read(folder, score).items() if number < step}
    first = max([number for number in states if number <= oldest], default=0)
    states = {number: kept for number, kept in states.items() if number >= first}
    states[step] = state
    content = {
        **score._asdict(),
        "states": {str(number): kept.to_dict() for number, kept in sorted(states.items())},
    }
    path = os.path.join(folder, MONITOR_FILE)
    try:
        write_text(path, json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise UserError(
            f"cannot write to {path} ({error.strerror}); the checkpoints are intact. Free some "
            "space and run the same command again."
        ) from error


def _read(folder: str, score: Score) -> dict:
    """Returns step -> state of a run's file; empty if there is none, or of another score.

    Raises:
      UserError: If the file is damaged.
    """
    path = os.path.join(folder, MONITOR_FILE)
    try:
        content = read_json(path)
        if any(content[name] != value for name, value in score._asdict().items()):
            return {}
        return {int(step): State.from_dict(kept) for step, kept in content["states"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is not the state of a monitored score ({error}); restore or remove it."
        ) from error
