r"""Runs the standard set of benchmarks, as `make bench` does: `python -m benchmarks.standard`.

  python -m benchmarks.standard --output=bench/before
  python -m benchmarks.standard --output=bench/after --compare=bench/before
  python -m benchmarks.standard --only=conversion,export

Each benchmark is a command of its own that writes NAME.json to --output. If one fails, the others
run, and the exit status is 1. It needs two otherwise idle cores and some minutes.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

from absl import flags

import common
from common import Options, option
from utils.errors import OptionError, UserError

# Benchmark -> its flags, so that all take some minutes on two cores.
RUNS = {
    "conversion": ("--num_images=1000",),
    "input_pipeline": ("--cores=1,2",),
    "training_step": (
        "--variants=ours,ours_bf16,ours_independent,ours_ranks,product",
        "--repetitions=6",
    ),
    "evaluation": (
        "--model_variant=resnet_v1_50",
        *("--atrous_rates=6", "--atrous_rates=12", "--atrous_rates=18"),
        *("--images=48", "--repetitions=3"),
    ),
    "export": (),
}


@dataclasses.dataclass(frozen=True)
class StandardOptions(Options):
    """Which benchmarks run, and where their figures are."""

    output: str = option(flags.DEFINE_string, "bench", "Folder to write the figures to.")
    compare: str | None = option(
        flags.DEFINE_string, None, "Folder of an earlier run to compare the figures with."
    )
    only: tuple[str, ...] = option(
        flags.DEFINE_list,
        tuple(RUNS),
        "Benchmarks to run, comma separated.",
        convert=str,
        choices=tuple(RUNS),
    )

    def check(self):
        """Raises OptionError if the earlier run does not exist or would be overwritten."""
        if self.compare is None:
            return
        if not os.path.isdir(self.compare):
            raise OptionError(f"--compare={self.compare} is not a folder of an earlier run.")
        if os.path.realpath(self.compare) == os.path.realpath(self.output):
            raise OptionError(f"--compare={self.compare} would be overwritten; change --output.")


def main(flag_values):
    """Runs the benchmarks one after the other."""
    options = common.from_flags(StandardOptions, flag_values)
    os.makedirs(options.output, exist_ok=True)
    failed = [name for name in options.only if subprocess.run(command(name, options)).returncode]
    if failed:
        raise UserError(f"failed: {', '.join(failed)}; see the messages above.")


def command(name: str, options: StandardOptions) -> list:
    """Returns the command of a benchmark, and prints it; figures of an earlier run are removed."""
    path = os.path.join(options.output, f"{name}.json")
    if os.path.exists(path):
        os.remove(path)
    words = ["-m", f"benchmarks.{name}", *RUNS[name], f"--json_path={path}"]
    if options.compare:
        earlier = os.path.join(options.compare, f"{name}.json")
        if os.path.exists(earlier):
            words.append(f"--compare={earlier}")
        else:
            print(f"There is no {earlier}: {name} is not compared.")
    print(f"\n===== python {' '.join(words)}\n", flush=True)
    return [sys.executable, *words]


if __name__ == "__main__":
    common.run(main, StandardOptions)
