"""The plan of a conversion: the samples that a format finds, and their classes."""

from __future__ import annotations

import dataclasses
import os

import common
from datasets import class_table, formats
from datasets.class_table import ClassTable
from datasets.description import Description
from datasets.files import mask_files
from datasets.records import labels
from datasets.records.set_labels import SetReader
from options.config import Config
from options.conversion import CONVERSION_RECORDS, ConvertOptions
from utils import variants
from utils.classes import (
    BINARY,
    DEFAULT_IGNORE_LABEL,
    MULTICLASS,
    MULTILABEL,
    ClassSet,
    default_names,
)
from utils.errors import OptionError
from utils.imaging import label_bits

_BINARY_NAMES = ("background", "object")


@dataclasses.dataclass(frozen=True)
class Plan:
    """The plan of a conversion.

    Attributes:
      format: The format.
      listing: The samples.
      classes: The classes, and what masks hold.
      by_color: Whether the colours of the classes are those of RGB masks.
      nonzero: Whether every mask value but 0 is class 1.
    """

    format: formats.Format
    listing: formats.Listing
    classes: ClassSet
    by_color: bool
    nonzero: bool

    def without(self, images: set) -> Plan:
        """Returns the plan without the samples of some images."""
        splits = {
            split: [sample for sample in samples if sample.image not in images]
            for split, samples in self.listing.splits.items()
        }
        return dataclasses.replace(self, listing=dataclasses.replace(self.listing, splits=splits))

    @property
    def description(self) -> Description:
        """What the records will be."""
        splits = {split: len(samples) for split, samples in self.listing.splits.items()}
        return Description(self.classes, splits)

    @property
    def reads_values(self) -> bool:
        """Whether the values in masks are class numbers."""
        is_exclusive = labels.of(self.classes).is_exclusive
        return is_exclusive and not self.nonzero and self.classes.mask_values is None

    def reader(self):
        """Returns the reader of the masks."""
        if not labels.of(self.classes).is_exclusive:
            return SetReader(self.classes)
        return mask_files.MaskReader(self.classes, by_color=self.by_color, nonzero=self.nonzero)


def plan(format_name: str, config: Config) -> Plan:
    """Returns what a conversion would convert; reads no images.

    Args:
      format_name: A format of datasets/formats.
      config: Has CONVERSION_RECORDS.

    Raises:
      OptionError: If the format is unknown, or options contradict each other or the class table.
      UserError: If a file is missing.
    """
    chosen = variants.lookup(variants.collect(formats), format_name, "format")
    _check_flags(format_name, chosen, config.given)
    task = config.conversion.task or chosen.tasks[0]
    if task not in chosen.tasks:
        raise OptionError(
            f"--task={task}: the format {format_name} gives {' or '.join(chosen.tasks)} only."
        )
    listing = chosen.find(config)
    table, nonzero = _OF_TASK[task](config, listing.classes)
    classes = table.classes
    try:
        classes = dataclasses.replace(
            classes, task=task, name=config.conversion.dataset_name or classes.name or _name(config)
        )
    except ValueError as error:
        raise OptionError(f"--task={task}: {error}") from error
    # Refuses more classes than labels can hold.
    labels.of(classes)
    return Plan(chosen, listing, classes, table.has_colors, nonzero)


def _multiclass(config: Config, default: ClassSet | None) -> tuple:
    """Returns the class table, and that mask values are class numbers."""
    return _with_stated_ignore_label(config, _class_table(config, default)), False


def _binary(config: Config, default: ClassSet | None) -> tuple:
    """Returns the class table, and whether every mask value but 0 is the object.

    It is, unless the format or the user defines the values. Then the ignore label marks pixels in
    masks only if it was stated: 255 is the usual value of the object.
    """
    options = config.classes
    stated = (options.num_classes, options.class_table, options.mask_values)
    if default is None and all(value is None for value in stated):
        table = ClassTable(ClassSet(_BINARY_NAMES))
    else:
        table = _class_table(config, default)
    nonzero = table.classes.mask_values is None and table.classes is not default
    if not nonzero:
        return _with_stated_ignore_label(config, table), False
    if options.ignore_label is None and not table.has_ignore_label:
        return table, True
    return _with_ignored_value(table, _ignore_label(config, table)), True


def _multilabel(config: Config, default: ClassSet | None) -> tuple:
    """Returns the class table; the masks are drawn, so that there are no values."""
    table = _class_table(config, default)
    return _with_ignore_label(table, label_bits.IGNORED), False


_OF_TASK = {MULTICLASS: _multiclass, BINARY: _binary, MULTILABEL: _multilabel}


def _check_flags(format_name: str, chosen: formats.Format, given: frozenset):
    """Raises OptionError for flags that only other formats take."""
    known = {name for record in CONVERSION_RECORDS for name in record.names()}
    taken = ", ".join(f"--{name}" for name in chosen.flags)
    common.refuse_given(
        given,
        known.difference(ConvertOptions.names(), chosen.flags),
        f"on the format {format_name}, which takes {taken}",
    )


def _class_table(config: Config, default: ClassSet | None) -> ClassTable:
    """Returns the classes of a table or mask values, else those of the format, else numbers."""
    table = _stated_classes(config, default)
    if not config.classes.reduce_zero_label:
        return table
    classes = table.classes
    if classes.mask_values is not None:
        raise OptionError("--reduce_zero_label contradicts values of classes; leave one out.")
    reduced = dataclasses.replace(
        classes, mask_values=tuple(range(1, classes.count + 1)), ignored_values=(0,)
    )
    return table._replace(classes=reduced)


def _stated_classes(config: Config, default: ClassSet | None) -> ClassTable:
    options = config.classes
    table = None
    if options.mask_values and options.class_table:
        raise OptionError("--mask_values and --class_table both name classes; leave one out.")
    if options.mask_values:
        table = class_table.from_mask_values(options.mask_values)
    elif options.class_table:
        table = class_table.load(options.class_table)
    if table is not None:
        _check_number(config, table.classes.count)
        return table
    number = options.num_classes
    if default is not None and number in (None, default.count):
        return ClassTable(default, has_colors=True)
    if number is None:
        raise OptionError(
            "the classes are unknown: pass --num_classes, --class_table, or --mask_values."
        )
    return ClassTable(ClassSet(default_names(number)))


def _name(config: Config) -> str:
    return os.path.basename(os.path.abspath(config.conversion.output_dir))


def _check_number(config: Config, found: int):
    """Raises OptionError if --num_classes contradicts the classes that other flags name."""
    options = config.classes
    if options.num_classes in (None, found):
        return
    flag = "class_table" if options.class_table else "mask_values"
    value = options.class_table or ",".join(options.mask_values)
    raise OptionError(
        f"--num_classes={options.num_classes} contradicts --{flag}={value}, which has {found} "
        "classes; leave the flag out."
    )


def _with_stated_ignore_label(config: Config, table: ClassTable) -> ClassTable:
    """Returns the table with the ignore label that the flag or the table states.

    It is a value in masks. Where classes have values of their own, it may be that of a class, which
    then never counts, or a value beside them; the label of the same number may be another class's.
    """
    value, classes = _ignore_label(config, table), table.classes
    is_stated = config.classes.ignore_label is not None or table.has_ignore_label
    if not is_stated or classes.mask_values is None:
        return _with_ignore_label(table, value)
    if value not in classes.mask_values:
        return _with_ignored_value(table, value)
    label = classes.mask_values.index(value)
    if config.classes.mask_values:
        raise OptionError(
            f"--ignore_label={value} contradicts --mask_values, where {value} is "
            f"{classes.names[label]}; write {value}:ignore there instead."
        )
    return _with_ignore_label(table, label)


def _with_ignored_value(table: ClassTable, value: int) -> ClassTable:
    """Returns the table with a mask value of ignored pixels, whose label is not a class's."""
    ignored = tuple({**dict.fromkeys(table.classes.ignored_values), value: None})
    classes = dataclasses.replace(table.classes, ignored_values=ignored)
    label = value if value >= classes.count else DEFAULT_IGNORE_LABEL
    return _with_ignore_label(table._replace(classes=classes), label)


def _ignore_label(config: Config, table: ClassTable) -> int:
    wanted, stated = config.classes.ignore_label, table.classes.ignore_label
    if config.classes.class_table and table.has_ignore_label and wanted not in (None, stated):
        raise OptionError(
            f"--ignore_label={wanted} contradicts --class_table={config.classes.class_table}, "
            f"which says {stated}; leave the flag out."
        )
    return stated if wanted is None else wanted


def _with_ignore_label(table: ClassTable, ignore_label: int) -> ClassTable:
    return table._replace(classes=dataclasses.replace(table.classes, ignore_label=ignore_label))
