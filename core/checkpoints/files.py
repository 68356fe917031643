"""Writes checkpoints that are complete or absent, and deletes those that are not kept.

A checkpoint is written to a separate folder, synced to disk, and renamed into place, its index
last: whenever the process or the machine dies, a checkpoint with an index is complete. Deletion
removes the index first. `core/checkpoints/restore.py` finds and reads checkpoints.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import re
import shutil

import numpy as np
from absl import logging

import common
from core.checkpoints import names as tensor_names
from core.checkpoints import restore
from utils.compat import host_session, tf
from utils.errors import UserError, reason_of
from utils.files import read_json, sync_to_disk, write_text

_INCOMPLETE_FOLDER = ".incomplete"
_MILESTONES_FILE = "milestones.json"
# Reasons why a file cannot be written that the system's message explains.
_CANNOT_WRITE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.ENOENT,
)
# Errors of file systems without hard links.
_NO_LINKS = (errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)


def clean(folder: str):
    """Removes what a killed process left behind: a half-written or half-deleted checkpoint."""
    shutil.rmtree(os.path.join(folder, _INCOMPLETE_FOLDER), ignore_errors=True)
    pattern = os.path.join(glob.escape(folder), restore.PREFIX + "-*.data-*-of-*")
    for path in glob.glob(pattern):
        prefix = path.rsplit(".data-", 1)[0]
        if re.search(r"-\d+$", prefix) and not os.path.exists(prefix + ".index"):
            logging.info("Removing %s, which has no index.", path)
            os.remove(path)


def prefix_of(folder: str, step: int) -> str:
    """Returns the prefix of a run's checkpoint of a step."""
    return os.path.join(folder, f"{restore.PREFIX}-{step}")


def write(saver: tf.train.Saver, session, folder: str, step: int) -> str:
    """Saves the variables as `model.ckpt-STEP`.

    Args:
      saver: A saver of the variables to save.
      session: The session with their values.
      folder: The run's folder.
      step: The global step.

    Returns:
      The prefix of the checkpoint.

    Raises:
      UserError: If it cannot be written; other checkpoints are intact.
    """
    prefix = prefix_of(folder, step)
    incomplete = os.path.join(folder, _INCOMPLETE_FOLDER)
    try:
        os.makedirs(incomplete, exist_ok=True)
        temporary = os.path.join(incomplete, os.path.basename(prefix))
        saver.save(session, temporary, write_meta_graph=False, write_state=False)
        _put_in_place(temporary, prefix)
    except (tf.errors.OpError, OSError) as error:
        raise UserError(
            f"cannot write checkpoint {prefix} ({_reason(error)}); earlier checkpoints are "
            "intact. Free some space or pass another --train_logdir."
        ) from error
    finally:
        shutil.rmtree(incomplete, ignore_errors=True)
    return prefix


def _reason(error) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return cannot_write(error) or reason_of(error)


def cannot_write(error) -> str | None:
    """Returns the system's message on why a file could not be written; None for other errors.

    Args:
      error: An OSError, or an error of TensorFlow.
    """
    if isinstance(error, OSError):
        return error.strerror if error.errno in _CANNOT_WRITE else None
    # TensorFlow includes it somewhere in a message of many lines.
    known = [os.strerror(number) for number in _CANNOT_WRITE]
    found = [text for text in known if text in error.message]
    return found[0] if found else None


def _put_in_place(temporary: str, prefix: str):
    delete(prefix)
    for path in restore.files_of(temporary):
        sync_to_disk(path)
        os.replace(path, prefix + path[len(temporary) :])
    sync_to_disk(os.path.dirname(prefix) or ".")


def delete(prefix: str):
    """Removes a checkpoint, its index first."""
    for path in reversed(restore.files_of(prefix)):
        os.remove(path)


def quarantine(prefix: str) -> str:
    """Renames a damaged checkpoint so that it is no longer found; returns its new prefix."""
    folder, name = os.path.split(prefix)
    aside = os.path.join(folder, f"damaged-{name}")
    for path in reversed(restore.files_of(prefix)):
        os.replace(path, aside + path[len(prefix) :])
    return aside


def copy_to(prefix: str, folder: str) -> str:
    """Copies a checkpoint to another folder, by hard links if the file system supports them.

    Returns:
      The prefix of the copy.

    Raises:
      OSError: If it cannot be written.
    """
    os.makedirs(folder, exist_ok=True)
    target = os.path.join(folder, os.path.basename(prefix))
    delete(target)
    for path in restore.files_of(prefix):
        _link(path, target + path[len(prefix) :])
    sync_to_disk(folder)
    return target


def _link(source: str, target: str):
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            shutil.copyfile(source, target)
            sync_to_disk(target)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                os.remove(target)
            raise


def milestones(folder: str) -> set:
    """Returns the steps of the milestones, checkpoints that are never deleted.

    Raises:
      UserError: If the list cannot be read.
    """
    path = os.path.join(folder, _MILESTONES_FILE)
    try:
        return {int(step) for step in read_json(path)}
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} is not a list of steps ({error}); restore or remove it."
        ) from error


def add_milestone(folder: str, step: int):
    """Makes a step a milestone, before its checkpoint is written."""
    steps = sorted(milestones(folder) | {step})
    write_text(os.path.join(folder, _MILESTONES_FILE), json.dumps(steps) + "\n")


def keep_newest(folder: str, number: int):
    """Deletes all but the newest checkpoints and the milestones, and writes the state file.

    Args:
      folder: The run's folder.
      number: The number to keep besides the milestones.
    """
    kept_for_good = milestones(folder)
    found = restore.find_all(folder)
    others = [prefix for prefix in found if int(prefix.rsplit("-", 1)[1]) not in kept_for_good]
    old = others[: max(0, len(others) - number)]
    left = [os.path.basename(prefix) for prefix in found if prefix not in old]
    # Relative names, so that the folder can be moved. The file is written before the deletion, so
    # that the checkpoints it names always exist.
    state = tf.train.generate_checkpoint_state_proto(folder, left[-1], left)
    write_text(os.path.join(folder, "checkpoint"), str(state))
    for prefix in old:
        delete(prefix)


def keep_best(folder: str, scores: dict):
    """Makes the checkpoint of a step the best of its run: copies it to `best/`.

    That folder is complete on its own: checkpoint, `options.json`, and `best.json` with the scores.
    At any moment `best.json` names a complete checkpoint.

    Args:
      folder: The run's folder.
      scores: The scores of the evaluation as plain values; `step` is that of the checkpoint.

    Raises:
      UserError: If it cannot be written; the best checkpoint so far is intact.
    """
    best = os.path.join(folder, restore.BEST_FOLDER)
    with _keeping(best):
        kept = copy_to(prefix_of(folder, scores["step"]), best)
        content = {"checkpoint": os.path.basename(kept), **scores}
        _describe(folder, os.path.join(best, restore.BEST_FILE), content)
    _keep_only(best, {kept})


def keep_top(folder: str, ranking, key: str):
    """Makes `top/` hold the best checkpoints of a run, those that still exist.

    That folder is complete on its own: checkpoints, `options.json`, and `top.json`, a list of the
    checkpoints with their scores, the best first.

    Args:
      folder: The run's folder.
      ranking: (step, score) of each, the best first.
      key: The name of the score.

    Raises:
      UserError: If it cannot be written; the checkpoints of the run are intact.
    """
    top = os.path.join(folder, restore.TOP_FOLDER)
    kept = []
    with _keeping(top):
        for step, value in ranking:
            path, source = prefix_of(top, step), prefix_of(folder, step)
            if not restore.is_complete(path) and restore.is_complete(source):
                copy_to(source, top)
            if restore.is_complete(path):
                kept.append({"checkpoint": os.path.basename(path), "step": step, key: value})
        _describe(folder, os.path.join(top, restore.TOP_FILE), kept)
    _keep_only(top, {prefix_of(top, entry["step"]) for entry in kept})


@contextlib.contextmanager
def _keeping(folder: str):
    """Raises UserError if a checkpoint cannot be kept in a folder."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write the best checkpoint to {folder} ({error.strerror}); the checkpoints of "
            "the run are intact. Free some space and run the same command again."
        ) from error


def _describe(run: str, path: str, content):
    """Writes what a folder of best checkpoints holds, after the options of the run."""
    with open(os.path.join(run, common.OPTIONS_FILE), encoding="utf-8") as file:
        write_text(os.path.join(os.path.dirname(path), common.OPTIONS_FILE), file.read())
    write_text(path, json.dumps(content, indent=1) + "\n")


def _keep_only(folder: str, kept: set):
    for path in restore.find_all(folder):
        if path not in kept:
            delete(path)
    clean(folder)


def write_compact(source: str, target: str) -> int:
    """Writes a copy of the network's variables alone, kernels in half precision.

    Vectors (biases, batch norm) and the global step keep their type, since moving averages may
    exceed the range of half precision. `restore_op` widens the kernels again.

    Args:
      source: Prefix of a checkpoint.
      target: Prefix of the copy; its folder is made.

    Returns:
      The size of the copy in bytes.

    Raises:
      UserError: If the source cannot be read or a kernel exceeds the range of half precision.
    """
    opened = restore.reader(source)
    names = [
        name
        for name in sorted(opened.get_variable_to_shape_map())
        if tensor_names.is_of_network(name) or name == tensor_names.GLOBAL_STEP
    ]
    with restore.reading(source):
        tensors = {name: _in_half_precision(name, opened.get_tensor(name)) for name in names}
    return write_arrays(tensors, target)


def write_arrays(tensors: dict, target: str) -> int:
    """Writes a checkpoint of arrays.

    Args:
      tensors: Name -> array.
      target: Prefix of the checkpoint; its folder is made.

    Returns:
      The size of the checkpoint in bytes.
    """
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    temporary = f"{target}.tmp-{os.getpid()}"
    try:
        with tf.Graph().as_default(), host_session() as session:
            session.run(
                tf.raw_ops.SaveV2(
                    prefix=temporary,
                    tensor_names=list(tensors),
                    shape_and_slices=[""] * len(tensors),
                    tensors=[tf.constant(tensor) for tensor in tensors.values()],
                )
            )
        _put_in_place(temporary, target)
    finally:
        delete(temporary)
    return sum(os.path.getsize(path) for path in restore.files_of(target))


def _in_half_precision(name: str, value):
    if value.ndim < 2 or value.dtype != np.float32:
        return value
    if not np.abs(value).max() <= np.finfo(np.float16).max:
        raise UserError(f"{name} has values beyond half precision; no copy was written.")
    return value.astype(np.float16)
