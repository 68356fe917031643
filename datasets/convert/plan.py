"""What a conversion is to do: the samples that a format finds, and their classes."""

from __future__ import annotations

import dataclasses
import os

from datasets import class_table, formats
from datasets.class_table import ClassTable
from datasets.description import Description
from datasets.files import mask_files
from options.config import Config
from options.conversion import CONVERSION_RECORDS, ConvertOptions
from utils import variants
from utils.classes import ClassSet, default_names
from utils.errors import OptionError


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be converted.

    Attributes:
      format: The format.
      found: Its samples.
      classes: The classes, and what masks hold.
      has_colors: Whether the colours of the classes are those of RGB masks.
    """

    format: formats.Format
    found: formats.Found
    classes: ClassSet
    has_colors: bool

    @property
    def description(self) -> Description:
        """What the records will be."""
        splits = {split: len(samples) for split, samples in self.found.splits.items()}
        return Description(self.classes, splits)

    def reader(self) -> mask_files.MaskReader:
        """Returns the reader of the masks."""
        return mask_files.MaskReader(self.classes, by_color=self.has_colors)


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
    found = chosen.find(config)
    table = _class_table(config, found.classes)
    classes = dataclasses.replace(
        table.classes,
        name=config.conversion.dataset_name or table.classes.name,
        ignore_label=_ignore_label(config, table),
    )
    return Plan(chosen, found, classes, table.has_colors)


def _check_flags(format_name: str, chosen: formats.Format, given: frozenset):
    """Raises OptionError for flags that only other formats take."""
    known = {name for record in CONVERSION_RECORDS for name in record.names()}
    useless = (given & known).difference(ConvertOptions.names(), chosen.flags)
    if useless:
        raise OptionError(
            f"--{sorted(useless)[0]} has no effect on the format {format_name}, which takes "
            f"{', '.join(f'--{name}' for name in chosen.flags)}."
        )


def _class_table(config: Config, default: ClassSet | None) -> ClassTable:
    """Returns the classes of the user's table or mask values, else of the format, else numbered."""
    table = _stated_classes(config, default)
    if not config.classes.reduce_zero_label:
        return table
    classes = table.classes
    if classes.mask_values is not None:
        raise OptionError("--reduce_zero_label and values of classes say the same; leave one out.")
    reduced = dataclasses.replace(
        classes, mask_values=tuple(range(1, classes.count + 1)), ignored_values=(0,)
    )
    return table._replace(classes=reduced)


def _stated_classes(config: Config, default: ClassSet | None) -> ClassTable:
    options = config.classes
    name = os.path.basename(os.path.abspath(config.conversion.output_dir))
    table = None
    if options.mask_values and options.class_table:
        raise OptionError("--mask_values and --class_table both name classes; leave one out.")
    if options.mask_values:
        table = class_table.from_mask_values(options.mask_values, name)
    elif options.class_table:
        table = class_table.load(options.class_table)
    if table is not None:
        _check_number(config, table.classes.count)
        return table
    number = options.num_classes
    if default is not None and number in (None, default.count):
        return ClassTable(default, has_colors=True, has_ignore_label=True)
    if number is None:
        raise OptionError(
            "the classes are unknown: pass --num_classes, --class_table, or --mask_values."
        )
    return ClassTable(ClassSet(default_names(number), name=name))


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


def _ignore_label(config: Config, table: ClassTable) -> int:
    wanted, stated = config.classes.ignore_label, table.classes.ignore_label
    if config.classes.class_table and table.has_ignore_label and wanted not in (None, stated):
        raise OptionError(
            f"--ignore_label={wanted} contradicts --class_table={config.classes.class_table}, "
            f"which says {stated}; leave the flag out."
        )
    return stated if wanted is None else wanted
