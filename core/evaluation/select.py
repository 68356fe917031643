"""Selects checkpoints of a folder: one, all, or each new one while a training runs."""

from __future__ import annotations

import os
import time

from absl import logging

from core.checkpoints import restore
from options import saved
from utils.errors import UserError


def chosen(folder: str, which: str) -> list:
    """Returns the prefixes of the checkpoints of a folder that `--checkpoint` names.

    Args:
      folder: A run's folder.
      which: "newest", "best", "all" or a step.

    Raises:
      UserError: If there is none.
    """
    newest = restore.newest(folder)
    if which == "newest":
        return [newest]
    if which == "best":
        return [restore.best(folder)]
    found = restore.find_all(folder)
    if which == "all":
        return found
    named = [prefix for prefix in found if prefix.endswith(f"-{int(which)}")]
    if not named:
        steps = ", ".join(os.path.basename(prefix) for prefix in found)
        raise UserError(f"{folder} holds no checkpoint of step {which}; there are {steps}.")
    return named


def new_checkpoints(
    folder: str, *, interval: float, timeout: float = 0, clock=time.monotonic, sleep=time.sleep
):
    """Yields the newest complete checkpoint of a folder each time there is a new one.

    Older ones written in the meantime are skipped: an evaluation slower than the training would
    never catch up. It waits for a folder that does not exist yet, and ends after the last step of
    the training, which is stored in `options.json`.

    Args:
      folder: A run's folder.
      interval: Seconds between two checks.
      timeout: Seconds without a new checkpoint after which it ends; 0: never.
      clock: Returns the time in seconds.
      sleep: Called with the seconds to wait.
    """
    seen, since = None, clock()
    while True:
        found = restore.find_all(folder)
        if found and found[-1] != seen:
            seen = found[-1]
            # Checked before use: the training may remove it in the meantime.
            is_last = _is_last(folder, seen)
            yield seen
            if is_last:
                logging.info("%s is the training's last checkpoint.", seen)
                return
            since = clock()
            continue
        waited = clock() - since
        if timeout and waited >= timeout:
            logging.info("No new checkpoint in %s for %.0f s; watching ends.", folder, waited)
            return
        if seen is None and waited < interval:
            logging.info("Waiting for a checkpoint in %s.", folder)
        sleep(min(interval, timeout - waited) if timeout else interval)


def is_gone(prefix: str) -> bool:
    """Whether a checkpoint has been removed, as trainings do with old ones."""
    return prefix not in restore.find_all(os.path.dirname(prefix) or ".")


def _is_last(folder, prefix) -> bool:
    last = saved.load(folder).values().get("training_number_of_steps")
    step = restore.step_of(prefix)
    return last is not None and step is not None and step >= last
