"""Class tables: which classes a data set has, in a file that the user gives.

Three forms, told apart by the file's extension. Classes are numbered 0, 1, 2... in their order;
that is their value in masks too, unless the table gives each class an `id` of its own.

`.json`: names and colours in the order of the numbers, the ignore label, the data set's name.
Everything but the class names may be left out:

  {"name": "camvid", "ignore_label": 11, "ignore_color": [0, 0, 0],
   "classes": [{"name": "Sky", "color": [128, 128, 128]}, {"name": "Building"}]}

`.csv`: a header and one line per class with the columns id, name and perhaps red, green, blue.

`.txt`: one class name per line; the first is class 0. A line `__ignore__`, as labelme writes it, is
no class.

Without a file, `--mask_values=0:membrane,255:cell` names what masks hold.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os

import numpy as np

from utils import colormap
from utils.errors import OptionError, UserError

# Masks hold 8 or 16 bits.
NUM_VALUES = 1 << 16
# In --mask_values: values of pixels that never count; in a list of labelme's: no class.
_IGNORE = "ignore"
_LABELME_IGNORE = "__ignore__"


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """The classes of a data set.

    Attributes:
      name: What the data set is called.
      names: One name per class.
      colors: One (red, green, blue), 0..255, per class; None where the table has none.
      ignore_label: Mask value of pixels that never count; None where the table does not say.
      ignore_color: Their colour in masks of colours, if there is one.
      values: The value of each class in masks; None: 0, 1, 2...
      ignored_values: Further mask values of pixels that never count.
    """

    name: str
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] | None = None
    ignore_label: int | None = None
    ignore_color: tuple[int, int, int] | None = None
    values: tuple[int, ...] | None = None
    ignored_values: tuple[int, ...] = ()

    def label_of_value(self, ignore_label: int) -> np.ndarray:
        """Returns the label of each mask value, -1 where it has none: int16 [65536]."""
        table = np.full(NUM_VALUES, -1, np.int16)
        table[[ignore_label, *self.ignored_values]] = ignore_label
        values = range(len(self.names)) if self.values is None else self.values
        table[list(values)] = np.arange(len(self.names))
        return table

    def colors_or_default(self) -> tuple:
        """Returns the colours, PASCAL's where the table has none."""
        if self.colors is not None:
            return self.colors
        return tuple(_color(color) for color in colormap.pascal(len(self.names)).tolist())


def load(path: str) -> ClassTable:
    """Reads a class table.

    Raises:
      UserError: If the file is not there or is no class table.
    """
    name, extension = os.path.splitext(os.path.basename(path))
    readers = {".json": _read_json, ".csv": _read_csv, ".txt": _read_txt}
    if extension not in readers:
        raise UserError(f"--class_table={path} must be a .json, .csv or .txt file.")
    try:
        with open(path, encoding="utf-8", newline="") as file:
            table = readers[extension](file, name)
    except OSError as error:
        raise UserError(f"--class_table={path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(
            f"--class_table={path} is no class table: {reason}; datasets/class_table.py shows the "
            "three forms."
        ) from error
    _check(table, path)
    return table


def _read_json(file, name: str) -> ClassTable:
    content = json.load(file)
    classes = content["classes"]
    ids = [entry.get("id", number) for number, entry in enumerate(classes)]
    colors = [entry.get("color") for entry in classes]
    ignore_label, ignore_color = content.get("ignore_label"), content.get("ignore_color")
    return ClassTable(
        name=str(content.get("name", name)),
        names=tuple(str(entry["name"]) for entry in classes),
        colors=_colors(colors),
        ignore_label=None if ignore_label is None else int(ignore_label),
        ignore_color=None if ignore_color is None else _color(ignore_color),
        values=_values(ids),
    )


def _read_csv(file, name: str) -> ClassTable:
    rows = sorted(csv.DictReader(file), key=lambda row: int(row["id"]))
    channels = ("red", "green", "blue")
    colors = [[row[channel] for channel in channels] if row.get("red") else None for row in rows]
    return ClassTable(
        name,
        tuple(row["name"].strip() for row in rows),
        _colors(colors),
        values=_values([row["id"] for row in rows]),
    )


def _read_txt(file, name: str) -> ClassTable:
    lines = [line.strip() for line in file]
    return ClassTable(name, tuple(line for line in lines if line and line != _LABELME_IGNORE))


def _values(ids: list) -> tuple | None:
    values = tuple(int(value) for value in ids)
    if len(set(values)) < len(values) or not all(0 <= value < NUM_VALUES for value in values):
        raise ValueError(f"the ids must be 0 to {NUM_VALUES - 1}, each once, but are {ids}")
    return None if values == tuple(range(len(values))) else values


def from_mask_values(entries: tuple, name: str) -> ClassTable:
    """Returns the classes of --mask_values.

    Args:
      entries: `VALUE:NAME`; the name `ignore` is no class but means pixels that never count.
      name: What the data set is called.

    Raises:
      OptionError: If an entry is something else, or a value or name comes twice.
    """
    pairs = [entry.partition(":")[::2] for entry in entries]
    shown = f"--mask_values={','.join(entries)}"
    if not all(value.strip().isdigit() and text.strip() for value, text in pairs):
        raise OptionError(f"{shown} must be written as VALUE:NAME,VALUE:NAME.")
    named = {int(value): text.strip() for value, text in pairs}
    classes = {value: text for value, text in named.items() if text != _IGNORE}
    if len(named) < len(pairs) or len(set(classes.values())) < len(classes):
        raise OptionError(f"{shown} gives a value or a name twice.")
    if max(named) >= NUM_VALUES or not classes:
        raise OptionError(f"{shown} must name classes by values from 0 to {NUM_VALUES - 1}.")
    return ClassTable(
        name,
        tuple(classes.values()),
        values=tuple(classes),
        ignored_values=tuple(value for value in named if value not in classes),
    )


def _colors(values: list) -> tuple | None:
    if all(value is None for value in values):
        return None
    if any(value is None for value in values):
        raise ValueError("some classes have a colour and some have none")
    return tuple(_color(value) for value in values)


def _color(value) -> tuple:
    color = tuple(int(channel) for channel in value)
    if len(color) != 3 or not all(0 <= channel <= 255 for channel in color):
        raise ValueError(f"a colour is three numbers 0 to 255, not {value}")
    return color


def _check(table: ClassTable, path: str):
    if not 1 <= len(table.names) <= 255:
        raise UserError(f"--class_table={path} has {len(table.names)} classes; 1 to 255 can be.")
    if table.ignore_label is not None and not 0 <= table.ignore_label <= 255:
        raise UserError(
            f"--class_table={path} has ignore_label {table.ignore_label}; 0 to 255 can be."
        )
    twice = {name for name in table.names if table.names.count(name) > 1}
    if twice:
        raise UserError(f"--class_table={path} names {', '.join(sorted(twice))} twice.")
