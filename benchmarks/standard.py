r"""The standard set of benchmarks, which `make bench` runs: `python -m benchmarks.standard`.

  python -m benchmarks.standard --output=bench/before
  python -m benchmarks.standard --output=bench/after --compare=bench/before
  python -m benchmarks.standard --only=conversion,export

Each is a command of its own with the flags below, one after the other, and leaves NAME.json in
--output. One that fails is named and the others go on; the exit status is then 1. A difference from
--compare is said and changes no status: `benchmarks.comparison` has the rule. It takes two cores,
which should have nothing else to do, and some minutes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time

from absl import flags

import common
from benchmarks import comparison, measure
from common import Options, option
from utils.errors import OptionError, UserError

# Benchmark -> its flags: small enough for some minutes in all on two cores.
RUNS = {
    "conversion": ("--num_images=1000",),
    "input_pipeline": ("--cores=1,2",),
    "training_step": (
        "--variants=ours,ours_bf16,ours_ranks,ours_ranks_bf16,product",
        "--repetitions=6",
    ),
    "scaling": ("--groups=independent,together", "--sizes_mb=1,64", "--buckets_mb=16"),
    "evaluation": (
        "--model_variant=resnet_v1_50",
        *("--atrous_rates=6", "--atrous_rates=12", "--atrous_rates=18"),
        *("--images=48", "--repetitions=3"),
    ),
    "export": (),
}


@dataclasses.dataclass(frozen=True)
class StandardOptions(Options):
    """What is run, and where its figures go."""

    output: str = option(flags.DEFINE_string, "bench", "Folder that the figures go to.")
    compare: str | None = option(
        flags.DEFINE_string, None, "Folder of an earlier run that the figures are compared with."
    )
    only: tuple[str, ...] = option(
        flags.DEFINE_list,
        tuple(RUNS),
        "Benchmarks to run, comma separated.",
        convert=str,
        choices=tuple(RUNS),
    )

    def check(self):
        """Raises OptionError where the earlier run would be lost, or is not there."""
        if self.compare is None:
            return
        if not os.path.isdir(self.compare):
            raise OptionError(f"--compare={self.compare} is no folder of an earlier run.")
        if os.path.realpath(self.compare) == os.path.realpath(self.output):
            raise OptionError(
                f"--compare={self.compare} would be overwritten; name another --output."
            )


def main(flag_values):
    """Reads the flags, runs all, prints one table."""
    options = common.from_flags(StandardOptions, flag_values)
    outcomes = {name: _run(name, options) for name in options.only}
    found = {name: _load(options.output, name) for name in outcomes if outcomes[name]["ok"]}
    print(f"\n===== All in one run, figures in {options.output}/\n")
    print(_outcomes(outcomes))
    if found:
        print(f"\n{measure.in_words(next(iter(found.values())))}\n\n{summary(found)}")
    if options.compare:
        print(f"\n===== Against {options.compare}\n\n{_compared(options.compare, found)}")
    failed = [name for name, outcome in outcomes.items() if not outcome["ok"]]
    if failed:
        raise UserError(f"failed: {', '.join(failed)}; the messages are above.")


def _run(name: str, options: StandardOptions) -> dict:
    """Runs one benchmark; returns whether it ended well, and its seconds."""
    path = _path(options.output, name)
    os.makedirs(options.output, exist_ok=True)
    # What an earlier run left must not stand for this one.
    if os.path.exists(path):
        os.remove(path)
    command = [sys.executable, "-m", f"benchmarks.{name}", *RUNS[name], f"--json_path={path}"]
    if options.compare:
        earlier = _path(options.compare, name)
        if os.path.exists(earlier):
            command.append(f"--compare={earlier}")
        else:
            print(f"{earlier} is not there: {name} is not compared.")
    print(f"\n===== {' '.join(['python', *command[1:]])}\n", flush=True)
    begin = time.monotonic()
    status = subprocess.run(command, check=False).returncode
    return {"ok": status == 0, "status": status, "seconds": time.monotonic() - begin}


def _path(folder: str, name: str) -> str:
    return os.path.join(folder, f"{name}.json")


def _load(folder: str, name: str) -> dict:
    with open(_path(folder, name), encoding="utf-8") as file:
        return json.load(file)


def _outcomes(outcomes: dict) -> str:
    return measure.table(
        [
            {
                "benchmark": name,
                "ended": "well" if outcome["ok"] else f"FAILED, status {outcome['status']}",
                "seconds": round(outcome["seconds"]),
            }
            for name, outcome in outcomes.items()
        ]
    )


def summary(found: dict) -> str:
    """Returns a table of all ratios, of the figures that they relate, and of what is not here.

    Args:
      found: Benchmark -> the content of its file.
    """
    rows = []
    for benchmark, content in found.items():
        related = {name for ratio in content["ratios"] for name in ratio["name"].split(" / ")}
        shown = [row for row in content["rows"] if row["name"] in related]
        for row in shown + content["ratios"]:
            spread = f"{measure.cell(row['lowest'])} to {measure.cell(row['highest'])}"
            rows.append(
                _line(benchmark, row["name"], measure.cell(row["median"]), spread, row["unit"])
            )
        for name, why in content["missing"].items():
            rows.append(_line(benchmark, name, "not here", why, ""))
    return measure.table(rows)


def _line(benchmark: str, figure: str, median: str, spread: str, unit: str) -> dict:
    return {
        "benchmark": benchmark,
        "figure": figure,
        "median": median,
        "lowest to highest": spread,
        "unit": unit,
    }


def _compared(folder: str, found: dict) -> str:
    """Returns for each benchmark what differs by more than the noise, as a sentence."""
    lines = []
    for name, content in found.items():
        if not os.path.exists(_path(folder, name)):
            lines.append(f"{name}: no earlier figures.")
            continue
        earlier = comparison.load(_path(folder, name), name)
        other = [kind for kind, said in comparison.differences(earlier, content).items() if said]
        warning = f"!!! OTHER {' AND '.join(other).upper()}: only ratios. " if other else ""
        rows = comparison.compared(earlier, content)
        lines.append(f"{name}: {warning}{comparison.summary(rows)}")
    return "\n".join(lines)


if __name__ == "__main__":
    common.run(main, StandardOptions)
