"""`dataset.json`: the classes of a folder of records, and the number of images of each split.

Conversion writes it beside the records, so that no class count lives in code.
"""

from __future__ import annotations

import dataclasses
import json
import os

from utils.classes import ClassSet
from utils.errors import UserError
from utils.files import read_json, write_text

DATASET_FILE = "dataset.json"


@dataclasses.dataclass(frozen=True)
class Description:
    """A data set without its records.

    Attributes:
      classes: Its classes, and its name.
      splits: Split -> number of images, None if unknown.
    """

    classes: ClassSet
    splits: dict

    @property
    def name(self) -> str:
        """The name in reports."""
        return self.classes.name


def save(folder: str, description: Description, origins: dict | None = None):
    """Writes `dataset.json`, complete or not at all.

    Args:
      folder: The folder of the records.
      description: What they are.
      origins: Split -> plain dict that says what it was converted from.
    """
    splits = {}
    for split, number in description.splits.items():
        splits[split] = {"num_images": number}
        if (origins or {}).get(split) is not None:
            splits[split]["converted_from"] = origins[split]
    content = {"name": description.name, **description.classes.to_dict(), "splits": splits}
    write_text(os.path.join(folder, DATASET_FILE), json.dumps(content, indent=1) + "\n")


def read(path: str) -> Description:
    """Returns the content of a `dataset.json`.

    Raises:
      UserError: If it is not readable, incomplete or contradicts itself.
    """
    content = _read_json(path)
    try:
        # Neither has a default in data that others wrote.
        int(content["num_classes"]), int(content["ignore_label"])
        name = str(content.get("name") or os.path.basename(os.path.dirname(path)))
        return Description(
            ClassSet.from_dict(content, name),
            {split: value.get("num_images") for split, value in content["splits"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(
            f"{path} does not describe a data set: {reason}; it must hold num_classes, "
            "ignore_label and splits."
        ) from error


def read_origins(path: str) -> dict:
    """Returns split -> what it was converted from (None if unknown), as passed to `save`."""
    splits = _read_json(path).get("splits", {})
    return {split: value.get("converted_from") for split, value in splits.items()}


def _read_json(path: str):
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is not readable JSON ({error}); convert the data again."
        ) from error
