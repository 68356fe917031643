"""Puts the files of a conversion in place: all or none, and never over those of another one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil

from datasets import description
from datasets.description import DATASET_FILE, Description
from datasets.records import shards
from utils.classes import ClassSet
from utils.errors import UserError
from utils.files import read_json, write_text

_TEMPORARY = ".converting-"
# In `dataset.json`, of a split's origin.
_OPTIONS = "options"
_DRAW = ("val_fraction", "split_seed")


class OutputFolder:
    """The folder that a conversion writes to.

    Other splits with the same classes are kept, splits of the same conversion are replaced, and
    everything else is refused.
    """

    def __init__(
        self, folder: str, described: Description, origin: dict, options: dict | None = None
    ):
        """Reads the folder, which need not exist.

        Args:
          folder: Where records and `dataset.json` go.
          described: The records to be written.
          origin: What identifies this conversion: format, folders, draw of the splits.
          options: Further options of the conversion, for `dataset.json` only.

        Raises:
          UserError: If the folder holds records that this conversion must not replace.
        """
        self._folder = folder
        self._described = described
        self._origin = origin
        self._options = options or {}
        self._dataset_file = os.path.join(folder, DATASET_FILE)
        self._marker = os.path.join(folder, shards.INCOMPLETE_FILE)
        self._kept, self._kept_origins = self._read_kept() if os.path.isdir(folder) else ({}, {})

    def _read_kept(self) -> tuple[dict, dict]:
        """Returns the splits to keep, with their number of images, and their origins."""
        unfinished = self._unfinished()
        present = set(shards.splits(self._folder)) - unfinished
        if not os.path.exists(self._dataset_file):
            if present:
                raise UserError(
                    f"--output_dir={self._folder} holds records ({', '.join(sorted(present))}) "
                    f"without a {DATASET_FILE}; choose another folder, or move them away."
                )
            return {}, {}
        old = description.read(self._dataset_file)
        origins = description.read_origins(self._dataset_file)
        for split in sorted(present & set(self._described.splits)):
            if _identity(origins.get(split)) != self._origin:
                raise UserError(
                    f"--output_dir={self._folder} holds the split {split} of another conversion "
                    f"({_describe(origins.get(split))}); choose another folder, or move it away."
                )
        kept = {
            split: number
            for split, number in old.splits.items()
            if split in present and split not in self._described.splits
        }
        if kept and not _same_classes(old.classes, self._described.classes):
            raise UserError(
                f"--output_dir={self._folder} holds the splits {', '.join(kept)} with other "
                f"classes ({_summary(old.classes)}) than these "
                f"({_summary(self._described.classes)}); choose another "
                "folder, or convert all splits with the same class table."
            )
        for split in kept:
            self._check_draw(split, origins.get(split) or {})
        return kept, {split: origins.get(split) for split in kept}

    def _check_draw(self, split: str, other: dict):
        """Refuses splits of two draws: an image could be in both."""
        for name in _DRAW:
            if name in self._origin and other.get(name) != self._origin[name]:
                raise UserError(
                    f"--output_dir={self._folder} holds the split {split} of another draw ({name} "
                    f"{other.get(name)}, not {self._origin[name]}), so that an image could be in "
                    "two splits; choose another folder, or convert all splits together."
                )

    def _unfinished(self) -> set:
        """Returns the splits that an interrupted conversion was putting in place."""
        try:
            return set(read_json(self._marker))
        except FileNotFoundError:
            return set()
        except ValueError:
            # Not even the marker was written completely, so nothing was put in place.
            return set()

    @contextlib.contextmanager
    def temporary(self):
        """Yields a new folder for the shards, which is removed at the end.

        Raises:
          UserError: If it cannot be made.
        """
        existed = os.path.isdir(self._folder)
        path = os.path.join(self._folder, f"{_TEMPORARY}{os.getpid()}")
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--output_dir={self._folder} cannot be written to: {error.strerror}."
            ) from error
        self._remove_leftovers()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            if not existed and not os.listdir(self._folder):
                os.rmdir(self._folder)

    def _remove_leftovers(self):
        """Removes the temporary folders of other conversions, which were killed."""
        for name in os.listdir(self._folder):
            if name.startswith(_TEMPORARY) and not _is_running(name[len(_TEMPORARY) :]):
                shutil.rmtree(os.path.join(self._folder, name), ignore_errors=True)

    def put_in_place(self, temporary: str, numbers: dict) -> Description:
        """Moves the shards of the temporary folder here, `dataset.json` last.

        Args:
          temporary: The folder.
          numbers: Split -> number of its images.

        Returns:
          The description of the folder.
        """
        merged = dataclasses.replace(self._described, splits={**self._kept, **numbers})
        origin = {**self._origin, _OPTIONS: self._options}
        origins = {**self._kept_origins, **dict.fromkeys(self._described.splits, origin)}
        replaced = self._unfinished() | set(self._described.splits)
        # While the marker exists, the records are not taken for complete.
        write_text(self._marker, json.dumps(sorted(replaced)))
        for name in os.listdir(self._folder):
            if shards.split_of(name) in replaced:
                os.remove(os.path.join(self._folder, name))
        for name in sorted(os.listdir(temporary)):
            os.replace(os.path.join(temporary, name), os.path.join(self._folder, name))
        description.save(self._folder, merged, origins)
        os.remove(self._marker)
        return merged


def _same_classes(one: ClassSet, other: ClassSet) -> bool:
    """Returns whether records have the same labels, whatever the values in masks were."""
    return one.to_dict() == other.to_dict()


def _summary(classes: ClassSet) -> str:
    return f"{classes.count}, ignore label {classes.ignore_label}, {classes.task}"


def _describe(origin: dict | None) -> str:
    if not origin:
        return "of unknown origin"
    return ", ".join(f"{name} {value}" for name, value in _identity(origin).items())


def _identity(origin: dict | None) -> dict:
    """Returns an origin without the options, which may differ when a conversion is repeated."""
    return {name: value for name, value in (origin or {}).items() if name != _OPTIONS}


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
