"""The folder of a training run: its options, and whether a command may continue it."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys

import numpy as np
from absl import logging

import common
from core.checkpoints import files, restore
from core.runs import lock
from options import saved as saved_options
from options.config import Config
from options.saved import SavedOptions
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import UserError
from utils.version import VERSION

# Facts about the data in `run` that a continued run must share.
_DATA_FACTS = ("num_classes", "class_names", "ignore_label", "task", "num_images", "fingerprint")

# Weights that are only read when a run starts; it may go on without them, or from another place.
_OF_THE_START = ("tf_initial_checkpoint", "init")

# How a step's images are divided over ranks and batches; the order of the data is the same.
_DIVISION = ("train_batch_size", "accumulate_batches", "rank")


def prepare(
    folder: str, config: Config, run: dict, *, is_chief: bool = True, check=None
) -> str | None:
    """Creates or reopens the folder of a run and writes its options.

    Args:
      folder: The run's folder.
      config: The options of the run.
      run: Facts about data and software, from `describe_run`.
      is_chief: Whether this process writes to the folder; it holds its lock.
      check: Called with the returned checkpoint before anything is written; raises to refuse the
        run.

    Returns:
      The checkpoint to continue from, or None at the start.

    Raises:
      UserError: If the folder belongs to a run with other options, or none of its checkpoints can
        be read.
    """
    existing = saved_options.load(folder)
    checkpoints = restore.find_all(folder)
    if checkpoints and not existing.exists:
        raise UserError(
            f"{folder} holds checkpoints but no {common.OPTIONS_FILE}, so their run is unknown; "
            "pass another --train_logdir (and these as --tf_initial_checkpoint)."
        )
    different = _differences(existing, config, run) if checkpoints else []
    if checkpoints and not different:
        _log_other_start(existing, config)
    if different:
        raise UserError(
            f"{folder} holds a run with other options ({'; '.join(different)}); pass another "
            "--train_logdir, or the options of that run to continue it."
        )
    resume_from = _newest_readable(checkpoints, quarantine=is_chief) if checkpoints else None
    if check is not None:
        check(resume_from)
    if is_chief:
        try:
            files.clean(folder)
            common.save_options(folder, {**config.to_dict(), "run": run})
        except OSError as error:
            raise UserError(
                f"cannot write to --train_logdir={folder}: {error.strerror}."
            ) from error
    return resume_from


def forget_if_unused(folder: str):
    """Removes the options of a run that was refused before it wrote anything else."""
    if set(os.listdir(folder)) <= {common.OPTIONS_FILE, lock.LOCK_FILE}:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(folder, common.OPTIONS_FILE))


def _newest_readable(checkpoints: list, *, quarantine: bool) -> str:
    """Returns the newest complete checkpoint; warns of damaged ones."""
    damaged = []
    for path in reversed(checkpoints):
        try:
            restore.check_readable(path)
        except UserError as error:
            logging.warning("%s", error)
            damaged.append(path)
            continue
        for bad in damaged:
            logging.warning(
                "Continuing from %s instead of %s%s.",
                path,
                bad,
                f", which is kept as {files.quarantine(bad)}" if quarantine else "",
            )
        return path
    raise UserError(
        f"no checkpoint in {os.path.dirname(checkpoints[0])} can be read ({len(checkpoints)} "
        "damaged); move them away to start again, or pass another --train_logdir."
    )


def _differences(existing: SavedOptions, config: Config, run: dict) -> list:
    """Returns the changes that a continued run may not make, as texts."""
    different = []
    images = existing.run.get("images_per_step")
    same_images = images is not None and images == run.get("images_per_step")
    old = existing.values()
    for name, new in config.held().items():
        if name not in old or old[name] == new:
            continue
        if same_images and name in _DIVISION:
            logging.info(
                "--%s was %s and is %s now; a step has the same %d images.",
                name,
                old[name],
                new,
                images,
            )
            continue
        different.append(f"--{name} was {old[name]}, now {new}")
    for name in _DATA_FACTS:
        old = existing.run.get(name)
        if old is not None and old != run[name]:
            different.append(f"{name} of the data was {old}, now {run[name]}")
    if not different and images is not None and not same_images:
        different.append(
            f"a step of all ranks had {images} images, now {run.get('images_per_step')}"
        )
    return different


def _log_other_start(existing: SavedOptions, config: Config):
    old, new = existing.values(), config.values()
    for name in _OF_THE_START:
        if new.get(name) not in (None, old.get(name)):
            logging.warning(
                "--%s=%s is not read: the run goes on from its own checkpoint.", name, new[name]
            )


def describe_run(
    classes: ClassSet, split: str, num_images: int, fingerprint: str, device: str
) -> dict:
    """Returns the facts that `options.json` keeps beside the options.

    Args:
      classes: The classes of the data set.
      split: The training split.
      num_images: Images of that split.
      fingerprint: Identifies the records of that split.
      device: Name of the device.
    """
    return {
        "dataset": classes.name,
        "split": split,
        "num_images": num_images,
        "fingerprint": fingerprint,
        **classes.to_dict(),
        "device": device,
        "versions": versions(),
        "commit": git_commit(),
        "command": sys.argv,
    }


def versions() -> dict:
    """Returns the versions that a result depends on."""
    return {
        "deeplabv3": VERSION,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }


def git_commit() -> str | None:
    """Returns the commit of this checkout, followed by `-changed` if files differ, or None."""
    root = os.path.abspath(__file__)
    for _ in range(3):
        root = os.path.dirname(root)
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
