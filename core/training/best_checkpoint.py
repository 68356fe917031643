"""Keeps the checkpoint with the best evaluation: `best/` in a run's folder.

The folder stands alone: checkpoint, `options.json`, and `best.json` with the scores. At any moment
`best.json` names a checkpoint that is complete.
"""

from __future__ import annotations

import json
import os

import common
from core.checkpoints import files, restore
from utils.errors import UserError
from utils.files import write_text


def of_step(folder: str, step: int) -> str:
    """Returns the prefix of a run's checkpoint of a step."""
    return os.path.join(folder, f"{restore.PREFIX}-{step}")


def keep(folder: str, scores: dict):
    """Makes the checkpoint of a step the best of its run.

    Args:
      folder: The run's folder.
      scores: What was measured, plain values; `step` says of which checkpoint.

    Raises:
      UserError: If it cannot be written; the best so far is as it was.
    """
    best = os.path.join(folder, restore.BEST_FOLDER)
    try:
        kept = files.copy_to(of_step(folder, scores["step"]), best)
        with open(os.path.join(folder, common.OPTIONS_FILE), encoding="utf-8") as file:
            write_text(os.path.join(best, common.OPTIONS_FILE), file.read())
        content = {"checkpoint": os.path.basename(kept), **scores}
        write_text(os.path.join(best, restore.BEST_FILE), json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise UserError(
            f"cannot write the best checkpoint to {best} ({error.strerror}); the checkpoints of "
            "the run are unharmed. Free some space and run the same command again."
        ) from error
    for path in restore.find_all(best):
        if path != kept:
            files.delete(path)
    files.clean(best)
