"""`metrics.jsonl`: the measurements of a training, one record per line.

Records of steps have the losses, the learning rate and `images_per_second`; records of evaluations
have `eval_split`, `eval_miou` and more names that begin with `eval_`. Every record has `step` and
`time`.
"""

from __future__ import annotations

import json
import os
import time

from utils.errors import UserError
from utils.files import write_text

METRICS_FILE = "metrics.jsonl"


def append(folder: str, record: dict):
    """Appends a record with the current time.

    Raises:
      UserError: If the file cannot be written.
    """
    path = os.path.join(folder, METRICS_FILE)
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({**record, "time": round(time.time(), 3)}) + "\n")
    except OSError as error:
        raise UserError(
            f"cannot write to {path} ({error.strerror}); the checkpoints are intact. Free some "
            "space and run the same command again."
        ) from error


def read(folder: str, step: int | None = None) -> list:
    """Returns the records up to a step, by default all; an incomplete last line is left out.

    Raises:
      UserError: If a line is damaged.
    """
    path = os.path.join(folder, METRICS_FILE)
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        found = [record for _, record in _parsed(file, path)]
    return [record for record in found if step is None or record["step"] <= step]


def drop_after(folder: str, step: int):
    """Removes the records of steps that will be repeated.

    Raises:
      UserError: If a line is damaged.
    """
    path = os.path.join(folder, METRICS_FILE)
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()
    kept = [line for line, record in _parsed(lines, path) if record["step"] <= step]
    if len(kept) != len(lines):
        write_text(path, "".join(kept))


def _parsed(lines, path: str):
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            return
        try:
            record = json.loads(line)
            record["step"] + 0
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"line {number} of {path} is not a record with a step; fix or remove the file."
            ) from error
        yield line, record
