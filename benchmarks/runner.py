"""What all benchmarks share: flags, interleaved timing, tables, JSON files and their comparison.

A `Row` keeps the values of all repetitions, since their spread decides what counts as a change. A
ratio relates two rows of one run, repetition by repetition, so that a busy moment of the machine
affects both.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import platform
import statistics
import subprocess
import time

from absl import flags

from common import Options, option
from core.runs import folder
from utils.errors import OptionError, UserError
from utils.files import write_text

RATIO = "ratio"
# A figure has changed if the values of two runs do not overlap, the gap between them exceeds this
# share of the wider run's spread, and the medians differ by the smallest change. With normal noise
# that happens by chance to 2.3 % of figures with three repetitions, 0.3 % with four.
_GAP_IN_SPREADS = 0.5
_SMALLEST_CHANGE = 0.03
_FEWEST_REPETITIONS = 3


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions(Options):
    """The options of all benchmarks."""

    repetitions: int = option(
        flags.DEFINE_integer, 5, "Measurements of each figure, interleaved.", minimum=1
    )
    json_path: str | None = option(flags.DEFINE_string, None, "JSON file to write the figures to.")
    compare: str | None = option(
        flags.DEFINE_string,
        None,
        "JSON file of an earlier run; figures that differ by more than the noise are listed.",
    )


@dataclasses.dataclass(frozen=True)
class Row:
    """A figure.

    Attributes:
      name: What was measured; unique in its run.
      unit: Of the values. Larger is better for ratios and units that end with `/s`.
      values: One for each repetition.
      besides: Column -> value that is shown beside it, but not compared.
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
        """Returns the values as speeds: larger is better."""
        if _larger_is_better(self.unit):
            return list(self.values)
        return [1.0 / value for value in self.values]


def rates(name: str, seconds, count: int, unit: str, **besides) -> Row:
    """Returns a figure per second.

    Args:
      name: What was measured.
      seconds: Of each repetition.
      count: What a repetition processes, such as 48 images.
      unit: Of the result, such as `images/s`.
      **besides: See `Row`.
    """
    return Row(name, unit, tuple(count / value for value in seconds), besides)


def ratio(of: Row, to: Row, factor: float = 1.0, name: str | None = None) -> Row:
    """Returns the speed of one figure over that of another; above 1 the first is faster.

    Args:
      of: The first figure.
      to: The second, such as a bound.
      factor: How much more work the first does for the same count.
      name: Of the ratio; unset: `of / to`.
    """
    pairs = zip(of.speeds(), to.speeds())
    values = tuple(factor * speed / other for speed, other in pairs)
    return Row(name or f"{of.name} / {to.name}", RATIO, values)


def _larger_is_better(unit: str) -> bool:
    return unit == RATIO or unit.endswith("/s")


def has_module(python: str, name: str) -> bool:
    """Whether a Python interpreter is there and can import a module."""
    try:
        found = subprocess.run([python, "-c", f"import {name}"], capture_output=True)
    except OSError:
        return False
    return found.returncode == 0


def steps(workers: dict, repetitions: int) -> dict:
    """Makes processes run their steps in turn, each once untimed before.

    Args:
      workers: Name -> `benchmarks.worker.Worker` or `Group`.
      repetitions: Timed steps of each.

    Returns:
      Name -> what the process said of itself, with `steps`, its answers.
    """
    answers = {name: [] for name in workers}

    def run(name):
        answers[name].append(workers[name].run())

    interleaved({name: lambda name=name: run(name) for name in workers}, repetitions)
    return {
        # The first answer is the untimed run.
        name: {**workers[name].description, "steps": answers[name][1:]}
        for name in workers
    }


def interleaved(functions: dict, repetitions: int) -> dict:
    """Times functions in turn, so that a busy moment of the machine does not affect only one.

    Each function runs once untimed before, for caches and lazy imports.

    Args:
      functions: Name -> function without arguments.
      repetitions: Timed calls of each function.

    Returns:
      Name -> list of seconds.
    """
    for function in functions.values():
        function()
    seconds = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            gc.collect()
            begin = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


class Run:
    """A run of a benchmark: the conditions at its start, and its figures."""

    def __init__(self, what: str, options: BenchmarkOptions, *more: Options):
        """Records the conditions, and reads the earlier run before minutes of measuring.

        Args:
          what: Name of the benchmark.
          options: Its options.
          *more: Further options that affect the figures.

        Raises:
          OptionError: If a path cannot be used.
          UserError: If the earlier run is not of this benchmark.
        """
        if options.json_path and os.path.isdir(options.json_path):
            raise OptionError(f"--json_path={options.json_path} is a folder; pass a file.")
        self._options = options
        self._earlier = load(options.compare, what) if options.compare else None
        self._content = {
            "what": what,
            "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            **_conditions(),
            "options": _values(options, *more),
        }

    def publish(self, rows, ratios=(), *, heading: str, missing=None, table=None, details=None):
        """Prints the figures and the comparison, writes the file.

        Args:
          rows: The figures.
          ratios: The ratios.
          heading: What was measured, a sentence.
          missing: Name -> why it could not be measured.
          table: Text that is printed instead of the figures.
          details: Text that is printed after the figures.
        """
        missing = missing or {}
        content = {
            **self._content,
            "heading": heading,
            "rows": [row.to_dict() for row in rows],
            "ratios": [row.to_dict() for row in ratios],
            "missing": missing,
        }
        if self._options.json_path:
            write_text(self._options.json_path, json.dumps(content, indent=1) + "\n")
        parts = [f"{heading}\n{_describe(content)}"]
        parts += [table] if table else [figures(content[kind]) for kind in ("rows", "ratios")]
        parts += ["\n".join(f"{name}: not measured: {why}" for name, why in missing.items())]
        parts += [details]
        if self._earlier is not None:
            parts += [compare(self._earlier, content)]
        print("\n\n".join(part for part in parts if part), flush=True)


def load(path: str, what: str) -> dict:
    """Reads the figures of an earlier run.

    Args:
      path: The JSON file.
      what: Name of its benchmark.

    Raises:
      UserError: If it cannot be read or is of something else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        found = content["what"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--compare={path} cannot be read as figures ({error!r}).") from error
    if found != what:
        raise UserError(f"--compare={path} contains figures of {found}, not of {what}.")
    return content


def compare(before: dict, now: dict) -> str:
    """Returns a table of the figures that both runs have, with the change and whether it is noise.

    Figures are comparable only between equal processors, numbers of cores and options; ratios
    always are.
    """
    other = _differences(before, now)
    kinds = ("ratios",) if other else ("rows", "ratios")
    earlier = {row["name"]: row for kind in kinds for row in before[kind]}
    rows = [
        {
            "figure": row["name"],
            "unit": row["unit"],
            "before": earlier[row["name"]]["median"],
            "now": row["median"],
            "change %": 100.0 * (row["median"] / earlier[row["name"]]["median"] - 1.0),
            "verdict": verdict(earlier[row["name"]], row),
        }
        for kind in kinds
        for row in now[kind]
        if earlier.get(row["name"], {}).get("unit") == row["unit"]
    ]
    head = f"Compared with the run of {before['time']}: {_describe(before)}"
    if other:
        head += f"\n!!! Only ratios are compared: {'; '.join(other)}."
    return f"{head}\n\n{table(rows) or 'There is nothing to compare.'}"


def verdict(before: dict, now: dict) -> str:
    """Returns "FASTER" or "SLOWER" if a figure has changed by more than the noise, else ""."""
    if min(len(before["values"]), len(now["values"])) < _FEWEST_REPETITIONS:
        return "too few repetitions"
    gap = max(now["lowest"] - before["highest"], before["lowest"] - now["highest"])
    spread = max(one["highest"] - one["lowest"] for one in (before, now))
    change = now["median"] / before["median"] - 1.0
    if gap <= _GAP_IN_SPREADS * spread or abs(change) < _SMALLEST_CHANGE:
        return ""
    return "FASTER" if (change > 0) == _larger_is_better(now["unit"]) else "SLOWER"


def _differences(before: dict, now: dict) -> list:
    """Returns what differs between the machines and options of two runs."""
    # Tuples as lists, as in a file.
    options = json.loads(json.dumps(now["options"]))
    pairs = [
        (name, before["machine"][name], now["machine"][name]) for name in ("processor", "cores")
    ]
    pairs += [
        (f"--{name}", before["options"][name], options[name])
        for name in options
        if name in before["options"]
    ]
    return [f"{name} was {old}, is {new}" for name, old, new in pairs if old != new]


def _conditions() -> dict:
    """Returns what affects the figures: machine, versions and commit."""
    return {
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "load_average": round(os.getloadavg()[0], 2),
            "system": platform.platform(),
        },
        "versions": folder.versions(),
        "commit": folder.git_commit(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line[:10] == "model name"]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def _describe(content: dict) -> str:
    machine = content["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load_average']} at the "
        f"start; {versions}; commit {content['commit']}."
    )


def _values(*records: Options) -> dict:
    """Returns the options that affect the figures."""
    own = {field.name for field in dataclasses.fields(BenchmarkOptions)}
    values = {name: value for record in records for name, value in record.to_dict().items()}
    return {name: value for name, value in values.items() if name not in own}


def figures(rows: list) -> str:
    """Returns a table of figures, each the result of `Row.to_dict`; empty without any."""
    columns = list(dict.fromkeys(column for row in rows for column in row["besides"]))
    return table(
        [
            {
                **{name: row[name] for name in ("name", "unit", "median", "lowest", "highest")},
                **{name: row["besides"].get(name, "") for name in columns},
            }
            for row in rows
        ]
    )


def table(rows: list) -> str:
    """Returns a Markdown table of dicts with the same keys; empty without rows."""
    if not rows:
        return ""
    header = list(rows[0])
    numeric = [all(isinstance(row[name], (int, float)) for row in rows) for name in header]
    lines = [header, ["---:" if right else "---" for right in numeric]]
    lines += [[_cell(row[name]) for name in header] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
