"""How every benchmark says what it measured: the same flags, figures, table and JSON file.

A figure (`Row`) keeps the value of each repetition, since its spread is what a later run is
compared by (`benchmarks.comparison`). A ratio relates two figures of one run, repetition by
repetition: both met the same moments of the machine.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import time

from absl import flags

from benchmarks import comparison, measure
from common import Options, option
from utils.errors import OptionError

RATIO = "ratio"


@dataclasses.dataclass(frozen=True)
class ReportOptions(Options):
    """What all benchmarks take."""

    repetitions: int = option(
        flags.DEFINE_integer, 5, "How often each is measured, in turn.", minimum=1
    )
    json_path: str | None = option(
        flags.DEFINE_string, None, "File that the figures go to as JSON."
    )
    compare: str | None = option(
        flags.DEFINE_string,
        None,
        "JSON file of an earlier run; the figures that differ by more than the noise are named.",
    )


@dataclasses.dataclass(frozen=True)
class Row:
    """A figure.

    Attributes:
      name: What was measured; unique in its run.
      unit: Of the values; what ends with `/s`, and a ratio, is better the larger it is.
      values: One for each repetition, in their order.
      besides: Column -> value of what is shown beside it and not compared.
    """

    name: str
    unit: str
    values: tuple
    besides: dict = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict:
        """Returns plain values with median, lowest and highest."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": statistics.median(self.values),
            "lowest": min(self.values),
            "highest": max(self.values),
            "values": list(self.values),
            "besides": dict(self.besides),
        }

    def speeds(self) -> list:
        """Returns the values as something that is better the larger it is."""
        is_rate = comparison.larger_is_better(self.unit)
        return list(self.values) if is_rate else [1.0 / value for value in self.values]


def rates(name: str, seconds, count: int, unit: str, **besides) -> Row:
    """Returns a figure per second.

    Args:
      name: What was measured.
      seconds: What each repetition took.
      count: What was done in each, such as 48 images.
      unit: Unit of the result, such as `images/s`.
      **besides: See `Row`.
    """
    return Row(name, unit, tuple(count / value for value in seconds), besides)


def ratio(of: Row, to: Row, factor: float = 1.0, name: str | None = None) -> Row:
    """Returns the speed of one figure over that of another; above 1 the first is faster.

    Args:
      of: The first figure.
      to: The second, such as a bound.
      factor: How much more the first does for the same count, such as the arithmetic of six scales.
      name: Its name; unset: `of / to`.
    """
    pairs = zip(of.speeds(), to.speeds())
    values = tuple(factor * speed / other for speed, other in pairs)
    return Row(name or f"{of.name} / {to.name}", RATIO, values)


class Report:
    """One run of a benchmark, from the conditions that it starts under to what it prints."""

    def __init__(self, what: str, options: ReportOptions, *more: Options):
        """Notes the machine, and reads what will be compared: before minutes of measuring.

        Args:
          what: Name of the benchmark.
          options: Its options.
          *more: Further options that the figures depend on.

        Raises:
          OptionError: If a path cannot be used.
          UserError: If the earlier run is not one of this benchmark.
        """
        if options.json_path and os.path.isdir(options.json_path):
            raise OptionError(f"--json_path={options.json_path} is a folder; name a file.")
        self._json_path, self._compared = options.json_path, options.compare
        self._earlier = comparison.load(options.compare, what) if options.compare else None
        self._begin = {
            "schema": comparison.SCHEMA,
            "what": what,
            "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            **measure.conditions(),
            "options": _values(options, *more),
        }

    def publish(self, rows, ratios=(), *, heading: str, missing=None, table=None, details=None):
        """Prints the figures, writes the file, compares.

        Args:
          rows: The figures.
          ratios: The ratios.
          heading: What was measured, as a sentence.
          missing: Name -> why it could not be measured here.
          table: Text that is printed in place of the figures.
          details: Text that is printed behind the figures.
        """
        missing = missing or {}
        content = {
            **self._begin,
            "heading": heading,
            "rows": [row.to_dict() for row in rows],
            "ratios": [row.to_dict() for row in ratios],
            "missing": missing,
        }
        parts = [f"{heading}\n{measure.in_words(content)}"]
        shown = [figures(content[kind]) for kind in ("rows", "ratios") if content[kind]]
        parts += [table] if table else shown
        parts += ["\n".join(f"{name}: not here: {why}" for name, why in missing.items())]
        parts += [details or ""]
        if self._earlier is not None:
            parts += [comparison.text(self._compared, self._earlier, content)]
        print("\n\n".join(part for part in parts if part), flush=True)
        if self._json_path:
            measure.write_json(self._json_path, content)


def figures(rows: list) -> str:
    """Returns a table of figures, each the result of `Row.to_dict`."""
    columns = list(dict.fromkeys(column for row in rows for column in row["besides"]))
    kept = ("name", "unit", "median", "lowest", "highest")
    return measure.table(
        [
            {
                **{name: row[name] for name in kept},
                **{name: row["besides"].get(name, "") for name in columns},
            }
            for row in rows
        ]
    )


def _values(*records: Options) -> dict:
    """Returns the options that a figure depends on: not how often, and where it is written."""
    own = {field.name for field in dataclasses.fields(ReportOptions)}
    values = {name: value for record in records for name, value in record.to_dict().items()}
    return {name: value for name, value in values.items() if name not in own}
