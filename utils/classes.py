"""The classes of a data set or a network: names, colours, ignore label, task.

One record for everybody: `dataset.json`, the `run` section of `options.json` and the metadata of
exports hold its `to_dict`.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from utils import colormap
from utils.errors import OptionError

# Every pixel has exactly one class; the same with two classes, of which the second is predicted as
# a probability; every pixel has any number of classes.
MULTICLASS, BINARY, MULTILABEL = TASKS = ("multiclass", "binary", "multilabel")

DEFAULT_IGNORE_LABEL = 255

# What the metadata of exports before version 1.1 calls the task.
_OLD_TASK_NAMES = {"semantic segmentation": MULTICLASS}


def default_names(count: int) -> tuple:
    """Returns class_0, class_1 and so on."""
    return tuple(f"class_{label}" for label in range(count))


def default_colors(count: int, task: str = MULTICLASS) -> tuple:
    """Returns PASCAL VOC's colours, one (red, green, blue) per class.

    Its first colour, black, is that of the background, which multi-label data do not have.
    """
    first = 1 if task == MULTILABEL else 0
    return as_colors(colormap.pascal(first + count)[first:])


def as_colors(array) -> tuple:
    """Returns rows of red, green, blue as tuples of Python integers."""
    return tuple(tuple(int(value) for value in color) for color in array)


def task_of(content: dict) -> str | None:
    """Returns the task in the result of `ClassSet.to_dict`, None where it is missing."""
    task = content.get("task")
    return _OLD_TASK_NAMES.get(task, task)


@dataclasses.dataclass(frozen=True)
class ClassSet:
    """Names, colours and labels of classes.

    Attributes:
      names: One name per class; class i has label i. A binary task has two: background, object.
      colors: One (red, green, blue), 0 to 255, per class; PASCAL VOC's if None is passed.
      ignore_label: Label of pixels that never count; it may be the label of a class, which then
        never counts. None if unknown.
      task: One of TASKS.
      mask_values: The value of each class in mask files; None: its label.
      ignored_values: Further values of ignored pixels in mask files.
      ignore_color: The colour of ignored pixels in RGB mask files, if there is one.
      name: The name of the data set.
    """

    names: tuple
    colors: tuple | None = None
    ignore_label: int | None = DEFAULT_IGNORE_LABEL
    task: str = MULTICLASS
    mask_values: tuple | None = None
    ignored_values: tuple = ()
    ignore_color: tuple | None = None
    name: str = ""

    def __post_init__(self):
        """Brings the fields to their types.

        Raises:
          ValueError: If the fields contradict each other.
        """
        names = tuple(str(name) for name in self.names)
        colors = self.colors
        colors = default_colors(len(names), self.task) if colors is None else as_colors(colors)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "colors", colors)
        if len(colors) != len(names):
            raise ValueError(f"there are {len(colors)} colours for {len(names)} classes.")
        if self.task not in TASKS:
            raise ValueError(f"the task is {self.task!r}, but must be one of {', '.join(TASKS)}.")
        if self.task == BINARY and len(names) != 2:
            raise ValueError(f"a binary task has 2 classes, not {len(names)}.")

    @property
    def count(self) -> int:
        """The number of classes."""
        return len(self.names)

    @property
    def counted(self) -> tuple:
        """The labels of the classes that count: all but the ignore label."""
        return tuple(label for label in range(self.count) if label != self.ignore_label)

    @property
    def values(self) -> tuple:
        """The value of each class in mask files."""
        return tuple(range(self.count)) if self.mask_values is None else self.mask_values

    def to_dict(self) -> dict:
        """Returns the keys that JSON files keep."""
        return {
            "num_classes": self.count,
            "class_names": list(self.names),
            "colors": [list(color) for color in self.colors],
            "ignore_label": self.ignore_label,
            "task": self.task,
        }

    @classmethod
    def from_dict(cls, content: dict, name: str = "") -> ClassSet:
        """Returns the classes of the result of `to_dict`; names, colours and task may be missing.

        Args:
          content: May hold further keys.
          name: The name of the data set.

        Raises:
          KeyError: If `num_classes` or `class_names` must be there and is not.
          ValueError: If values contradict each other.
        """
        names = content.get("class_names") or default_names(int(content["num_classes"]))
        count = int(content.get("num_classes") or len(names))
        if len(names) != count:
            raise ValueError(f"there are {len(names)} class_names, but num_classes is {count}")
        ignore_label = content.get("ignore_label")
        return cls(
            tuple(names),
            content.get("colors") or None,
            None if ignore_label is None else int(ignore_label),
            task_of(content) or MULTICLASS,
            name=name,
        )

    def with_mask_values(self, values) -> ClassSet:
        """Returns the same classes with other values in mask files.

        Raises:
          OptionError: Unless there is one value, 0 to 255, per class.
        """
        values = tuple(int(value) for value in values)
        if len(values) != self.count or not all(0 <= value <= 255 for value in values):
            raise OptionError(
                f"there are {len(values)} label ids for {self.count} classes; give one number "
                "from 0 to 255 per class, in their order."
            )
        return dataclasses.replace(self, mask_values=values)

    def palette(self) -> np.ndarray:
        """Returns the colour of each mask value, uint8 [256, 3]; PASCAL VOC's for other values."""
        palette = colormap.pascal(256)
        palette[list(self.values)] = self.colors
        return palette

    def to_mask(self, labels) -> np.ndarray:
        """Returns the mask values of labels, integers [h, w], as uint8 [h, w]."""
        return np.array(self.values, np.uint8)[labels]

    def table(self) -> list:
        """Returns one plain dict per class, for JSON."""
        return [
            {"id": label, "name": name, "color": list(color), "mask_value": value}
            for label, (name, color, value) in enumerate(zip(self.names, self.colors, self.values))
        ]
