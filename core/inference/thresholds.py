"""What a probability must exceed: given by hand, found on a split, or one half.

`seg.py threshold` stores what it finds in `thresholds.json` beside the checkpoint. Evaluation,
prediction, pictures and exports ask `of_checkpoints`, which uses the first of these:

1. `--threshold`, one number for all channels or one for each;
2. `thresholds.json` beside the checkpoint, if it is one: the mean of several has other
   probabilities than each of them;
3. 0.5.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os

from absl import logging

from core import task as tasks
from options.task import TaskOptions
from utils.classes import ClassSet
from utils.errors import OptionError, UserError
from utils.files import write_text

FILE = "thresholds.json"
# What the file must hold to be used; it says more about how they were found.
_NEEDED = ("checkpoint", "digest", "use_ema", "metric", "split", "classes")


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """The thresholds of a network, and where they come from.

    Attributes:
      values: One for each channel of the logits, 0 to 1; equal where they are one for all.
      source: Where they come from, for people.
      found: The content of `thresholds.json`, if they come from there.
    """

    values: tuple
    source: str
    found: dict | None = None

    @property
    def decides(self) -> float | tuple:
        """What `core.task.Task.decide` takes: one number where all are equal."""
        return self.values[0] if len(set(self.values)) == 1 else self.values

    def describe(self) -> dict:
        """Returns the entries of settings and metadata, plain values for JSON."""
        decides = self.decides
        entries = {"threshold": list(decides) if isinstance(decides, tuple) else decides}
        if self.found is not None:
            entries["thresholds"] = self.found
        return entries

    @property
    def sentence(self) -> str:
        """The thresholds and their source, for a log."""
        decides = self.decides
        values = decides if isinstance(decides, tuple) else (decides,)
        shown = ", ".join(f"{value:g}" for value in values)
        return f"Threshold of probabilities: {shown} ({self.source})."


# For all channels.
HALF = Thresholds((0.5,), "the default")


def by_hand(options: TaskOptions, classes: ClassSet) -> Thresholds:
    """Returns the thresholds that options give, by default one half.

    Raises:
      OptionError: If their number is neither one nor that of the channels.
    """
    names = tasks.of(classes).channel_names(classes)
    given = options.threshold
    if given is None:
        return dataclasses.replace(HALF, values=HALF.values * len(names))
    if len(given) not in (1, len(names)):
        raise OptionError(
            f"--threshold has {len(given)} values, but {len(names)} classes are predicted by a "
            f"threshold ({', '.join(names)}); give one value for all, or one for each."
        )
    return Thresholds(given * (len(names) // len(given)), "--threshold")


def of_checkpoints(options: TaskOptions, classes: ClassSet, members) -> Thresholds:
    """Returns the thresholds of a checkpoint, or of the mean of several; logs them.

    Args:
      options: The options.
      classes: The classes and their task.
      members: The `core.inference.predictor.Member`s.

    Raises:
      OptionError: If the options give a wrong number of thresholds.
      UserError: If the stored ones are damaged, or belong to another checkpoint or other classes.
    """
    chosen = by_hand(options, classes)
    if not tasks.of(classes).uses_threshold:
        return chosen
    stored = [path for path in map(_path, members) if os.path.exists(path)]
    if stored and options.threshold is not None:
        chosen = dataclasses.replace(chosen, source=f"{chosen.source}, not {stored[0]}")
    elif stored and len(members) > 1:
        source = f"the default: {stored[0]} does not hold for the mean of {len(members)}"
        chosen = dataclasses.replace(chosen, source=source)
    elif stored:
        (member,) = members
        chosen = _stored(member, classes)
    logging.info("%s", chosen.sentence)
    return chosen


def write(member, content: dict) -> str:
    """Stores what was found for a checkpoint, beside it; returns the path of the file.

    Args:
      member: The checkpoint.
      content: Its `metric`, `split`, `classes` (name -> threshold), and more about the search.

    Raises:
      UserError: If it cannot be written.
    """
    path = _path(member)
    identity = {
        "checkpoint": os.path.basename(member.checkpoint_path),
        "digest": _digest(member.checkpoint_path),
        "use_ema": member.averaged,
    }
    try:
        write_text(path, json.dumps({**identity, **content}, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}.") from error
    return path


def _path(member) -> str:
    return os.path.join(os.path.dirname(member.checkpoint_path), FILE)


def _digest(prefix: str) -> str:
    """Returns the SHA-256 of what identifies the values of a checkpoint.

    The index of a checkpoint holds the checksum of every tensor; one of TensorFlow's first format
    has no index.
    """
    path = prefix + ".index" if os.path.exists(prefix + ".index") else prefix
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _stored(member, classes: ClassSet) -> Thresholds:
    """Returns the thresholds beside a checkpoint.

    Raises:
      UserError: If they are damaged, or belong to another checkpoint or other classes.
    """
    path = _path(member)
    found = _read(path)
    remedy = "find its own with `seg.py threshold`, pass --threshold, or remove the file"
    name = os.path.basename(member.checkpoint_path)
    if found["digest"] != _digest(member.checkpoint_path):
        raise UserError(
            f"{path} holds thresholds of checkpoint {found['checkpoint']}, but {name} has other "
            f"weights; {remedy}."
        )
    if found["use_ema"] != member.averaged:
        weights = "EMA weights" if found["use_ema"] else "weights without EMA"
        raise UserError(f"{path} holds thresholds of the {weights} of {name}; {remedy}.")
    names = tasks.of(classes).channel_names(classes)
    if len(found["classes"]) != len(names):
        raise UserError(
            f"{path} holds thresholds of {len(found['classes'])} classes, but {len(names)} are "
            f"predicted by a threshold ({', '.join(names)}); {remedy}."
        )
    source = f"{path}, best {found['metric']} on split {found['split']}"
    return Thresholds(tuple(found["classes"].values()), source, found)


def _read(path: str) -> dict:
    """Returns the content of a file of thresholds.

    Raises:
      UserError: If it is damaged.
    """
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        missing = [key for key in _NEEDED if key not in found]
        values = [] if missing else list(found["classes"].values())
        bad = [value for value in values if not 0 <= value <= 1]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it.") from error
    if missing or bad:
        problem = f"lacks {', '.join(missing)}" if missing else f"holds {bad[0]}, not 0 to 1"
        raise UserError(f"{path} {problem}; find the thresholds again with `seg.py threshold`.")
    return found
