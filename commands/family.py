"""What `train.py` adds to the verb `train`, so that command lines of the DeepLab family work."""

from __future__ import annotations

import os
import re

from utils.errors import OptionError

# Variables that only the hosted training template has; train.py is the name of its program too.
_TEMPLATE = ("ABEJA_TRAINING_RESULT_DIR", "TRAINING_JOB_DATASET_IDS")
_TEMPLATE_PAIR = ("DATASET_ID", "ABEJA_ORGANIZATION_ID")
_WORKER = re.compile(r"--?task=\d+")


def arguments(argv: list) -> list:
    """Returns the arguments without the number of the worker, `--task=0`.

    `--task` names a task here: `multiclass`, `binary` or `multilabel`.

    Raises:
      OptionError: If the number is not that of the only worker.
    """
    numbers = [word for word in argv if _WORKER.fullmatch(word)]
    for word in numbers:
        if int(word.partition("=")[2]):
            raise OptionError(
                f"{word} is the number of a worker, which has no effect: processes are started by "
                "python -m deployment.launch, one for each device (docs/launching.md)."
            )
    return [word for word in argv if word not in numbers]


def check_environment(environment=os.environ):
    """Refuses the environment of the hosted training template.

    Raises:
      OptionError: If its variables are set: train.py takes flags, and would ignore them.
    """
    found = [name for name in _TEMPLATE if environment.get(name)]
    if all(environment.get(name) for name in _TEMPLATE_PAIR):
        found += _TEMPLATE_PAIR
    if found:
        raise OptionError(
            f"the variable {found[0]} belongs to the hosted training template, whose variables are "
            "not read by this version; unset it and pass flags (train.py --help)."
        )
