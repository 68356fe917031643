"""Class tables: files that define the classes of a data set.

There are three forms, by extension. Classes are numbered 0, 1, 2... in their order, which is also
their value in masks, unless the table gives each class an `id`.

`.json`: names and colours in order, the ignore label, the name of the data set. Only the class
names are required:

  {"name": "camvid", "ignore_label": 11, "ignore_color": [0, 0, 0],
   "classes": [{"name": "Sky", "color": [128, 128, 128]}, {"name": "Building"}]}

`.csv`: a header and one line per class with the columns id, name and optionally red, green, blue,
separated by commas, semicolons or tabs.

`.txt`: one class name per line; the first is class 0. A line `__ignore__`, as labelme writes it, is
skipped.

Without a file, `--mask_values=0:membrane,255:cell` names the values in masks.
"""

from __future__ import annotations

import csv
import io
import os
from typing import NamedTuple

from utils.classes import ClassSet, as_colors
from utils.errors import OptionError, UserError
from utils.files import parse_json, read_bytes

# Masks hold 8 or 16 bits.
_NUM_VALUES = 1 << 16
# In --mask_values: values of pixels that never count; in labelme's lists: not a class.
_IGNORE = "ignore"
_LABELME_IGNORE = "__ignore__"


class ClassTable(NamedTuple):
    """Classes, and what was stated about them.

    Attributes:
      classes: The classes; defaults where nothing was stated.
      has_colors: Whether their colours were stated, so that they are those of RGB masks.
      has_ignore_label: Whether the ignore label was stated.
    """

    classes: ClassSet
    has_colors: bool = False
    has_ignore_label: bool = False


def load(path: str) -> ClassTable:
    """Reads a class table.

    Raises:
      UserError: If the file does not exist or is not a class table.
    """
    extension = os.path.splitext(path)[1]
    readers = {".json": _read_json, ".csv": _read_csv, ".txt": _read_txt}
    if extension not in readers:
        raise UserError(f"--class_table={path} must be a .json, .csv or .txt file.")
    try:
        table = readers[extension](read_bytes(path))
    except OSError as error:
        raise UserError(f"--class_table={path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(
            f"--class_table={path} is not a class table: {reason}; datasets/class_table.py shows "
            "the three forms."
        ) from error
    _check(table, path)
    return table


def _read_json(content: bytes) -> ClassTable:
    content = parse_json(content)
    entries = content["classes"]
    colors = _colors([entry.get("color") for entry in entries])
    ignore_label, ignore_color = content.get("ignore_label"), content.get("ignore_color")
    stated = {} if ignore_label is None else {"ignore_label": int(ignore_label)}
    classes = ClassSet(
        tuple(str(entry["name"]) for entry in entries),
        colors,
        **stated,
        ignore_color=None if ignore_color is None else _color(ignore_color),
        mask_values=_values([entry.get("id", number) for number, entry in enumerate(entries)]),
        name=str(content.get("name", "")),
    )
    return ClassTable(classes, colors is not None, bool(stated))


def _read_csv(content: bytes) -> ClassTable:
    text = content.decode("utf-8-sig")
    # Spreadsheets separate columns by what their country does not use in numbers.
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    if not {"id", "name"}.issubset(reader.fieldnames or ()):
        raise ValueError(f"its columns are {', '.join(reader.fieldnames or ())}, not id and name")
    rows = sorted(reader, key=lambda row: int(row["id"]))
    channels = ("red", "green", "blue")
    colors = _colors(
        [[row[channel] for channel in channels] if row.get("red") else None for row in rows]
    )
    classes = ClassSet(
        tuple(row["name"].strip() for row in rows),
        colors,
        mask_values=_values([row["id"] for row in rows]),
    )
    return ClassTable(classes, colors is not None)


def _read_txt(content: bytes) -> ClassTable:
    lines = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
    names = tuple(line for line in lines if line and line != _LABELME_IGNORE)
    return ClassTable(ClassSet(names))


def _values(ids: list) -> tuple | None:
    values = tuple(int(value) for value in ids)
    if len(set(values)) < len(values) or not all(0 <= value < _NUM_VALUES for value in values):
        raise ValueError(f"the ids must be 0 to {_NUM_VALUES - 1}, each once, but are {ids}")
    return None if values == tuple(range(len(values))) else values


def from_mask_values(entries: tuple) -> ClassTable:
    """Returns the classes of --mask_values.

    Args:
      entries: `VALUE:NAME`; the name `ignore` is not a class, it marks pixels that never count.

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
    if max(named) >= _NUM_VALUES or not classes:
        raise OptionError(f"{shown} must name classes by values from 0 to {_NUM_VALUES - 1}.")
    return ClassTable(
        ClassSet(
            tuple(classes.values()),
            mask_values=tuple(classes),
            ignored_values=tuple(value for value in named if value not in classes),
        )
    )


def _colors(values: list) -> tuple | None:
    if all(value is None for value in values):
        return None
    if any(value is None for value in values):
        raise ValueError("some classes have a colour and some have none")
    return as_colors(_color(value) for value in values)


def _color(value) -> tuple:
    color = tuple(int(channel) for channel in value)
    if len(color) != 3 or not all(0 <= channel <= 255 for channel in color):
        raise ValueError(f"a colour is three numbers 0 to 255, not {value}")
    return color


def _check(table: ClassTable, path: str):
    classes = table.classes
    if not 1 <= classes.count <= 255:
        raise UserError(f"--class_table={path} has {classes.count} classes; 1 to 255 are possible.")
    if not 0 <= classes.ignore_label <= 255:
        raise UserError(
            f"--class_table={path} has ignore_label {classes.ignore_label}; 0 to 255 are possible."
        )
    strange = [name for name in classes.names if not name.isprintable()]
    if strange:
        raise UserError(
            f"--class_table={path} has the name {strange[0]!r}; use printable characters."
        )
    twice = {name for name in classes.names if classes.names.count(name) > 1}
    if twice:
        raise UserError(f"--class_table={path} names {', '.join(sorted(twice))} twice.")
