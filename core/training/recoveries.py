"""Goes back to the last checkpoint when a step was not finite, and on with other data.

Weights, data and random numbers of a step are the same each time it is made, so that going over it
again would fail again. Therefore all batches from the checkpoint to the bad step are left out, the
way PaLM was trained past its spikes (arXiv 2204.02311, section 5.1): the run goes on from the
checkpoint's weights with the batches behind. What was left out is written to `recoveries.json`
before training goes on, so that a run that is killed later continues with the same data.
"""

from __future__ import annotations

import json
import os

from core.checkpoints import restore
from core.training.hooks.stop_on_nonfinite import NonFiniteError
from options.training import TrainOptions
from utils.errors import UserError
from utils.files import write_text
from utils.log import RunLog

FILE = "recoveries.json"


def skipped_batches(folder: str) -> int:
    """Returns how many of the data's batches a run has left out so far."""
    return sum(record["skipped_batches"] for record in read(folder))


def read(folder: str) -> list:
    """Returns the recoveries of a run, oldest first, as dicts.

    Raises:
      UserError: If the file is damaged.
    """
    path = os.path.join(folder, FILE)
    if not os.path.exists(path):
        return []
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except ValueError as error:
        raise UserError(
            f"{path} is not valid JSON ({error}); without it this run cannot be continued."
        ) from error


def roll_back(error: NonFiniteError, options: TrainOptions):
    """Notes that the run goes back to its last checkpoint, so that the caller can start it again.

    Args:
      error: What ended the run.
      options: The training.

    Raises:
      NonFiniteError: The given one, if the run has gone back `recover_from_nan` times.
    """
    folder = options.train_logdir
    records = read(folder)
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
    write_text(os.path.join(folder, FILE), json.dumps(records, indent=2) + "\n")
    RunLog(os.path.join(folder, options.log_name)).line(
        f"recovery {len(records)} of {options.recover_from_nan}: {error} Going back to step {step} "
        f"and on without the {error.step - step} batches behind it."
    )
