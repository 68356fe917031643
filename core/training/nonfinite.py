"""Steps whose loss or gradients are not finite: not applied, explained, and left behind.

1. The graph records the first such step and applies no update from then on, so the weights stay
   those that the step failed with (`record_bad_step`, `skip_update_if_nonfinite`). Where a device
   runs a whole loop on its own, the step is recorded too, but the loop goes on.
2. The host runs its batch again and names the first tensor that is not finite (`diagnose`).
3. A run with `--recover_from_nan` returns to its last checkpoint (`roll_back`). Weights, data and
   random numbers of a step are the same each time, so repeating it would fail again. Therefore all
   batches from the checkpoint to the bad step are skipped, the way PaLM was trained past its loss
   spikes (arXiv 2204.02311, section 5.1). `recoveries.json` is written before training goes on, so
   a run that is killed later continues with the same data.

`core/training/hooks/stop_on_nonfinite.py` ends training at such a step.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

import numpy as np

from core.checkpoints import restore
from options.training import TrainOptions
from utils.compat import tf
from utils.errors import UserError
from utils.files import read_json, write_text
from utils.log import RunLog

# What a step reports, all of which must be finite.
REPORTED = ("gradient_norm", "learning_rate", "loss", "reg_loss")

RECOVERIES_FILE = "recoveries.json"

_LARGEST = np.finfo(np.float32).max
# Number of values fetched at once: few runs, and little memory beside the step's own.
_VALUES_AT_ONCE = 1 << 27


class NonFiniteError(UserError):
    """The loss or the gradients of a step are not finite.

    Attributes:
      step: The global step that it would have led to.
      learning_rate: Its learning rate.
    """

    def __init__(self, message: str, *, step: int, learning_rate: float):
        super().__init__(message)
        self.step = step
        self.learning_rate = learning_rate


class BadStep(NamedTuple):
    """The first step that was not finite since the session was created, as tensors.

    Attributes:
      number: int64 scalar, the global step that it would have led to; 0 while there is none.
      values: Name -> float32 scalar: its loss, reg_loss, learning_rate, gradient_norm.
    """

    number: tf.Tensor
    values: dict


def record_bad_step(global_step: tf.Variable, values: dict, *, excused=()) -> BadStep:
    """Records the first step whose values are not finite.

    Args:
      global_step: Steps done before this one.
      values: Name -> float32 scalar, for each name of REPORTED.
      excused: Names of values that need not be finite.
    """
    number = _local_variable("bad_step", np.int64(0))
    recorded = _local_variable("bad_step_values", np.zeros(len(REPORTED), np.float32))
    now = tf.stack([values[name] for name in REPORTED])
    # A comparison is false for NaN, and devices without is_finite can compute it.
    finite = tf.less_equal(tf.abs(now), _LARGEST)
    finite = tf.reduce_all(tf.logical_or(finite, [name in excused for name in REPORTED]))
    before = number.read_value()
    is_first = tf.logical_and(tf.equal(before, 0), tf.logical_not(finite))
    step = tf.cast(global_step.read_value(), tf.int64) + 1
    with tf.control_dependencies([before, step]):
        number = tf.identity(tf.assign(number, tf.where(is_first, step, before)))
        recorded = tf.identity(tf.assign(recorded, tf.where(is_first, now, recorded.read_value())))
    return BadStep(number, dict(zip(REPORTED, tf.unstack(recorded))))


def _local_variable(name, initial_value):
    return tf.Variable(
        initial_value, name=name, trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES]
    )


def skip_update_if_nonfinite(bad_step: BadStep, apply, *, can_branch: bool) -> tf.Operation:
    """Returns the operation that updates, unless this step or an earlier one was not finite.

    Args:
      bad_step: From `record_bad_step`.
      apply: Function without arguments that builds the update and returns its operation.
      can_branch: Whether the device can skip a part of the graph; otherwise the update is made.
    """
    # One operation to wait for: control edges are made for each operation of an update.
    recorded = tf.group(bad_step.number, *bad_step.values.values())
    if not can_branch:
        with tf.control_dependencies([recorded]):
            return apply()

    def applied():
        # Variables that an optimizer creates must not be named after the branch.
        with tf.name_scope(None), tf.control_dependencies([apply()]):
            return tf.constant(True)

    with tf.control_dependencies([recorded]):
        is_good = tf.equal(bad_step.number, 0)
    return tf.cond(is_good, applied, lambda: tf.constant(False)).op


class Diagnosis(NamedTuple):
    """What one rank finds when it runs its batch again.

    Attributes:
      images: The names of its images.
      cause: What was not finite, as text; None if everything was finite.
    """

    images: str
    cause: str | None


def diagnose(session, step, batch: dict, *, alone: bool) -> Diagnosis:
    """Returns what was not finite in a step.

    Args:
      session: The training session; its weights are those before the step.
      step: The `TrainStep`.
      batch: The batch of the step, arrays: "image", "label", "name".
      alone: Whether no other rank takes part, so that gradients can be computed.
    """
    names = ", ".join(name.decode("utf-8", "replace") for name in batch["name"])
    feed = {step.images: batch["image"], step.labels: batch["label"]}
    return Diagnosis(names, first_bad_tensor(session, step, feed, alone=alone))


def describe(diagnoses) -> str:
    """Returns a sentence on what all ranks found, naming the rank that it came from.

    Args:
      diagnoses: (images, cause) of each rank.
    """
    diagnoses = [Diagnosis(*diagnosis) for diagnosis in diagnoses]
    bad = [rank for rank, diagnosis in enumerate(diagnoses) if diagnosis.cause]
    if len(diagnoses) == 1:
        (own,) = diagnoses
        return f"Images: {own.images}; {own.cause or 'run again, everything was finite'}. "
    if not bad:
        return (
            "Run again, network and loss were finite in every rank; gradients are only checked "
            "with a single process. "
        )
    others = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    first = diagnoses[bad[0]]
    return f"It came from rank {bad[0]}{others}; images: {first.images}; {first.cause}. "


def first_bad_tensor(session, step, feed: dict, *, alone: bool) -> str | None:
    """Returns which tensor is not finite while all before it are, as text, or None.

    Tensors are read in the order in which the graph was built, which is the order in which they are
    computed: variables first, then the network and its loss, then the gradients.

    Args:
      session: The training session.
      step: The `TrainStep`.
      feed: Its batch: images and labels -> arrays.
      alone: As in `diagnose`.
    """
    if not np.isfinite(feed[step.images]).all():
        return "the images themselves are not finite"
    variable = _first_bad(session, tf.trainable_variables(), {})
    if variable is not None:
        return f"the variable {variable.op.name} was not finite before"
    tensor = _first_bad(session, _forward_tensors(step, alone=alone), feed)
    if tensor is not None:
        shape = "x".join(str(side) for side in tensor.shape.as_list()) or "scalar"
        return f"the first tensor that is not finite is {tensor.name} ({tensor.op.type}, {shape})"
    # Gradients are computed from the loss back to the images: the last variable's come first.
    names = {
        gradient: variable.op.name
        for gradient, variable in reversed(step.gradients)
        if gradient is not None and alone
    }
    gradient = _first_bad(session, list(names), feed)
    if gradient is not None:
        return f"the network is finite, but the gradient of {names[gradient]} is not"
    return None


def _forward_tensors(step, *, alone: bool) -> list:
    """Returns what is computed from the images up to the loss, in the order of the graph.

    With other ranks it ends where these are needed.
    """
    needed = _ancestors(step.total_loss.op)
    of_images = {step.images.op}
    of_others = set()
    tensors = []
    # Operations are listed as they were created: each after those that it reads.
    for operation in step.total_loss.graph.get_operations():
        if operation not in needed:
            continue
        inputs = {tensor.op for tensor in operation.inputs}
        if not alone and (operation.type.startswith("Collective") or inputs & of_others):
            of_others.add(operation)
            continue
        if not inputs & of_images:
            continue
        of_images.add(operation)
        tensors += [output for output in operation.outputs if output.dtype == tf.float32]
    return tensors


def _ancestors(operation) -> set:
    found, ahead = {operation}, [operation]
    while ahead:
        for tensor in ahead.pop().inputs:
            if tensor.op not in found:
                found.add(tensor.op)
                ahead.append(tensor.op)
    return found


def _first_bad(session, tensors, feed):
    """Returns the first tensor that is not finite, or None; fetches as many at once as is cheap."""
    chunk, size = [], 0
    for place, tensor in enumerate(tensors):
        chunk.append(tensor)
        size += tensor.shape.num_elements() or 0
        if size < _VALUES_AT_ONCE and place + 1 < len(tensors):
            continue
        for fetched, value in zip(chunk, session.run(chunk, feed)):
            if not np.isfinite(value).all():
                return fetched
        chunk, size = [], 0
    return None


def skipped_batches(folder: str) -> int:
    """Returns how many batches of the data a run has skipped so far."""
    return sum(record["skipped_batches"] for record in read_recoveries(folder))


def read_recoveries(folder: str) -> list:
    """Returns the recoveries of a run, oldest first, as dicts.

    Raises:
      UserError: If the file is damaged.
    """
    path = os.path.join(folder, RECOVERIES_FILE)
    if not os.path.exists(path):
        return []
    try:
        return read_json(path)
    except ValueError as error:
        raise UserError(
            f"{path} is not valid JSON ({error}); without it this run cannot be continued."
        ) from error


def roll_back(error: NonFiniteError, options: TrainOptions):
    """Records that the run returns to its last checkpoint; the caller restarts it from there.

    Args:
      error: What ended the run.
      options: The training.

    Raises:
      NonFiniteError: The given one, if the run has returned `recover_from_nan` times already.
    """
    folder = options.train_logdir
    records = read_recoveries(folder)
    if len(records) >= options.recover_from_nan:
        raise error
    found = restore.find_all(folder)
    step = restore.step_of(found[-1]) if found else 0
    records.append(
        {
            "bad_step": error.step,
            "from_step": step,
            "skipped_batches": error.step - step,
            "learning_rate": error.learning_rate,
            "reason": str(error),
        }
    )
    write_text(os.path.join(folder, RECOVERIES_FILE), json.dumps(records, indent=2) + "\n")
    RunLog(os.path.join(folder, options.log_name)).line(
        f"recovery {len(records)} of {options.recover_from_nan}: {error} Returning to step {step} "
        f"and skipping the next {error.step - step} batches."
    )
