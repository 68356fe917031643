"""Class tables: which classes a data set has, in a file that the user gives.

Three forms, told apart by the file's extension. The number of a class is the value it has in masks.

`.json`: names and colours in the order of the numbers, the ignore label, the data set's name.
Everything but the class names may be left out:

  {"name": "camvid", "ignore_label": 11, "ignore_color": [0, 0, 0],
   "classes": [{"name": "Sky", "color": [128, 128, 128]}, {"name": "Building"}]}

`.csv`: a header and one line per class with the columns id, name and perhaps red, green, blue.

`.txt`: one class name per line; the first is class 0.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os

from utils import colormap
from utils.errors import UserError


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """The classes of a data set.

    Attributes:
      name: What the data set is called.
      names: One name per class.
      colors: One (red, green, blue), 0..255, per class; None where the table has none.
      ignore_label: Mask value of pixels that never count; None where the table does not say.
      ignore_color: Their colour in masks of colours, if there is one.
    """

    name: str
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] | None = None
    ignore_label: int | None = None
    ignore_color: tuple[int, int, int] | None = None

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
    colors = [entry.get("color") for entry in classes]
    ignore_label, ignore_color = content.get("ignore_label"), content.get("ignore_color")
    return ClassTable(
        name=str(content.get("name", name)),
        names=tuple(str(entry["name"]) for entry in classes),
        colors=_colors(colors),
        ignore_label=None if ignore_label is None else int(ignore_label),
        ignore_color=None if ignore_color is None else _color(ignore_color),
    )


def _read_csv(file, name: str) -> ClassTable:
    rows = sorted(csv.DictReader(file), key=lambda row: int(row["id"]))
    ids = [int(row["id"]) for row in rows]
    if ids != list(range(len(rows))):
        raise ValueError(f"the ids must be 0 to {len(rows) - 1}, each once, but are {ids}")
    channels = ("red", "green", "blue")
    colors = [[row[channel] for channel in channels] if row.get("red") else None for row in rows]
    return ClassTable(name, tuple(row["name"].strip() for row in rows), _colors(colors))


def _read_txt(file, name: str) -> ClassTable:
    lines = [line.strip() for line in file]
    return ClassTable(name, tuple(line for line in lines if line))


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
