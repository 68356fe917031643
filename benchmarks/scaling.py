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
from concurrent import futures

from absl import flags

import common
from benchmarks import measure
from benchmarks.training_step import NETWORK
from benchmarks.worker import Worker
from common import Options, option
from deployment import cluster_environment, hosts
from utils.errors import OptionError

# Size of the tensors in the measurement of buckets: a 3x3 convolution of 256 channels has 2.25 MB,
# most layers have less.
_PIECE_MB = 0.25


@dataclasses.dataclass(frozen=True)
class ScalingOptions(Options):
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
    repetitions: int = option(flags.DEFINE_integer, 5, "Timed runs of each.", minimum=1)
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
    json_file: str | None = option(flags.DEFINE_string, None, "File for all figures.")


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
    machine = measure.machine()
    print(f"{measure.in_words(machine)}\n")
    found = {}
    if options.steps:
        found["steps"] = _steps(options, cores)
        print(f"{options.crop}x{options.crop}, batch {options.batch_size} per process\n")
        print(f"{measure.table(_step_rows(found['steps']))}\n")
    if options.all_reduce:
        found["all_reduce"] = _all_reduces(options, cores)
        print(measure.table(found["all_reduce"]))
    if options.json_file is not None:
        content = {"machine": machine, "options": options.to_dict(), **found}
        measure.write_json(options.json_file, content)


def _steps(options, cores) -> dict:
    """Returns seconds of each step by group: of the slowest process, and processor time of all."""
    network = (f"--crop={options.crop}", f"--train_batch_size={options.batch_size}")
    command = ["benchmarks.training_of_ours", *NETWORK, *network, *(options.extra_flags or ())]
    groups = {
        name: _start(
            command,
            cores[: 1 if name == "alone" else options.processes],
            in_group=name == "together",
        )
        for name in options.groups
    }
    found = {name: {"seconds": [], "processor_seconds": []} for name in groups}
    try:
        for _ in range(options.repetitions):
            for name, workers in groups.items():
                answers = _run(workers)
                found[name]["seconds"].append(max(answer["seconds"] for answer in answers))
                processor = sum(answer["processor_seconds"] for answer in answers)
                found[name]["processor_seconds"].append(processor / len(answers))
    finally:
        for workers in groups.values():
            _close(workers)
    return found


def _step_rows(found) -> list:
    reference = statistics.median(found.get("independent", {"seconds": [float("nan")]})["seconds"])
    return [
        {
            "processes": name,
            "s/step": statistics.median(values["seconds"]),
            "fastest": min(values["seconds"]),
            "slowest": max(values["seconds"]),
            "processor s": statistics.median(values["processor_seconds"]),
            "efficiency %": 100.0 * reference / statistics.median(values["seconds"]),
        }
        for name, values in found.items()
    ]


def _all_reduces(options, cores) -> list:
    """Returns a row for each size of a tensor, and for each size of buckets."""
    cores = cores[: options.processes]
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
    workers = _start(["benchmarks.all_reduce", "--device=cpu", *arguments], cores, in_group=True)
    seconds = [[] for _ in kinds]
    try:
        for _ in range(options.repetitions):
            for place in range(len(kinds)):
                seconds[place].append(max(answer["seconds"] for answer in _run(workers)))
    finally:
        _close(workers)
    return [
        {
            "MB": size,
            "tensors": tensors,
            "bucket MB": bucket,
            "ms": 1000 * statistics.median(values),
            "MB/s": size / statistics.median(values),
        }
        for (size, tensors, bucket), values in zip(kinds, seconds)
    ]


def _start(command: list, cores, *, in_group: bool = False) -> list:
    """Starts a process on each core and waits until all are ready."""
    addresses = [f"127.0.0.1:{port}" for port in hosts.free_ports("127.0.0.1", len(cores))]

    def start(rank):
        environment = {**os.environ}
        if in_group:
            environment[cluster_environment.ADDRESSES] = ",".join(addresses)
            environment[cluster_environment.RANK] = str(rank)
        bound = ["taskset", "--cpu-list", str(cores[rank])]
        return Worker([*bound, sys.executable, "-m", *command], environment)

    with futures.ThreadPoolExecutor(len(cores)) as pool:
        return list(pool.map(start, range(len(cores))))


def _run(workers) -> list:
    """Has all processes run at once; returns their answers."""
    with futures.ThreadPoolExecutor(len(workers)) as pool:
        return list(pool.map(Worker.run, workers))


def _close(workers):
    with futures.ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(Worker.close, workers))


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
