"""The folder of a training run: who owns it, and whether a command may continue it."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
import sys

import numpy as np

import common
from core import checkpoint
from utils.compat import tf
from utils.errors import UserError

# Facts about the data in `run` that a continued run must share.
_DATA_FACTS = ("num_classes", "class_names", "ignore_label", "num_images")


def prepare(folder: str, sections: dict, run: dict) -> str | None:
    """Makes or reopens the folder of a run and writes its options.

    Args:
      folder: The run's folder.
      sections: Section name -> Options record.
      run: Facts about data and software, from `describe_run`.

    Returns:
      The checkpoint to continue from, or None at the start.

    Raises:
      UserError: If the folder belongs to a run with other options.
    """
    existing = common.load_options(folder)
    checkpoints = checkpoint.find_all(folder)
    if existing is None and checkpoints:
        raise UserError(
            f"{folder} holds checkpoints but no {common.OPTIONS_FILE}, so it is not known what run "
            "they are of; pass another --train_logdir (and these as --tf_initial_checkpoint)."
        )
    if existing is not None:
        different = _differences(existing, sections, run)
        if different and checkpoints:
            raise UserError(
                f"{folder} holds a run with other options ({'; '.join(different)}); pass another "
                "--train_logdir, or the options of that run to continue it."
            )
    try:
        common.save_options(folder, {**sections, "run": run})
    except OSError as error:
        raise UserError(f"cannot write to --train_logdir={folder}: {error.strerror}.") from error
    return checkpoints[-1] if checkpoints else None


def _differences(existing: dict, sections: dict, run: dict) -> list:
    different = []
    for section, record in sections.items():
        old = existing.get(section, {})
        new = record.to_dict()
        for field in dataclasses.fields(record):
            name = field.name
            if field.metadata["changeable"] or name not in old or old[name] == new[name]:
                continue
            different.append(f"--{name} was {old[name]}, now {new[name]}")
    for name in _DATA_FACTS:
        old = existing.get("run", {}).get(name)
        if old is not None and old != run[name]:
            different.append(f"{name} of the data was {old}, now {run[name]}")
    return different


def describe_run(info, split: str, num_images: int, device: str) -> dict:
    """Returns the facts that `options.json` keeps beside the options.

    Args:
      info: The data set: name, num_classes, class_names, colors, ignore_label.
      split: The training split.
      num_images: Images of that split.
      device: Name of the device.
    """
    return {
        "dataset": info.name,
        "split": split,
        "num_images": num_images,
        "num_classes": info.num_classes,
        "class_names": list(info.class_names),
        "colors": [list(color) for color in info.colors],
        "ignore_label": info.ignore_label,
        "device": device,
        "versions": versions(),
        "commit": git_commit(),
        "command": sys.argv,
    }


def versions() -> dict:
    """Returns the versions that a result depends on."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }


def git_commit() -> str | None:
    """Returns the commit of this checkout, with `-changed` behind it if files differ, or None."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("-changed" if changed else "")


def _git(root: str, *arguments: str) -> str:
    result = subprocess.run(
        ["git", "-C", root, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return result.stdout.decode().strip()
