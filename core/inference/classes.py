"""Which classes a trained network predicts."""

from __future__ import annotations

from core import task as tasks
from core.task import TASKS
from options.task import TaskOptions
from utils.classes import MULTICLASS, ClassSet, default_names, task_of
from utils.errors import UserError


def choose(
    channels: int | None,
    *,
    named: ClassSet | None = None,
    saved: dict | None = None,
    usual: ClassSet | None = None,
    options: TaskOptions | None = None,
) -> ClassSet:
    """Returns the classes: those given, else those saved with the network, else the usual ones.

    Args:
      channels: Outputs per pixel of the network, None if unknown.
      named: Classes that were given on purpose.
      saved: `ClassSet.to_dict` of the network, with some or all of its keys.
      usual: Classes of a network that stores only their number, where it is the same.
      options: The task, where it was given.

    Raises:
      OptionError: If the task does not fit the classes.
      UserError: If the number of classes is unknown, or does not fit the network.
    """
    options, saved = options or TaskOptions(), saved or {}
    of_network = task_of(saved)
    task = TASKS[options.task or of_network or MULTICLASS]
    if named is not None:
        found = named
    elif saved.get("class_names"):
        found = ClassSet.from_dict(saved, saved.get("dataset") or "")
    else:
        found = _of_count(channels, saved, usual, task)
    found = tasks.resolve(options, found, of_network)
    needed = tasks.of(found).channels(found.count)
    if channels not in (None, needed):
        raise UserError(
            f"the network has {channels} outputs per pixel, but {found.count} classes "
            f"({found.task}) need {needed}; pass the --dataset, --dataset_dir, --num_classes or "
            "--task that it was trained with."
        )
    return found


def _of_count(channels, saved: dict, usual, task) -> ClassSet:
    """Returns the classes of a network without names."""
    count = saved.get("num_classes") or (channels and task.num_classes(channels))
    if not count:
        raise UserError(
            "the number of classes of the network is unknown; pass --num_classes, or "
            "--dataset_dir with the dataset.json that it was trained with."
        )
    if usual is not None and usual.count == count:
        return usual
    return ClassSet(default_names(count), task=task.name)
