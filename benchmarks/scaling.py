r"""What several processes gain on this machine: `python -m benchmarks.scaling`.

  python -m benchmarks.scaling --processes=2 --crop=257 --batch_size=2
  python -m benchmarks.scaling --noall_reduce --extra_flags=--all_reduce_bucket_mb=64
  python -m benchmarks.scaling --nosteps

Steps of the training that train_npu.py makes, each process with one core of its own:

  alone         one process, the other cores idle
  independent   as many processes as there shall be, which know nothing of each other: what the
                machine's memory and caches allow
  together      the same processes as ranks of one group, gradients averaged

They take turns; of several processes the slowest counts. The efficiency is the time of the
independent processes over that of the group. Then the time of one all-reduce, by the size of one
tensor, and by the size of the buckets that many small ones travel in.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import sys

from absl import flags

import common
from benchmarks import report
from benchmarks.report import ReportOptions, Row
from benchmarks.training_step import NETWORK
from benchmarks.worker import Group
from common import option
from utils.errors import OptionError

# Size of the tensors in the measurement of buckets: a 3x3 convolution of 256 channels has 2.25 MB,
# most layers have less.
_PIECE_MB = 0.25


@dataclasses.dataclass(frozen=True)
class ScalingOptions(ReportOptions):
    """What is measured."""

    processes: int = option(flags.DEFINE_integer, 2, "Processes, a core each.", minimum=2)
    steps: bool = option(flags.DEFINE_bool, True, "Whether training steps are measured.")
    all_reduce: bool = option(flags.DEFINE_bool, True, "Whether single all-reduces are measured.")
    groups: tuple[str, ...] = option(
        flags.DEFINE_list,
        ("alone", "independent", "together"),
        "Whose steps are measured.",
        convert=str,
        choices=("alone", "independent", "together"),
    )
    crop: int = option(flags.DEFINE_integer, 257, "Height and width of the images.", minimum=33)
    batch_size: int = option(flags.DEFINE_integer, 2, "Images per step and process.", minimum=1)
    extra_flags: tuple[str, ...] | None = option(
        flags.DEFINE_list, None, "Further flags of train_npu.py.", convert=str
    )
    sizes_mb: tuple[float, ...] = option(
        flags.DEFINE_list,
        (0.0625, 1.0, 16.0, 64.0, 224.0),
        "Sizes of single tensors, in MB.",
        convert=float,
        above=0.0,
    )
    buckets_mb: tuple[float, ...] = option(
        flags.DEFINE_list,
        (0.25, 1.0, 4.0, 16.0, 64.0),
        "Sizes of buckets for 64 MB in tensors of 0.25 MB, in MB.",
        convert=float,
        above=0.0,
    )


OPTION_CLASSES = (ScalingOptions,)


def main(flag_values):
    """Reads the flags, measures, prints tables."""
    options = common.from_flags(ScalingOptions, flag_values)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < options.processes:
        raise OptionError(
            f"--processes={options.processes}, but there are {len(cores)} cores; each process "
            "needs one."
        )
    found = report.Report("scaling", options)
    steps = _steps(options, cores) if options.steps else {}
    rows = list(steps.values())
    if options.all_reduce:
        rows += _all_reduces(options, cores[: options.processes])
    ratios = []
    if "independent" in steps:
        ratios = [
            report.ratio(row, steps["independent"])
            for name, row in steps.items()
            if name != "independent"
        ]
    found.publish(
        rows,
        ratios,
        heading=f"{options.processes} processes of a core each, steps with {options.batch_size} "
        f"images of {options.crop}x{options.crop} per process.",
    )


def _steps(options, cores) -> dict:
    """Returns the figures of steps by group: seconds of the slowest process."""
    network = (f"--crop={options.crop}", f"--train_batch_size={options.batch_size}")
    module = ("benchmarks.training_of_ours", *NETWORK, *network, *(options.extra_flags or ()))
    groups, answers = {}, {name: [] for name in options.groups}
    sizes = {name: 1 if name == "alone" else options.processes for name in options.groups}
    try:
        for name, size in sizes.items():
            command = [sys.executable, "-m", *module]
            groups[name] = Group(command, cores[:size], in_group=name == "together")
        for _ in range(options.repetitions):
            for name, group in groups.items():
                answers[name].append(group.run())
    finally:
        for group in groups.values():
            group.close()
    return {name: _step_row(name, found, sizes[name]) for name, found in answers.items()}


def _step_row(name: str, answers: list, processes: int) -> Row:
    processor = statistics.median(answer["processor_seconds"] for answer in answers) / processes
    return Row(
        name,
        "s/step",
        tuple(answer["seconds"] for answer in answers),
        {"processor s per process": processor},
    )


def _all_reduces(options, cores) -> list:
    """Returns a figure for each size of a tensor, and for each size of buckets."""
    sizes = ",".join(f"{size:g}" for size in options.sizes_mb)
    rows = _timed(
        options,
        cores,
        (f"--sizes_mb={sizes}", "--all_reduce_bucket_mb=1024"),
        [(size, 1, size) for size in options.sizes_mb],
    )
    for bucket in options.buckets_mb:
        flags_of_bucket = ("--sizes_mb=64", f"--piece_mb={_PIECE_MB}")
        flags_of_bucket += (f"--all_reduce_bucket_mb={bucket:g}",)
        rows += _timed(options, cores, flags_of_bucket, [(64.0, round(64 / _PIECE_MB), bucket)])
    return rows


def _timed(options, cores, arguments, kinds) -> list:
    command = [sys.executable, "-m", "benchmarks.all_reduce", "--device=cpu", *arguments]
    group = Group(command, cores, in_group=True)
    seconds = [[] for _ in kinds]
    try:
        for _ in range(options.repetitions):
            for place in range(len(kinds)):
                seconds[place].append(group.run()["seconds"])
    finally:
        group.close()
    return [_all_reduce_row(*kind, values) for kind, values in zip(kinds, seconds)]


def _all_reduce_row(size: float, tensors: int, bucket: float, seconds: list) -> Row:
    return Row(
        f"all-reduce {size:g} MB, {tensors} tensor(s), bucket {bucket:g} MB",
        "ms",
        tuple(1000 * value for value in seconds),
        {"MB/s": size / statistics.median(seconds)},
    )


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
